"""What ``edgekit run`` does to the digits model, written with the raw libraries: no line of edgekit runs here.

One process, one step after another: run the source, export to ONNX, OpenVINO and TFLite by the routes that edgekit
takes, quantize each to int8, run all six over the held-out images, time them, write a report. Everything that
edgekit's steps do to the files is done here too, so that both make the same artifacts.

    python benchmarks/raw_pipeline.py DATA OUT '{"onnx-fp32": [8, 0.25], ...}'

DATA holds ``digits.keras``, ``train.npz`` and ``test.npz``; the last argument says for each artifact how many
openings are timed and for how many seconds each. `pipeline.py` runs this beside edgekit.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="", NNCF_CI="1")

import numpy as np

#: Images that the quantizers measure ranges on.
CALIBRATION = 300

#: Least seconds of warm-up before a timed loop.
WARM_UP_S = 0.1

OPSET = 18

Infer = Callable[[], list[np.ndarray]]


def fold_normalization(model: Any) -> None:
    """Put every batch normalisation into the kernel before it; what stays is the addition of an offset."""
    import keras

    for before, layer in pairwise(model.layers):
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        mean, variance = np.asarray(layer.moving_mean, "float64"), np.asarray(layer.moving_variance, "float64")
        scale = 1.0 / np.sqrt(variance + layer.epsilon) * np.asarray(layer.gamma)
        offset = -mean * scale + np.asarray(layer.beta)
        kernel = np.asarray(before.kernel, "float64")
        depthwise = isinstance(before, keras.layers.DepthwiseConv2D)
        before.kernel.assign(kernel * (scale.reshape(kernel.shape[-2:]) if depthwise else scale))
        layer.call = _plus(offset.reshape(1, 1, 1, -1))


def _plus(offset: np.ndarray) -> Callable[..., Any]:
    import keras

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:  # noqa: ARG001  # the arguments of Keras
        return inputs + keras.ops.convert_to_tensor(offset, "float32")

    return call


def function_of(model: Any) -> Callable[..., Any]:
    """A pure JAX function with the weights as constants."""
    trained = [variable.value for variable in model.trainable_variables]
    fixed = [variable.value for variable in model.non_trainable_variables]

    def function(image: Any) -> tuple[Any, ...]:
        return (model.stateless_call(trained, fixed, image, training=False)[0],)

    return function


def reference(model: Any, images: np.ndarray) -> np.ndarray:
    """What the source computes."""
    import jax

    run = jax.jit(function_of(model))
    return np.concatenate([np.asarray(run(images[start : start + 32])[0]) for start in range(0, len(images), 32)])


def to_onnx(model: Any, folder: Path) -> Path:
    """Keras on JAX to ONNX, by jax2onnx; folded and checked."""
    import jax

    sys.modules["equinox"] = None  # type: ignore[assignment]  # jax2onnx would compile its layers: 3 s
    logging.getLogger("jax2onnx").setLevel(logging.ERROR)
    import jax2onnx
    import onnx

    shape = jax.export.symbolic_shape("batch,8,8,1")
    converted = jax2onnx.to_onnx(
        function_of(model),
        [jax.ShapeDtypeStruct(shape, "float32")],
        model_name="model",
        opset=OPSET,
        input_names=["image"],
        output_names=["probs"],
    )
    _mend_pooling(converted.graph)
    for item in (converted.graph, *converted.graph.node, *converted.graph.value_info):  # stack traces
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    raw, final = folder / "raw.onnx", folder / "model.onnx"
    onnx.save(converted, raw)
    _optimized(raw, final)
    folded = onnx.load(final)
    domains = {node.domain for node in folded.graph.node} | {""}
    imports = [entry for entry in folded.opset_import if entry.domain in domains]
    del folded.opset_import[:]
    folded.opset_import.extend(imports)
    onnx.checker.check_model(folded, full_check=True)
    onnx.save(folded, final)
    raw.unlink()
    return final


def _mend_pooling(graph: Any) -> None:
    """Pool over height and width: jax2onnx pools over batch and channel too, which onnxruntime refuses."""
    import onnx

    def transpose(node: Any, source: str, order: tuple[int, ...]) -> None:
        del node.input[:], node.attribute[:]
        node.op_type = "Transpose"
        node.input.append(source)
        node.attribute.append(onnx.helper.make_attribute("perm", order))

    makers = {output: node for node in graph.node for output in node.output}
    users = {name: node for node in graph.node for name in node.input}
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        inner, squeeze = makers[pool.input[0]], users[pool.output[0]]
        outer = makers[inner.input[0]]
        transpose(inner, outer.input[0], (0, 3, 1, 2))
        transpose(squeeze, pool.output[0], (0, 2, 3, 1))
        for item in pool.attribute:
            values = list(item.ints)
            if values:
                del item.ints[:]
                item.ints.extend([*values[1:3], *values[5:7]] if len(values) == 8 else values[1:3])
        graph.node.remove(outer)
        stale = {outer.output[0], inner.output[0], pool.output[0]}
        for info in [info for info in graph.value_info if info.name in stale]:
            graph.value_info.remove(info)


def _optimized(source: Path, target: Path) -> None:
    """The basic level of onnxruntime's optimizer."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def to_openvino(onnx_file: Path, folder: Path) -> Path:
    """ONNX to OpenVINO IR in float32."""
    import openvino
    from openvino._offline_transformations import apply_moc_transformations

    model = openvino.Core().read_model(onnx_file)
    apply_moc_transformations(model, cf=True)
    for output in (output for node in model.get_ops() for output in node.outputs()):
        output.set_names(set())
    for port, name in ((model.input(0), "image"), (model.output(0), "probs")):
        port.set_names({name})
        port.get_node().set_friendly_name(name)
    model.set_friendly_name("model")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def to_tflite(model: Any, folder: Path) -> Path:
    """Keras on JAX to StableHLO, and that to TFLite by litert-converter."""
    import jax
    from litert_converter.mlir import ir, passmanager
    from litert_converter.mlir._mlir_libs import converter_api_ext as converter
    from litert_converter.mlir.dialects import stablehlo

    exported = jax.export.export(jax.jit(function_of(model)), platforms=["cpu"])(
        jax.ShapeDtypeStruct((1, 8, 8, 1), "float32")
    )
    path = folder / "model.tflite"
    context = ir.Context()
    converter.prepare_mlir_context(context)
    with context:
        module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
        converter.set_signature(
            module.operation, signature_name="serving_default", input_names=["image"], output_names=["probs"]
        )
        converter.run_convert_to_tfl_passes(module, passmanager.PassManager(), converter.ConvertToTFLConfig())
        converter.export_flatbuffer_to_file(module.operation, str(path))
    return path


