"""Loading JAX functions and files of jax.export, reading signatures, and running them as the reference."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.describe import DescribeJob, Description
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import Observation, ObserveJob
from edgekit.jobs.code import CALLED_FROM, CODE_PATH, Code
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import blob_of
from edgekit.types import TensorSpec
from tests.exporter import jax_zoo

ZOO = Path(jax_zoo.__file__)

#: Factories that no zoo has: each is refused, or loaded in a way worth a look.
_ODD = """
import functools

import jax
import numpy as np
from jax import numpy as jnp

W = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
x = np.zeros((2, 4), "float32")


def no_examples():
    return lambda image, mask: image * mask

def optional():
    def function(x, scale=2.0):
        return x @ W * scale
    return functools.partial(function, scale=3.0)
optional_example_inputs = (x,)

def raises():
    return open("absent.txt")
raises_example_inputs = (x,)

def scalar():
    return lambda x, scale: x * scale
scalar_example_inputs = (x, 2.0)

def total():
    return lambda x: (x @ W).sum()
total_example_inputs = (x,)

def branches():
    def function(x):
        return x if x.sum() > 0 else -x
    return function
branches_example_inputs = (x,)

def misnamed():
    return lambda left, right: left + right
misnamed_example_inputs = {"left": x, "wrong": x}

def pairs():
    return lambda x: x.reshape(2, 2, 2) @ jnp.ones((2, 2))
pairs_example_inputs = (x,)

def whole():
    return lambda batch: {"y": batch["a"] @ W + batch["b"] @ W}
whole_example_inputs = {"a": x, "b": x}

def drawn():
    rng = np.random.default_rng()
    inner = jnp.asarray(rng.standard_normal((4, 3)), "float32")
    outer = rng.standard_normal((3, 2)).astype("float32")
    return jax.jit(lambda x: jax.jit(lambda y: y @ outer)(jnp.tanh(x @ inner)))
drawn_example_inputs = (x,)

def exported():
    return jax.export.export(jax.jit(lambda x: x @ W), platforms=["cpu"])(jax.ShapeDtypeStruct((2, 4), "float32"))

def linen(bound=True):
    from flax import linen
    class Network(linen.Module):
        @linen.compact
        def __call__(self, features):
            return linen.Dense(3)(linen.LayerNorm()(features))
    network = Network()
    return network.bind(network.init(jax.random.key(0), x)) if bound else network
linen_example_inputs = {"features": x}

def unbound():
    return linen(bound=False)
unbound_example_inputs = linen_example_inputs

def equinox():
    import equinox as eqx
    class Network(eqx.Module):
        dense: eqx.nn.Linear
        drop: eqx.nn.Dropout
        def __init__(self):
            self.dense, self.drop = eqx.nn.Linear(4, 3, key=jax.random.key(0)), eqx.nn.Dropout(0.5)
        def __call__(self, features):
            return self.drop(jax.vmap(self.dense)(features))
    return Network()
equinox_example_inputs = {"features": x}
"""

#: Files of jax.export, written by ``python -c`` into the folder named last.
_EXPORTED = """
import sys
from pathlib import Path
import jax, numpy as np
from jax import export

