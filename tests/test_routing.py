"""What `edgekit.routes` says about the converters, and about a model in this environment and in a bare one."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
from rich.console import Console

import edgekit
from edgekit.errors import ModelError, UsageError
from edgekit.exporter.attempts import in_order, lacking
from edgekit.exporter.graph import HOPS, TARGETS
from edgekit.exporter.graph import routes as routes_between
from edgekit.jobs.codec import from_json
from edgekit.report.terminal import view
from edgekit.routing import Routes, routes
from tests.cli import command

#: Runs the command line with some modules hidden, as where their packages are not installed.
WITHOUT = """
import sys
from importlib import util

hidden, found = set(sys.argv[1].split(",")), util.find_spec
util.find_spec = lambda name, *rest: None if name in hidden else found(name, *rest)
from edgekit.cli.main import main

sys.argv = ["edgekit", *sys.argv[2:]]
main()
"""


def without(modules: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", WITHOUT, modules, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def shown(result: Routes, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(view(result))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_graph_holds_every_converter() -> None:
    result = routes()
    assert result.ok
    assert result.model is None
    assert [hop.name for hop in result.hops] == [row.name for row in HOPS]
    assert result.routes == ()
    for hop in result.hops:
        assert hop.missing == tuple(module for module in hop.needs if util.find_spec(module) is None)
        assert (hop.install is None) == (not hop.missing)


def test_a_target_leaves_only_the_converters_on_the_way_to_it() -> None:
    result = routes(target="tflite")
    assert {"tflite", "stablehlo", "saved_model"} < {hop.destination for hop in result.hops}
    assert all(hop.destination != "saved_model" or hop.source != "onnx" for hop in result.hops)


def test_routes_of_a_model_come_in_the_order_that_export_tries_them(twin_keras: Path) -> None:
    result = routes(twin_keras)
    for target in TARGETS:
        found = [facts for facts in result.routes if facts.target == target]
        expected = in_order(target, routes_between("keras", target))
        assert [facts.route for facts in found] == [route.name for route in expected]
        assert [facts.missing for facts in found] == [lacking(target, route) for route in expected]
    (one,) = (facts for facts in result.routes if facts.route == "keras@jax>stablehlo>tflite")
    assert one.hops == ("keras@jax>stablehlo", "stablehlo>tflite")
    assert one.cost == sum(hop.cost for hop in result.hops if hop.name in one.hops)
    assert any("batch" in limit for limit in one.limits)


def test_it_survives_json(twin_keras: Path) -> None:
    document = json.loads(json.dumps(routes(twin_keras).to_json()))
    assert document.pop("schema") == "edgekit.routes/1"
    assert from_json(Routes, document) == routes(twin_keras)


def test_the_command_prints_one_document(twin_keras: Path, tmp_path: Path) -> None:
    done = command.edgekit("routes", twin_keras, "--target", "onnx", "--json", cwd=tmp_path)
    assert done.code == 0
    assert done.document["targets"] == ["onnx"]
    assert {found["target"] for found in done.document["routes"]} == {"onnx"}


@pytest.mark.parametrize("width", [80, 110])
def test_the_graph_is_drawn(width: int) -> None:
    lines = shown(routes(), width).splitlines()
    sources = list(dict.fromkeys(hop.source for hop in HOPS))
    assert [line.strip() for line in lines if line.strip() in sources and line[1] != " "] == sources
    assert sum(line[1:3] in ("├─", "└─") for line in lines) == len(tuple(HOPS))  # each once
    (at,) = (index for index, line in enumerate(lines) if line.strip() == "keras@jax")
    branches = [line for line in lines[at:] if "─ " in line]
    for branch, name, hop in (("├─", "onnx", "keras@jax>onnx"), ("└─", "stablehlo", "keras@jax>stablehlo")):
        assert [branch, name, f"{HOPS[hop].cost:g}"] in [line.split()[:3] for line in branches[:2]]


@pytest.mark.parametrize("width", [80, 110])
def test_the_routes_of_a_model_are_shown_with_their_limits(twin_keras: Path, width: int) -> None:
    words = " ".join(shown(routes(twin_keras), width).split())
    for route in routes_between("keras", "openvino"):
        assert route.name in words
    assert "fixes the batch to 1" in words


def test_what_is_missing_comes_last_with_the_command_that_adds_it(twin_keras: Path) -> None:
    done = without("jax2onnx,onnxscript", "routes", twin_keras, "--target", "openvino", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["routes"]
    ready = [bool(facts["missing"]) for facts in found]
    assert ready == sorted(ready)
    assert found[0]["route"] == "keras@openvino>openvino"
    (lacking_it,) = (facts for facts in found if facts["route"] == "keras@jax>onnx>openvino")
    assert lacking_it["install"] == "pip install 'edgekit[keras,jax,export-onnx]'"


def test_a_target_that_cannot_be_reached_here_is_exit_code_3(twin_keras: Path) -> None:
    asked = without("ai_edge_litert", "routes", twin_keras, "--target", "tflite")
    assert asked.returncode == 3
    assert "No route to tflite can be tried here" in asked.stdout
    assert "edgekit[tflite]" in asked.stdout
    document = json.loads(without("ai_edge_litert", "routes", twin_keras, "--target", "tflite", "--json").stdout)
    assert document["ok"] is False
    every = without("ai_edge_litert", "routes", twin_keras)
    assert every.returncode == 0
    graph = without("ai_edge_litert", "routes", "--target", "tflite")
    assert graph.returncode == 0


def test_export_names_the_least_to_install_and_tensorflow_last(twin_keras: Path, tmp_path: Path) -> None:
    hidden = "keras,jax,torch,tensorflow,litert_converter,litert_torch,ai_edge_litert"
    done = without(hidden, "export", twin_keras, "--target", "tflite", "-o", tmp_path / "kit")
    assert done.returncode == 3
    assert "pip install" in done.stderr
    assert "tensorflow" not in done.stderr.partition("pip install")[2]


def test_what_is_no_target_or_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as usage:
        routes(target="coreml")
    assert usage.value.code == "unknown-target"
    with pytest.raises(ModelError) as model:
        edgekit.routes(tmp_path / "absent.keras")
    assert model.value.code == "no-model-file"


def test_nothing_heavy_is_loaded(twin_keras: Path) -> None:
    code = f"import sys, edgekit; edgekit.routes(); edgekit.routes({str(twin_keras)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {module.partition(".")[0] for hop in HOPS for module in hop.needs}
