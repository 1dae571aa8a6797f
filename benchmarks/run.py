"""All benchmarks, as the document `docs/benchmarks.md`. ``make bench`` runs this.

    python benchmarks/run.py [--quick] [--output docs/benchmarks.md]

``--quick`` shows in about two minutes that everything works; its figures come from too few runs to be quoted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

_TITLE = """# Benchmarks

Measured on real libraries by `make bench`; every table says when, where and how. Other machines give other figures:
what should hold anywhere are the ratios.
"""

_PIPELINE = """
## The whole path against the raw libraries

`edgekit run` on the digits model of the demo (three targets, int8 of each, checked and timed), against
[raw_pipeline.py](../benchmarks/raw_pipeline.py): one script, one process, the same routes, the same calls, the same
calibration images, one pass of each artifact over the held-out images, and the same openings and timed seconds.
edgekit runs each step in a process of its own and compares more: two batch sizes, golden and evaluation samples, the
noise floor of the source. They take turns, each in fresh processes with an empty home folder. The last column says
how many of the machine's CPUs other programs kept busy during each of the two: only pairs with little there count.
"""

_STARTUP = """
## Start-up

Against an interpreter that imports what every command line built on Typer and Rich has to import; in turns.
"""


def main() -> int:
    """Run everything and print the document. Returns 1 when a benchmark found something wrong."""
    parser = argparse.ArgumentParser(description="Run all benchmarks.")
    parser.add_argument("--quick", action="store_true", help="one run of each, to see that it works")
    parser.add_argument("--output", type=Path, help="write the document here too")
    options = parser.parse_args()
    pairs, rounds = ("1", "3") if options.quick else ("3", "15")
    with tempfile.TemporaryDirectory(prefix="edgekit-benchmarks-") as folder:
        sections = [
            (_PIPELINE, "pipeline.py", ["--pairs", pairs]),
            (_STARTUP, "startup.py", ["--rounds", rounds]),
        ]
        document, failed = _TITLE, False
        print(document)
        for text, script, arguments in sections:
            print(text, flush=True)
            done = subprocess.run(
                [sys.executable, HERE / script, *arguments, "--folder", folder], stdout=subprocess.PIPE, text=True
            )
            print(done.stdout, flush=True)
            document += f"{text}\n{done.stdout}"
            failed |= done.returncode != 0
    if options.output is not None and not failed:
        options.output.write_text(document)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