folder = Path(sys.argv[1])
W = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
batch, steps = export.symbolic_shape("batch, steps")
shape = lambda *lengths: jax.ShapeDtypeStruct(lengths, "float32")
f = jax.jit(lambda tokens, scale: {"score": tokens["left"] @ W, "sum": (tokens["right"] * scale).sum(-1)})
arguments = {"left": shape(batch, 4), "right": shape(batch, steps)}
write = lambda name, e: (folder / name).write_bytes(e.serialize())
write("free.jax", export.export(f, platforms=["cpu"])(arguments, scale=shape(batch, 1)))
both = export.export(jax.jit(lambda x: (x @ W, x)), platforms=["cpu", "cuda"])
write("fixed.jax", both(shape(2, 4)))
write("cuda.jax", export.export(jax.jit(lambda x: x @ W), platforms=["cuda"])(shape(batch, 4)))
"""


class Bench:
    """One executor, and jobs on factories and files."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def spec(self, path: Path, factory: str = "", pins: dict[str, TensorSpec] | None = None) -> SourceSpec:
        code = Code(f"{path.name}:{factory}", blob_of(path).sha256) if factory else None
        kind = "jax" if factory else "jax.export"
        return SourceSpec(kind, (self.executor.add(path),), Loading(code, pins=pins or {}))

    def describe(self, path: Path, factory: str = "", pins: dict[str, TensorSpec] | None = None) -> Description:
        found = self.spec(path, factory, pins)
        return self.executor.run(DescribeJob(found), _context(path))

    def observe(self, spec: SourceSpec, path: Path, inputs: dict[str, np.ndarray] | None = None) -> Observation:
        folder = self.executor.scratch()
        blobs = {}
        for name, array in (inputs or {}).items():
            np.save(folder / f"{name}.npy", array)
            blobs[name] = self.executor.add(folder / f"{name}.npy")
        return self.executor.run_fresh(ObserveJob(spec, blobs, samples=8), _context(path))

    def load(self, observed: Observation) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        groups = observed.inputs, observed.outputs
        left, right = ({name: np.load(self.executor.path(blob)) for name, blob in group.items()} for group in groups)
        return left, right


def _context(path: Path):  # type: ignore[no-untyped-def]  # what the executor takes
    return conversion_context("jax", {CODE_PATH: str(path.parent), CALLED_FROM: str(path.parent)})


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "odd.py"
    path.write_text(_ODD)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", _EXPORTED, str(folder)], check=True, env=env, timeout=300)
    return folder


