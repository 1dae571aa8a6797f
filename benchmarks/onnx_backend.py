"""The tests that ONNX ships for its backends, through edgekit's adapters and through the engines' own backends.

    python benchmarks/onnx_backend.py [--engine onnxruntime] [--only REGEX] [--write]

Every case is a model of one operator, or a small network, with inputs and the outputs that ONNX expects of it. Each
runs twice on an engine: through edgekit's adapter, and as the engine's makers run it (``onnxruntime.backend``; for
OpenVINO ``read_model`` and ``compile_model``, as in its own tests of its ONNX reader). The comparison and its
tolerances are onnx's own. One process per engine; it leaves a line per case in ``build/onnx-backend/``, goes on where
it was stopped, and a case that kills it counts as crashed. ``--write`` renews the lists in ``tests/peers/``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import unittest
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "build" / "onnx-backend"
LISTS = ROOT / "tests" / "peers"

ENGINES = ("onnxruntime", "openvino")

#: Through the adapter, and as the engine's makers do.
OURS, OWN = "edgekit", "own"


@dataclass(frozen=True)
class Record:
    """One case in one way.

    Attributes:
        case: name in onnx's suite.
        way: `OURS` or `OWN`.
        outcome: ``passed``, ``failed``, ``refused``, ``skipped``, ``crashed``, or ``started`` for one that has no
            outcome yet. Refused is what the adapter does not offer: see `REFUSED`.
        reason: first line of the error.
    """

    case: str
    way: str
    outcome: str
    reason: str = ""


#: Numbers that numpy has no type for are refused, and by OpenVINO's adapter text and lists of arrays too. (Text, lists
#: and what may be missing go through onnxruntime's adapter, see ``OpenOptions.any_values``; a check refuses them.)
REFUSED = re.compile(r"holds (tensor\((string|bfloat16|u?int[24]|float[48]\w*)\)|string|bf16|seq\(|optional\()")


class Adapter:
    """A backend as onnx's runner wants it: a model goes to a file, and the file through an edgekit adapter.

    Args:
        engine: name of the runtime.
        folder: for the files.
    """

    def __init__(self, engine: str, folder: Path) -> None:
        self._engine, self._folder = engine, folder

    def supports_device(self, device: str) -> bool:
        return device == "CPU"

    def prepare(self, model: Any, device: str, **_: Any) -> _Prepared:
        import onnx

        from edgekit.runtimes import RUNTIMES, OpenOptions

        path = self._folder / "model.onnx"
        onnx.save(model, str(path))
        constants = {tensor.name for tensor in model.graph.initializer}
        names = [given.name for given in model.graph.input if given.name not in constants]
        return _Prepared(RUNTIMES[self._engine].load()().open(path, OpenOptions(any_values=True)), names)


class _Prepared:
    """A session that takes arrays by place; those for inputs that the engine removed, since unused, are dropped."""

    def __init__(self, session: Any, names: Sequence[str]) -> None:
        self._session, self._names = session, names

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        given = dict(zip(self._names, inputs, strict=False))  # optional inputs at the end may be left out
        with self._session as session:
            wanted = [spec.name for spec in session.signature.inputs]
            if len(wanted) == len(given):  # OpenVINO gives an input that is an output too the name of the output
                given = dict(zip(wanted, given.values(), strict=True))
            return list(session.run({name: given[name] for name in wanted}).values())


class OpenVinoOwn:
    """OpenVINO as its makers test its ONNX reader: read, compile in f32, infer."""

    def supports_device(self, device: str) -> bool:
        return device == "CPU"

    def prepare(self, model: Any, device: str, **_: Any) -> OpenVinoOwn:
        import openvino

        core = openvino.Core()
        self._compiled = core.compile_model(
            core.read_model(model.SerializeToString(), b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        return self

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        found = self._compiled(list(inputs))
        return [found[output] for output in self._compiled.outputs]


def own(engine: str) -> Any:
    """The engine's own backend."""
    if engine == "openvino":
        return OpenVinoOwn()
    import onnxruntime.backend.backend

    return onnxruntime.backend.backend.OnnxRuntimeBackend


def cases(backend: Any, only: str) -> Iterator[tuple[str, unittest.TestCase]]:
    """Node tests and small models on the CPU, by name."""
    from onnx.backend.test.runner import Runner

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx makes its data by overflowing casts
        runner = Runner(backend, __name__)
    wanted = ("OnnxBackendNodeModelTest", "OnnxBackendSimpleModelTest")
    for group in wanted:
        kind = runner.test_cases[group]
        for name in unittest.TestLoader().getTestCaseNames(kind):
            case = name.removesuffix("_cpu")
            if case != name and re.search(only, case):
                yield case, kind(name)


def outcome_of(case: str, way: str, test: unittest.TestCase) -> Record:
    """Run one case."""
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test.run(result)
    if result.skipped:
        return Record(case, way, "skipped", result.skipped[0][1])
    wrong = [*result.errors, *result.failures]
    return Record(case, way, "failed", _first_line(wrong[0][1])) if wrong else Record(case, way, "passed")


