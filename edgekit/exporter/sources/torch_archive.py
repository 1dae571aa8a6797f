"""The ``.pt2`` archive: read without running what it holds.

`torch.export.load` unpickles what the archive marks as pickled, evaluates its size expressions as Python, runs compiled
libraries in it, and writes names of the graph into Python source. So everything it would act on is read first, and
refused unless it is what `torch.export.save` writes for a plain program.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import ModelError

#: Names in the graph end up in Python source that torch makes of it.
_NAME = re.compile(r"[\w.:\-+/ ]*\Z")

#: Namespaces of operators that compute on tensors; the others are functions of torch itself.
_OPERATOR = re.compile(r"torch\.ops\.(higher_order\.\w+|[a-z]\w*\.\w+\.\w+)\Z|(_operator|math)\.\w+\Z|torch\.sym_\w+\Z")

#: Operators that reach beyond their tensors, and functions of `operator` that call what they are given.
_REFUSED = re.compile(r"\.(from_file|attrgetter|methodcaller|call|load_library|load)(\.|\Z)")

#: What size expressions are built of, besides the functions of torch.utils._sympy.
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Float|Rational|Max|Min|Abs|Add|Mul|Pow|Mod|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|Equality|Unequality|"
    r"StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|floor|ceiling"
)
_EXPRESSIONS = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp,
    ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip

#: Parts of the graph that are text for people, become constants, or are dropped by `load`.
_TEXT = frozenset({"metadata", "as_string", "as_strings", "guards_code"})


def load(path: Path, *, trust_code: bool) -> Any:
    """The ``torch.export.ExportedProgram`` of a file.

    Args:
        path: ends in ``.pt2``.
        trust_code: load what would run code, too.

    Raises:
        ModelError: it is no such file, is damaged, is of another version, or would run code.
    """
    import torch

    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            cut = stream.read(4) == b"PK\x03\x04"
        what = "the .pt2 file is cut off" if cut else "this is not a .pt2 file, which is a zip archive"
        raise ModelError("not-a-pt2-file", f"{what}.", received=path.name, hint=_SAVE_AGAIN)
    if not trust_code:
        _scan(path)
    try:
        program = torch.export.load(path)
    except Exception as err:  # torch raises whatever its parts raise
        text = str(err).strip().splitlines() or [type(err).__name__]
        raise ModelError(
            "unloadable-pt2-file", f"torch cannot load the program: {text[0][:300]}", received=path.name, hint=_VERSIONS
        ) from err
    if not trust_code:
        program._guards_code = []  # checks of input sizes as Python source
    return program


_SAVE_AGAIN = "Save it again: torch.export.save(program, 'model.pt2')."
_VERSIONS = "Save it with the torch that is installed here, or name the code: edgekit export file.py:factory."


def _scan(path: Path) -> None:
    """Refuse an archive that is not a plain program.

    Raises:
        ModelError: says which part would run code.
    """
    from torch.export.pt2_archive._package import PT2ArchiveReader

    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.namelist()
        if not all("/" in name for name in entries) or not any(name.endswith("/archive_format") for name in entries):
            raise ModelError(
                "not-a-pt2-file",
                "this archive holds no program of torch.export, or one of a torch before 2.8.",
                received=path.name,
                hint=_SAVE_AGAIN,
            )
        with PT2ArchiveReader(str(path)) as reader:
            names = reader.get_file_names()
            configs = [json.loads(reader.read_string(name)) for name in names if name.endswith("_config.json")]
            graphs = [json.loads(reader.read_string(name)) for name in names if name.startswith("models/")]
            samples = [reader.read_bytes(name) for name in names if name.startswith("data/sample_inputs/")]
    except (RuntimeError, zipfile.BadZipFile, ValueError) as err:
        raise ModelError(
            "damaged-pt2-file", f"the .pt2 file is damaged: {_first_line(err)}.", received=path.name, hint=_SAVE_AGAIN
        ) from err
    old = [name for name in names if name.endswith(".pt") and not name.startswith("data/sample_inputs/")]
    compiled = [name for name in names if "aotinductor" in name]
    for reason in (
        *(f"{name}, a pickled object" for name in old),
        *(f"{name}, a compiled library" for name in compiled),
        *(reason for config in configs for reason in _pickled(config)),
        *(reason for graph in graphs for reason in _acting(graph)),
        *(reason for sample in samples for reason in _unsafe_sample(sample)),
    ):
        raise ModelError(
            "program-runs-code",
            f"the file holds {reason[:200]}: loading it could run code.",
            received=path.name,
            hint="Add --trust-code if you know where the file comes from.",
        )


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:200].rstrip(".")


def _pickled(config: Mapping[str, Any]) -> Iterator[str]:
    """Weights and constants that are not plain arrays."""
    for name, payload in config.get("config", {}).items():
        plain = re.fullmatch(r"(weight|tensor)_\d+", str(payload.get("path_name")))
        if payload.get("use_pickle") is not False or not plain:
            yield f"{name}, a pickled object"


def _unsafe_sample(content: bytes) -> Iterator[str]:
    """Sample inputs that torch would fall back to unpickle."""
    import pickle

    import torch

    if content:
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except (pickle.UnpicklingError, RuntimeError):
            yield "sample inputs, a pickled object"


def _acting(value: Any, key: str = "") -> Iterator[str]:
    """Strings of a graph that torch would do more with than keep."""
    if isinstance(value, dict):
        for inner, item in value.items():
            if not _NAME.match(inner):
                yield f"{key} {inner!r}"
            if inner not in _TEXT:
                yield from _acting(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _acting(item, key)
    elif isinstance(value, str):
        if key == "expr_str":
            fine = _is_size(value)
        elif key in ("in_spec", "out_spec"):
            fine = _is_structure(value)
        elif key == "target":
            fine = bool(_OPERATOR.match(value)) and not _REFUSED.search(value)
        else:
            fine = bool(_NAME.match(value))
        if not fine:
            yield f"{key} {value!r}"


def _is_size(text: str) -> bool:
    """Whether an expression is arithmetic on symbols: sympy evaluates it as Python."""
    from torch.utils._sympy import functions

    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _EXPRESSIONS):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"\w+", node.value):
            return False
        if isinstance(node, ast.Call):
            known = isinstance(node.func, ast.Name) and (
                _FUNCTIONS.fullmatch(node.func.id) or isinstance(getattr(functions, node.func.id, None), type)
            )
            if not known:
                return False
    return True


def _is_structure(text: str) -> bool:
    """Whether a description of nested arguments names no module to import."""
    waiting: list[Any] = [text]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if {"__enum__", "default_factory_module"} & set(item):
                return False
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and item[:1] in ("{", "["):
            try:
                waiting.append(json.loads(item))
            except ValueError:
                return False
    return True
