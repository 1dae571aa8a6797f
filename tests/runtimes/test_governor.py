"""The frequency governor is set for a timing, and put back whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.errors import MissingError, UsageError
from edgekit.runtimes.governor import governed, restore
from tests.boards import builder

ROOT = Path(__file__).parents[2]


def test_it_is_set_meanwhile_and_put_back_after(tmp_path: Path) -> None:
    board, journal = builder.big_little(tmp_path), tmp_path / "journal"
    with governed("performance", journal, board.sys):
        assert board.governors() == ["performance"] * 3
        assert journal.exists()
    assert board.governors() == ["ondemand"] * 3
    assert not journal.exists()


def test_each_clock_gets_its_own_one_back(tmp_path: Path) -> None:
    board, journal = builder.big_little(tmp_path), tmp_path / "journal"
    board.write({"sys/devices/system/cpu/cpufreq/policy4/scaling_governor": "schedutil"})
    with governed("performance", journal, board.sys):
        pass
    assert board.governors() == ["ondemand", "schedutil", "ondemand"]


def test_it_is_put_back_when_the_timing_fails(tmp_path: Path) -> None:
    board, journal = builder.raspberry_pi_4(tmp_path), tmp_path / "journal"
    with pytest.raises(ZeroDivisionError), governed("performance", journal, board.sys):
        _ = 1 / 0
    assert board.governors() == ["ondemand"]


def test_the_next_one_puts_back_what_a_killed_one_left(tmp_path: Path) -> None:
    board, journal = builder.raspberry_pi_5(tmp_path), tmp_path / "journal"
    code = (
        "import sys, time; from pathlib import Path; from edgekit.runtimes.governor import governed\n"
        "with governed('performance', Path(sys.argv[1]), Path(sys.argv[2])): print('set', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(journal), str(board.sys)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"set\n"
        killed.send_signal(signal.SIGKILL)
    assert board.governors() == ["performance"]
    assert list(restore(journal).values()) == ["ondemand"]
    assert board.governors() == ["ondemand"]
    assert restore(journal) == {}


def test_a_second_one_remembers_what_was_there_before_both(tmp_path: Path) -> None:
    board, journal = builder.raspberry_pi_4(tmp_path), tmp_path / "journal"
    journal.write_text(
        f'{{"{board.sys}/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil"}}'
    )  # left by a killed one, which had set what the tree holds now
    with governed("performance", journal, board.sys):
        assert board.governors() == ["performance"]
    assert board.governors() == ["schedutil"]


def test_a_journal_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_text('{"/sys/dev')
    assert restore(journal) == {}
    assert not journal.exists()


def test_one_that_the_machine_does_not_have_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    board, journal = builder.mini_pc(tmp_path), tmp_path / "journal"
    with pytest.raises(UsageError) as caught, governed("ondemand", journal, board.sys):
        pass
    assert caught.value.code == "unknown-governor"
    assert "governor=performance" in caught.value.hint
    assert board.governors() == ["powersave"] * 4
    assert not journal.exists()


def test_a_user_who_may_not_set_it_is_told_how_to_allow_it(tmp_path: Path) -> None:
    board, journal = builder.raspberry_pi_4(tmp_path), tmp_path / "journal"
    file = board.sys / "devices/system/cpu/cpufreq/policy0/scaling_governor"
    file.unlink()
    file.symlink_to("/proc/version")  # may be read, and not even root may write it
    board.write({"sys/devices/system/cpu/cpufreq/policy0/scaling_available_governors": "performance"})
    with pytest.raises(MissingError) as caught, governed("performance", journal, board.sys):
        pass
    assert caught.value.code == "governor-refused"
    assert "chown" in caught.value.hint


def test_a_machine_without_governors_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught, governed("performance", tmp_path / "journal", tmp_path):
        pass
    assert caught.value.code == "no-governor"