def _first_line(trace: str) -> str:
    """The error's own line: the last one that begins as an error does."""
    lines = [line for line in trace.splitlines() if re.match(r"[\w.]+: ", line)]
    return " ".join((lines[-1] if lines else trace.strip().splitlines()[-1]).split())


def work(engine: str, only: str, file: Path) -> None:
    """Run what has no record yet; each line is on disk before the case starts."""
    os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"  # else onnxruntime.backend skips what it could try
    done = {(record.case, record.way) for record in read(file)}
    with TemporaryDirectory() as folder, file.open("a") as out:
        for way, backend in ((OURS, Adapter(engine, Path(folder))), (OWN, own(engine))):
            for case, test in cases(backend, only):
                if (case, way) in done:
                    continue
                for record in (Record(case, way, "started"), None):
                    out.write(json.dumps(asdict(record or outcome_of(case, way, test))) + "\n")
                    out.flush()


def read(file: Path) -> list[Record]:
    """The last record of every case; one that was started and never ended has crashed."""
    found: dict[tuple[str, str], Record] = {}
    for line in file.read_text().splitlines() if file.is_file() else ():
        record = Record(**json.loads(line))
        found[record.case, record.way] = record
    return [_judged(record) for record in found.values()]


def _judged(record: Record) -> Record:
    if record.outcome == "started":
        return replace(record, outcome="crashed", reason="the process died")
    refused = record.way == OURS and record.outcome == "failed" and REFUSED.search(record.reason)
    return replace(record, outcome="refused" if refused else record.outcome, reason=record.reason[:160])


def run(engine: str, only: str, file: Path) -> list[Record]:
    """Every record of an engine, by as many processes as it takes: each crash ends one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        before = len(read(file))
        command = [sys.executable, str(Path(__file__)), "--work", str(file), "--engine", engine, "--only", only]
        with file.with_suffix(".log").open("ab") as log:
            code = subprocess.run(command, stdout=log, stderr=log, check=False, cwd=ROOT).returncode
        found = read(file)
        if code == 0:
            return found
        if len(found) == before:
            raise SystemExit(f"{engine} gets nowhere: see {file.with_suffix('.log')}")


def failing(records: Sequence[Record], way: str) -> dict[str, Record]:
    """Cases that did not pass, by name."""
    return {
        one.case: one for one in sorted(records, key=lambda one: one.case) if one.way == way and one.outcome != "passed"
    }


def worse(ours: Mapping[str, Record], theirs: Mapping[str, Record]) -> list[str]:
    """Cases that only edgekit does not pass, those left out that it does not offer."""
    return sorted(case for case, one in ours.items() if case not in theirs and one.outcome != "refused")


def listed(engine: str, records: Sequence[Record]) -> str:
    """The list of an engine: totals, then every case that either way does not pass."""
    ours, theirs = failing(records, OURS), failing(records, OWN)
    total = len({one.case for one in records})
    lines = [
        f"# ONNX backend tests of onnx {metadata.version('onnx')} on {engine} {metadata.version(engine)}",
        f"# {total} cases. Not passed through edgekit: {len(ours)}; through the engine's own backend: {len(theirs)}.",
        f"# Refused by edgekit: {_refusals(ours)}: types that numpy lacks, and on OpenVINO text and lists of arrays.",
        "# Made by: python benchmarks/onnx_backend.py --write",
        "",
    ]
    for case in sorted({*ours, *theirs}):
        words = [
            f"{way}={found[case].outcome if case in found else 'passed'}"
            for way, found in ((OURS, ours), (OWN, theirs))
        ]
        reason = (ours.get(case) or theirs[case]).reason
        lines.append(f"{case}  {' '.join(words)}  {reason}".rstrip())
    return "\n".join(lines) + "\n"


def _refusals(found: Mapping[str, Record]) -> int:
    return sum(one.outcome == "refused" for one in found.values())


def read_list(path: Path) -> Mapping[str, tuple[str, str]]:
    """Outcomes of the two ways by case, from a list that `listed` made."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(rf"(?P<case>\w+)  {OURS}=(?P<ours>\w+) {OWN}=(?P<own>\w+)", line)
        if match:
            found[match["case"]] = match["ours"], match["own"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="ONNX's backend tests through edgekit and through the engines alone.")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: both")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name this is found in")
    parser.add_argument("--write", action="store_true", help="renew the lists in tests/peers")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.engine[0], options.only, options.work)
        return
    fallen = False
    for engine in options.engine or ENGINES:
        versions = f"onnx-{metadata.version('onnx')}-{metadata.version(engine)}"
        records = run(engine, options.only, RECORDS / f"{engine}-{versions}.jsonl")
        records = [one for one in records if re.search(options.only, one.case)]
        ours, theirs = failing(records, OURS), failing(records, OWN)
        print(
            f"{engine}: not passed {len(ours)} through edgekit, {_refusals(ours)} of them refused, "
            f"and {len(theirs)} through its own backend"
        )
        for case in worse(ours, theirs):
            fallen = True
            print(f"  only through edgekit: {case}: {ours[case].reason}")
        if options.write:
            LISTS.mkdir(parents=True, exist_ok=True)
            (LISTS / f"onnx_backend_{engine}.txt").write_text(listed(engine, records), encoding="utf-8")
    sys.exit(1 if fallen else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
