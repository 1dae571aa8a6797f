"""How many models reach each target: edgekit against each converter alone, both checked by running the result.

    python benchmarks/coverage.py [--only PATTERN...] [--backend B]... [--workers 2] [--all-routes] [--redo]
                                  [--records FILE] [--output docs/coverage.md]

Every model of `benchmarks/zoo`, from every Keras backend or its own framework, to every target. A cell that is done
is not measured again, so that a run can be stopped and resumed, and several runs, under several interpreters, add to
one file. keras-hub is installed with ``pip install --no-deps keras-hub``; what is not installed is listed as such.
Exit status 1: an artifact with a good verdict does not hold.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.coverage_cells import (
    BACKENDS,
    FILES,
    TARGETS,
    Record,
    Store,
    by_edgekit,
    by_stock,
    key_of,
    missing,
    prepare,
    starts,
)
from benchmarks.coverage_report import document
from benchmarks.zoo.registry import MODELS, ZooModel


def main() -> int:
    """Measure what is not measured yet, then print the document. Returns 1 when a good verdict does not hold."""
    options = _options()
    store = Store(options.records)
    models = [zoo for zoo in MODELS if any(fnmatch(zoo.name, part) or zoo.family == part for part in options.only)]
    backends = tuple(options.backend or BACKENDS)
    if not options.report:
        with ThreadPoolExecutor(options.workers) as pool:
            runs = [pool.submit(_measure, zoo, backends, store, options) for zoo in models]
            for run in runs:
                run.result()
    speed = options.folder / "speed.md"
    text = document(store.records, _absent(store), speed.read_text() if speed.is_file() else "")
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text)
    return int(any(record.get("status") == "wrong" and record["way"] != "stock" for record in store.records))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Coverage of the export.")
    parser.add_argument("--only", nargs="+", default=["*"], help="names or families, such as 'keras-*' (default: all)")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="Keras backend; may be repeated")
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be repeated (default: all)")
    parser.add_argument("--workers", type=int, default=2, help="models measured side by side (default: 2)")
    parser.add_argument("--all-routes", action="store_true", help="force each route of each cell too")
    parser.add_argument("--redo", action="store_true", help="measure again what is done")
    parser.add_argument("--report", action="store_true", help="measure nothing, print what there is")
    parser.add_argument("--folder", type=Path, default=Path("build/coverage"), help="where models and records lie")
    parser.add_argument("--records", type=Path, help="file of records (default: FOLDER/records.jsonl)")
    parser.add_argument("--output", type=Path, help="write the document here too")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    options.records = options.records or options.folder / "records.jsonl"
    options.targets = tuple(options.target or TARGETS)
    return options


def _measure(zoo: ZooModel, backends: tuple[str, ...], store: Store, options: argparse.Namespace) -> None:
    """Every cell of one model."""
    source = options.folder / "models" / zoo.name
    if options.redo:
        shutil.rmtree(source, ignore_errors=True)
    for start in starts(zoo, backends):
        lacking = missing(zoo, start)
        wanted = [key for key in _keys(zoo, start, store, options) if options.redo or key not in store]
        if not wanted:
            continue
        fault = (lacking and f"{lacking} is not installed") or prepare(zoo, source) or _no_file(start, source)
        if fault:
            for key in wanted:
                _tell(key, "not installed" if lacking else "no source", 0.0)
                if not lacking:  # what is missing here may be there in another interpreter's run
                    store.add(_no_source(zoo, key, fault))
            continue
        _fill(zoo, start, wanted, source, store)


def _keys(zoo: ZooModel, start: str, store: Store, options: argparse.Namespace) -> list[str]:
    found = [key_of(zoo, start, target, way) for target in options.targets for way in ("edgekit", "stock")]
    if options.all_routes:
        found += [
            key_of(zoo, start, target, f"route:{route}")
            for target in options.targets
            for route in _routes(start, target)
            if route not in _attempted(store, zoo, start, target)
        ]
    return found


def _absent(store: Store) -> list[tuple[str, str, str]]:
    """Model, start and reason of what no record tells about."""
    known = {(record["model"], record["start"]) for record in store.records}
    cells = [(zoo, start) for zoo in MODELS for start in starts(zoo, BACKENDS) if (zoo.name, start) not in known]
    lacking = [(zoo, start, missing(zoo, start)) for zoo, start in cells]
    return [(zoo.name, start, f"{why} is not installed" if why else "not yet") for zoo, start, why in lacking]


def _attempted(store: Store, zoo: ZooModel, start: str, target: str) -> set[str]:
    """Routes that edgekit tried on its own: they need not be forced."""
    record = store.get(key_of(zoo, start, target, "edgekit"))
    return {attempt["route"] for attempt in record.get("attempts", ()) if attempt["outcome"] != "missing"}


def _routes(start: str, target: str) -> list[str]:
    """Names of the routes that lead from a start to a target."""
    from edgekit.errors import UsageError
    from edgekit.exporter.graph import routes

    try:
        found = routes(start.partition("@")[0], target, backend=start.partition("@")[2] or "auto")
    except UsageError:
        return []
    return [route.name for route in found]


def _fill(zoo: ZooModel, start: str, wanted: list[str], source: Path, store: Store) -> None:
    """Measure cells of one model from one start."""
    parts = [key.split("|") for key in wanted]
    by_default = tuple(target for _, _, target, way in parts if way == "edgekit")
    if by_default:
        for record in by_edgekit(zoo, start, by_default, source, None):
            store.add(record)
            _tell(record["key"], record["status"], record.get("seconds", 0.0))
    for _, _, target, way in parts:
        if way == "stock":
            record = by_stock(zoo, start, target, source)
        elif way.startswith("route:"):
            (record,) = by_edgekit(zoo, start, (target,), source, way.removeprefix("route:"))
        else:
            continue
        store.add(record)
        _tell(record["key"], record["status"], record.get("seconds", 0.0))


def _no_file(start: str, source: Path) -> str | None:
    if start not in FILES or (source / FILES[start]).is_file():
        return None
    return f"{start}: no converter has written such a file of this model"


def _no_source(zoo: ZooModel, key: str, fault: str) -> Record:
    _, start, target, way = key.split("|")
    cell = {"key": key, "model": zoo.name, "family": zoo.family, "start": start, "target": target, "way": way}
    return cell | {"status": "no source", "reason": fault}


_printing = threading.Lock()


def _tell(key: str, status: str, seconds: float) -> None:
    with _printing:
        print(f"{time.strftime('%H:%M:%S')} {key:60} {status} {seconds:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
