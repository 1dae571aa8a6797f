"""Loading torch modules and programs of torch.export, reading signatures, and running them as the reference."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.describe import DescribeJob
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.loading import Loaded, Loading, SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.exporter.sources import torch_archive
from edgekit.exporter.sources.registry import load_source_model
from edgekit.exporter.sources.torch_ import from_object, load_program
from edgekit.jobs.code import CALLED_FROM, CODE_PATH, Code
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import blob_of
from edgekit.types import TensorSpec

torch = pytest.importorskip("torch")
from tests.exporter import torch_zoo  # noqa: E402  # it imports torch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning"),  # torch about itself
    pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning"),  # what one factory does
    pytest.mark.xdist_group("torch"),
]

ZOO = Path(torch_zoo.__file__)

Pins = dict[str, tuple[int | None, ...]]

#: Factories that no zoo has: each is refused, or loaded in a way worth a look.
_ODD = """
import numpy
import torch
from torch import nn
from torch.nn import functional

x = torch.zeros(1, 4)

class Of(nn.Module):
    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)
    def forward(self, x):
        return self.function(self, x)

class Pair(nn.Module):
    def forward(self, image, mask=None):
        return image * 2 if mask is None else image * mask

def no_examples(): return Pair()
def unfitting(): return Pair()
unfitting_example_inputs = {"picture": x, "mask": x}
def raises(): return open("absent.txt")
def scalar(): return Of(lambda self, x: x.mean())
scalar_example_inputs = (x,)
def number(): return Of(lambda self, x: (x, x.shape[0]))
number_example_inputs = (x,)
def half(): return Of(lambda self, x: x.bfloat16())
half_example_inputs = (x,)
def dropout(): return Of(lambda self, x: functional.dropout(x))
dropout_example_inputs = (x,)
def steps_first(): return Of(lambda self, x: self.lstm(x)[0], lstm=nn.LSTM(4, 3))
steps_first_example_inputs = (torch.zeros(1, 7, 4),)
def flat(): return Of(lambda self, x: x.reshape(-1))
flat_example_inputs = (x,)
def squeezed(): return Of(lambda self, x: x.squeeze())
squeezed_example_inputs = (x,)
def only_four(): return Of(lambda self, x: x.reshape(4, 4).sum(1, keepdim=True))
only_four_example_inputs = (torch.zeros(4, 4),)
def double(): return Of(lambda self, x: self.linear(x), linear=nn.Linear(4, 2))
double_example_inputs = {"x": numpy.zeros((1, 4))}
def wrapped(): return Of(lambda self, x: self.head(self.body(x)), body=nn.Linear(4, 6), head=nn.Linear(6, 2))
wrapped_example_inputs = (x,)
def one_dictionary(): return Of(lambda self, x: {"x": x["left"] + 1, "sum": x["left"] - x["right"]})
one_dictionary_example_inputs = {"left": x, "right": x}
def scripted(): return torch.jit.script(nn.Linear(4, 2))
scripted_example_inputs = (x,)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    (folder / "odd.py").write_text(_ODD)
    torch.export.save(torch_zoo.program(), folder / "two.pt2")
    free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    unet = torch.export.export(torch_zoo.unet().eval(), (torch.zeros(2, 3, 16, 16),), dynamic_shapes=(free,))
    torch.export.save(unet, folder / "unet.pt2")
    torch.export.save(torch.export.export(torch_zoo.cnn().train(), (torch.zeros(2, 3, 16, 16),)), folder / "train.pt2")
    ids = torch.zeros(1, 12, dtype=torch.int64)
    torch.export.save(torch.export.export(torch_zoo.encoder().eval(), (ids,)), folder / "encoder.pt2")
    return folder


