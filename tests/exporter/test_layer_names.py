"""An operator of an artifact can be traced to the layer of the source that it computes, and to nothing else."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exporter import layer_zoo

pytestmark = [
    pytest.mark.xdist_group("graphs"),  # one bench for all: workers and conversions are shared
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras with NumPy 2
]

ROUTES = (
    "keras@jax>onnx",
    "keras@openvino>openvino",
    "keras@jax>onnx>openvino",
    "keras@jax>stablehlo>tflite",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("keras@torch>onnx", "keras@torch>onnx>openvino", "keras@torch>tflite")
    ),
)

#: Bytes that would tell where an artifact was made, or by which code.
TRACES = (
    str(Path(__file__).parents[2]),
    str(Path.home()),
    getpass.getuser() + "/",
    "site-packages",
    "/tmp/",
    "/lib/python",
    ".py",
    "Traceback",
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[layer_zoo.LayerBench]:
    with layer_zoo.LayerBench(tmp_path_factory.mktemp("layers")) as made:
        yield made


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("model", [name for name in layer_zoo.WEIGHTED if name != "passthrough"])
def test_layers_with_weights_have_their_names(bench: layer_zoo.LayerBench, model: str, route: str) -> None:
    names = [f"/{part}/" for _, name in bench.operators(model, route) for part in name.split(";")]
    # litert-torch puts the class of a module before its name: …Scope_stem/
    lost = [
        layer
        for layer in layer_zoo.WEIGHTED[model]
        if not any(f"/{layer}/" in name or f".Scope_{layer}/" in name for name in names)
    ]
    assert lost == [], names


@pytest.mark.parametrize("route", ROUTES)
def test_a_name_leads_to_the_right_layer(bench: layer_zoo.LayerBench, route: str) -> None:
    """Convolutions come in the order of the layers that they are called by."""
    found = [name for kind, name in bench.operators("preactivation", route) if "conv" in kind.lower()]
    assert len(found) == 3
    for layer, name in zip(("stem", "body_1", "body_2"), found, strict=True):
        assert layer in name


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("model", ["preactivation", "recurrent"])
def test_names_are_all_different(bench: layer_zoo.LayerBench, model: str, route: str) -> None:
    names = [name for _, name in bench.operators(model, route)]
    assert "" not in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("model", ["conv", "attention"])
def test_no_path_of_this_machine_is_inside(bench: layer_zoo.LayerBench, model: str, route: str) -> None:
    content = bench.content(model, route)
    assert [trace for trace in TRACES if trace.encode() in content] == []
