"""One static int8 quantization with a fixed recipe, by edgekit's job or by the raw library: the job of one process.

    python benchmarks/quantization_cost.py edgekit|raw TARGET MODEL DATA.npz FOLDER

Both take the same artifact, samples and settings, and end with a file on disk. Prints ``{"seconds": ...,
"peak_rss_bytes": ..., "path": ...}``: the seconds without imports, the memory of the whole process. What edgekit does
after its job, running and judging the file, is no part of it: the raw call has nothing of the kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

os.environ["NNCF_CI"] = "1"  # no telemetry

_NNCF = (
    *("nncf", "nncf.quantization.range_estimator", "openvino", "onnx", "onnxruntime"),
    "onnxruntime.quantization.onnx_model",
)
_AEQ = tuple(f"ai_edge_quantizer.{part}" for part in ("quantizer", "calibrator", "recipe_manager", "algorithm_manager"))

#: What the clock does not see.
MODULES = {"openvino": _NNCF, "onnx": _NNCF, "tflite": _AEQ}


def main() -> int:
    """Quantize once."""
    way, target, model, data = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    folder = Path(sys.argv[5])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    samples = np.load(data)["x"]
    with contextlib.redirect_stdout(sys.stderr):
        _import(target)
        quantize = by_edgekit(target, model, samples, folder) if way == "edgekit" else RAW[target](model, samples)
        started = time.perf_counter()
        path = quantize(folder)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_rss_bytes": peak, "path": str(path)}))
    return 0


def _import(target: str) -> None:
    """Load the libraries before the clock starts."""
    for module in MODULES[target]:
        import_module(module)


Made = Callable[[Path], Path]


def by_edgekit(target: str, model: Path, samples: np.ndarray, folder: Path) -> Made:
    """The job that ``edgekit quantize`` sends to its worker, with the default recipe of int8."""
    import edgekit
    from edgekit.jobs.protocol import Workspace, blob_of
    from edgekit.quantizer.jobs import QuantizeJob
    from edgekit.quantizer.recipe import Recipe
    from edgekit.quantizer.registry import METHODS

    METHODS[f"{target}:int8"].load()
    with edgekit.load(model) as opened:
        signature = opened.signature
    names = [model.name, "model.bin"] if model.suffix == ".xml" else [model.name]
    for name in names:
        shutil.copy(model.with_name(name), folder / name)
    np.save(folder / "samples.npy", samples)
    blobs = tuple(blob_of(folder / name) for name in names)
    calibration = {signature.inputs[0].name: blob_of(folder / "samples.npy")}
    recipe = Recipe("int8", samples=len(samples))
    job = QuantizeJob(f"{target}:int8", blobs, signature, calibration, recipe)

    def quantize(folder: Path) -> Path:
        return folder / job.run(Workspace(folder, lambda progress: None)).files[0].name

    return quantize


def nncf_openvino(model: Path, samples: np.ndarray) -> Made:
    def quantize(folder: Path) -> Path:
        import nncf
        import openvino

        data = nncf.Dataset([sample[None] for sample in samples])
        loaded = openvino.Core().read_model(model)
        quantized = nncf.quantize(
            loaded, data, preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples), advanced_parameters=_ranges()
        )
        openvino.save_model(quantized, folder / "model.xml", compress_to_fp16=False)
        return folder / "model.xml"

    return quantize


def nncf_onnx(model: Path, samples: np.ndarray) -> Made:
    def quantize(folder: Path) -> Path:
        import nncf
        import onnx

        loaded = onnx.load(model)
        data = nncf.Dataset([{loaded.graph.input[0].name: sample[None]} for sample in samples])
        quantized = nncf.quantize(
            loaded, data, preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples), advanced_parameters=_ranges()
        )
        onnx.save(quantized, folder / "model.onnx")
        return folder / "model.onnx"

    return quantize


def _ranges() -> object:
    """True minimum and maximum, no bias correction, activations per tensor: the default recipe of int8."""
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.AdvancedQuantizationParameters(
        disable_bias_correction=True,
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        activations_quantization_params=QuantizationParameters(per_channel=False),
    )


def aeq(model: Path, samples: np.ndarray) -> Made:
    def quantize(folder: Path) -> Path:
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
        from ai_edge_quantizer.qtyping import TFLOperationName
        from ai_edge_quantizer.quantizer import Quantizer
        from ai_edge_quantizer.recipe_manager import RecipeManager
        from ai_edge_quantizer.utils.qsv_utils import min_max_update

        content = model.read_bytes()
        recipe = RecipeManager()
        recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        for left in (TFLOperationName.BATCH_MATMUL, TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            recipe.add_quantization_config(".*", left, algorithm_key=AlgorithmName.NO_QUANTIZE)
        mode = CalibrationMode.CALIBRATION_PROFILER_BASED
        tool = Calibrator(memoryview(content), num_threads=1, mode=mode, qsv_update_func=min_max_update)
        (key,) = tool.get_signature_list()
        (name,) = tool.get_signature_list()[key]["inputs"]
        tool.calibrate({key: [{name: sample[None]} for sample in samples]}, recipe)
        quantizer = Quantizer(content, recipe.get_quantization_recipe())
        made = quantizer.quantize(tool.get_model_qsvs(), enable_progress_report=False)
        (folder / "model.tflite").write_bytes(made.quantized_model)
        return folder / "model.tflite"

    return quantize


RAW = {"openvino": nncf_openvino, "onnx": nncf_onnx, "tflite": aeq}


if __name__ == "__main__":
    sys.exit(main())