class Bench:
    """Sources by name: of the zoo, of the odd factories, or files. Loaded here, for torch takes seconds to import."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.code = {CODE_PATH: os.pathsep.join([str(ZOO.parent), str(folder)]), CALLED_FROM: str(folder)}

    def loading(self, name: str, pins: Pins | None = None, submodel: str | None = None) -> Loading:
        specs = {key: TensorSpec(key, shape, "") for key, shape in (pins or {}).items()}
        if name.endswith(".pt2"):
            return Loading(pins=specs)
        file = ZOO if hasattr(torch_zoo, name) else self._folder / "odd.py"
        return Loading(Code(f"{file.name}:{name}", blob_of(file).sha256), submodel=submodel, pins=specs)

    def load(self, name: str, pins: Pins | None = None, submodel: str | None = None) -> Loaded:
        loading = self.loading(name, pins, submodel)
        if name.endswith(".pt2"):
            return load_source_model("torch.export", self._folder / name, loading)
        return load_source_model("code", None, loading)

    def refusal(self, name: str, pins: Pins | None = None) -> UsageError:
        with pytest.raises(UsageError) as caught:
            self.load(name, pins)
        return caught.value


@pytest.fixture(scope="module")
def bench(folder: Path) -> Iterator[Bench]:
    found = Bench(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])  # the folders of the code are added to it
        for name, value in found.code.items():
            patch.setenv(name, value)
        yield found


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("mlp", ["input=?x6:float32"], ["output=?x3:float32"]),
        ("encoder", ["ids=?x12:int64"], ["output=?x5:float32"]),
        ("two", ["signal=?x2x9:float32", "extra=?x4:float32"], ["score=?x3:float32", "height=?x1:float32"]),
        (
            "nested",
            ["pair_0=?x4:float32", "pair_1=?x4:float32"],
            ["corners=?x4:float32", "scores_0=?x4:float32", "scores_1=?x4:float32"],
        ),
        ("one_dictionary", ["left=?x4:float32", "right=?x4:float32"], ["x=?x4:float32", "sum=?x4:float32"]),
        ("double", ["x=?x4:float32"], ["output=?x2:float32"]),
        ("two.pt2", ["signal=?x2x9:float32", "extra=?x4:float32"], ["score=?x3:float32", "height=?x1:float32"]),
        ("unet.pt2", ["image=?x3x?x?:float32"], ["output=?x2x?x?:float32"]),
        ("encoder.pt2", ["ids=1x12:int64"], ["output=1x5:float32"]),
    ],
)
def test_signature_has_the_names_of_forward_and_of_what_it_returns(
    bench: Bench, name: str, inputs: list[str], outputs: list[str]
) -> None:
    found = bench.load(name)
    assert [str(spec) for spec in found.signature.inputs] == inputs
    assert [str(spec) for spec in found.signature.outputs] == outputs


def test_kind_and_figures_of_a_module_and_of_a_program(bench: Bench) -> None:
    module, program = bench.load("two"), bench.load("program")
    assert (module.kind, program.kind) == ("torch.nn", "torch.export")
    assert module.framework == program.framework == f"torch {torch.__version__.partition('+')[0]}"
    assert module.parameters == program.parameters == sum(p.numel() for p in torch_zoo.two().parameters())
    assert module.operators() == {"Linear": 3, "Conv1d": 1}
    assert program.operators()["conv1d"] == 1
    assert module.weight_dtypes() == {"float32"}


@pytest.mark.parametrize(
    ("pins", "inputs", "outputs"),
    [
        ({"image": (None, 3, None, None)}, "image=?x3x?x?:float32", "output=?x2x?x?:float32"),
        ({"image": (None, 3, 32, 64)}, "image=?x3x32x64:float32", "output=?x2x32x64:float32"),
        ({"image": (4, 3, 16, 16)}, "image=4x3x16x16:float32", "output=4x2x16x16:float32"),
    ],
)
@pytest.mark.parametrize("name", ["unet", "unet.pt2"])
def test_sizes_that_the_user_describes_hold(bench: Bench, name: str, pins: Pins, inputs: str, outputs: str) -> None:
    found = bench.load(name, pins).signature
    assert [str(spec) for spec in (*found.inputs, *found.outputs)] == [inputs, outputs]


def test_a_description_stands_in_for_example_inputs(bench: Bench) -> None:
    found = bench.load("no_examples", {"image": (None, 3, 8)}).signature
    assert [str(spec) for spec in (*found.inputs, *found.outputs)] == ["image=?x3x8:float32", "output=?x3x8:float32"]


def test_a_batch_that_the_model_fixes_is_said(bench: Bench) -> None:
    found = bench.load("only_four")
    assert found.signature.batch == 4
    assert "a batch of 4 only" in found.notes[0]


def test_a_pinned_first_axis_is_the_batch_of_a_model_that_puts_time_first(bench: Bench) -> None:
    assert bench.load("steps_first", {"x": (7, 1, 4)}).signature.batch == 7


def test_part_of_a_module_can_be_the_model(bench: Bench) -> None:
    assert bench.load("wrapped", submodel="body").signature.outputs[0].shape == (None, 6)
    with pytest.raises(UsageError, match="holds no module 'tail'") as caught:
        bench.load("wrapped", submodel="tail")
    assert "body, head" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("no_examples", "model-without-signature", "--input image=?x3x224x224"),
        ("unfitting", "inputs-do-not-fit-forward", "image, mask"),
        ("raises", "code-raised", "--debug"),
        ("scalar", "no-batch-axis", "keepdim"),
        ("number", "not-a-tensor", "Return tensors only"),
        ("half", "no-numpy-type", "model.float()"),
        ("dropout", "random-outputs", "training=self.training"),
        ("steps_first", "mixed-samples", "batch_first=True"),
        ("flat", "no-batch-axis", "one row per sample"),
        ("squeezed", "no-batch-axis", "one row per sample"),
        ("scripted", "torchscript-module", "torch.nn.Module"),
        ("train.pt2", "traced-in-training", "model.eval()"),
    ],
)
def test_a_model_that_cannot_be_exported_is_refused_with_what_to_do(
    bench: Bench, name: str, code: str, words: str
) -> None:
    refusal = bench.refusal(name)
    assert refusal.code == code
    assert words in refusal.hint


@pytest.mark.parametrize(
    ("name", "pins", "code"),
    [
        ("cnn", {"picture": (None, 3, 16, 16)}, "unknown-input"),
        ("cnn", {"input": (None, 3, 16)}, "wrong-pin"),
        ("cnn", {"input": (None, 4, 16, 16)}, "uncallable-model"),
        ("two", {"signal": (None, 2, 9), "extra": (None, None)}, "wrong-pin"),
        ("two.pt2", {"signal": (None, 3, 9)}, "wrong-pin"),
        ("two.pt2", {"picture": (None, 3, 9)}, "unknown-input"),
    ],
)
def test_a_size_that_the_model_cannot_have_is_refused(bench: Bench, name: str, pins: Pins, code: str) -> None:
    assert bench.refusal(name, pins).code == code


@pytest.mark.slow
@pytest.mark.parametrize(("name", "drawn"), [("mlp", True), ("program", False)])
def test_what_is_kept_is_the_same_model_in_every_process(bench: Bench, name: str, drawn: bool) -> None:
    """A factory that draws random weights gives another model each time; what it gave once is kept."""
    context = conversion_context("torch", bench.code)
    with Executor() as executor:

        def outputs(source: SourceSpec) -> dict[str, np.ndarray]:
            found = executor.run_fresh(ObserveJob(source, {}, 8), context)
            return {output: np.load(executor.path(blob)) for output, blob in found.outputs.items()}

        anew = SourceSpec("code", (), bench.loading(name))
        described = executor.run(DescribeJob(anew), context)
        assert described.state is not None
        kept = SourceSpec(described.kind, (described.state,), anew.loading)
        first, second, other = outputs(kept), outputs(kept), outputs(anew)
    for output, array in first.items():
        assert array.std(axis=0).max() > 0.1
        assert np.array_equal(array, second[output])
        assert bool(np.abs(array - other[output]).max() > 0.1) == drawn


def test_token_ids_stay_within_the_embedding_that_takes_them() -> None:
    program = torch.export.export(torch_zoo.encoder().eval(), (torch.zeros(2, 12, dtype=torch.int64),))
    assert from_object(program, None, Loading()).ids() == {"ids": 50}


def test_the_reference_is_torch_itself(bench: Bench, folder: Path) -> None:
    loaded = load_program(folder / "two.pt2", Loading())
    inputs = {
        spec.name: np.random.default_rng(0).standard_normal((3, *spec.shape[1:])).astype("float32")  # type: ignore[arg-type]  # fixed
        for spec in loaded.signature.inputs
    }
    with loaded.open() as session:
        found = session.run(inputs)
    with torch.no_grad():
        wanted = torch_zoo.two()(*map(torch.from_numpy, inputs.values()))
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        np.testing.assert_allclose(found[name], tensor.numpy(), atol=1e-6)


def _edited(source: Path, target: Path, edit: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, edit(name, old.read(name)))
    return target


class _Runs:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("unpickled"),)


def _pickled() -> bytes:
    stream = io.BytesIO()
    torch.save(((_Runs(),), {}), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("models/model.json", b"Symbol('s", b"open('evaluated', 'w') or Symbol('s"),
        ("models/model.json", b"torch.ops.aten.tanh.default", b"torch.hub.load"),
        ("models/model.json", b"torch.ops.aten.tanh.default", b"torch.ops.load_library"),
        ("models/model.json", b'"signal"', b'"signal=open(0)"'),
        ("model_weights_config.json", b'"use_pickle": false', b'"use_pickle": true'),
        ("sample_inputs/model.pt", b"", _pickled()),
    ],
)
def test_a_file_that_would_run_code_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, old: bytes, new: bytes
) -> None:
    monkeypatch.chdir(tmp_path)

    def edit(name: str, content: bytes) -> bytes:
        if not name.endswith(part):
            return content
        return content.replace(old, new) if old else new

    path = _edited(folder / "two.pt2", tmp_path / "bad.pt2", edit)
    with pytest.raises(ModelError) as caught:
        torch_archive.load(path, trust_code=False)
    assert caught.value.code == "program-runs-code"
    assert "--trust-code" in caught.value.hint
    assert sorted(tmp_path.iterdir()) == [path]


def test_checks_in_a_file_are_not_run_as_code(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    guard = b"L['extra'].size()[0] =="
    path = _edited(
        folder / "two.pt2",
        tmp_path / "guarded.pt2",
        lambda _, content: content.replace(guard, b"open('evaluated', 'w') and " + guard),
    )
    assert b"evaluated" in path.read_bytes()
    assert load_program(path, Loading()).model is not None
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_a_truncated_or_foreign_file_is_refused(folder: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes((folder / "two.pt2").read_bytes()[:size])
    with pytest.raises(ModelError) as caught:
        torch_archive.load(path, trust_code=False)
    assert caught.value.code == "not-a-pt2-file"
    torch.save(torch_zoo.two().state_dict(), path)
    with pytest.raises(ModelError, match="no program"):
        torch_archive.load(path, trust_code=False)
