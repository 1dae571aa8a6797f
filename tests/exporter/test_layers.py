"""Sources run layer by layer: what is recorded, and that it belongs to the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.exporter.layers import LayerOutput, LayersJob
from edgekit.exporter.observe import ObserveJob
from edgekit.exporter.reference import load_source
from edgekit.workbench import workbench
from tests.exporter import jax_zoo, zoo
from tests.exporter.jax_zoo import build as build_jax

torch = pytest.importorskip("torch")
from tests.exporter import torch_zoo  # noqa: E402  # it imports torch

TORCH, JAX = Path(torch_zoo.__file__), Path(jax_zoo.__file__)
SAMPLES = 3

Recorded = dict[str, tuple[LayerOutput, np.ndarray]]


def layers_of(model: str | Path, backend: str = "auto") -> tuple[Recorded, dict[str, np.ndarray]]:
    """What each layer computes on some samples, and the outputs of the whole."""
    with workbench() as bench:
        source = load_source(bench, model, backend=backend)
        observed = bench.executor.run(ObserveJob(source.spec, {}, SAMPLES), source.context)
        found = bench.executor.run(LayersJob(source.spec, observed.inputs, SAMPLES), source.context)
        outputs = {name: np.load(bench.executor.path(blob)) for name, blob in observed.outputs.items()}
        return {one.name: (one, np.load(bench.executor.path(one.values))) for one in found.layers}, outputs


def check(layers: Recorded, outputs: dict[str, np.ndarray]) -> None:
    """The outputs are among the layers, and noise is small beside what varies."""
    for name, wanted in outputs.items():
        assert any(
            array.shape == wanted.shape and np.allclose(array, wanted, rtol=1e-4, atol=1e-5)
            for _, array in layers.values()
        ), f"no layer gives the output {name}"
    moving = [(one, array) for one, array in layers.values() if array.std(axis=0).max() > 1e-4]
    assert len(moving) >= len(layers) // 2
    assert any(one.noise_floor > 0 for one, _ in moving)
    assert all(one.noise_floor < 0.01 * np.abs(array).max() for one, array in moving)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.build(tmp_path_factory.mktemp("layers"), "cnn", "lstm", "text")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch", "openvino"])
def test_layers_of_keras_on_any_backend(files: Path, backend: str) -> None:
    layers, outputs = layers_of(files / "cnn.keras", backend)
    check(layers, outputs)
    kinds = [one.kind for one, _ in layers.values() if one.kind != "InputLayer"]
    assert kinds == [
        *("Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D", "Conv2D", "BatchNormalization", "ReLU"),
        *("GlobalAveragePooling2D", "Dense"),
    ]
    first = next(array for one, array in layers.values() if one.kind == "Conv2D")
    assert first.shape == (SAMPLES, 8, 8, 16)


def test_layers_of_a_model_with_layers_inside_layers(files: Path) -> None:
    layers, outputs = layers_of(files / "lstm.keras")
    check(layers, outputs)
    assert any(one.kind == "LSTM" for one, _ in layers.values())


def test_layers_of_a_torch_module() -> None:
    layers, outputs = layers_of(f"{TORCH}:cnn")
    check(layers, outputs)
    assert list(layers) == [str(index) for index in range(14)]
    assert [one.kind for one, _ in layers.values()][:3] == ["Conv2d", "BatchNorm2d", "ReLU"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two", ["left", "tanh", "right", "amax", "mul", "score", "height"]),
        ("nested", ["linear", "sub", "sin"]),
        ("unet", ["enter/0", "enter/1", "enter/2", "enter", "down/0"]),
    ],
)
def test_functions_between_the_modules_of_torch(name: str, expected: list[str]) -> None:
    """What ``forward`` computes itself is shown; what torch's own modules do inside is not."""
    layers, outputs = layers_of(f"{TORCH}:{name}")
    check(layers, outputs)
    assert list(layers)[: len(expected)] == expected
    assert name != "unet" or [one.kind for one, _ in layers.values()].count("cat") == 1


def test_operators_of_a_torch_program(tmp_path: Path) -> None:
    model = torch_zoo.cnn().eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    example = torch_zoo.cnn_example_inputs()
    program = torch.export.export(model, (torch.cat([*example, *example]),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "cnn.pt2")
    layers, outputs = layers_of(tmp_path / "cnn.pt2")
    check(layers, outputs)
    assert next(iter(layers)).startswith("0/")
    assert any(one.kind == "conv2d" for one, _ in layers.values())


@pytest.mark.parametrize("name", ["cnn", "flax"])
def test_primitives_of_a_jax_function(name: str) -> None:
    layers, outputs = layers_of(f"{JAX}:{name}")
    check(layers, outputs)
    assert {"conv_general_dilated", "dot_general"} & {one.kind for one, _ in layers.values()}


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
def test_operators_of_a_deployable_file(name: str, request: pytest.FixtureRequest) -> None:
    """Operators that compute numbers are recorded, those on integers are not."""
    layers, outputs = layers_of(request.getfixturevalue(f"twin_{name}"))
    check(layers, outputs)
    assert set(outputs) == {"score", "embed"}
    kinds = {one.kind.lower() for one, _ in layers.values()}
    assert "tanh" in kinds
    assert kinds & {"matmul", "gemm", "fully_connected", "batch_matmul"}


def test_operators_of_a_file_whose_batch_is_fixed(twin_onnx_fixed: Path) -> None:
    """Three samples make one batch of two; the third belongs to none."""
    layers, outputs = layers_of(twin_onnx_fixed)
    for name, wanted in outputs.items():
        assert any(
            array.shape == wanted.shape and np.allclose(array[:2], wanted[:2]) for _, array in layers.values()
        ), name


def test_operators_of_a_quantized_file_stand_for_real_numbers(dense_tflite: Path) -> None:
    layers, _ = layers_of(dense_tflite)
    assert all(array.dtype == np.float32 for _, array in layers.values())
    assert any(array.std(axis=0).max() > 1e-3 for _, array in layers.values())


def test_a_source_that_is_one_opaque_call_says_so(tmp_path: Path) -> None:
    build_jax(tmp_path, "mlp")
    with pytest.raises(UsageError, match="does not show what its layers compute"):
        layers_of(tmp_path / "mlp.jax")
