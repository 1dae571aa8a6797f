"""Each library's own default call, as its documentation gives it: the job of one process of the benchmark.

    python benchmarks/quantization_stock.py TARGET MODEL DATA.npz FOLDER PRECISION/TOOL...

Quantizes one fp32 artifact and prints a line for each cell: ``{"cell": ..., "path": ..., "seconds": ...}`` or
``{"cell": ..., "reason": ...}``. The seconds are those of the call, from the model's file to the new one's, without
the imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

os.environ["NNCF_CI"] = "1"  # no telemetry

#: What the clock does not see, by the first word of a call's name.
MODULES = {
    "nncf": ("nncf", "openvino", "onnx"),
    "ort": ("onnxruntime.quantization", "onnxruntime.transformers.float16"),
    "aeq": ("ai_edge_quantizer.quantizer", "ai_edge_quantizer.recipe", "ai_edge_litert.interpreter"),
    "openvino": ("openvino",),
}

#: Writes one quantized file from a model, samples ``(samples, ...)`` and a folder. Returns the file.
Call = Callable[[Path, np.ndarray, Path], Path]


def main() -> int:
    """Run the cells that are named."""
    target, model, data, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    samples = np.load(data)["x"]
    for cell in sys.argv[5:]:
        out = folder / cell.replace("/", "-")
        out.mkdir(parents=True, exist_ok=True)
        print(json.dumps({"cell": cell} | run(CALLS[target][cell], model, samples, out)), flush=True)
    return 0


def run(call: Call, model: Path, samples: np.ndarray, out: Path) -> dict[str, Any]:
    """One call: its file and seconds, or why there is none."""
    with contextlib.redirect_stdout(sys.stderr):
        _import(call)
        started = time.perf_counter()
        try:
            path = call(model, samples, out)
        except Exception as error:  # noqa: BLE001 -- what a library raises is its result
            words = [line.strip() for line in str(error).splitlines() if line.strip()]
            return {"reason": f"{type(error).__name__}: {words[0][:250] if words else ''}"}
    return {"path": str(path), "seconds": time.perf_counter() - started}


def _import(call: Call) -> None:
    """Load the libraries before the clock starts."""
    for module in MODULES[call.__name__.partition("_")[0]]:
        import_module(module)


def nncf_openvino(model: Path, samples: np.ndarray, out: Path) -> Path:
    import nncf
    import openvino

    data = nncf.Dataset([sample[None] for sample in samples])
    quantized = nncf.quantize(openvino.Core().read_model(model), data)
    openvino.save_model(quantized, out / "model.xml")
    return out / "model.xml"


def nncf_openvino_weights(mode: str) -> Call:
    def nncf_weights(model: Path, samples: np.ndarray, out: Path) -> Path:  # noqa: ARG001
        import nncf
        import openvino

        quantized = nncf.compress_weights(openvino.Core().read_model(model), **_mode(mode))
        openvino.save_model(quantized, out / "model.xml")
        return out / "model.xml"

    return nncf_weights


def openvino_fp16(model: Path, samples: np.ndarray, out: Path) -> Path:  # noqa: ARG001
    import openvino

    openvino.save_model(openvino.Core().read_model(model), out / "model.xml")
    return out / "model.xml"


def nncf_onnx(model: Path, samples: np.ndarray, out: Path) -> Path:
    import nncf
    import onnx

    loaded = onnx.load(model)
    name = loaded.graph.input[0].name
    quantized = nncf.quantize(loaded, nncf.Dataset([{name: sample[None]} for sample in samples]))
    onnx.save(quantized, out / "model.onnx")
    return out / "model.onnx"


def nncf_onnx_weights(mode: str) -> Call:
    def nncf_weights(model: Path, samples: np.ndarray, out: Path) -> Path:  # noqa: ARG001
        import nncf
        import onnx

        onnx.save(nncf.compress_weights(onnx.load(model), **_mode(mode)), out / "model.onnx")
        return out / "model.onnx"

    return nncf_weights


def _mode(mode: str) -> dict[str, Any]:
    """The default call is int8; four bits have to be asked for."""
    import nncf

    return {"mode": nncf.CompressWeightsMode(mode)} if mode else {}


def ort_static(model: Path, samples: np.ndarray, out: Path) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self.feeds: Iterator[dict[str, np.ndarray]] = iter([{name: sample[None]} for sample in samples])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    quant_pre_process(model, out / "prepared.onnx")
    quantize_static(out / "prepared.onnx", out / "model.onnx", Reader("x"))
    return out / "model.onnx"


def ort_dynamic(model: Path, samples: np.ndarray, out: Path) -> Path:  # noqa: ARG001
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(model, out / "prepared.onnx")
    quantize_dynamic(out / "prepared.onnx", out / "model.onnx")
    return out / "model.onnx"


def ort_fp16(model: Path, samples: np.ndarray, out: Path) -> Path:  # noqa: ARG001
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(model), keep_io_types=True), out / "model.onnx")
    return out / "model.onnx"


def aeq(name: str) -> Call:
    """A recipe of ai-edge-quantizer by its name."""

    def aeq_recipe(model: Path, samples: np.ndarray, out: Path) -> Path:
        from ai_edge_quantizer import quantizer, recipe

        tool = quantizer.Quantizer(str(model), getattr(recipe, name)())
        ranges = None
        if tool.need_calibration:
            from ai_edge_litert.interpreter import Interpreter

            signatures = Interpreter(model_path=str(model)).get_signature_list()
            key, names = next(iter(signatures.items()))
            ranges = tool.calibrate({key: [{names["inputs"][0]: sample[None]} for sample in samples]})
        tool.quantize(ranges).export_model(str(out / "model.tflite"), overwrite=True)
        return out / "model.tflite"

    return aeq_recipe


#: By target, then ``precision/tool``.
CALLS: dict[str, dict[str, Call]] = {
    "openvino": {
        "int8/nncf": nncf_openvino,
        "int8-weights/nncf": nncf_openvino_weights(""),
        "int4-weights/nncf": nncf_openvino_weights("int4_sym"),
        "fp16/openvino": openvino_fp16,
    },
    "onnx": {
        "int8/nncf": nncf_onnx,
        "int8/onnxruntime": ort_static,
        "int8-dynamic/onnxruntime": ort_dynamic,
        "int8-weights/nncf": nncf_onnx_weights(""),
        "int4-weights/nncf": nncf_onnx_weights("int4_sym"),
        "fp16/onnxruntime": ort_fp16,
    },
    "tflite": {
        "int8/ai-edge-quantizer": aeq("static_wi8_ai8"),
        "int8-dynamic/ai-edge-quantizer": aeq("dynamic_wi8_afp32"),
        "int8-weights/ai-edge-quantizer": aeq("weight_only_wi8_afp32"),
        "int4-weights/ai-edge-quantizer": aeq("weight_only_wi4_afp32"),
    },
}


if __name__ == "__main__":
    sys.exit(main())
