"""Which unit runs which operator, in words; and what an engine says of it on stderr. Part of the device core."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Callable, Optional

from edgekit.errors import UsageError

CPU = "CPU"

#: Kinds of operators that a text of `share` names.
_KINDS = 6


def split_accelerator(text: str) -> tuple[str, dict[str, str]]:
    """Name and options of an accelerator: ``OpenVINO?device_type=GPU`` is ``("OpenVINO", {"device_type": "GPU"})``.

    Raises:
        UsageError: an option without a value.
    """
    name, _, rest = text.partition("?")
    pairs = [part.partition("=") for part in rest.split("&") if part]
    if not name or any(not key or not sign for key, sign, _ in pairs):
        raise UsageError(
            "bad-accelerator",
            "an accelerator is a name, and options of the engine's own behind it.",
            received=text,
            hint="For example: onnxruntime:OpenVINO?device_type=GPU",
        )
    return name, {key: value for key, _, value in pairs}


def share(operators: Iterable[tuple[str, str]]) -> Optional[str]:
    """One unit's name, or how many operators ran on each: ``WebGPU 12/14, CPU 2/14 (2 QuantizeLinear)``.

    Args:
        operators: unit and kind of each. Kinds are listed for the CPU alone: they are what the accelerator left to it.

    Returns:
        None for no operators at all.
    """
    units: dict[str, list[str]] = {}
    for unit, kind in operators:
        units.setdefault(unit, []).append(kind)
    if len(units) < 2:
        return next(iter(units), None)
    total = sum(map(len, units.values()))
    parts = [f"{unit} {len(kinds)}/{total}" for unit, kinds in sorted(units.items(), key=lambda item: item[0] == CPU)]
    left = Counter(kind for kind in units.get(CPU, ()) if kind).most_common()
    named = [f"{count} {kind}" for kind, count in left[:_KINDS]]
    named += [f"{sum(count for _, count in left[_KINDS:])} others"] if left[_KINDS:] else []
    return ", ".join(parts) + (f" ({', '.join(named)})" if named else "")


def units_of(placement: Optional[str]) -> tuple[str, ...]:
    """The units that a text of `share` names, those without a share included."""
    return tuple(part.split(" ")[0] for part in (placement or "").split(" (")[0].split(", ") if part)


@contextmanager
def native_words() -> Iterator[Callable[[], str]]:
    """What native code writes to stderr meanwhile, which is often the only reason it gives; it goes on to stderr.

    Yields:
        A function that returns what was written so far.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def said() -> str:
            return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            for piece in iter(lambda: file.read(1 << 16), b""):
                _write_all(2, piece)


def _write_all(descriptor: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(descriptor, piece) :]
