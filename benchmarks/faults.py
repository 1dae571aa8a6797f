"""Mutation testing of the verdict: faults planted into good artifacts, and good artifacts without any.

    python benchmarks/faults.py [--only NAME...] [--target T]... [--fault F]... [--workers 2] [--report] [--redo]
                                [--folder build/faults] [--output docs/parity.md]

Every model of `faults_models` is exported by every route and quantized, and `edgekit check` judges all of these clean
artifacts: an alarm there is false. Then every fault of `faults_kinds` is planted into one artifact of each target, with
the digests of the kit made right, so that the verdict is tested and not the hash check. Whether a fault changes
anything is told by `faults_compare`, with bare engines on more samples than edgekit sees; which operator is to blame by
`faults_judge`, from the graph alone. What is done is not done again, so that a run can be stopped and resumed.
Exit status 1: a fault was missed, or an alarm false.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.coverage_cells import TARGETS, Store
from benchmarks.faults_check import check_clean, check_faults
from benchmarks.faults_kinds import FAULTS
from benchmarks.faults_kits import clean_kit, make_model
from benchmarks.faults_models import ARCHITECTURES, Architecture
from benchmarks.faults_report import section, write_into


def main() -> int:
    """Check what is not checked yet, then print the tables."""
    options = _options()
    store = Store(options.folder / "records.jsonl")
    if not options.report:
        chosen = [one for one in ARCHITECTURES if not options.only or one.name in options.only]
        with ThreadPoolExecutor(options.workers) as pool:
            made = [pool.submit(_make, one, options) for one in chosen]
            parts = [
                part
                for one, kit in zip(chosen, made, strict=True)
                for part in _parts(one, kit.result(), store, options)
            ]
            broken = [
                error for done in [pool.submit(part) for part in parts] if (error := done.exception()) is not None
            ]
        for error in broken:  # all the others are done first
            traceback.print_exception(error)
    text, good = section(store.records)
    print(text)
    if options.output is not None:
        write_into(options.output, text)
    return int(not good)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mutation testing of the verdict.")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in ARCHITECTURES], help="models (default: all)")
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be repeated (default: all)")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="plant this again; may be repeated")
    parser.add_argument("--workers", type=int, default=2, help="checks side by side (default: 2)")
    parser.add_argument("--redo", action="store_true", help="check again what is done; kits stay as they are")
    parser.add_argument("--report", action="store_true", help="check nothing, print what there is")
    parser.add_argument("--folder", type=Path, default=Path("build/faults"), help="where kits and records lie")
    parser.add_argument("--output", type=Path, help="write the tables into this document, between its marks")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    options.targets = tuple(options.target or TARGETS)
    return options


def _make(chosen: Architecture, options: argparse.Namespace) -> Path | None:
    """The clean kit of a model; None where the model cannot be made."""
    folder: Path = options.folder / "models" / chosen.name
    started = time.monotonic()
    fault = make_model(chosen, folder)
    if fault is not None:
        _tell(chosen.name, fault)
        return None
    clean_kit(chosen, folder)
    _tell(chosen.name, f"made in {time.monotonic() - started:.0f} s")
    return folder


def _parts(
    chosen: Architecture, folder: Path | None, store: Store, options: argparse.Namespace
) -> list[Callable[[], None]]:
    """What is to be checked of one model."""
    if folder is None:
        return []
    parts: list[Callable[[], None]] = [partial(_clean, chosen, folder, store, options)]
    for target in options.targets:
        for precision in chosen.mutated:
            parts.append(partial(_faulty, chosen, target, precision, folder, store, options))
    return parts


def _clean(chosen: Architecture, folder: Path, store: Store, options: argparse.Namespace) -> None:
    part = f"clean|{chosen.name}"
    if options.fault or (part in store and not options.redo):
        return
    started = time.monotonic()
    for record in check_clean(chosen, folder):
        store.add(record)
    store.add({"key": part, "seconds": time.monotonic() - started})
    _tell(part, f"{time.monotonic() - started:.0f} s")


def _faulty(
    chosen: Architecture, target: str, precision: str, folder: Path, store: Store, options: argparse.Namespace
) -> None:
    part = f"faults|{chosen.name}|{target}|{precision}"
    if part in store and not options.redo and not options.fault:
        return
    started = time.monotonic()
    records = check_faults(chosen, target, precision, folder, options.fault or ())
    for record in records:
        store.add(record)
    if not options.fault:
        store.add({"key": part, "seconds": time.monotonic() - started})
    _tell(part, f"{len(records)} in {time.monotonic() - started:.0f} s")


def _tell(part: str, what: str) -> None:
    line = f"{time.strftime('%H:%M:%S')} {part:44} {what}\n"
    print(line, end="", file=sys.stderr, flush=True)  # in one piece: several threads tell


if __name__ == "__main__":
    sys.exit(main())