def _nncf_quantize(model: Any, images: np.ndarray) -> Any:
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.quantize(
        model,
        nncf.Dataset([{"image": images[i : i + 1]} for i in range(len(images))]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            disable_bias_correction=True,
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            activations_quantization_params=QuantizationParameters(per_channel=False),
        ),
    )


def onnx_int8(source: Path, folder: Path, images: np.ndarray) -> Path:
    """ONNX to int8, by NNCF."""
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    simplified, entry = folder / "simplified.onnx", folder / "model.onnx"
    _optimized(source, simplified)
    model = onnx.load(simplified)
    simplified.unlink()
    quantized = _nncf_quantize(model, images)
    domains = {node.domain for node in quantized.graph.node} | {""}
    imports = sorted((entry for entry in quantized.opset_import if entry.domain in domains), key=lambda e: e.domain)
    del quantized.opset_import[:]
    quantized.opset_import.extend(imports)
    ONNXModel(quantized).topological_sort()
    onnx.checker.check_model(quantized)
    onnx.save(quantized, entry)
    return entry


def openvino_int8(source: Path, folder: Path, images: np.ndarray) -> Path:
    """OpenVINO IR to int8, by NNCF."""
    import openvino

    quantized = _nncf_quantize(openvino.Core().read_model(source), images)
    openvino.save_model(quantized, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def tflite_int8(source: Path, folder: Path, images: np.ndarray) -> Path:
    """TFLite to int8, by ai-edge-quantizer."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    recipe = RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for kind in ("BATCH_MATMUL", "INPUT", "OUTPUT", "HARD_SWISH"):
        recipe.add_quantization_config(".*", TFLOperationName[kind], algorithm_key=AlgorithmName.NO_QUANTIZE)
    content = source.read_bytes()
    calibrator = Calibrator(
        memoryview(content),
        num_threads=1,
        mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=min_max_update,
    )
    for i in range(len(images)):
        calibrator.calibrate({"serving_default": [{"image": images[i : i + 1]}]}, recipe)
    quantizer = Quantizer(content, recipe.get_quantization_recipe())
    result = quantizer.quantize(calibrator.get_model_qsvs(), enable_progress_report=False)
    entry = folder / "model.tflite"
    entry.write_bytes(bytes(result.quantized_model))
    return entry


#: As in the demo.
THREADS = 1


def open_model(path: Path) -> Callable[[np.ndarray], Infer]:
    """Open an artifact on its engine: a function that binds an image ``(1, 8, 8, 1)`` to an inference."""
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda image: lambda: session.run(["probs"], {"image": image})
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=THREADS)
        interpreter.allocate_tensors()
        source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

        def bind(image: np.ndarray) -> Infer:
            def infer() -> list[np.ndarray]:
                interpreter.set_tensor(source, image)
                interpreter.invoke()
                return [interpreter.get_tensor(target)]

            return infer

        return bind
    return _open_openvino(path)


def _open_openvino(path: Path) -> Callable[[np.ndarray], Infer]:
    import openvino

    properties = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    properties["INFERENCE_NUM_THREADS"] = THREADS
    request = openvino.Core().compile_model(path, "CPU", properties).create_infer_request()
    tensor = openvino.Tensor(openvino.Type.f32, openvino.Shape([1, 8, 8, 1]))
    request.set_input_tensor(tensor)

    def bind(image: np.ndarray) -> Infer:
        def infer() -> list[np.ndarray]:
            np.copyto(tensor.data, image)
            request.infer()
            return [request.get_output_tensor(0).data.copy()]

        return infer

    return bind


def compare(path: Path, images: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """One pass over the held-out images, one at a time."""
    bind = open_model(path)
    got = np.concatenate([bind(images[i : i + 1])()[0] for i in range(len(images))])
    np.save(path.with_name("outputs.npy"), got)
    gap = expected.astype("float64") - got
    return {
        "max_abs": float(np.abs(gap).max()),
        "sqnr_db": float(10 * np.log10(np.sum(expected.astype("float64") ** 2) / np.sum(gap**2))),
        "top1_agreement": float(np.mean(expected.argmax(1) == got.argmax(1))),
        "accuracy": float(np.mean(got.argmax(1) == labels)),
    }


def time_model(path: Path, image: np.ndarray, openings: int, seconds: float) -> dict[str, float]:
    """Median over openings; each is opened anew, warmed up and timed inference by inference."""
    clock = time.perf_counter_ns
    samples: list[int] = []
    for _ in range(openings):
        infer = open_model(path)(image)
        infer()
        end = clock() + int(WARM_UP_S * 1e9)
        while clock() < end:
            infer()
        end = clock() + int(seconds * 1e9)
        while (start := clock()) < end:
            infer()
            samples.append(clock() - start)
    return {"p50_ms": float(np.median(samples)) / 1e6, "openings": openings, "inferences": len(samples)}


def main() -> None:
    """The whole path, one step after another."""
    data, out, budget = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    train, test = np.load(data / "train.npz"), np.load(data / "test.npz")
    images, labels = test["image"], test["label"]
    chosen = np.random.default_rng(0).permutation(len(train["image"]))[:CALIBRATION]
    calibration = train["image"][chosen]
    folders = {name: out / name for name in budget}
    for folder in folders.values():
        folder.mkdir(parents=True)
    import keras

    model = keras.models.load_model(data / "digits.keras", compile=False)
    expected = reference(model, images)
    fold_normalization(model)
    paths = {"onnx-fp32": to_onnx(model, folders["onnx-fp32"])}
    paths["openvino-fp32"] = to_openvino(paths["onnx-fp32"], folders["openvino-fp32"])
    paths["tflite-fp32"] = to_tflite(model, folders["tflite-fp32"])
    paths["onnx-int8"] = onnx_int8(paths["onnx-fp32"], folders["onnx-int8"], calibration)
    paths["openvino-int8"] = openvino_int8(paths["openvino-fp32"], folders["openvino-int8"], calibration)
    paths["tflite-int8"] = tflite_int8(paths["tflite-fp32"], folders["tflite-int8"], calibration)
    report = {name: compare(path, images, expected, labels) for name, path in paths.items()}
    for name, path in paths.items():
        report[name] |= time_model(path, images[:1], *budget[name])
    lines = [f"| {name} | {row['accuracy']:.2%} | {row['p50_ms']:.4g} ms |" for name, row in report.items()]
    (out / "report.md").write_text("\n".join(["| Artifact | Accuracy | p50 |", "| --- | --- | --- |", *lines, ""]))
    (out / "report.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
