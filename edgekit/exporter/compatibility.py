"""Old runtimes: what ``--for`` and ``--opset`` ask for, and whether an artifact keeps to it.

What an artifact needs is read from its files, not from the converter's word, and compared with tables of what each
release of its engines loads. The tables were measured on those releases; see docs/compatibility.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.exporter import compatibility_onnx, compatibility_openvino, compatibility_tflite
from edgekit.exporter.compatibility_needs import Need, OldRuntime, Release, dotted
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.types import Blob

#: The oldest release known of every runtime that can be named, by target.
RUNTIMES: dict[str, dict[str, Release]] = {
    "onnx": {compatibility_onnx.NAME: min(compatibility_onnx.RELEASES)},
    "openvino": {compatibility_openvino.NAME: compatibility_openvino.OLDEST},
    "tflite": compatibility_tflite.OLDEST,
}

#: What artifacts are kept to where no runtime is named: onnxruntime of February 2023, which reads the oldest operator
#: set that the converters write; OpenVINO of December 2024; and the last tflite-runtime, of October 2023.
DEFAULTS: dict[str, tuple[OldRuntime, ...]] = {
    "onnx": (OldRuntime("onnxruntime", (1, 14)),),
    "openvino": (OldRuntime("openvino", (2024, 6)),),
    "tflite": (OldRuntime("tflite-runtime", (2, 14)),),
}

_RUNTIME = re.compile(r"\s*(?P<name>[A-Za-z][A-Za-z0-9_.-]*)\s*[=>]=\s*(?P<version>[0-9]+(\.[0-9]+)+)\s*\Z")


@dataclass(frozen=True)
class Limits:
    """The oldest runtimes that an artifact of one target has to load in.

    Attributes:
        target: artifact format.
        runtimes: those named, else the default.
        named: whether the user named them. Only then is an artifact refused that does not load there.
    """

    target: str
    runtimes: tuple[OldRuntime, ...]
    named: bool


@dataclass(frozen=True)
class Compatibility:
    """An artifact held against old runtimes.

    Attributes:
        files: the artifact, lowered where that was possible, the entry file first.
        reasons: one sentence for everything that keeps it from loading in one of the runtimes; none when it loads.
        oldest: the oldest release of each engine known that loads it, such as ``onnxruntime 1.14``; an engine that is
            missing has none.
    """

    files: tuple[Blob, ...]
    reasons: tuple[str, ...]
    oldest: tuple[str, ...]


@dataclass(frozen=True)
class CompatibilityJob(Job[Compatibility]):
    """Lower an artifact as far as its meaning allows, and read what it needs.

    Attributes:
        files: the artifact, the entry file first.
        limits: of its target.
    """

    files: tuple[Blob, ...]
    limits: Limits

    def run(self, work: Workspace) -> Compatibility:
        work.progress(Progress("read what it needs"))
        entry = work.path(self.files[0])
        changed = lower(entry, self.limits)
        needs = needs_of(entry, self.limits.target)
        return Compatibility(
            files=(work.blob(entry.name), *self.files[1:]) if changed else self.files,
            reasons=unmet(needs, self.limits),
            oldest=tuple(map(str, oldest(needs, self.limits.target))),
        )


def parse_for(texts: Sequence[str]) -> tuple[OldRuntime, ...]:
    """Read ``--for NAME==X.Y``, such as ``onnxruntime==1.19``; ``>=`` means the same.

    Raises:
        UsageError: another form, an unknown runtime, or a release that is older than the tables.
    """
    return tuple(_parse(text) for text in texts)


def limits(target: str, old: Sequence[OldRuntime]) -> Limits:
    """What an artifact of a target has to keep to: the runtimes named for it, else the default."""
    named = tuple(runtime for runtime in old if runtime.name in RUNTIMES[target])
    return Limits(target, named or DEFAULTS[target], bool(named))


def check_targets(old: Sequence[OldRuntime], targets: Iterable[str]) -> None:
    """Refuse a runtime that runs none of the targets.

    Raises:
        UsageError: names the target to add.
    """
    wanted = set(targets)
    for runtime in old:
        target = next(target for target, names in RUNTIMES.items() if runtime.name in names)
        if target not in wanted:
            raise UsageError(
                "runtime-without-target",
                f"--for {runtime.name} is for the target {target}.",
                received=f"--target {' --target '.join(sorted(wanted))}",
                hint=f"Add --target {target}.",
            )


def opset_for(limits: Limits, asked: int | None, oldest_written: int) -> int:
    """The ONNX operator set to write: the one asked for, else the oldest that the converters write.

    Args:
        limits: of the target ``onnx``.
        asked: ``--opset``.
        oldest_written: the oldest that the converters write.

    Raises:
        UsageError: the converters write nothing so old, or a runtime that was named does not read it.
    """
    runtime = min(limits.runtimes, key=compatibility_onnx.newest_opset)
    newest = compatibility_onnx.newest_opset(runtime)
    if newest < oldest_written:
        enough = next(
            release for release, (opset, _, _) in compatibility_onnx.RELEASES.items() if opset >= oldest_written
        )
        raise UsageError(
            "runtime-too-old",
            f"{runtime} reads ONNX operator set {newest} at most, and the converters write {oldest_written} or newer.",
            received=f"--for {runtime.name}=={dotted(runtime.version)}",
            hint=f"Name {runtime.name}=={dotted(enough)} or newer.",
        )
    if asked is not None and asked < oldest_written:
        raise UsageError(
            "opset-too-old",
            f"the converters write ONNX operator set {oldest_written} or newer.",
            received=f"--opset {asked}",
            hint=f"Leave out --opset, or ask for {oldest_written} or more.",
        )
    if asked is not None and asked > newest and limits.named:
        raise UsageError(
            "opset-too-new",
            f"{runtime} reads ONNX operator set {newest} at most.",
            received=f"--opset {asked} --for {runtime.name}=={dotted(runtime.version)}",
            hint=f"Leave out --opset, or ask for {newest} or less.",
        )
    return oldest_written if asked is None else asked


def lower(entry: Path, limits: Limits) -> bool:
    """Make a file readable for older runtimes where that changes nothing it computes.

    An ONNX file gets an older IR version, an IR older operator sets. The file is replaced, not written to.

    Returns:
        Whether it was changed.
    """
    if limits.target == "onnx":
        return compatibility_onnx.lower(entry, limits.runtimes)
    return limits.target == "openvino" and compatibility_openvino.lower(entry)


def needs_of(entry: Path, target: str) -> tuple[Need, ...]:
    """What an artifact needs, read from its entry file.

    Needs the onnx package for ONNX and ai-edge-litert for TFLite.
    """
    readers = {
        "onnx": compatibility_onnx.needs,
        "openvino": compatibility_openvino.needs,
        "tflite": compatibility_tflite.needs,
    }
    return readers[target](entry)


def check(entry: Path, limits: Limits) -> tuple[str, ...]:
    """Why an artifact cannot be loaded by the runtimes, one sentence for each thing; none when it can."""
    return unmet(needs_of(entry, limits.target), limits)


def unmet(needs: Iterable[Need], limits: Limits) -> tuple[str, ...]:
    """The needs that a runtime does not meet, as sentences."""
    found = [need.unmet(runtime) for need in needs for runtime in limits.runtimes]
    return tuple(reason for reason in found if reason is not None)


def oldest(needs: Sequence[Need], target: str) -> tuple[OldRuntime, ...]:
    """The oldest release known of each engine of a target that meets all needs; none of an engine that cannot."""
    found = []
    for name, first in RUNTIMES[target].items():
        if all(name in need.since for need in needs):
            found.append(OldRuntime(name, max([first, *(need.since[name] for need in needs)])))
    return tuple(found)


def _parse(text: str) -> OldRuntime:
    known = {name: first for names in RUNTIMES.values() for name, first in names.items()}
    match = _RUNTIME.match(text)
    if match is None:
        raise UsageError(
            "bad-runtime",
            "--for takes a runtime and its oldest version, as NAME==X.Y.",
            received=text,
            hint="Example: --for onnxruntime==1.19",
        )
    name = match["name"].lower().replace("_", "-")
    if name not in known:
        raise UsageError(
            "unknown-old-runtime",
            f"--for does not know the runtime {match['name']}.",
            received=text,
            hint=f"Choose one of: {', '.join(sorted(known))}.",
        )
    runtime = OldRuntime(name, tuple(map(int, match["version"].split("."))))
    if runtime.version < known[name]:
        raise UsageError(
            "unknown-old-version",
            f"nothing is known about what {runtime} loads: the oldest version known is {dotted(known[name])}.",
            received=text,
            hint=f"Name {name}=={dotted(known[name])} or newer.",
        )
    return runtime
