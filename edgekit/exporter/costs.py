"""What each hop costs, learned by ``benchmarks/coverage_order.py RECORDS... --write``; not to be edited.

Seconds of a hop on a model of middle size, process start included, divided by the share of tries that it got through.
"""

from __future__ import annotations

#: When, and on how many cells (a model, where it starts, a target) of how many families of models.
LEARNED = "2026-11-21"
CELLS = 459
FAMILIES = 24

#: By name of the hop. A hop that no record tells about has the cost that its row in the graph gives it.
SECONDS: dict[str, float] = {
    "jax.export>stablehlo": 0.1,
    "jax>onnx": 2.6,
    "jax>stablehlo": 2.5,
    "keras@jax>onnx": 9.3,
    "keras@jax>stablehlo": 6.8,
    "keras@openvino>openvino": 4.2,
    "keras@torch>onnx": 17.6,
    "keras@torch>tflite": 43.5,
    "onnx>onnx": 1.5,
    "onnx>openvino": 1.1,
    "onnx>stablehlo": 3.2,
    "openvino>onnx": 0.1,
    "openvino>openvino": 1.9,
    "stablehlo>tflite": 0.7,
    "tflite>openvino": 0.8,
    "tflite>tflite": 1.4,
    "torch.export>onnx": 4.3,
    "torch.export>openvino": 11.0,
    "torch.export>tflite": 9.7,
    "torch.nn>torch.export": 3.5,
}
