"""The same source makes the same bytes, whatever order Python's sets have in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exporter import layer_zoo

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras with NumPy 2

ROUTES = (
    "keras@jax>onnx>openvino",
    "keras@openvino>openvino",
    "keras@jax>stablehlo>tflite",
    "keras@torch>onnx>openvino",
    "keras@torch>tflite",
)

MODELS = ("separable", "preactivation", "attention", "recurrent")

#: Converts files along a route in the process itself, and prints a digest of every file that a hop wrote.
SCRIPT = """
import hashlib, sys
from pathlib import Path
from edgekit.exporter.graph import HopRequest, routes
from edgekit.exporter.loading import Loading
from edgekit.exporter.sources.keras_ import load

route, folder, *sources = sys.argv[1:]
(path,) = routes("keras", route.rpartition(">")[2], route=route)
for source in map(Path, sources):
    signature, current = load(source, Loading()).signature, source
    for index, hop in enumerate(path.hops):
        out = Path(folder, source.stem, str(index))
        out.mkdir(parents=True)
        current = hop.load()(HopRequest(current, signature, out, None, Loading()))
        for file in sorted(out.iterdir()):
            print("digest", source.stem, index, file.name, hashlib.sha256(file.read_bytes()).hexdigest())
"""


def _digests(route: str, sources: list[Path], folder: Path, seed: str) -> list[str]:
    backend = route.partition(">")[0].partition("@")[2]
    env = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", SCRIPT, route, str(folder), *map(str, sources)]
    made = subprocess.run(command, check=True, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    return [line for line in made.stdout.splitlines() if line.startswith("digest")]


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_two_processes_make_the_same_bytes(tmp_path: Path, route: str) -> None:
    sources = [layer_zoo.write(name, tmp_path) for name in MODELS]
    runs = [_digests(route, sources, tmp_path / seed, seed) for seed in ("1", "2")]
    assert len(runs[0]) >= len(MODELS)
    assert runs[0] == runs[1]
