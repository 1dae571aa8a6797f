"""The CPU frequency governor, set while a timing runs and always restored. Part of the device core.

Before anything is changed, what was there is written to a file and synced; the file goes when it is restored. So
whoever comes next finds it after a crash, and restores. The caller holds the device's lock meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import MissingError, UsageError

SYS = Path("/sys")


@contextmanager
def governed(name: str, journal: Path, sys: Path = SYS) -> Iterator[None]:
    """Run the body under a governor.

    Args:
        name: of the governor, such as ``performance``.
        journal: the file that remembers what was there, on a disk that survives a crash.
        sys: where ``/sys`` is.

    Raises:
        MissingError: the machine has no governors, or this user may not set them.
        UsageError: it has others.
    """
    restore(journal)
    before = {str(path): path.read_text().strip() for path in _policies(sys)}
    _refuse_unknown(name, sys)
    changed = {path: old for path, old in before.items() if old != name}
    if not changed:
        yield
        return
    _remember(journal, changed)
    try:
        for path in changed:
            _set(Path(path), name)
        yield
    finally:
        restore(journal)


def restore(journal: Path) -> Mapping[str, str]:
    """Put back what a journal remembers, and forget it. Nothing where there is none.

    Returns:
        Governors that were put back, by file.

    Raises:
        MissingError: this user may not, which it could before.
    """
    try:
        before: dict[str, str] = json.loads(journal.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:  # cut off while it was written, so nothing had been changed yet
        before = {}
    for path, name in before.items():
        if Path(path).exists():  # a core may be offline now
            _set(Path(path), name)
    journal.unlink()
    return before


def _policies(sys: Path) -> list[Path]:
    """One file for each group of cores that share a clock.

    Raises:
        MissingError: there is none.
    """
    found = sorted((sys / "devices" / "system" / "cpu" / "cpufreq").glob("policy*/scaling_governor"))
    if not found:
        raise MissingError(
            "no-governor",
            "this machine has no frequency governor to set.",
            received=str(sys / "devices" / "system" / "cpu" / "cpufreq"),
            hint="Leave out governor=.",
        )
    return found


def _refuse_unknown(name: str, sys: Path) -> None:
    for path in _policies(sys):
        offered = path.with_name("scaling_available_governors")
        known = offered.read_text().split() if offered.is_file() else [name]
        if name not in known:
            raise UsageError(
                "unknown-governor",
                "this machine has no such frequency governor.",
                received=name,
                hint=f"Choose one of: {', '.join(f'governor={one}' for one in sorted(known))}.",
            )


def _remember(journal: Path, before: Mapping[str, str]) -> None:
    with journal.open("w") as file:
        file.write(json.dumps(before))
        file.flush()
        os.fsync(file.fileno())


def _set(path: Path, name: str) -> None:
    try:
        path.write_text(name)
    except OSError as err:
        raise MissingError(
            "governor-refused",
            "this user may not set the frequency governor of the device.",
            received=f"{path}: {err.strerror}",
            hint=f"Leave out governor=, or allow it there: sudo chown $USER {path.parent.parent}/policy*/{path.name}",
        ) from err
