"""The benchmarks' own measuring: a figure is worth nothing when the ruler is wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.measuring import CommandFailed, run, table
from benchmarks.pipeline import _renumbered

MIB = 1 << 20

#: A process that starts another and waits for it; the child holds some memory for a while.
PARENT = """
import subprocess, sys
child = "import time; held = bytearray(b'x') * (200 << 20); time.sleep(0.6)"
subprocess.run([sys.executable, "-c", child], check=True)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="memory of a tree is read from /proc")
def test_the_memory_of_a_child_counts() -> None:
    alone = run([sys.executable, "-c", "import time; time.sleep(0.6)"])
    assert 0 < alone.peak_rss_bytes < 100 * MIB
    assert run([sys.executable, "-c", PARENT]).peak_rss_bytes > 200 * MIB


def test_the_time_is_that_of_the_process() -> None:
    taken = run([sys.executable, "-c", "import time; time.sleep(0.5); print('done')"])
    assert taken.seconds >= 0.5
    assert taken.stdout == "done\n"


def test_every_command_gets_an_empty_home() -> None:
    command = [sys.executable, "-c", "import os, pathlib; home = pathlib.Path.home(); print(os.listdir(home), home)"]
    first, second = run(command).stdout, run(command).stdout
    assert first.startswith("['intel'] ")
    assert first != second


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="CPU time of the machine is read from /proc")
def test_the_load_of_the_command_itself_is_not_that_of_others() -> None:
    spin = "import time; end = time.process_time() + 1.0\nwhile time.process_time() < end: pass"
    taken = run([sys.executable, "-c", spin])
    busy = 1.0 / taken.seconds  # CPUs of the command: others can have had no more than the rest
    assert taken.foreign_cpus <= (os.cpu_count() or 1) - busy + 0.2


def test_a_command_that_fails_is_no_figure() -> None:
    with pytest.raises(CommandFailed, match=r"exit status 3\nno such model"):
        run([sys.executable, "-c", "import sys; print('no such model'); sys.exit(3)"])


def test_a_table_is_markdown() -> None:
    assert table(("Name", "s"), [("a", "1"), ("b", "2")]) == "| Name | s |\n| --- | ---: |\n| a | 1 |\n| b | 2 |"


def test_only_made_up_names_are_renumbered() -> None:
    ours = '<layer name="Constant_7"/><layer name="conv_1_2"/><edge name="Constant_7"/><layer name="Convert_9"/>'
    theirs = (
        '<layer name="Constant_3051"/><layer name="conv_1_2"/><edge name="Constant_3051"/><layer name="Convert_4"/>'
    )
    assert _renumbered(ours) == _renumbered(theirs)
    assert _renumbered(ours) != _renumbered(theirs.replace("conv_1_2", "conv_1_3"))
    assert _renumbered(ours) != _renumbered(theirs.replace('<edge name="Constant_3051"', '<edge name="Convert_4"'))
