"""Loading Keras files, reading signatures, and running them as the reference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError, ModelError, UsageError
from edgekit.exporter.describe import DescribeJob, Description
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.jobs.executor import Executor
from edgekit.types import Blob, TensorSpec
from tests.exporter import zoo

#: Models that no zoo has: each is refused, or has a signature worth a look.
_ODD = """
import keras
from keras import layers

x = keras.Input((4,), name="x")
keras.Model(x, layers.Lambda(lambda t: t * 2, name="double")(x)).save("lambda.keras")

class Twice(layers.Layer):
    def call(self, x):
        return x * 2

keras.Model(x, Twice()(x)).save("custom.keras")
y = layers.Dense(2, name="y")(x)
keras.Model(x, [y, layers.Dense(1, name="z")(y)]).save("listed.keras")
keras.Model(x, {"x": layers.Dense(4)(x)}).save("same-name.keras")
keras.Sequential([keras.Input((6,)), layers.Embedding(11, 3), layers.Flatten(), layers.Dense(2)]).save("ids.keras")
keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_initializer="zeros")]).save("constant.keras")
keras.Sequential([keras.Input((4,)), layers.Dense(500), layers.Dropout(0.5), layers.Dense(3)]).save("wide.keras")
steps = keras.Input((6, 3), name="steps")
_, *state = layers.LSTM(5, return_state=True)(steps)
keras.Model(steps, layers.LSTM(4)(steps, initial_state=None) + layers.LSTM(5)(steps, initial_state=state)[:, :4]).save(
    "states.keras"
)
keras.config.set_dtype_policy("mixed_float16")
image = keras.Input((6, 6, 2), name="image")
y = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
keras.Model(image, layers.Dense(3, name="score")(layers.Flatten()(y))).save("half.keras")
keras.config.set_dtype_policy("float32")
z = keras.Input((4,), dtype="float64", name="z")
keras.Model(z, layers.Dense(3, dtype="float64", name="score")(z)).save("double.keras")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = zoo.build(tmp_path_factory.mktemp("keras"), "cnn", "two", "text", "anysize", "gru")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", _ODD], check=True, env=env, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as executor:
        yield executor


needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")


def named(blob: Blob, pins: dict[str, tuple[int | None, ...]] | None = None) -> SourceSpec:
    specs = {name: TensorSpec(name, shape, "") for name, shape in (pins or {}).items()}
    return SourceSpec("keras", (blob,), Loading(pins=specs))


def _describe(executor: Executor, path: Path, pins: dict[str, tuple[int | None, ...]] | None = None) -> Description:
    return executor.run(DescribeJob(named(executor.add(path), pins)), conversion_context("jax"))


def _refusal(executor: Executor, path: Path) -> EdgekitError:
    with pytest.raises(ModelError) as caught:
        _describe(executor, path)
    return caught.value


def test_signature_of_dictionaries_has_their_names(executor: Executor, folder: Path) -> None:
    found = _describe(executor, folder / "two.keras").signature
    assert [str(spec) for spec in found.inputs] == ["extra=?x5:float32", "image=?x8x8x1:float32"]
    assert [str(spec) for spec in found.outputs] == ["height=?x1:float32", "score=?x3:float32"]


def test_signature_of_a_list_has_the_layers_names(executor: Executor, folder: Path) -> None:
    found = _describe(executor, folder / "listed.keras").signature
    assert [spec.name for spec in found.outputs] == ["y", "z"]


def test_an_output_called_like_an_input_gets_another_name(executor: Executor, folder: Path) -> None:
    found = _describe(executor, folder / "same-name.keras").signature
    assert [spec.name for spec in (*found.inputs, *found.outputs)] == ["x", "x_output"]


def test_integer_inputs_and_free_sizes_are_declared(executor: Executor, folder: Path) -> None:
    assert str(_describe(executor, folder / "text.keras").signature.inputs[0]) == "ids=?x16:int32"
    assert str(_describe(executor, folder / "anysize.keras").signature.inputs[0]) == "image=?x?x?x3:float32"


def test_description_has_figures_and_the_version_that_wrote_the_file(executor: Executor, folder: Path) -> None:
    with zipfile.ZipFile(folder / "cnn.keras") as archive:
        written = json.loads(archive.read("metadata.json"))["keras_version"]
    found = _describe(executor, folder / "cnn.keras")
    assert (found.kind, found.framework) == ("keras", f"keras {written}")
    assert found.parameters == 3 * 3 * 16 + 4 * 16 + (3 * 3 * 16 + 1) * 32 + 4 * 32 + 33 * 10
    assert found.operators["Conv2D"] == found.operators["BatchNormalization"] == 2


def test_a_pinned_size_is_in_inputs_and_outputs(executor: Executor, folder: Path) -> None:
    found = _describe(executor, folder / "anysize.keras", {"image": (None, 24, 40, 3)}).signature
    assert found.inputs[0].shape == (None, 24, 40, 3)
    assert found.outputs[0].shape == (None, 4)


