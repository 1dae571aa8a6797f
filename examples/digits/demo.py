"""The whole path on a model that is trained here and now. ``make demo`` runs this.

Everything goes into ``demo/``: the trained model, the data, and the kit with its report.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("demo")
LEAST_ACCURACY = 0.97

#: What a user types after training.
COMMAND = "edgekit run digits.keras --data train.npz --eval-data test.npz --labels label"


def main() -> int:
    """Train, then run the real command line. Returns its exit status."""
    print("Training a small convolutional network on scikit-learn's digits (Keras on JAX) ...", flush=True)
    started = time.monotonic()
    from train import save  # the framework is loaded here, not before the line above

    accuracy = save(FOLDER)
    print(f"  test accuracy {accuracy:.2%} after {time.monotonic() - started:.0f} s, saved as {FOLDER}/digits.keras")
    if accuracy < LEAST_ACCURACY:
        print(f"  that is under {LEAST_ACCURACY:.0%}: the demo would prove nothing.", file=sys.stderr)
        return 1
    options = sys.argv[1:]
    print(f"\n$ cd {FOLDER}\n$ {shlex.join([*shlex.split(COMMAND), *options])}", flush=True)
    # The console script of this environment, wherever it is installed.
    script = str(Path(sys.executable).with_name("edgekit"))
    status = subprocess.run(
        [script, *shlex.split(COMMAND)[1:], *options], cwd=FOLDER, env=clean_environment()
    ).returncode
    if status == 0:
        print(
            f"\nThe kit is in {FOLDER}/edgekit-out/digits; open {FOLDER}/edgekit-out/digits/report.html in a browser."
        )
        print("Run `make demo` again: nothing has changed, so the stored result is shown at once.")
    return status


def clean_environment() -> dict[str, str]:
    """The environment of a new shell: edgekit chooses the Keras backend itself."""
    return {name: value for name, value in os.environ.items() if name not in ("KERAS_BACKEND", "JAX_PLATFORMS")}


if __name__ == "__main__":
    sys.exit(main())
