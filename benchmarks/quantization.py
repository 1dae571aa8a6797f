"""What quantization does to trained models: edgekit beside each library's own default call.

    python benchmarks/quantization.py [--only MODEL...] [--target T]... [--precision P]... [--seeds 3]
                                      [--tensorflow PYTHON] [--workers 1] [--skip-speed] [--report]
                                      [--redo edgekit|stock|speed|all] [--folder build/quantization]
                                      [--output docs/quantization-table.md]

Trains five small models on scikit-learn's bundled data, exports them, and quantizes each artifact to every precision
of its target. Every file is run on its engine, in a process of its own, on samples that took no part in any choice.
A cell that is done is not measured again, so that a run can be stopped and resumed; ``--redo`` measures again what
edgekit makes, or the libraries, or only the timings, which follow in each case; never the training.
``--tensorflow`` names an interpreter that has TensorFlow; without it TFLiteConverter is left out, and the document
says so. Timings want a machine with nothing else to do.
Exit status 1: an aim is not met.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.coverage_cells import TARGETS, Record, Store
from benchmarks.quantization_cells import PRECISIONS, Model, by_edgekit, by_stock, float_cells, prepare
from benchmarks.quantization_models import ALL, SPOILED, UNTRAINED
from benchmarks.quantization_report import document
from benchmarks.quantization_speed import LARGE, SETTINGS, cost, timed
from benchmarks.quantization_stock import CALLS
from benchmarks.quantization_tensorflow import CELL as TENSORFLOW_CELL
from edgekit.quantizer.registry import METHODS

#: Quantizations of the fixed recipe by each of the two ways.
ROUNDS = {"conv": 5, "resnet50": 2}


def main() -> int:
    """Measure what is not measured yet, then print the document. Returns 1 when an aim is not met."""
    options = _options()
    store = Store(options.folder / "records.jsonl")
    names = [name for name in ALL if not options.only or name in options.only]
    if not options.report:
        _quality(names, store, options)
        if not options.skip_speed:
            _speed(names, store, options)
    text, met = document(store.records)
    print(text)
    if options.output is not None:
        options.output.write_text(text)
    return int(not met)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quantization of trained models.")
    parser.add_argument("--only", nargs="+", choices=list(ALL), help="models (default: all)")
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be repeated (default: all)")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="may be repeated (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each model, for int8 (default: 3)")
    parser.add_argument("--workers", type=int, default=1, help="models quantized side by side (default: 1)")
    parser.add_argument("--tensorflow", type=Path, help="an interpreter with TensorFlow, for TFLiteConverter")
    parser.add_argument("--skip-speed", action="store_true", help="time nothing")
    parser.add_argument("--redo", choices=("edgekit", "stock", "speed", "all"), help="measure these again")
    parser.add_argument("--report", action="store_true", help="measure nothing, print what there is")
    parser.add_argument("--folder", type=Path, default=Path("build/quantization"), help="where everything lies")
    parser.add_argument("--output", type=Path, help="write the document here too")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    options.targets = tuple(options.target or TARGETS)
    options.precisions = tuple(options.precision or PRECISIONS)
    return options


def _quality(names: list[str], store: Store, options: argparse.Namespace) -> None:
    models = [
        Model(name, seed, options.folder / f"{name}-{seed}")
        for name in names
        if name not in UNTRAINED
        for seed in range(1 if name in SPOILED else options.seeds)
    ]
    with ThreadPoolExecutor(options.workers) as pool:
        for run in [pool.submit(_judge, model, store, options) for model in models]:
            run.result()


def _judge(model: Model, store: Store, options: argparse.Namespace) -> None:
    """Every cell of one trained model that is not there yet."""
    fault = prepare(model)
    if fault is not None:
        _tell(f"{model.name}|{model.seed}", fault)
        return
    if model.key(TARGETS[0], "fp32", "edgekit") not in store:
        _keep(store, *float_cells(model))
    for target in options.targets:
        asked = [("int8",)] if model.name in SPOILED else [("int8",), _others(target)]
        for precisions in asked:
            wanted = tuple(
                one
                for one in precisions
                if one in _precisions(model, options)
                and (options.redo in ("edgekit", "all") or model.key(target, one, "edgekit") not in store)
            )
            if wanted:
                _keep(store, *by_edgekit(model, target, wanted))
        cells = _stock_cells(model, target, store, options)
        if cells:
            _keep(store, *by_stock(model, target, cells, options.tensorflow))


def _precisions(model: Model, options: argparse.Namespace) -> tuple[str, ...]:
    """What to make: int8 of every training, the others of the first."""
    return tuple(one for one in options.precisions if model.seed == 0 or one == "int8")


def _others(target: str) -> tuple[str, ...]:
    """Precisions of a target besides int8, which has a command of its own: its time is looked at."""
    offered = {row.precision for row in METHODS if row.format == target}
    return tuple(one for one in PRECISIONS if one in offered and one != "int8")


def _stock_cells(model: Model, target: str, store: Store, options: argparse.Namespace) -> tuple[str, ...]:
    cells = [cell for cell in CALLS[target] if model.name not in SPOILED or cell.startswith("int8/")]
    if target == "tflite" and options.tensorflow is not None:
        cells.append(TENSORFLOW_CELL)
    again = options.redo in ("stock", "all")
    wanted = [cell for cell in cells if cell.split("/")[0] in _precisions(model, options)]
    return tuple(cell for cell in wanted if again or model.key(target, *cell.split("/")) not in store)


def _speed(names: list[str], store: Store, options: argparse.Namespace) -> None:
    """Timings of the first training of each model, one after another: they need the machine for themselves."""
    again = options.redo is not None  # what was timed before is not what there is now
    for name in names:
        model = Model(name, 0, options.folder / f"{name}-0")
        if name in SPOILED:
            continue
        fault = prepare(model)
        if fault is not None:
            _tell(f"{name}|0", fault)
            continue
        for target in options.targets:
            base = model.fp32(target)
            if base is None:
                continue
            if name in ROUNDS and (again or f"{name}|0|{target}|cost" not in store):
                _keep(store, cost(model, target, ROUNDS[name]))
            if again or f"{name}|0|{target}|speed" not in store:
                files = {"fp32": base} | _files(model, target, store)
                _keep(store, timed(model, target, files, LARGE if name in UNTRAINED else SETTINGS))


def _files(model: Model, target: str, store: Store) -> dict[str, Path]:
    """What there is to time: all that edgekit made, int8 of the libraries, and of a large model the fixed recipe's."""
    if model.name in UNTRAINED:
        made: Record = store.get(f"{model.name}|0|{target}|cost")
        return {"int8/edgekit": Path(made["edgekit_path"])} if "edgekit_path" in made else {}
    found = [record for record in store.records if record.get("model") == model.name and record.get("seed") == 0]
    return {
        f"{record['precision']}/{record['way']}": Path(record["path"])
        for record in found
        if record["target"] == target
        and record["precision"] != "fp32"
        and "sqnr_db" in record
        and (record["way"] == "edgekit" or record["precision"] == "int8")
    }


def _keep(store: Store, *records: Record) -> None:
    for record in records:
        store.add(record)
        _tell(record["key"], str(record.get("sqnr_db", record.get("reason") or record.get("fault") or "done")))


def _tell(key: str, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {key:60} {what[:150]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
