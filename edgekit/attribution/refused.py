"""Artifacts that a device does not run and this machine does: whose fault that is, and what to deploy instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.attribution.stages import HERE, Runs, blamed
from edgekit.checked import Blame, CheckRow
from edgekit.devices import Device, open_device
from edgekit.errors import EdgekitError
from edgekit.selection import Selected

#: Errors of an artifact on its engine, as against those of a connection or an engine that is not there.
_REFUSALS = frozenset({"unloadable-artifact", "unloadable-on-cpu", "inference-failed", "job-crashed", "job-failed"})


def refused(selected: Selected, row: CheckRow, runs: Runs, device: Device) -> CheckRow:
    """A row of an artifact that did not run, blamed on the device where the same file runs on this machine.

    Args:
        selected: the artifact.
        row: as it was judged.
        runs: of this command.
        device: where it was to run.
    """
    if row.verdict != "error" or device.name == HERE or _error(selected, device, runs) not in _REFUSALS:
        return row
    return blamed(row, Blame("device")) if _error(selected, open_device(HERE), runs) is None else row


def advised(rows: Sequence[CheckRow]) -> tuple[CheckRow, ...]:
    """The rows of a check, where an artifact that only its device refuses names those that hold there."""
    return tuple(_advised(row, rows) if row.verdict == "error" and _is_device(row) else row for row in rows)


def _advised(row: CheckRow, rows: Sequence[CheckRow]) -> CheckRow:
    holding = [
        f"{one.target} {one.precision}"
        for one in rows
        if one.device == row.device and one.verdict in ("verified", "weak")
    ]
    advice = f"; on the device these ran and did not fail: {', '.join(holding)}" if holding else ""
    return replace(row, reasons=(*row.reasons, f"the same file runs on this machine{advice}."))


def _is_device(row: CheckRow) -> bool:
    return row.blame is not None and row.blame.stage == "device"


def _error(selected: Selected, device: Device, runs: Runs) -> str | None:
    """The code of what an artifact raises on a device; None where it runs."""
    try:
        runs.of(selected, device)
    except EdgekitError as error:
        return error.code
    return None
