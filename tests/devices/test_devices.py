"""Device specs, and that pinning reaches the process that runs the engine."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from edgekit.devices import open_device, parse_device
from edgekit.devices.base import CPUS_VARIABLE
from edgekit.errors import UsageError
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Job, Workspace

CPU = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


@dataclass(frozen=True)
class Seen:
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class AffinityJob(Job[Seen]):
    """Says which CPUs its process may use."""

    def run(self, work: Workspace) -> Seen:
        return Seen(tuple(sorted(os.sched_getaffinity(0))))


def test_options_are_read() -> None:
    spec = parse_device("local?cpus=0,2-4&threads=3")
    assert (spec.kind, spec.cpus, spec.threads) == ("local", "0,2-4", 3)
    assert parse_device("local").cpus is None


def test_threads_reach_the_engine() -> None:
    assert open_device("local?threads=3").options().threads == 3
    assert open_device("local", threads=2).options().threads == 2
    assert open_device("local").options().threads is None
    with pytest.raises(UsageError, match="different numbers"):
        open_device("local?threads=3", threads=2)


@pytest.mark.parametrize(
    "text",
    [
        "local?cores=1",
        "local?cpus=",
        "local?cpus=x",
        "local?cpus=3-1",
        "local?threads=0",
        "local?threads=1&threads=2",
    ],
)
def test_bad_options_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_device(text)
    assert caught.value.code == "bad-device-option"
    assert caught.value.received == text


def test_an_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        open_device("toaster?threads=1")
    assert caught.value.code == "unknown-device"
    assert "local" in caught.value.hint


def test_cpus_beside_a_spec() -> None:
    assert open_device("local", cpus=str(CPU)).context().env == {CPUS_VARIABLE: str(CPU)}
    with pytest.raises(UsageError, match="different CPUs"):
        open_device("local?cpus=0", cpus="1")


@pytest.mark.parametrize(("spec", "cpus"), [("local?cpus=4095", None), ("local", "4095")])
def test_a_cpu_that_is_not_there(spec: str, cpus: str | None) -> None:
    with pytest.raises(UsageError, match="4095") as caught:
        open_device(spec, cpus=cpus).context()
    assert caught.value.exit_code == 2
    assert str(CPU) in caught.value.hint


@pytest.mark.parametrize(("threads", "code"), [(0, "bad-threads"), (-2, "bad-threads"), (100_000, "too-many-threads")])
def test_absurd_thread_counts(threads: int, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_device("local", threads=threads).context()
    assert caught.value.code == code


def test_pinning_holds_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    # The worker imports this file by the name under which the tests see it.
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    everywhere = tuple(sorted(os.sched_getaffinity(0)))
    with Executor() as executor:
        pinned = executor.run_fresh(AffinityJob(), open_device(f"local?cpus={CPU}").context())
        free = executor.run_fresh(AffinityJob(), open_device("local").context())
    assert pinned.cpus == (CPU,)
    assert free.cpus == everywhere