SIGNATURES = {
    "mlp": ("features=?x12:float32", "hidden=?x16:float32 score=?x3:float32"),
    "cnn": ("image=?x8x8x1:float32", "output=?x4:float32"),
    "flax": ("image=?x16x16x3:float32", "output=?x4:float32"),
    "text": ("ids=?x6:int32", "output=?x5:float32"),
    "rnn": ("steps=?x12x4:float32", "last=?x8:float32 every=?x12x8:float32"),
    "two": ("wide=?x5:float32 narrow=?x3:float32", "output_0=?x4:float32 output_1=?x1:float32"),
    "tree": ("batch_a=?x3:float32 batch_b=?x3:float32 scale=?x3:float32", "sum_all=?x3:float32"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_function_shows_its_names_and_a_free_batch(bench: Bench, name: str) -> None:
    found = bench.describe(ZOO, name)
    assert (_said(found.signature.inputs), _said(found.signature.outputs)) == SIGNATURES[name]
    assert found.kind == "jax"
    assert found.framework.startswith("jax ")


def test_figures_of_a_function(bench: Bench) -> None:
    text, cnn = bench.describe(ZOO, "text"), bench.describe(ZOO, "cnn")
    assert cnn.parameters == 3 * 3 * 8 + 8 * 4
    assert cnn.weight_dtypes == ("float32",)
    assert cnn.operators["conv_general_dilated"] == 1
    # an embedding, four matrices of attention with offsets, a normalisation, a dense layer
    assert text.parameters == 40 * 16 + 4 * (16 * 16 + 16) + 2 * 16 + 16 * 5 + 5
    assert text.notes == ("input ids is int32: JAX makes int64 that, unless jax_enable_x64 is set",)


def test_token_ids_are_drawn_from_the_whole_table(bench: Bench) -> None:
    inputs, outputs = bench.load(bench.observe(bench.spec(ZOO, "text"), ZOO))
    assert 20 < inputs["ids"].max() < 40
    assert np.isfinite(outputs["output"]).all()


@pytest.mark.slow
def test_a_module_computes_as_in_use(bench: Bench) -> None:
    """Without dropout, and with the statistics of normalisation that it holds."""
    spec, image = bench.spec(ZOO, "flax"), np.random.default_rng(0).standard_normal((8, 16, 16, 3)).astype("float32")
    _, outputs = bench.load(bench.observe(spec, ZOO, {"image": image}))
    _, shuffled = bench.load(bench.observe(spec, ZOO, {"image": image[::-1].copy()}))
    np.testing.assert_allclose(shuffled["output"][::-1], outputs["output"], atol=1e-6)
    assert outputs["output"].std(axis=0).min() > 1e-3


@pytest.mark.parametrize(
    ("factory", "inputs"),
    [("linen", "features=?x4:float32"), ("equinox", "features=?x4:float32"), ("optional", "x=?x4:float32")],
)
def test_modules_and_partials_are_functions(bench: Bench, odd: Path, factory: str, inputs: str) -> None:
    found = bench.describe(odd, factory)
    assert (_said(found.signature.inputs), _said(found.signature.outputs)) == (inputs, "output=?x3:float32")
    assert found.parameters in (12, 15, 23)


def test_a_dictionary_can_be_the_one_argument(bench: Bench, odd: Path) -> None:
    found = bench.describe(odd, "whole")
    assert _said(found.signature.inputs) == "a=?x4:float32 b=?x4:float32"


def test_a_batch_that_the_function_fixes_stays_fixed(bench: Bench, odd: Path) -> None:
    found = bench.describe(odd, "pairs").signature
    assert (_said(found.inputs), _said(found.outputs)) == ("x=2x4:float32", "output=2x2x2:float32")


def test_input_options_stand_for_examples(bench: Bench, odd: Path) -> None:
    pins = {name: TensorSpec(name, (None, 5), "") for name in ("image", "mask")}
    pins["mask"] = TensorSpec("mask", (None, 1), "int32")
    found = bench.describe(odd, "no_examples", pins).signature
    assert (_said(found.inputs), _said(found.outputs)) == (
        "image=?x5:float32 mask=?x1:int32",
        "output=?x5:float32",
    )


def test_input_options_go_before_examples(bench: Bench) -> None:
    pins = {"steps": TensorSpec("steps", (1, 20, 4), "")}
    found = bench.describe(ZOO, "rnn", pins).signature
    assert (_said(found.inputs), _said(found.outputs)) == (
        "steps=1x20x4:float32",
        "last=1x8:float32 every=1x20x8:float32",
    )


@pytest.mark.slow
def test_weights_that_a_factory_draws_are_kept(bench: Bench, odd: Path) -> None:
    x = np.random.default_rng(0).standard_normal((8, 4)).astype("float32")
    spec = bench.spec(odd, "drawn")
    state = bench.executor.run_fresh(DescribeJob(spec), _context(odd)).state
    assert state is not None
    kept = SourceSpec("jax", (state,), spec.loading)
    first, again, other = (bench.load(bench.observe(item, odd, {"x": x}))[1]["output"] for item in (kept, kept, spec))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_a_factory_may_return_what_it_exported(bench: Bench, odd: Path) -> None:
    found = bench.describe(odd, "exported")
    assert (found.kind, _said(found.signature.inputs)) == ("jax.export", "input_0=2x4:float32")
    assert found.state is not None
    kept = SourceSpec("jax.export", (found.state,), bench.spec(odd, "exported").loading)
    _, outputs = bench.load(bench.observe(kept, odd, {"input_0": np.ones((2, 4), "float32")}))
    assert outputs["output"].shape == (2, 3)


def test_a_file_shows_the_names_and_symbols_it_holds(bench: Bench, exported: Path) -> None:
    found = bench.describe(exported / "free.jax").signature
    assert _said(found.inputs) == "left=?x4:float32 right=?x?:float32 scale=?x1:float32"
    assert _said(found.outputs) == "score=?x3:float32 sum=?:float32"
    fixed = bench.describe(exported / "fixed.jax").signature
    assert _said(fixed.inputs) == "input_0=2x4:float32"
    assert _said(fixed.outputs) == "output_0=2x3:float32 output_1=2x4:float32"


def test_a_file_computes_at_every_batch(bench: Bench, exported: Path) -> None:
    path = exported / "free.jax"
    rng = np.random.default_rng(0)
    inputs = {"left": rng.random((5, 4)), "right": rng.random((5, 6)), "scale": rng.random((5, 1))}
    inputs = {name: array.astype("float32") for name, array in inputs.items()}
    _, outputs = bench.load(bench.observe(bench.spec(path), path, inputs))
    weights = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    np.testing.assert_allclose(outputs["score"], inputs["left"] @ weights, atol=1e-6)
    np.testing.assert_allclose(outputs["sum"], (inputs["right"] * inputs["scale"]).sum(-1), atol=1e-5)


def test_sizes_of_a_file_can_be_pinned(bench: Bench, exported: Path) -> None:
    pins = {"right": TensorSpec("right", (None, 7), "")}
    found = bench.describe(exported / "free.jax", pins=pins).signature
    assert str(found.inputs[1]) == "right=?x7:float32"


REFUSED: dict[str, tuple[str, str]] = {
    "no_examples": ("no-example-inputs", "image, mask"),
    "raises": ("code-raised", "FileNotFoundError"),
    "scalar": ("scalar-input", "input scale"),
    "total": ("output-without-batch", "output"),
    "branches": ("untraceable-function", "TracerBoolConversionError"),
    "misnamed": ("bad-example-inputs", "left, right"),
    "unbound": ("module-without-weights", "Linen"),
}


@pytest.mark.parametrize("factory", REFUSED)
def test_what_cannot_be_loaded_is_refused_in_plain_words(bench: Bench, odd: Path, factory: str) -> None:
    code, part = REFUSED[factory]
    with pytest.raises(ModelError) as caught:
        bench.describe(odd, factory)
    assert caught.value.code == code
    assert part in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "shape", "code"),
    [("absent", (None, 12), "unknown-input"), ("features", (None, 12, 1), "wrong-pin")],
)
def test_a_pin_that_does_not_fit_is_refused(bench: Bench, name: str, shape: tuple[int | None, ...], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        bench.describe(ZOO, "mlp", {name: TensorSpec(name, shape, "")})
    assert caught.value.code == code


def test_a_size_that_the_function_cannot_take_is_refused(bench: Bench) -> None:
    with pytest.raises(ModelError, match="dot_general"):
        bench.describe(ZOO, "mlp", {"features": TensorSpec("features", (None, 13), "")})


@pytest.mark.parametrize(("name", "shape"), [("left", (None, 5)), ("left", (None, 4, 1)), ("left", (None,))])
def test_a_pin_that_a_file_contradicts_is_refused(
    bench: Bench, exported: Path, name: str, shape: tuple[int | None, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        bench.describe(exported / "free.jax", pins={name: TensorSpec(name, shape, "")})
    assert caught.value.code == "wrong-pin"


def test_a_file_for_other_machines_is_refused(bench: Bench, exported: Path) -> None:
    with pytest.raises(ModelError) as caught:
        bench.describe(exported / "cuda.jax")
    assert caught.value.code == "not-for-cpu"
    assert "cuda" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:100], lambda data: data[: len(data) // 2], lambda data: bytes(300), lambda data: b"PK" * 200],
    ids=["head", "half", "zeros", "other"],
)
def test_a_damaged_file_is_refused(
    bench: Bench, exported: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "damaged.jax"
    path.write_bytes(damage((exported / "free.jax").read_bytes()))
    with pytest.raises(ModelError) as caught:
        bench.describe(path)
    assert caught.value.code == "not-a-jax-file"


def _said(specs: tuple[TensorSpec, ...]) -> str:
    return " ".join(map(str, specs))
