"""The tables of the fault benchmark, made of records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.coverage_cells import TARGETS, Record
from benchmarks.faults_kinds import FAULTS
from benchmarks.measuring import conditions, table

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"

#: What counts as caught, and as an alarm.
CAUGHT = ("failed", "error")

#: What `export` and `quantize` say of an artifact that ran and missed its criterion.
_REFUSED = ("failed", "rejected")

#: Characters of an operator's name that are shown.
_LONGEST = 60

#: Least share of culprits that are right.
LAYERS_RIGHT = 0.95

_TITLE = """
## How well faults are found

[benchmarks/faults.py](../benchmarks/faults.py) plants faults into good artifacts, with digests made right, and asks
`edgekit check` about them. Whether a fault changes an output is told by bare engines on 400 or more inputs, in float64:
by more than the outputs of the clean artifact move when its inputs move by one unit in the last place. The rest is
*equivalent*. The operator to blame is taken from the graph: the one that was changed, or what is fused with it. Checks
see what the kit keeps: 32 golden samples at most, and a few inputs at the edges.

"""

_LIBRARIES = ("keras", "torch", "jax", "openvino", "onnxruntime", "ai-edge-litert", "onnx")


def section(records: Iterable[Record]) -> tuple[str, bool]:
    """Everything, as Markdown, and whether every aim was met."""
    told = list(records)
    faults = [one for one in told if one.get("kind") == "fault" and "absent" not in one]
    clean = [one for one in told if one.get("kind") == "clean"]
    refused = [one for one in told if one.get("kind") == "refused" and one["outcome"] in _REFUSED]
    floats = [one for one in faults if one["precision"] == "fp32"]
    integers = [one for one in faults if one["precision"] != "fp32"]
    parts = [_TITLE, conditions(_LIBRARIES, "python benchmarks/faults.py --output docs/parity.md"), "\n\n"]
    parts += [_summary(floats, integers, clean), "\n\n### fp32 artifacts\n\n", _faults(floats)]
    parts += [
        "\n",
        _note(floats),
        "\n### int8 artifacts\n\n",
        _INTEGER_NOTE,
        _faults(integers),
        "\n\n### Clean artifacts\n\n",
    ]
    parts += [_clean(clean), "\n\n", _weak(clean), _not_kept(refused)]
    parts += ["\n### What went wrong\n\n", _wrong(faults, clean)]
    missed = [one for one in floats if one["changes"] and not is_caught(one)]
    shown = [one for one in floats if "right" in one and one["changes"] and is_caught(one)]
    right = _right(shown) >= LAYERS_RIGHT * len(shown)
    return "".join(parts).strip() + "\n", not missed and right and not any(map(_is_alarm, clean))


def write_into(document: Path, text: str) -> None:
    """Put the section between its marks, at the end where there are none."""
    whole = document.read_text()
    if BEGIN not in whole:
        whole = f"{whole.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = whole.partition(BEGIN)
    document.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}")


def is_caught(record: Record) -> bool:
    """Whether a check says that something is wrong: on the golden samples, or on data where these are too few.

    A batch that was fixed is no failure, but has to be told.
    """
    if record.get("narrower") and record["verdict"] not in CAUGHT:
        return any("batch fixed" in reason for reason in record["reasons"])
    return record["verdict"] in CAUGHT or record.get("with_data") in CAUGHT


def _is_alarm(record: Record) -> bool:
    return record["verdict"] in CAUGHT


_INTEGER_NOTE = """An int8 artifact may differ from its source by what its criterion promises (20 dB, agreement).
A fault that is smaller is within that, and not caught.

"""


def _summary(floats: Sequence[Record], integers: Sequence[Record], clean: Sequence[Record]) -> str:
    real, low = ([one for one in found if one["changes"]] for found in (floats, integers))
    layers, low_layers = ([one for one in found if "right" in one and is_caught(one)] for found in (real, low))
    models = {one["model"] for one in [*floats, *integers]}
    rows = [
        ("mutants, models", f"{len(floats) + len(integers)}, {len(models)}"),
        ("fp32 mutants that change an output", f"{len(real)} of {len(floats)}"),
        ("of these, caught", _share(sum(map(is_caught, real)), len(real))),
        ("culprit right, of those in one layer", _share(_right(layers), len(layers))),
        ("smallest part saved, of these", _share(sum(bool(one["saved"]) for one in layers), len(layers))),
        ("int8 mutants that change an output, caught", _share(sum(map(is_caught, low)), len(low))),
        ("culprit right, of those in one layer", _share(_right(low_layers), len(low_layers))),
        ("clean artifacts, false alarms", f"{len(clean)}, {sum(map(_is_alarm, clean))}"),
    ]
    return table(["Figure", "Value"], rows)


def _right(records: Sequence[Record]) -> int:
    return sum(bool(one["right"]) for one in records)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({part / whole:.1%})" if whole else "")


def _faults(records: Sequence[Record]) -> str:
    rows = []
    for fault in FAULTS:
        found = [one for one in records if one["fault"] == fault]
        if not found:
            continue
        real = [one for one in found if one["changes"]]
        layers = [one for one in real if "right" in one and is_caught(one)]
        cells = [_caught([one for one in real if one["target"] == target]) for target in TARGETS]
        right = f"{_right(layers)}/{len(layers)}" if layers else "·"
        rows.append((fault, str(len(found)), str(len(found) - len(real)), *cells, right))
    return table(["Fault", "Made", "Equivalent", *(f"Caught, {target}" for target in TARGETS), "Culprit right"], rows)


def _note(records: Sequence[Record]) -> str:
    rare = [one for one in records if "with_data" in one]
    golden = sum(one["verdict"] in CAUGHT for one in rare)
    return f"""
