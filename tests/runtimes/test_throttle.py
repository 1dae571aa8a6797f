"""What a Raspberry Pi's firmware says about power and heat."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.runtimes.throttle import throttle_flags, throttled_between
from tests.boards import builder


def test_the_kernels_file_is_read(tmp_path: Path) -> None:
    board = builder.raspberry_pi_4(tmp_path)
    board.write({"sys/devices/platform/soc/soc:firmware/get_throttled": "50005"})
    assert throttle_flags(board.sys) == 0x50005


def test_else_the_program_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "vcgencmd"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50000\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert throttle_flags(builder.raspberry_pi_5(tmp_path).sys) == 0x50000


def test_a_user_whom_the_firmware_refuses_gets_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho VCHI initialization failed >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert throttle_flags(builder.raspberry_pi_5(tmp_path).sys) is None


def test_other_machines_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert throttle_flags(builder.mini_pc(tmp_path).sys) is None


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (0x0, 0x0, ()),
        (0x50000, 0x50000, ()),  # long ago: says nothing about this timing
        (0x0, 0x50000, ("the supply voltage was too low", "the CPU was throttled")),  # between the two looks
        (0x0, 0x20002, ("the clock was capped",)),
        (0x80008, 0x80000, ("the soft temperature limit was active",)),  # until after the first look
        (None, 0x50000, ()),
        (0x0, None, ()),
    ],
)
def test_only_what_happened_in_between_counts(before: int | None, after: int | None, found: tuple[str, ...]) -> None:
    assert throttled_between(before, after) == found
