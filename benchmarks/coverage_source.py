"""Build one model of the zoo, save it, and write what it computes: the job of one process of the coverage benchmark.

    python benchmarks/coverage_source.py NAME FOLDER

``FOLDER/model.keras``, ``model.pt2`` or ``model.jax`` is the model as its framework saves it, the latter two with a
free batch. ``FOLDER/reference.npz`` holds ``SET/in/NAME``, ``SET/out/NAME`` (samples first, one set per size of free
dimensions) and ``floor/NAME``, the largest change of an output when every floating-point input moves by one unit in
the last place. The inputs are other numbers than those that edgekit generates, so that its verdicts are checked on
samples that it has not seen.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.zoo.registry import ZooModel, model

#: Samples per set.
SAMPLES = 6

SEED = 20260

Arrays = dict[str, np.ndarray]
Spec = tuple[str, tuple[int | None, ...], str]


def main() -> int:
    """Write the files of one model."""
    zoo, folder = model(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    made = build(zoo)
    arrays = reference(zoo, made)
    _save(zoo, made, folder)
    np.savez(folder / "reference.npz", **arrays)  # type: ignore[arg-type] # arrays by name
    return 0


def _save(zoo: ZooModel, made: Any, folder: Path) -> None:
    try:
        if zoo.framework == "keras":
            made.save(folder / "model.keras")
        else:
            {"torch": _save_torch, "jax": _save_jax}[zoo.framework](zoo, made, folder)
    except Exception as error:  # noqa: BLE001 -- then there is no such file, and the cells that need it say so
        print(f"{zoo.name}: {type(error).__name__}: {error}", file=sys.stderr)


def _save_torch(zoo: ZooModel, made: Any, folder: Path) -> None:
    import torch

    # Two samples: torch takes a batch of one for a constant.
    arguments = tuple(torch.from_numpy(np.repeat(value, 2, axis=0)) for value in example_inputs(zoo).values())
    free = tuple({0: torch.export.Dim.AUTO} for _ in arguments)
    torch.export.save(torch.export.export(made, arguments, dynamic_shapes=free), folder / "model.pt2")


def _save_jax(zoo: ZooModel, made: Any, folder: Path) -> None:
    import jax

    (batch,) = jax.export.symbolic_shape("batch")
    examples = example_inputs(zoo).values()
    shapes = [jax.ShapeDtypeStruct((batch, *value.shape[1:]), value.dtype) for value in examples]
    (folder / "model.jax").write_bytes(jax.export.export(jax.jit(made))(*shapes).serialize())


def build(zoo: ZooModel) -> Any:
    """What the factory returns."""
    return getattr(importlib.import_module(f"benchmarks.zoo.{zoo.path.stem}"), zoo.factory)()


def reference(zoo: ZooModel, made: Any) -> Arrays:
    """Inputs, outputs and noise floor of a model, as they are stored."""
    specs, call = _runner(zoo, made)
    rng = np.random.default_rng(SEED)
    found: Arrays = {}
    floors: dict[str, float] = {}
    for number, size in enumerate(zoo.sizes or (0,)):
        inputs = {spec[0]: _values(zoo, spec, size, rng) for spec in specs}
        outputs = call(inputs)
        for name, array in call({key: _nudged(value, rng) for key, value in inputs.items()}).items():
            gap = np.abs(array.astype(np.float64) - outputs[name].astype(np.float64)).max()
            floors[name] = max(floors.get(name, 0.0), float(gap))
        found |= {f"{number}/in/{key}": value for key, value in inputs.items()}
        found |= {f"{number}/out/{key}": value for key, value in outputs.items()}
    return found | {f"floor/{key}": np.asarray(value) for key, value in floors.items()}


def _values(zoo: ZooModel, spec: Spec, size: int, rng: np.random.Generator) -> np.ndarray:
    name, dims, dtype = spec
    shape = (SAMPLES, *(length or size for length in dims[1:]))
    if np.dtype(dtype).kind != "f":
        values: np.ndarray = rng.integers(0, 2 if "mask" in name or "segment" in name else zoo.ids, shape)
        if "mask" in name:
            values = np.sort(values, axis=-1)[..., ::-1]  # what is padded comes last
            values[..., 0] = 1
    else:
        values = rng.standard_normal(shape) * zoo.pixels
    return values.astype(dtype)


def _nudged(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    towards = np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
    nudged: np.ndarray = np.nextafter(array, towards)
    return nudged


def _runner(zoo: ZooModel, made: Any) -> tuple[list[Spec], Callable[[Arrays], Arrays]]:
    """Inputs of a model, and a function of numpy arrays."""
    if zoo.framework == "keras":
        return _keras(zoo, made)
    example = example_inputs(zoo)
    specs: list[Spec] = [(name, value.shape, str(value.dtype)) for name, value in example.items()]
    return specs, _torch(made) if zoo.framework == "torch" else _jax(made)


def example_inputs(zoo: ZooModel) -> Arrays:
    """What stands beside a factory: one sample per input name."""
    module = importlib.import_module(f"benchmarks.zoo.{zoo.path.stem}")
    found: Arrays = getattr(module, f"{zoo.factory}_example_inputs")
    return found


def _keras(zoo: ZooModel, made: Any) -> tuple[list[Spec], Callable[[Arrays], Arrays]]:
    import keras

    if getattr(made, "inputs", None):
        specs: list[Spec] = [(_layer(tensor), tuple(tensor.shape), str(tensor.dtype)) for tensor in made.inputs]
    else:
        specs = [(name, value.shape, str(value.dtype)) for name, value in example_inputs(zoo).items()]
    structure = getattr(made, "input", None) if getattr(made, "inputs", None) else None

    def call(inputs: Arrays) -> Arrays:
        tensors = [keras.ops.convert_to_tensor(inputs[name]) for name, _, _ in specs]
        packed = tensors[0] if structure is None else keras.tree.pack_sequence_as(structure, tensors)
        return _named(_detached(made(packed, training=False)), keras.ops.convert_to_numpy)

    return specs, call


def _layer(tensor: Any) -> str:
    """The name of an input's layer: the tensor has a placeholder's until the model was saved and loaded."""
    return str(tensor._keras_history.operation.name)


def _torch(made: Any) -> Callable[[Arrays], Arrays]:
    import torch

    def call(inputs: Arrays) -> Arrays:
        with torch.no_grad():
            return _named(made(*(torch.from_numpy(value.copy()) for value in inputs.values())), np.asarray)

    return call


def _jax(made: Any) -> Callable[[Arrays], Arrays]:
    return lambda inputs: _named(made(*inputs.values()), np.asarray)


def _detached(found: Any) -> Any:
    """Without gradients, which the torch backend keeps."""
    import keras

    return keras.tree.map_structure(lambda tensor: tensor.detach() if hasattr(tensor, "detach") else tensor, found)


def _named(found: Any, to_numpy: Callable[[Any], np.ndarray]) -> Arrays:
    """Outputs by the keys of a dictionary, sorted as frameworks flatten it, else numbered."""
    if isinstance(found, Mapping):
        return {str(name): np.asarray(to_numpy(found[name])) for name in sorted(found)}
    several = found if isinstance(found, (tuple, list)) else (found,)
    return {f"output_{index}": np.asarray(to_numpy(value)) for index, value in enumerate(several)}


if __name__ == "__main__":
    sys.exit(main())
