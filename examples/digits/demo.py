"""The whole path on a model that is trained here and now. ``make demo`` runs this.

Everything goes into ``demo/``: the trained model, the data, and the kit with its report. Arguments are handed on to
``edgekit run``.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

FOLDER = Path("demo")

#: What a user types after training. One thread: several only wait for each other on so small a model.
COMMAND = "edgekit run digits.keras --data train.npz --eval-data test.npz --labels label --threads 1"


def main() -> int:
    """Train, then run the real command line. Returns its exit status."""
    print("Training a small convolutional network on scikit-learn's digits (Keras on JAX) ...", flush=True)
    trained = subprocess.run([sys.executable, Path(__file__).with_name("train.py"), FOLDER])
    if trained.returncode:
        return trained.returncode
    command = [*shlex.split(COMMAND), *sys.argv[1:]]
    print(f"\n$ cd {FOLDER}\n$ {shlex.join(command)}", flush=True)
    script = Path(sys.executable).with_name(command[0])  # of this environment, which may not be on PATH
    status = subprocess.run([script, *command[1:]], cwd=FOLDER).returncode
    if status == 0:
        kit = FOLDER / "edgekit-out" / "digits"
        print(f"\nThe kit is in {kit}; open {kit}/report.html in a browser.")
    return status


if __name__ == "__main__":
    sys.exit(main())
