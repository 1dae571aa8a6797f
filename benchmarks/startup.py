"""How long the command line takes before it works, and how long when there is nothing to do.

    python benchmarks/startup.py [--rounds 15] [--folder FOLDER]

``edgekit --help`` and ``edgekit --version`` take turns with an interpreter that only imports Typer and Rich, which
every command line built on them has to do. FOLDER may hold the data and the kit of `pipeline.py`; else both are made
here. The second ``edgekit run`` with nothing changed returns the stored result.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measuring import conditions, run, table

ROOT = Path(__file__).resolve().parents[1]

#: Largest accepted share of the time that importing Typer and Rich takes.
TARGET_RATIO = 1.6

#: Seconds that an unchanged run may take.
TARGET_REPEAT_S = 2.0


def main() -> int:
    """Print the tables. Returns 1 when the repeated run was not answered from the stored result."""
    parser = argparse.ArgumentParser(description="Start-up of the command line, and a run with nothing to do.")
    parser.add_argument("--rounds", type=int, default=15, help="starts of each command (default: 15)")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    options = parser.parse_args()
    script = Path(sys.executable).with_name("edgekit")
    baseline = "python -c 'import typer, rich'"
    commands: dict[str, list[str | Path]] = {
        baseline: [sys.executable, "-c", "import typer, rich"],
        "edgekit --version": [script, "--version"],
        "edgekit --help": [script, "--help"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds + 1):
        for name, command in commands.items():
            seconds[name].append(run(command).seconds)
    warm = {name: taken[1:] for name, taken in seconds.items()}  # the first round reads the files from disk
    rows = [
        [
            f"`{name}`",
            *(f"{figure * 1e3:.0f}" for figure in (median(taken), min(taken), max(taken))),
            "" if name == baseline else f"{median(taken) / median(warm[baseline]):.2f}",
        ]
        for name, taken in warm.items()
    ]
    print(f"{conditions(('typer', 'rich'), f'python benchmarks/startup.py --rounds {options.rounds}')}\n")
    print(table(("Command", "Median ms", "Min", "Max", f"Ratio (at most {TARGET_RATIO})"), rows))
    with tempfile.TemporaryDirectory(prefix="edgekit-startup-") as temporary:
        repeats, stored = _repeats(options.folder or Path(temporary), options.rounds)
    print(
        f"\nThe same `edgekit run` again with nothing changed: median **{median(repeats):.2f} s**, from "
        f"{min(repeats):.2f} to {max(repeats):.2f} s; at most {TARGET_REPEAT_S:.0f} s is the target."
    )
    return 0 if stored else 1


def _repeats(folder: Path, rounds: int) -> tuple[list[float], bool]:
    """Seconds of runs after the first, and whether each returned the stored result."""
    data = folder / "data"
    if not (data / "digits.keras").is_file():
        run([sys.executable, ROOT / "examples" / "digits" / "train.py", data])
    files: list[str | Path] = ["--data", data / "train.npz", "--eval-data", data / "test.npz", "--labels", "label"]
    script = Path(sys.executable).with_name("edgekit")
    command: list[str | Path] = [
        script,
        "run",
        data / "digits.keras",
        *files,
        "-o",
        folder / "repeated",
        "--max-seconds",
        "2",
        "--json",
    ]
    run(command)
    again = [run(command) for _ in range(rounds)]
    return [one.seconds for one in again], all(json.loads(one.stdout)["cached"] for one in again)


if __name__ == "__main__":
    sys.exit(main())
