"""Trying routes: a hop that two routes share runs once, and what a failure is called."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.exporter.attempts import Converter, lacking, try_routes, versions_of
from edgekit.exporter.graph import routes
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.reference import load_source, reference_of
from edgekit.jobs.executor import Executor
from edgekit.progress import SILENT
from edgekit.workbench import Workbench


class Noting(Executor):
    """A real executor that notes which hops it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.hops: list[str] = []

    def run(self, job: Any, *arguments: Any) -> Any:
        if isinstance(job, ConvertJob):
            self.hops.append(job.hop)
        return super().run(job, *arguments)


def test_a_hop_that_two_targets_share_runs_once(twin_keras: Path) -> None:
    executor = Noting()
    with executor:
        bench = Workbench(executor, SILENT, executor.scratch())
        source = load_source(bench, twin_keras, backend="jax")
        reference = reference_of(bench, source, None)
        converter = Converter(executor, source, None)
        plans = [(target, f"keras@jax>onnx{rest}") for target, rest in (("onnx", ""), ("openvino", ">openvino"))]
        with ThreadPoolExecutor(2) as threads:
            made = list(
                threads.map(
                    lambda plan: try_routes(
                        plan[0], routes("keras", plan[0], route=plan[1]), reference, converter, lambda step: None
                    ),
                    plans,
                )
            )
    assert sorted(executor.hops) == ["keras@jax>onnx", "onnx>openvino"]
    assert [len(accepted) for accepted, _ in made] == [1, 1]
    assert [attempt.outcome for _, attempts in made for attempt in attempts] == ["accepted", "accepted"]


def test_an_opset_that_does_not_exist_is_a_failed_attempt_with_its_reason(twin_keras: Path) -> None:
    with Executor() as executor:
        bench = Workbench(executor, SILENT, executor.scratch())
        source = load_source(bench, twin_keras, backend="jax")
        reference = reference_of(bench, source, None)
        converter = Converter(executor, source, 999)
        found = routes("keras", "onnx", route="keras@jax>onnx")
        accepted, (attempt,) = try_routes("onnx", found, reference, converter, lambda step: None)
    assert accepted == ()
    assert attempt.outcome in ("failed", "unrunnable")
    assert attempt.reason
    assert attempt.seconds > 0


def test_errors_of_the_jobs_have_names_of_their_own() -> None:
    from edgekit.exporter.attempts import OUTCOMES

    assert all(issubclass(kind, EdgekitError) for kind in OUTCOMES)
    assert set(OUTCOMES.values()) == {"timeout", "out-of-memory", "crashed", "missing"}


def test_versions_of_modules_that_are_installed() -> None:
    versions = versions_of(["keras", "jax", "keras", "no_such_module"])
    assert list(versions) == ["keras", "jax"]


def test_nothing_is_lacking_here() -> None:
    (route,) = routes("keras", "tflite", route="keras@jax>stablehlo>tflite")
    assert lacking("tflite", route) == ()
