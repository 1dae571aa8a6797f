"""How true edgekit's timings are: beside other tools, over repeats, and in comparisons. ``make fidelity`` runs this.

    python benchmarks/fidelity.py [--part a|b|c|d] [--trials N] [--output docs/latency.md]

(a) p50 beside benchmark_app and beside the leanest loops; (b) repeats of one measurement; (c) comparisons of ONNX
Runtime with itself and with a runtime that is slower by 5 and 10 %; (d) seconds to a converged result. The table of a
part is kept in ``build/fidelity``; ``--output`` writes all that are there between the two marks of a document. Needs a
machine that does nothing else: each table says how busy others were.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.fidelity_others import beside_others
from benchmarks.fidelity_parts import comparisons, convergence, repeats
from benchmarks.fidelity_setup import Setup, setup
from benchmarks.measuring import conditions, foreign_cpu_s, write_between

BEGIN, END = "<!-- fidelity: begin -->", "<!-- fidelity: end -->"

#: By name: its title, what it runs, how often by default.
PARTS: Mapping[str, tuple[str, Callable[[Setup, int], str], int]] = {
    "a": ("Beside other tools", beside_others, 10),
    "b": ("The same again", repeats, 10),
    "c": ("Differences that are there, and that are not", comparisons, 50),
    "d": ("Time to a result", convergence, 5),
}

_LIBRARIES = ("onnxruntime", "openvino", "ai-edge-litert", "numpy")


def main() -> int:
    """Run parts, print their tables and write the document."""
    parser = argparse.ArgumentParser(description="How true edgekit's timings are.")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one; may be repeated")
    parser.add_argument("--trials", type=int, help="rounds, repeats or trials of each row")
    parser.add_argument("--folder", type=Path, default=Path("build/fidelity"), help="keeps models and tables")
    parser.add_argument("--output", type=Path, help="document to write the tables into")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with setup(options.folder.resolve()) as ready:
        for part in options.part or PARTS:
            text = _run(part, ready, options.trials)
            print(text, flush=True)
            (options.folder / f"{part}.md").write_text(text)
    if options.output is not None:
        written = [options.folder / f"{part}.md" for part in PARTS]
        text = "\n".join(path.read_text() for path in written if path.exists())
        write_between(options.output, BEGIN, END, text)
    return 0


def _run(part: str, ready: Setup, trials: int | None) -> str:
    """A section with its table, and where and how it was measured."""
    title, measure, usual = PARTS[part]
    count = usual if trials is None else trials
    others, started = foreign_cpu_s(), time.perf_counter()
    body = measure(ready, count)
    seconds = time.perf_counter() - started
    command = f"python benchmarks/fidelity.py --part {part} --trials {count}"
    busy = f"Other programs kept {max(0.0, foreign_cpu_s() - others) / seconds:.2f} CPUs busy."
    return f"### {title}\n\n{body}\n\n{conditions(_LIBRARIES, command)} {seconds / 60:.0f} minutes. {busy}\n\n"


if __name__ == "__main__":
    sys.exit(main())
