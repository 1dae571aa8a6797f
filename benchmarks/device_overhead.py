"""What a device over SSH costs beyond the job itself: an OpenSSH server of this machine against this machine.

    python benchmarks/device_overhead.py [--rounds 10]

The same job, one run of a network of one operator, takes turns here and there, each time in a fresh process. The
files that it needs are on the device before the clock starts, so what is left is the connection, the agent and the
messages. "First" opens the connection and sends the agent; "next" goes through the connection that is open. The shell
there starts without the user's own settings, which would add their time to every figure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.measuring import conditions, table
from edgekit.devices import Device, open_device
from edgekit.jobs.executor import Executor
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.smoke import MODELS
from tests.devices.server import Server

#: Seconds that a first job and a next one may take longer there than here, and the memory of the agent.
FIRST_S, NEXT_S, AGENT_MIB = 1.5, 0.3, 30


def main() -> int:
    """Print the table. Returns 1 when a target is missed."""
    parser = argparse.ArgumentParser(description="Overhead of a device over SSH.")
    parser.add_argument("--rounds", type=int, default=10, help="jobs of each kind (default: 10)")
    options = parser.parse_args()
    taken: dict[str, list[float]] = {"here": [], "first": [], "next": []}
    with tempfile.TemporaryDirectory(prefix="edgekit-overhead-") as folder, Executor() as executor:
        server = Server(Path(folder) / "server", HOME=folder)
        try:
            memory = _memory(executor, server, Path(folder))
            for _ in range(options.rounds):
                place = open_device(server.spec())
                for agent in server.device_folder.glob("agent-*"):
                    agent.unlink()
                taken["here"].append(_seconds(executor, open_device("local"), Path(folder)))
                taken["first"].append(_seconds(executor, place, Path(folder)))
                taken["here"].append(_seconds(executor, open_device("local"), Path(folder)))
                taken["next"].append(_seconds(executor, place, Path(folder)))
                place.close()
        finally:
            server.stop()
    here = median(taken["here"])
    extra = {name: median(taken[name]) - here for name in ("first", "next")}
    rows = [
        ["the same job here", f"{here:.2f} s", "", ""],
        *(
            [f"{name} job over SSH", f"{median(taken[name]):.2f} s", f"{extra[name]:.2f} s", f"{limit} s"]
            for name, limit in (("first", FIRST_S), ("next", NEXT_S))
        ),
        ["memory of the agent", f"{memory:.0f} MiB", f"{memory:.0f} MiB", f"{AGENT_MIB} MiB"],
    ]
    print(
        f"{conditions(('numpy', 'onnxruntime'), f'python benchmarks/device_overhead.py --rounds {options.rounds}')}\n"
    )
    print(table(("", "Median", "Beyond the job here", "At most"), rows))
    return 0 if extra["first"] <= FIRST_S and extra["next"] <= NEXT_S and memory <= AGENT_MIB else 1


def _job(executor: Executor, folder: Path) -> RunJob:
    name, content = MODELS["onnx"]
    (folder / name).write_bytes(content)
    np.save(folder / "x.npy", np.array([[-1.0, 2.0, -3.0, 4.0]], np.float32))
    x, model = executor.add(folder / "x.npy"), executor.add(folder / name)
    return RunJob("onnxruntime", (model,), {"x": x}, (1,), open_device("local?threads=1").options())


def _seconds(executor: Executor, device: Device, folder: Path) -> float:
    job = _job(executor, folder)
    started = time.perf_counter()
    executor.run_fresh(job, device.context())
    return time.perf_counter() - started


def _memory(executor: Executor, server: Server, folder: Path) -> float:
    """The most that an agent held in any of some jobs, in MiB of its own (USS); the engine's process is not in it."""
    place, highest, done = open_device(server.spec()), 0.0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.is_set():
            for job in (server.device_folder / "jobs").glob("*"):
                highest = max(highest, _own_mib(int(job.name.partition("-")[0])))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(3):
        _seconds(executor, place, folder)
    done.set()
    watcher.join()
    place.close()
    return highest


def _own_mib(pid: int) -> float:
    """Resident memory of a process that is not shared with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


if __name__ == "__main__":
    sys.exit(main())
