"""Which operators of an artifact a recipe leaves in float: names, names of source layers, types, roles and patterns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence

from edgekit.errors import UsageError
from edgekit.quantizer.recipe import OUTPUTS

#: Before the type of operators, such as ``type:Softmax``.
TYPE = "type:"

#: Most names that an error lists.
_SHOWN = 8


def resolve(
    wanted: Iterable[str], operators: Sequence[tuple[str, str]], outputs: Collection[str] | None = None
) -> tuple[str, ...]:
    """Names of the operators that are meant, in the order of the artifact.

    One of ``wanted`` is the whole name of an operator; the path of a source layer, which stands in the names of its
    operators between slashes (``block/conv2d_3`` in ``model/block/conv2d_3/Conv``); ``type:Softmax``, whatever its
    case and underscores; any of them with ``*`` for any characters; or ``role:output``. A whole name is taken before
    a path. Where a converter joined several names with semicolons, each of them counts.

    Args:
        wanted: as in ``Recipe.left_float``.
        operators: name and type of every operator that can be left in float.
        outputs: names of those that compute outputs of the model; None where outputs stay float anyway.

    Raises:
        UsageError: one of them means no operator.
    """
    chosen: set[str] = set()
    for one in wanted:
        if one == OUTPUTS and outputs is None:
            raise UsageError(
                "outputs-are-float",
                "the operators of this format's outputs give float results anyway.",
                received=one,
                hint=f"Leave {OUTPUTS} out; it is for TFLite.",
            )
        found = list(outputs or ()) if one == OUTPUTS else _meant(one, operators)
        if not found:
            raise _unknown(one, operators)
        chosen.update(found)
    return tuple(name for name, _ in operators if name in chosen)


def _meant(wanted: str, operators: Sequence[tuple[str, str]]) -> list[str]:
    if wanted.startswith(TYPE):
        kind = _pattern(_folded(wanted.removeprefix(TYPE)))
        return [name for name, own in operators if kind.fullmatch(_folded(own))]
    whole = _pattern(wanted)
    exact = [name for name, _ in operators if any(whole.fullmatch(part) for part in (name, *name.split(";")))]
    if exact:
        return exact
    inside = _pattern(wanted.strip("/"))
    return [name for name, _ in operators if any(inside.fullmatch(path) for path in _paths(name))]


def _paths(name: str) -> Iterable[str]:
    """Every run of components of a name: one of them may be a source layer."""
    for part in name.split(";"):
        components = [_component(one) for one in part.split("/")]
        for start in range(len(components)):
            for end in range(start + 1, len(components) + 1):
                yield "/".join(components[start:end])


def _component(text: str) -> str:
    """litert-torch writes the class of a module before its name: ``….Scope_stem``."""
    return text.rpartition(".Scope_")[2]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _folded(kind: str) -> str:
    return kind.replace("_", "").casefold()


def _unknown(wanted: str, operators: Sequence[tuple[str, str]]) -> UsageError:
    kinds = [f"{TYPE}{kind}" for kind in dict.fromkeys(kind for _, kind in operators)]
    names = [name for name, _ in operators]
    layers = dict.fromkeys(path for name in names for path in _paths(name))
    pool = kinds if wanted.startswith(TYPE) else list(dict.fromkeys([*names, *layers]))
    near = difflib.get_close_matches(wanted, pool, n=3)
    shown = ", ".join((kinds if wanted.startswith(TYPE) else names)[:_SHOWN])
    return UsageError(
        "unknown-layer",
        "the artifact has no such operator or layer to leave in float.",
        received=wanted,
        hint=f"Did you mean {' or '.join(near)}?" if near else f"It has, among others: {shown}.",
    )