@pytest.mark.parametrize(
    ("pins", "code"), [({"picture": (None, 8, 8, 3)}, "unknown-input"), ({"image": (None, 8, 8, 1)}, "wrong-pin")]
)
def test_a_pin_that_does_not_fit_is_refused(
    executor: Executor, folder: Path, pins: dict[str, tuple[int | None, ...]], code: str
) -> None:
    with pytest.raises(UsageError) as caught:
        _describe(executor, folder / "anysize.keras", pins)
    assert caught.value.code == code
    assert "image=?x?x?x3:float32" in f"{caught.value}{caught.value.hint}"


def test_a_lambda_is_refused_and_named(executor: Executor, folder: Path) -> None:
    error = _refusal(executor, folder / "lambda.keras")
    assert (error.code, error.received) == ("lambda-layer", "layer double")


def test_a_trusted_lambda_runs(executor: Executor, folder: Path) -> None:
    source = SourceSpec("keras", (executor.add(folder / "lambda.keras"),), Loading(trust_code=True))
    found = executor.run(ObserveJob(source, {}, 4), conversion_context("jax"))
    (given,), (doubled,) = (
        [np.load(executor.path(blob)) for blob in arrays.values()] for arrays in (found.inputs, found.outputs)
    )
    np.testing.assert_allclose(doubled, 2 * given, rtol=1e-6)


def test_a_class_of_the_users_own_is_named(executor: Executor, folder: Path) -> None:
    error = _refusal(executor, folder / "custom.keras")
    assert error.code == "custom-layer"
    assert "Twice" in error.message
    assert "--custom-objects" in error.hint


@pytest.mark.parametrize("model", ["half", "double"])
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=needs_torch), "openvino"])
def test_other_precisions_are_taken_as_float32(executor: Executor, folder: Path, model: str, backend: str) -> None:
    source = named(executor.add(folder / f"{model}.keras"))
    found = executor.run(DescribeJob(source), conversion_context(backend))
    assert {spec.dtype for spec in (*found.signature.inputs, *found.signature.outputs)} == {"float32"}
    assert found.weight_dtypes == ("float32",)
    policy = {"half": "mixed_float16", "double": "float64"}[model]
    assert found.notes == (f"The source computes in {policy}; it is exported and compared in float32.",)


@needs_torch
def test_half_precision_computes_with_the_accuracy_of_float32(executor: Executor, folder: Path) -> None:
    source = named(executor.add(folder / "half.keras"))
    first = executor.run(ObserveJob(source, {}, 8), conversion_context("jax"))
    other = executor.run(ObserveJob(source, first.inputs), conversion_context("torch"))
    left, right = (np.load(executor.path(found.outputs["score"])) for found in (first, other))
    assert np.abs(left - right).max() < 1e-5 * left.std()  # float16 has three digits


def test_initial_states_of_a_recurrent_layer_do_not_stop_it_from_being_written_out(
    executor: Executor, folder: Path
) -> None:
    found = executor.run(DescribeJob(named(executor.add(folder / "states.keras"))), conversion_context("jax"))
    job = ConvertJob("keras@jax>stablehlo", (executor.add(folder / "states.keras"),), found.signature)
    assert executor.run(job, conversion_context("jax")).files


def test_files_that_are_no_model_are_told_apart(executor: Executor, folder: Path, tmp_path: Path) -> None:
    whole = (folder / "cnn.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.keras").write_text("no archive")
    (tmp_path / "old.keras").write_bytes(b"\x89HDF\r\n\x1a\n")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    assert "cut off" in _refusal(executor, tmp_path / "cut.keras").message
    assert "zip archive" in _refusal(executor, tmp_path / "text.keras").message
    assert "HDF5" in _refusal(executor, tmp_path / "old.keras").message
    assert "config.json" in _refusal(executor, tmp_path / "other.keras").message


def _rewritten(source: Path, target: Path, change: Callable[[str], str], extra: dict[str, str] | None = None) -> Path:
    """A copy of a ``.keras`` file with another configuration, and more members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name).decode()) if name == "config.json" else old.read(name))
        for name, content in (extra or {}).items():
            new.writestr(name, content)
    return target


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_anywhere_is_refused(executor: Executor, folder: Path, tmp_path: Path, share: float) -> None:
    whole = (folder / "cnn.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: int(len(whole) * share)])
    assert _refusal(executor, tmp_path / "cut.keras").code in ("not-a-keras-file", "damaged-keras-file")


def test_one_wrong_byte_in_the_weights_is_refused(executor: Executor, folder: Path, tmp_path: Path) -> None:
    whole = bytearray((folder / "cnn.keras").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "flipped.keras").write_bytes(whole)
    error = _refusal(executor, tmp_path / "flipped.keras")
    assert (error.code, "checksum" in error.message) == ("damaged-keras-file", True)


@pytest.mark.parametrize("member", ["../escaped.txt", "/tmp/escaped.txt", "assets/../../escaped.txt", "C:\\escaped"])
def test_an_archive_that_reaches_outside_itself_is_refused(
    executor: Executor, folder: Path, tmp_path: Path, member: str
) -> None:
    path = _rewritten(folder / "cnn.keras", tmp_path / "zip.keras", lambda text: text, {member: "escaped"})
    assert _refusal(executor, path).code == "unsafe-archive"
    assert not (tmp_path.parent / "escaped.txt").exists()


def test_a_file_cannot_have_a_module_imported(
    executor: Executor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the module can be imported in that process: it would leave a file behind."""
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\nclass Dense: ...\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = _rewritten(
        folder / "listed.keras",
        tmp_path / "module.keras",
        lambda text: text.replace(
            '"module": "keras.layers", "class_name": "Dense"', '"module": "planted", "class_name": "Dense"'
        ),
    )
    with Executor() as fresh:
        error = _refusal(fresh, path)
    assert error.code == "custom-layer"
    assert "planted" in error.message
    assert not (tmp_path / "imported").exists()


