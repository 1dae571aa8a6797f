"""Models of a few layers with names to look for, and the artifacts of each route: what tests of graphs share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.exporter.describe import DescribeJob
from edgekit.exporter.graph import conversion_context, routes
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.jobs.executor import Executor
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob

#: Layers with weights, by model.
WEIGHTED = {
    "conv": ("stem", "head"),
    "depthwise": ("channelwise", "head"),
    "separable": ("separable", "head"),
    "transposed": ("upward", "head"),
    "dense": ("hidden", "head"),
    "conv1d": ("temporal", "head"),
    "preactivation": ("stem", "body_1", "body_2", "head"),
    "attention": ("attention/query", "attention/key", "attention/value", "attention/attention_output", "head"),
    "recurrent": ("memory", "head"),
    "passthrough": ("head",),
}


def _image(layer: Callable[[Any], Any], size: tuple[int, ...] = (8, 8, 4)) -> Any:
    """A layer, a normalisation, an activation and a layer that mixes channels."""
    import keras
    from keras import layers

    image = keras.Input(size, name="image")
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(layer(image)))
    return keras.Model(image, layers.Dense(3, name="head")(layers.Flatten()(x)))


def _preactivation() -> Any:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="stem")(image)
    y = x
    for index in (1, 2):
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"body_{index}")(y)
    x = layers.GlobalAveragePooling2D()(layers.add([x, y]))
    return keras.Model(image, layers.Dense(3, name="head")(x))


def _attention() -> Any:
    import keras
    from keras import layers

    steps = keras.Input((6, 8), name="steps")
    x = layers.LayerNormalization()(steps + layers.MultiHeadAttention(2, 4, name="attention")(steps, steps))
    return keras.Model(steps, layers.Dense(3, name="head")(x))


def _recurrent() -> Any:
    import keras
    from keras import layers

    steps = keras.Input((5, 4), name="steps")
    return keras.Model(steps, layers.Dense(3, name="head")(layers.LSTM(6, name="memory")(steps)))


def _passthrough() -> Any:
    import keras
    from keras import layers

    image = keras.Input((8,), name="image")
    return keras.Model(image, {"same": image, "made": layers.Dense(3, name="head")(image)})


def make(name: str) -> Any:
    """A model by its name in `WEIGHTED`; Keras must be there already."""
    from keras import layers

    makers: dict[str, Callable[[], Any]] = {
        "conv": lambda: _image(layers.Conv2D(8, 3, name="stem")),
        "depthwise": lambda: _image(layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="channelwise")),
        "separable": lambda: _image(layers.SeparableConv2D(6, 3, name="separable")),
        "transposed": lambda: _image(layers.Conv2DTranspose(6, 4, strides=2, padding="same", name="upward")),
        "dense": lambda: _image(layers.Dense(16, name="hidden"), (10,)),
        "conv1d": lambda: _image(layers.Conv1D(6, 3, padding="causal", name="temporal"), (12, 4)),
        "preactivation": _preactivation,
        "attention": _attention,
        "recurrent": _recurrent,
        "passthrough": _passthrough,
    }
    return makers[name]()


def write(name: str, folder: Path) -> Path:
    """A ``.keras`` file; random weights with a seed, biases and statistics too."""
    import keras

    path = folder / f"{name}.keras"
    model = make(name)
    rng = np.random.default_rng(11)
    for weight in model.weights:
        flat = len(weight.shape) < 2
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) if flat else rng.normal(0, 0.5, weight.shape))
    keras.saving.save_model(model, path)
    return path


class LayerBench:
    """An executor and what each route made of each model; nothing is made twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._executor = Executor()
        self._made: dict[tuple[str, str], tuple[Blob, ...]] = {}
        self._sources: dict[str, tuple[SourceSpec, Any, Any]] = {}

    def __enter__(self) -> LayerBench:
        self._executor.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._executor.__exit__(*error)

    def source(self, model: str) -> tuple[SourceSpec, Any, Any]:
        """The source, its signature and what it makes of sample inputs."""
        if model not in self._sources:
            spec = SourceSpec("keras", (self._executor.add(write(model, self.folder)),), Loading())
            context = conversion_context("jax")
            signature = self._executor.run(DescribeJob(spec), context).signature
            observed = self._executor.run(ObserveJob(spec, {}, 8), context)
            self._sources[model] = spec, signature, observed
        return self._sources[model]

    def convert(self, model: str, route: str, *, fresh: bool = False) -> tuple[Blob, ...]:
        """Files of the artifact, in processes of their own if ``fresh``."""
        if fresh or (model, route) not in self._made:
            spec, signature, _ = self.source(model)
            run = self._executor.run_fresh if fresh else self._executor.run
            files = spec.files
            (path,) = routes("keras", route.rpartition(">")[2], route=route)
            for hop in path.hops:
                files = run(ConvertJob(hop.name, files, signature), conversion_context(hop.backend)).files
            if fresh:
                return files
            self._made[model, route] = files
        return self._made[model, route]

    def artifact(self, model: str, route: str) -> Path:
        """The entry file."""
        return self._executor.path(self.convert(model, route)[0])

    def content(self, model: str, route: str) -> bytes:
        """All bytes of the artifact."""
        return b"".join(self._executor.path(blob).read_bytes() for blob in self.convert(model, route))

    def decibels(self, model: str, route: str) -> float:
        """Signal to noise against the source, of the worst output, on the artifact's own runtime."""
        _, _, observed = self.source(model)
        job = RunJob(
            runtime_for(route.rpartition(">")[2]).name, self.convert(model, route), observed.inputs, (2,), OpenOptions()
        )
        (made,) = self._executor.run(job, conversion_context(None)).outputs
        worst = np.inf
        for name, blob in observed.outputs.items():
            expected = np.load(self._executor.path(blob)).astype(np.float64)
            noise = np.square(expected - np.load(self._executor.path(made[name]))).sum()
            assert expected.std(axis=0).mean() > 1e-4, f"{name} does not vary"
            worst = min(worst, 10 * np.log10(np.square(expected).sum() / max(noise, 1e-300)))
        return float(worst)

    def kinds(self, model: str, route: str) -> list[str]:
        """Kinds of the artifact's operators, in order."""
        return [kind for kind, _ in self.operators(model, route)]

    def operators(self, model: str, route: str) -> list[tuple[str, str]]:
        """Kind and name of every operator; in TFLite the names of what it makes and of its weights."""
        path = self.artifact(model, route)
        if route.endswith("onnx"):
            import onnx

            return [(node.op_type, node.name) for node in onnx.load(path).graph.node]
        if route.endswith("openvino"):
            found = re.findall(r'<layer id="\d+" name="([^"]*)" type="(\w+)"', path.read_text())
            return [(kind, name) for name, kind in found if kind not in ("Const", "Parameter", "Result")]
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        opened = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        names = {tensor["index"]: tensor["name"] for tensor in opened.get_tensor_details()}
        operators = opened._get_ops_details()
        computed = {index for op in operators for index in op["outputs"]}
        computed |= {tensor["index"] for tensor in opened.get_input_details()}
        return [
            (
                op["op_name"],
                ";".join([names[op["outputs"][0]], *(names[i] for i in op["inputs"] if i >= 0 and i not in computed)]),
            )
            for op in operators
        ]