A batch that is fixed to 1 counts as caught where the check reports it: it is no failure. What one input in 100 shows is
seldom among 32: golden samples alone found {golden} of {len(rare)}; it counts as caught where a check with `--data` of
all inputs fails.
"""


def _equivalent(records: Sequence[Record]) -> str:
    found = [f"{_place(one)} (`{_short(one['operator'])}`)" for one in records if not one["changes"]]
    return f"\nEquivalent: {'; '.join(found)}.\n" if found else ""


def _caught(real: Sequence[Record]) -> str:
    return f"{sum(map(is_caught, real))}/{len(real)}" if real else "·"


def _clean(records: Sequence[Record]) -> str:
    rows = []
    for precision in dict.fromkeys(one["precision"] for one in records):
        found = [one for one in records if one["precision"] == precision]
        counts = Counter(one["verdict"] for one in found)
        alarms = sum(map(_is_alarm, found))
        several = (str(sum(one["target"] == target for one in found)) for target in TARGETS)
        rows.append((precision, *several, str(counts["verified"]), str(counts["weak"]), str(alarms)))
    return table(["Precision", *TARGETS, "Verified", "Weak", "False alarms"], rows)


def _weak(records: Sequence[Record]) -> str:
    reasons = Counter(reason for one in records if one["verdict"] == "weak" for reason in map(_general, one["reasons"]))
    if not reasons:
        return ""
    lines = [f"- {reason} ({count} times)\n" for reason, count in reasons.most_common(6)]
    return "Why they are weak, most often:\n\n" + "".join(lines)


def _not_kept(records: Sequence[Record]) -> str:
    """Artifacts that never came into a kit, since they missed their criterion when they were made."""
    if not records:
        return ""
    head = "\nNot among them, since `export` or `quantize` refused them when they were made, for their figures:\n\n"
    return head + "".join(
        f"- {one['model']}, {one.get('route') or one['target'] + ' ' + one['precision']}: {one['reason']}\n"
        for one in records
    )


def _general(reason: str) -> str:
    """A reason without the figures of one artifact."""
    text = reason.partition(": ")[2] if reason.startswith("output ") else reason
    return "top-1 agreement is not shown to be high enough" if text.startswith("top-1") else text.rstrip(".")


def _wrong(faults: Sequence[Record], clean: Sequence[Record]) -> str:
    lines = []
    missed = [one for one in faults if one["changes"] and not is_caught(one)]
    for one in missed:
        if one["precision"] == "fp32":
            lines.append(
                f"- not caught, {one['verdict']}: {_place(one)} (`{_short(one['operator'])}`): {_size([one])}\n"
            )
    for fault in dict.fromkeys(one["fault"] for one in missed if one["precision"] != "fp32"):
        low = [one for one in missed if one["fault"] == fault and one["precision"] != "fp32"]
        lines.append(f"- not caught in int8, within the promise: {fault}, {len(low)} times: {_size(low)}\n")
    for one in faults:
        if one["changes"] and is_caught(one) and one.get("right") is False:
            changed, named = _short(one["operator"]), _short(str(one["culprit"]))
            lines.append(f"- wrong culprit: {_place(one)}: `{changed}` was changed, named is `{named}`\n")
    for one in filter(_is_alarm, clean):
        lines.append(f"- false alarm: {one['model']}, {one['route']}, {one['precision']}: {' '.join(one['reasons'])}\n")
    return "".join(lines) or "Nothing.\n"


def _place(record: Record) -> str:
    return f"{record['model']}, {record['target']} {record['precision']}, {record['fault']}"


def _size(records: Sequence[Record]) -> str:
    """How much the outputs moved, beside the clean artifact's."""
    known = sorted(one["sqnr_db"] for one in records if one.get("sqnr_db") is not None)
    if not known:
        return "its outputs cannot be put beside the clean ones"
    span = f"{known[0]:g} dB" if known[0] == known[-1] else f"{known[0]:g} to {known[-1]:g} dB"
    most = max(one["share"] for one in records)
    return f"{span} beside the clean artifact, at most {most:.2g} of the output's deviation"


def _short(name: str) -> str:
    """A name of TFLite may be that of everything that was fused into it."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