def test_a_loss_of_the_users_own_is_not_needed(executor: Executor, folder: Path, tmp_path: Path) -> None:
    loss = '{"loss": {"module": "train", "class_name": "Focal", "config": {}, "registered_name": "Focal"}}'
    path = _rewritten(
        folder / "listed.keras", tmp_path / "lost.keras", lambda text: f'{text[:-1]}, "compile_config": {loss}}}'
    )
    assert len(_describe(executor, path).signature.outputs) == 2


@pytest.mark.parametrize(
    ("class_name", "code"),
    [
        ("TorchModuleWrapper", "code-in-model"),
        ("TFSMLayer", "code-in-model"),
        ("StringLookup", "string-input"),
        ("TextVectorization", "string-input"),
        ("NoSuchLayer", "unloadable-model"),
    ],
)
def test_layers_that_cannot_be_loaded_are_named(
    executor: Executor, folder: Path, tmp_path: Path, class_name: str, code: str
) -> None:
    path = _rewritten(
        folder / "listed.keras",
        tmp_path / "other.keras",
        lambda text: text.replace('"class_name": "Dense"', f'"class_name": "{class_name}"'),
    )
    error = _refusal(executor, path)
    assert error.code == code
    assert class_name in str(error) or error.received == "layer y"


def test_damaged_weights_are_refused(executor: Executor, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(folder / "cnn.keras") as source, zipfile.ZipFile(tmp_path / "bad.keras", "w") as target:
        for name in source.namelist():
            target.writestr(name, b"nothing" if name.endswith(".h5") else source.read(name))
    assert _refusal(executor, tmp_path / "bad.keras").code == "unloadable-model"


def test_generated_inputs_make_outputs_vary_and_show_noise(executor: Executor, folder: Path) -> None:
    found = executor.run(ObserveJob(named(executor.add(folder / "two.keras")), {}, 16), conversion_context("jax"))
    inputs = {name: np.load(executor.path(blob)) for name, blob in found.inputs.items()}
    outputs = {name: np.load(executor.path(blob)) for name, blob in found.outputs.items()}
    assert {name: array.shape for name, array in inputs.items()} == {"extra": (16, 5), "image": (16, 8, 8, 1)}
    assert found.reacts == {"extra": True, "image": True}
    for name, array in outputs.items():
        assert all(0 < size < 1e-4 * array.std(axis=0).mean() for size in found.noise[name].values())
        assert set(found.noise[name]) == {"one-ulp", "float64"}


def test_token_ids_stay_within_the_embedding(executor: Executor, folder: Path) -> None:
    """Also where the input is a float, as Keras declares it unless told otherwise."""
    for model, name, limit in (("text", "ids", 50), ("ids", None, 11)):
        found = executor.run(
            ObserveJob(named(executor.add(folder / f"{model}.keras")), {}, 64), conversion_context("jax")
        )
        (key,) = found.inputs
        values = np.load(executor.path(found.inputs[key]))
        assert name in (None, key)
        assert set(np.unique(values)) == set(range(limit))


def test_an_output_that_ignores_its_input_is_noticed(executor: Executor, folder: Path) -> None:
    found = executor.run(ObserveJob(named(executor.add(folder / "constant.keras")), {}, 8), conversion_context("jax"))
    assert list(found.reacts.values()) == [False]


#: How each backend lets its noise be measured.
MEASURED = {"torch": {"one-ulp", "float64", "threads"}, "openvino": {"one-ulp"}}


@pytest.mark.slow
def test_backends_agree_on_the_reference(executor: Executor, folder: Path) -> None:
    """The same file gives the same numbers wherever it is loaded, though weights start at zero while loading."""
    for model in ("cnn", "gru", "wide"):
        blob = executor.add(folder / f"{model}.keras")
        first = executor.run(ObserveJob(named(blob), {}, 8), conversion_context("jax"))
        for backend in ("torch", "openvino"):
            other = executor.run(ObserveJob(named(blob), first.inputs), conversion_context(backend))
            for name, expected in first.outputs.items():
                assert set(other.noise[name]) == MEASURED[backend]
                left, right = (np.load(executor.path(blob)) for blob in (expected, other.outputs[name]))
                np.testing.assert_allclose(left, right, atol=1e-3 * left.std(axis=0).mean(), rtol=0)
