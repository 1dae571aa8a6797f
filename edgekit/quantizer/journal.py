"""Scores of finished trials, kept in the kit until the command ends well: a killed search goes on where it was."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from edgekit.errors import InternalError
from edgekit.files import writing
from edgekit.jobs.codec import from_json, to_json
from edgekit.quantizer.registry import LayerInfo, MacCount

#: Folder in the kit.
FOLDER = ".trials"


@dataclass(frozen=True, slots=True)
class Score:
    """What one recipe gave on one set of samples.

    Attributes:
        outcome: ``ran``, ``rejected`` (ran, and is wrong), ``unrunnable``, ``failed``, ``crashed``, ``timeout``,
            ``out-of-memory`` or ``missing``.
        reason: why it is not ``ran``; empty otherwise.
        sqnr_db: of the worst output; None when all are equal, or nothing ran.
        metric, drop: the task metric and its loss; None without labels.
        macs: arithmetic in few bits; None for a weight-only precision.
        infos: see `edgekit.quantizer.registry.QuantizeOutcome`.
        size_bytes: of the artifact.
        seconds: wall time of quantizing, loading and comparing.
    """

    outcome: str
    reason: str
    sqnr_db: float | None
    metric: float | None
    drop: float | None
    macs: MacCount | None
    infos: tuple[LayerInfo, ...]
    size_bytes: int
    seconds: float

    @property
    def ran(self) -> bool:
        """Whether its outputs could be compared, however bad they are."""
        return self.outcome in ("ran", "rejected")

    @property
    def layers(self) -> tuple[str, ...]:
        """Operators that compute on quantized values, in execution order."""
        return tuple(info.name for info in self.infos)

    @property
    def share(self) -> float | None:
        """Share of the multiply-accumulates in few bits."""
        return self.macs.low_bit / self.macs.total if self.macs is not None and self.macs.total else None

    @property
    def noise(self) -> float:
        """Noise of the worst output over its signal; 0 when equal, infinite when nothing ran."""
        if not self.ran:
            return float("inf")
        return 0.0 if self.sqnr_db is None else 10 ** (-self.sqnr_db / 10)


class Journal:
    """Scores by recipe, one JSON line each. A last line that was cut off is left out.

    Args:
        kit: the kit's folder.
        identity: everything but the recipe that decides a score: artifact, method, samples, metric, versions.
    """

    def __init__(self, kit: Path, identity: Any) -> None:
        digest = sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self._path = kit / FOLDER / f"{digest[:32]}.jsonl"
        self._guard = threading.Lock()
        self._scores = dict(self._read())

    def get(self, key: str) -> Score | None:
        """The score of a recipe that was tried before."""
        return self._scores.get(key)

    def put(self, key: str, score: Score) -> None:
        """Keep a score; it is in the file when this returns.

        Raises:
            UsageError: the kit's folder cannot be written.
        """
        line = json.dumps({"recipe": key, "score": to_json(score)})
        with self._guard, writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(f"\n{line}")  # in front, for the line before may have been cut off
            self._scores[key] = score

    def sweep(self) -> None:
        """Remove what was kept: the command ends well."""
        self._path.unlink(missing_ok=True)
        with suppress(OSError):  # another artifact's is still there, or there is none
            self._path.parent.rmdir()

    def _read(self) -> list[tuple[str, Score]]:
        if not self._path.is_file():
            return []
        found = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, KeyError, InternalError):  # the command was killed while it wrote
                entry = json.loads(line)
                found.append((str(entry["recipe"]), from_json(Score, entry["score"])))
        return found
