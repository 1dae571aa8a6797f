"""The conversion graph: which routes there are, and in what order they are tried."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.exporter.attempts import in_order, lacking
from edgekit.exporter.graph import HOPS, TARGETS, routes
from edgekit.exporter.sources.registry import SOURCES
from edgekit.types import Signature, TensorSpec


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_reached_in_more_than_one_way(target: str) -> None:
    found = routes("keras", target)
    assert len(found) >= 2
    assert [route.cost for route in found] == sorted(route.cost for route in found)
    for route in found:
        assert route.hops[0].source.startswith("keras@")
        assert route.hops[-1].destination == target
        nodes = [hop.source for hop in route.hops]
        assert len(nodes) == len(set(nodes))
        assert all(left.destination == right.source for left, right in zip(route.hops, route.hops[1:], strict=False))


@pytest.mark.parametrize("target", TARGETS)
def test_tensorflow_is_never_needed(target: str) -> None:
    without = [route for route in routes("keras", target) if not any("tensorflow" in hop.needs for hop in route.hops)]
    assert len(without) >= 2


def test_a_backend_and_a_name_narrow_it() -> None:
    assert {route.hops[0].source for route in routes("keras", "openvino", backend="jax")} == {"keras@jax"}
    (one,) = routes("keras", "tflite", route="keras@jax>stablehlo>tflite")
    assert [hop.name for hop in one.hops] == ["keras@jax>stablehlo", "stablehlo>tflite"]


@pytest.mark.parametrize(
    ("options", "code", "hint"),
    [
        ({"target": "coreml"}, "unknown-target", "onnx, openvino, tflite, all"),
        ({"target": "onnx", "backend": "mxnet"}, "unknown-backend", "jax"),
        ({"target": "onnx", "route": "keras@jax>tflite"}, "no-route", "keras@jax>onnx"),
        ({"target": "tflite", "backend": "openvino", "route": "nowhere"}, "no-route", "keras@openvino>openvino>onnx"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(options: dict[str, str], code: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        routes("keras", **options)
    assert error.value.code == code
    assert hint in error.value.hint


def test_every_kind_of_source_reaches_every_target() -> None:
    for row in SOURCES:
        for target in TARGETS if row.name != "code" else ():
            assert routes(row.name, target), (row.name, target)


def test_a_format_goes_through_itself_only_to_itself() -> None:
    assert [route.name for route in routes("onnx", "onnx")] == ["onnx>onnx"]
    assert not any("onnx>onnx" in route.name for route in routes("keras", "openvino"))


def test_routes_that_refuse_free_sizes_go_last_for_a_model_that_has_some() -> None:
    free = Signature((TensorSpec("x", (None, None, 3), "float32"),), ())
    found = in_order("onnx", routes("keras", "onnx"), free)
    keeps = [route.keeps(free) for route in found if not lacking("onnx", route)]
    assert keeps == sorted(keeps, reverse=True)
    assert True in keeps
    assert False in keeps


def test_a_route_knows_what_it_lacks() -> None:
    (route,) = routes("keras", "tflite", route="keras@jax>stablehlo>tflite")
    assert route.missing() == ()


def test_every_hop_names_its_code_after_itself() -> None:
    for hop in HOPS:
        assert hop.missing() or callable(hop.load()), hop.name
        assert hop.name == f"{hop.source}>{hop.destination}"
