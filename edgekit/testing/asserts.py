"""What the fixtures hand to a test: callables that raise AssertionError with a message a reader can act on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.parity.task import ACCURACY
from edgekit.results import CheckResult
from edgekit.testing.given import Given, data_of, model_of
from edgekit.testing.golden import REPLACEABLE, Golden, compare, read_golden, run_model, write_golden
from edgekit.testing.parity import Judged, check_artifacts, complaint, refused, rows_of

#: Folder of golden results, beside the test file.
FOLDER = "__golden__"

_UNSAFE = re.compile(r"[^\w.,=+\[\]-]+")

Folder = Callable[[], Path]
Record = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """The test that asks for golden results.

    Attributes:
        file: of the test.
        test: its name, with its parameters.
        command: that updates its golden results.
        update: whether they may be written.
        written: files that this session has written.
    """

    file: Path
    test: str
    command: str
    update: bool
    written: set[Path]


@dataclass(frozen=True, slots=True)
class _Held:
    """What became of a golden result: ``held``, ``weak``, ``failed``, ``written`` or ``updated``."""

    what: str
    reasons: tuple[str, ...] = ()


class AssertParity:
    """Fail a test unless an artifact computes what its model computes."""

    def __init__(self, folder: Folder, record: Record) -> None:
        self._folder, self._record = folder, record

    def __call__(
        self,
        model: Any,
        artifact: str | Path | None = None,
        samples: Given = None,
        *,
        labels: str | None = None,
        metric: str = ACCURACY.name,
        max_drop: float | None = None,
        tolerance: float | None = None,
        precision: str | None = None,
        strict: bool = False,
    ) -> CheckResult:
        """Compare an artifact with its model, as ``edgekit check`` does.

        Args:
            model: a model file, ``file.py:factory``, or a live ``keras.Model``; a kit where no artifact is given,
                which is compared with its own source.
            artifact: a file, a kit or an artifact of one, or a target that the model is exported to: ``onnx``,
                ``openvino`` or ``tflite``.
            samples: arrays by input name, samples first, or what ``--data`` takes; None to generate some.
            labels: name of the array among the samples that holds what the metric compares with.
            metric, max_drop: as in `edgekit.check`.
            tolerance: bound on the absolute difference, instead of the derived one.
            precision: only the artifacts of a kit that have it; what a file of its own is judged by, else fp32.
            strict: let ``weak`` fail the test too.

        Returns:
            The check that held.

        Raises:
            AssertionError: it did not hold, or could not be made; with the reasons and the culprit.
        """
        __tracebackhide__ = True
        asked = Judged(labels, metric, max_drop, tolerance, precision)
        outcome = _or_words(lambda: self._compare(model, artifact, samples, asked))
        if isinstance(outcome, str):
            self._record("parity error")
            raise AssertionError(outcome)
        rows = rows_of(outcome)
        for row in rows:
            why = f": {row.target} {row.precision}: {' '.join(row.reasons)}" if row.verdict == "weak" else ""
            self._record(f"parity {row.verdict}{why}")
        bad = [complaint(row) for row in rows if refused(row.verdict, strict=strict)]
        if bad:
            raise AssertionError("\n".join(bad))
        assert isinstance(outcome, CheckResult), "an export that gave nothing has failed"
        return outcome

    def _compare(self, model: Any, artifact: str | Path | None, samples: Given, asked: Judged) -> Any:
        folder = self._folder()
        return check_artifacts(model_of(model, folder), artifact, data_of(samples, folder), asked, folder)


class AssertGolden:
    """Fail a test unless a model gives its stored outputs."""

    def __init__(self, folder: Folder, record: Record, place: Place) -> None:
        self._folder, self._record, self._place = folder, record, place
        self._used: set[Path] = set()

    def __call__(
        self,
        model_or_artifact: Any,
        samples: Given = None,
        name: str | None = None,
        *,
        backend: str = "auto",
        tolerance: float | None = None,
        strict: bool = False,
    ) -> None:
        """Compare the outputs of a model with its golden result, ``__golden__/<test>.npz`` beside the test file.

        The file is written, or replaced where it no longer holds, only under ``--edgekit-update``.

        Args:
            model_or_artifact: a model as for ``assert_parity``, an artifact, or a kit with a single one.
            samples: as for ``assert_parity``; None for the stored ones, which are generated when they are first made.
            name: of the golden result, so that several tests can share it; default: file and name of the test.
            backend: that runs a Keras model; ``auto`` for the best installed.
            tolerance: bound on the absolute difference, instead of the derived one.
            strict: let ``weak`` fail the test too.

        Raises:
            AssertionError: the outputs differ, there is no golden result, or it could not be compared.
        """
        __tracebackhide__ = True
        outcome = _or_words(lambda: self._hold(model_or_artifact, samples, name, backend, tolerance))
        if isinstance(outcome, str):
            self._record("golden error")
            raise AssertionError(outcome)
        why = f": {' '.join(outcome.reasons)}" if outcome.what == "weak" else ""
        self._record(f"golden {outcome.what}{why}")
        if outcome.what == "failed" or (strict and outcome.what == "weak"):
            reasons = "\n".join(f"  {reason}" for reason in outcome.reasons)
            raise AssertionError(f"the golden result does not hold:\n{reasons}\n  If it should: {self._place.command}")

    def _hold(self, model: Any, samples: Given, name: str | None, backend: str, tolerance: float | None) -> _Held:
        path = self._path(name)
        known = read_golden(path)
        if known is None and not self._place.update:
            raise UsageError(
                "no-golden", "there is no golden result yet.", received=str(path), hint=f"Run: {self._place.command}"
            )
        folder = self._folder()
        run = partial(run_model, model_of(model, folder), data_of(samples, folder), backend, folder)
        if known is None:
            return self._write(path, run(None), "written")
        may_write = self._place.update and path not in self._place.written
        try:
            now = run(known)
            parity = compare(known, now, tolerance)
        except UsageError as error:
            if not may_write or error.code not in REPLACEABLE:
                raise
            return self._write(path, run(None), "updated")
        if parity.verdict == "failed" and may_write:
            return self._write(path, now, "updated")
        return _Held("held" if parity.verdict == "verified" else parity.verdict, parity.reasons)

    def _write(self, path: Path, golden: Golden, what: str) -> _Held:
        write_golden(path, golden)
        self._place.written.add(path)
        return _Held(what)

    def _path(self, name: str | None) -> Path:
        place = self._place
        path = place.file.parent / FOLDER / f"{_UNSAFE.sub('-', name or f'{place.file.stem}.{place.test}')}.npz"
        if name is None and path in self._used:
            raise UsageError(
                "golden-without-name",
                "this test has used its golden result already.",
                received=path.name,
                hint="Give each its own: assert_golden(model, name='...').",
            )
        self._used.add(path)
        return path


def _or_words(work: Callable[[], Any]) -> Any:
    """What the work gives, or an error of edgekit in words: its traceback would tell a test's author nothing."""
    try:
        return work()
    except EdgekitError as error:
        return f"{error}\n  {error.hint}"
