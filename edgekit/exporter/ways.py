"""The ways to run a source that ``--runtime`` names: ``keras:jax``, ``keras:torch:predict``, ``torch:compiled``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.exporter.source import BACKENDS, loading_backend

#: Kinds of source by the framework that runs them, which is the first word of a runtime.
FRAMEWORKS = {
    "keras": ("keras",),
    "torch": ("torch.nn", "torch.export"),
    "jax": ("jax", "jax.export"),
    "tensorflow": ("saved_model",),
}

#: How each kind is run, the most usual way first: `Loaded.ways` has the same names.
WAYS: dict[str, tuple[str, ...]] = {
    "keras": ("predict", "eager", "compiled"),
    "torch.nn": ("eager", "compiled", "exported"),
    "torch.export": ("exported", "compiled"),
    "jax": ("compiled",),
    "jax.export": ("compiled",),
    "saved_model": ("compiled",),
}


@dataclass(frozen=True, slots=True)
class SourceRuntime:
    """What ``--runtime`` asks for, as far as it says.

    Attributes:
        text: as given.
        framework: a key of `FRAMEWORKS`.
        backend: of Keras; None for the one that computed the reference.
        way: one of `WAYS`; None for all of them.
    """

    text: str
    framework: str
    backend: str | None = None
    way: str | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a source.

    Attributes:
        runtime: ``keras:jax`` or ``torch``.
        backend: of the process, see `loading_backend`.
        name: such as ``predict``.
    """

    runtime: str
    backend: str | None
    name: str


def parse_runtime(text: str) -> SourceRuntime | None:
    """Read ``FRAMEWORK[:BACKEND][:WAY]``; None where the first word is no framework, but an engine.

    Raises:
        UsageError: the framework has no such backend or way.
    """
    framework, *rest = text.split(":")
    if framework not in FRAMEWORKS:
        return None
    ways = {way for kind in FRAMEWORKS[framework] for way in WAYS[kind]}
    backends = BACKENDS if framework == "keras" else {}
    backend = rest.pop(0) if rest and rest[0] in backends else None
    way = rest.pop(0) if rest and rest[0] in ways else None
    if rest:
        choices = [f"{framework}:{name}" for name in (*backends, *sorted(ways))]
        raise UsageError(
            "unknown-runtime",
            f"{framework} cannot be run as {':'.join(rest)!r}.",
            received=text,
            hint=f"Choose from: {', '.join(choices)}" + ("; keras:torch:predict has both." if backends else "."),
        )
    return SourceRuntime(text, framework, backend, way)


def ways_to_run(kind: str, backend: str, asked: Sequence[SourceRuntime]) -> tuple[Way, ...]:
    """The ways to time a source.

    Args:
        kind: of the source.
        backend: that computed its reference.
        asked: empty for every way of its own framework.

    Raises:
        UsageError: the source is of another framework, or cannot be run in a way that was asked for.
        MissingError: a backend is not installed.
    """
    own = next((name for name, kinds in FRAMEWORKS.items() if kind in kinds), None)
    if own is None:
        raise UsageError(
            "no-framework",
            f"this source is of the kind {kind}, which an engine runs and no framework.",
            received=", ".join(one.text for one in asked) or kind,
            hint="Leave --runtime out; to time the file, name it: edgekit bench MODEL",
        )
    found: dict[Way, None] = {}
    for one in asked or (SourceRuntime(own, own),):
        if one.framework != own:
            raise UsageError(
                "other-framework",
                f"the source is a model of {own}.",
                received=one.text,
                hint=f"Give --runtime {own}, or leave it out.",
            )
        where = loading_backend(kind, one.backend or backend)
        able = _able(kind, where)
        if one.way is not None and one.way not in able:
            raise UsageError(
                "no-such-way",
                f"a source of the kind {kind} cannot be run as {one.way!r} there.",
                received=one.text,
                hint=f"Choose from: {', '.join(able)}.",
            )
        runtime = f"{own}:{where}" if own == "keras" else own
        found |= {Way(runtime, where, name): None for name in ((one.way,) if one.way else able)}
    return tuple(found)


def _able(kind: str, backend: str | None) -> tuple[str, ...]:
    """On Keras' OpenVINO backend ``predict`` compiles, and nothing else does."""
    return tuple(way for way in WAYS[kind] if not (way == "compiled" and backend == "openvino"))
