"""Routes written with the raw libraries: what `export_speed` holds edgekit's conversions against.

Each function imports what it needs and sets the process up, and returns one conversion: load the model, call the
converter, write the file. No line of edgekit runs here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.coverage_source import build, example_inputs
from benchmarks.zoo.registry import ZooModel

OPSET = 18

Conversion = Callable[[Path], None]


def keras_jax_to_onnx(_: ZooModel, source: Path) -> Conversion:
    """Keras on JAX to ONNX, by jax2onnx."""
    _keras("jax")
    import onnx

    def convert(folder: Path) -> None:
        onnx.save(_jax2onnx(source), folder / "model.onnx")

    return convert


def keras_jax_to_openvino(_: ZooModel, source: Path) -> Conversion:
    """The same, then OpenVINO's reader of ONNX."""
    _keras("jax")
    import onnx
    import openvino

    def convert(folder: Path) -> None:
        onnx.save(_jax2onnx(source), folder / "model.onnx")
        model = openvino.convert_model(folder / "model.onnx")
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)

    return convert


def keras_jax_to_tflite(_: ZooModel, source: Path) -> Conversion:
    """Keras on JAX to StableHLO, and that to TFLite by litert-converter."""
    _keras("jax")
    import jax

    def convert(folder: Path) -> None:
        model = _load(source)
        shapes = [jax.ShapeDtypeStruct((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
        exported = jax.export.export(jax.jit(_function(model)), platforms=["cpu"])(*shapes)
        names = [tensor.name for tensor in model.inputs]
        _stablehlo_to_tflite(exported.mlir_module_serialized, names, folder / "model.tflite")

    return convert


def keras_openvino_to_openvino(_: ZooModel, source: Path) -> Conversion:
    """Keras on OpenVINO, by its own export."""
    _keras("openvino")

    def convert(folder: Path) -> None:
        _load(source).export(str(folder / "model.xml"), format="openvino", verbose=False)

    return convert


def keras_torch_to_onnx(_: ZooModel, source: Path) -> Conversion:
    """Keras on torch to ONNX, by torch's exporter."""
    _keras("torch")
    import torch

    def convert(folder: Path) -> None:
        model = _load(source)
        samples = tuple(torch.zeros(2, *tensor.shape[1:]) for tensor in model.inputs)
        batch = torch.export.Dim("batch")
        free = tuple({0: batch} for _ in samples)
        program = torch.onnx.export(
            model, samples, dynamic_shapes=(free,), opset_version=OPSET, dynamo=True, verbose=False
        )
        program.save(folder / "model.onnx")

    return convert


def torch_export_to_onnx(_: ZooModel, source: Path) -> Conversion:
    """A program of torch.export to ONNX, by torch's exporter."""
    import torch

    def convert(folder: Path) -> None:
        program = torch.export.load(source / "model.pt2")
        made = torch.onnx.export(program, opset_version=OPSET, dynamo=True, verbose=False)
        assert made is not None
        made.save(folder / "model.onnx")

    return convert


def torch_export_to_openvino(zoo: ZooModel, source: Path) -> Conversion:
    """The same, then OpenVINO's reader of ONNX: the way of edgekit, so that one converter is held against itself."""
    import openvino

    to_onnx = torch_export_to_onnx(zoo, source)

    def convert(folder: Path) -> None:
        to_onnx(folder)
        model = openvino.convert_model(folder / "model.onnx")
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)

    return convert


def torch_export_to_tflite(zoo: ZooModel, source: Path) -> Conversion:
    """A program of torch.export to TFLite, by litert-torch."""
    import litert_torch
    import torch

    samples = tuple(torch.from_numpy(value) for value in example_inputs(zoo).values())

    def convert(folder: Path) -> None:
        program = torch.export.load(source / "model.pt2")
        litert_torch.convert(program.module(), samples).export(str(folder / "model.tflite"))

    return convert


def jax_to_onnx(zoo: ZooModel, _: Path) -> Conversion:
    """A JAX function to ONNX with a free batch, by jax2onnx."""
    import jax
    import jax2onnx
    import onnx

    def convert(folder: Path) -> None:
        (batch,) = jax.export.symbolic_shape("batch")
        examples = example_inputs(zoo).values()
        shapes = [jax.ShapeDtypeStruct((batch, *value.shape[1:]), value.dtype) for value in examples]
        onnx.save(jax2onnx.to_onnx(build(zoo), shapes, opset=OPSET), folder / "model.onnx")

    return convert


def jax_to_tflite(zoo: ZooModel, _: Path) -> Conversion:
    """A JAX function to StableHLO, and that to TFLite by litert-converter."""
    import jax

    def convert(folder: Path) -> None:
        examples = example_inputs(zoo)
        shapes = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in examples.values()]
        exported = jax.export.export(jax.jit(build(zoo)), platforms=["cpu"])(*shapes)
        _stablehlo_to_tflite(exported.mlir_module_serialized, list(examples), folder / "model.tflite")

    return convert


def _stablehlo_to_tflite(module_bytes: bytes, names: list[str], path: Path) -> None:
    from litert_converter.mlir import ir, passmanager
    from litert_converter.mlir._mlir_libs import converter_api_ext as converter
    from litert_converter.mlir.dialects import stablehlo

    context = ir.Context()
    converter.prepare_mlir_context(context)
    with context:
        module = stablehlo.deserialize_portable_artifact(context, module_bytes)
        converter.set_signature(
            module.operation, signature_name="serving_default", input_names=names, output_names=["output"]
        )
        converter.run_convert_to_tfl_passes(module, passmanager.PassManager(), converter.ConvertToTFLConfig())
        converter.export_flatbuffer_to_file(module.operation, str(path))


def _keras(backend: str) -> None:
    """Choose the backend, which is fixed when Keras is imported."""
    os.environ.update(KERAS_BACKEND=backend, JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="")
    import keras

    assert keras.backend.backend() == backend


def _load(source: Path) -> Any:
    import keras

    return keras.saving.load_model(source / "model.keras", compile=False)


def _function(model: Any) -> Callable[..., Any]:
    """A pure JAX function with the weights as constants."""
    trained = [variable.value for variable in model.trainable_variables]
    fixed = [variable.value for variable in model.non_trainable_variables]

    def function(*inputs: Any) -> Any:
        return model.stateless_call(trained, fixed, *inputs, training=False)[0]

    return function


def _jax2onnx(source: Path) -> Any:
    import jax
    import jax2onnx

    model = _load(source)
    (tensor,) = model.inputs
    shape = jax.export.symbolic_shape("batch," + ",".join(map(str, tensor.shape[1:])))
    return jax2onnx.to_onnx(
        _function(model),
        [jax.ShapeDtypeStruct(shape, tensor.dtype)],
        model_name="model",
        opset=OPSET,
        input_names=[tensor.name],
        output_names=["output"],
    )


#: A route to the function that prepares it.
BY_HAND: dict[str, Callable[[ZooModel, Path], Conversion]] = {
    "keras@jax>onnx": keras_jax_to_onnx,
    "keras@jax>onnx>openvino": keras_jax_to_openvino,
    "keras@jax>stablehlo>tflite": keras_jax_to_tflite,
    "keras@openvino>openvino": keras_openvino_to_openvino,
    "keras@torch>onnx": keras_torch_to_onnx,
    "torch.export>onnx": torch_export_to_onnx,
    "torch.export>onnx>openvino": torch_export_to_openvino,
    "torch.export>tflite": torch_export_to_tflite,
    "jax>onnx": jax_to_onnx,
    "jax>stablehlo>tflite": jax_to_tflite,
}
