"""What NNCF makes by default of the digits model, each case a known fault. One case in a process of its own.

``python tests/quantizer/stock_nncf.py CASE FOLDER`` writes ``model.onnx`` or ``model.xml``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Samples that calibrate.
SAMPLES = 60


def made(case: str, folder: Path) -> tuple[Path, ...]:
    """Files of a case, the entry first."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.quantizer.stock_nncf", case, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "NNCF_CI": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return tuple(sorted(folder.glob("model.*"), key=lambda path: path.suffix == ".bin"))


def _digits_onnx() -> Any:
    import onnx
    from onnx.version_converter import convert_version

    from tests.quantizer import digits

    model = onnx.load(digits.artifacts() / "model.onnx")
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    return convert_version(model, 20)


def _calibration(name: str | int) -> Any:
    import nncf

    from tests.quantizer import digits

    images = digits.images()[0][:SAMPLES]
    return nncf.Dataset([{name: images[index : index + 1]} for index in range(SAMPLES)])


def depthwise(folder: Path) -> None:
    """Activations of the depthwise convolution per channel; a convolution with a bias would stay float."""
    import nncf
    import onnx

    model = _digits_onnx()
    for node in model.graph.node:
        if node.op_type == "Conv":
            del node.input[2:]
    onnx.save(model, folder / "parent.onnx")
    onnx.save(nncf.quantize(model, _calibration("image")), folder / "model.onnx")


def weights_of_convolutions(folder: Path) -> None:
    """Weights of convolutions as int8."""
    import nncf
    import onnx

    onnx.save(nncf.compress_weights(_digits_onnx()), folder / "model.onnx")


def four_bits(folder: Path, **options: Any) -> None:
    import nncf
    import onnx

    parent = _digits_onnx()
    onnx.save(parent, folder / "parent.onnx")
    model = nncf.compress_weights(parent, ignored_scope=nncf.IgnoredScope(types=["Conv"]), **options)
    onnx.save(model, folder / "model.onnx")


def four_bits_asymmetric(folder: Path) -> None:
    """Weights of products as asymmetric int4."""
    import nncf

    four_bits(folder, mode=nncf.CompressWeightsMode.INT4_ASYM, group_size=32)


def four_bits_by_eight(folder: Path) -> None:
    """Weights of products as int4 in groups of eight."""
    import nncf

    four_bits(folder, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=8)


def smoothed(folder: Path) -> None:
    """SmoothQuant behind a transposition and a mean over positions, which the CPU plugin of OpenVINO gets wrong."""
    import nncf
    import numpy as np
    import openvino
    from openvino import opset13 as ops

    random = np.random.default_rng(0)

    def convolved(x: Any, *shape: int) -> Any:
        kernel = random.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        return ops.convolution(x, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])

    image = ops.parameter([-1, 8, 8, 1], np.float32, name="image")
    x = ops.relu(convolved(ops.transpose(image, ops.constant([0, 3, 1, 2])), 16, 1, 3, 3))
    bias = ops.constant(random.normal(size=(1, 32, 1, 1), scale=0.3).astype(np.float32))
    x = ops.relu(ops.transpose(ops.add(convolved(x, 32, 16, 3, 3), bias), ops.constant([0, 2, 3, 1])))
    dense = ops.constant(random.normal(size=(32, 10)).astype(np.float32))
    scores = ops.matmul(ops.reduce_mean(x, ops.constant([1, 2])), dense, False, False)
    image.output(0).get_tensor().set_names({"image"})
    scores.output(0).get_tensor().set_names({"scores"})
    model = openvino.Model([scores], [image], "smoothed")
    openvino.save_model(model, folder / "parent.xml", compress_to_fp16=False)
    quantized = nncf.quantize(model, _calibration(0), model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(quantized, folder / "model.xml", compress_to_fp16=False)


def torch_program(folder: Path) -> None:
    """A torch program that was quantized before its conversion."""
    import nncf
    import openvino
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 10))
    image = torch.rand(1, 1, 8, 8)
    program = torch.export.export(net.eval(), (image,)).module()
    quantized = nncf.quantize(program, nncf.Dataset([torch.rand(1, 1, 8, 8) for _ in range(8)]))
    converted = openvino.convert_model(torch.export.export(quantized, (image,)))
    openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
