"""Run one artifact on its engine and compare it with its source: the job of one process of the coverage benchmark.

    python benchmarks/coverage_compare.py TARGET ARTIFACT reference.npz [--strict]

Prints ``{"status": verified|weak|wrong|unrunnable, "reason": ..., "fixed": ...}``. Each sample is run alone, and
where the artifact declares a free batch, three are run together too. With ``--strict`` names and element types must
be those of the source. Without it, an artifact that lost names or order is given those which agree best.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.coverage_engines import Opened, open_artifact
from edgekit.parity.criteria import judge
from edgekit.types import VERDICTS, Evidence, Verdict, worst

Arrays = dict[str, np.ndarray]
Answer = tuple[Verdict, tuple[str, ...]]

#: Samples in one run where the batch is free.
BATCH = 3

#: A model with more inputs or outputs of one shape is not searched for the best order.
MOST_ORDERS = 200


def main() -> int:
    """Print the answer for one artifact."""
    target, artifact, reference = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with np.load(reference) as stored:
        arrays = dict(stored)
    try:
        opened = open_artifact(target, artifact)
        answer = compare(opened, arrays, strict="--strict" in sys.argv)
    except Exception as error:  # noqa: BLE001 -- an engine raises anything about a file that it cannot run
        answer = {"status": "unrunnable", "reason": _first_line(error)}
    print(json.dumps(answer))
    return 0


def compare(opened: Opened, arrays: Arrays, *, strict: bool) -> dict[str, str]:
    """Hold an artifact against every set of samples that it takes.

    Args:
        opened: the artifact.
        arrays: as `coverage_source` stores them.
        strict: names and element types must be the source's.
    """
    floor = {name.removeprefix("floor/"): float(value) for name, value in arrays.items() if name.startswith("floor/")}
    sets = sorted({name.partition("/")[0] for name in arrays if name[0].isdigit()})
    answers = []
    for number in sets:
        inputs, wanted = _part(arrays, f"{number}/in/"), _part(arrays, f"{number}/out/")
        if fitting := [order for order in _orders(opened, inputs, strict) if _takes(opened, inputs, order)]:
            answers.append(_best(opened, inputs, wanted, floor, fitting, strict))
    if not answers:
        return {"status": "unrunnable", "reason": "it takes none of the sizes that the source takes"}
    verdict = worst(verdict for verdict, _ in answers)
    reasons = dict.fromkeys(reason for _, found in answers for reason in found)
    status = "wrong" if verdict in ("failed", "error") else verdict
    lost = "batch fixed" if opened.inputs[0].shape[:1] != (None,) else ""
    return {"status": status, "reason": " ".join(reasons), "fixed": lost}


def _best(
    opened: Opened, inputs: Arrays, wanted: Arrays, floor: dict[str, float], orders: list[tuple[str, ...]], strict: bool
) -> Answer:
    """Verdict and reasons of the order of inputs and outputs that agrees best.

    Raises:
        Exception: of the likeliest order, where the engine takes none.
    """
    found: list[Answer] = []
    faults: list[Exception] = []
    for order in orders:
        try:
            runs = [_run(opened, inputs, order, 1)]
            if all(spec.shape and spec.shape[0] is None for spec in opened.inputs):
                runs.append(_run(opened, inputs, order, BATCH))
        except Exception as error:  # noqa: BLE001 -- token ids in the place of a mask, say
            faults.append(error)
            continue
        for names in _names(opened, wanted, strict):
            judged = [_judge(dict(zip(names, run, strict=True)), wanted, floor, strict) for run in runs]
            found.append(max(judged, key=_rank))
            if found[-1][0] == "verified":
                return found[-1]
    if not found:
        raise faults[0]
    return min(found, key=_rank)


def _rank(answer: Answer) -> int:
    return VERDICTS.index(answer[0])


def _judge(got: Arrays, wanted: Arrays, floor: dict[str, float], strict: bool) -> Answer:
    if not strict:  # int64 for int32 is no fault of a stock converter's
        got = {name: array.astype(wanted[name].dtype) if name in wanted else array for name, array in got.items()}
    samples = min(len(array) for array in wanted.values())
    noise = {name: {"one-ulp": size} for name, size in floor.items()}
    parity = judge(wanted, got, precision="fp32", noise=noise, evidence=Evidence("generated", samples, ()))
    return parity.verdict, parity.reasons


def _run(opened: Opened, inputs: Arrays, order: tuple[str, ...], batch: int) -> list[np.ndarray]:
    samples = len(next(iter(inputs.values())))
    parts: list[list[np.ndarray]] = []
    for start in range(0, samples, batch):
        feeds = [
            inputs[name][start : start + batch].astype(spec.dtype)
            for name, spec in zip(order, opened.inputs, strict=True)
        ]
        parts.append(opened.run(feeds))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _orders(opened: Opened, inputs: Arrays, strict: bool) -> Iterator[tuple[str, ...]]:
    """Which input of the source goes into each of the artifact's, likeliest first."""
    names = [spec.name for spec in opened.inputs]
    if set(names) == set(inputs):
        yield tuple(names)
        return
    if not strict and len(names) == len(inputs):
        yield from itertools.islice(itertools.permutations(inputs), MOST_ORDERS)


def _names(opened: Opened, wanted: Arrays, strict: bool) -> Iterator[tuple[str, ...]]:
    """What each output of the artifact is called in the source, likeliest first.

    The sources number outputs that have no name; edgekit names them after their layers, in the source's order.
    """
    if set(opened.outputs) == set(wanted):
        yield opened.outputs
        return
    numbered = all(name.startswith("output_") for name in wanted)
    if len(opened.outputs) != len(wanted):
        yield opened.outputs
    elif strict:
        yield tuple(wanted) if numbered else opened.outputs
    else:
        yield from itertools.islice(itertools.permutations(wanted), MOST_ORDERS)


def _takes(opened: Opened, inputs: Arrays, order: tuple[str, ...]) -> bool:
    return all(
        len(spec.shape) == inputs[name].ndim
        and all(have in (None, want) for have, want in zip(spec.shape[1:], inputs[name].shape[1:], strict=True))
        and (spec.shape[:1] in ((None,), (1,)))
        for name, spec in zip(order, opened.inputs, strict=True)
    )


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


if __name__ == "__main__":
    sys.exit(main())
