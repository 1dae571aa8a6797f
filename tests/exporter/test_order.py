"""The order of routes is learned: costs come from records of what was tried."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.coverage_order import first_accepted, learn, validation
from benchmarks.coverage_routes import trials
from edgekit.exporter.costs import CELLS, FAMILIES, SECONDS
from edgekit.exporter.graph import HOPS, routes

JAX, TORCH = "keras@jax>onnx", "keras@torch>onnx"


def _record(model: str, start: str, *attempts: tuple[str, str, float]) -> dict[str, Any]:
    tried = [{"route": route, "outcome": outcome, "seconds": seconds} for route, outcome, seconds in attempts]
    cell = {"model": model, "family": model[0], "start": start, "target": "onnx", "way": "edgekit"}
    return {**cell, "key": f"{model}|{start}", "status": "verified", "attempts": tried}


def test_the_graph_uses_the_learned_costs() -> None:
    assert CELLS > 100
    assert FAMILIES > 10
    for name, seconds in SECONDS.items():
        assert HOPS[name].cost == pytest.approx(seconds + HOPS[name].behind), name


def test_what_fails_often_costs_more_than_what_takes_longer() -> None:
    records = [_record(f"{n}", "keras@jax", (JAX, "accepted" if n % 4 == 0 else "failed", 4.0)) for n in range(20)]
    records += [_record(f"{n}", "keras@torch", (TORCH, "accepted", 8.0)) for n in range(20)]
    learned = learn(records)
    assert learned[JAX].seconds < learned[TORCH].seconds
    assert learned[JAX].share == pytest.approx(0.27, abs=0.02)
    assert learned[TORCH].cost < learned[JAX].cost


def test_a_failure_is_laid_on_the_hop_that_fails_elsewhere_too() -> None:
    through = "keras@jax>onnx>openvino"
    records = [_record(f"{n}", "keras@jax", (JAX, "failed" if n % 2 else "accepted", 4.0)) for n in range(60)]
    records += [
        _record(f"{n}", "keras@jax", (through, "failed" if n % 2 else "accepted", 4.5)) | {"target": "openvino"}
        for n in range(60)
    ]
    learned = learn(records)
    assert learned["onnx>openvino"].share > 0.8
    assert learned[JAX].share == pytest.approx(0.5, abs=0.05)


def test_the_first_route_is_counted_on_families_left_out() -> None:
    other = "keras@jax>stablehlo>tflite>openvino>onnx"
    good = [_record(f"{n}", "keras@jax", (JAX, "accepted", 4.0)) for n in range(9)]
    bad = _record("x", "keras@jax", (JAX, "failed", 4.0), (other, "accepted", 6.0))
    unreachable = _record("y", "keras@jax", (JAX, "failed", 4.0))
    found = first_accepted(trials([*good, bad, unreachable]), lambda family: SECONDS)
    assert [accepted for *_, accepted in found] == [True] * 9 + [False]
    assert "90.0%" in validation([*good, bad, unreachable])


@pytest.mark.parametrize("start", ["keras", "torch.nn", "jax"])
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_a_way_that_may_fix_the_batch_is_not_tried_first(start: str, target: str) -> None:
    first = routes(start, target)[0]
    assert not any(hop.behind for hop in first.hops), first.name
