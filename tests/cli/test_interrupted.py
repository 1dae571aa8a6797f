"""A command that is stopped in the middle: the old kit stays, and nothing of it goes on."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.cli.command import copied, edgekit, running, snapshot, start, wait_for, workers_of

STOPS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("stop", STOPS, ids=["killed", "interrupted", "terminated"])
def test_stopped_in_the_middle(stop: signal.Signals, digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    before = snapshot(kit)
    process = start("run", digits / "digits.keras", "-o", kit, "--fresh", "--json", cwd=tmp_path)
    wait_for(lambda: len(workers_of(process)) >= 2)  # two conversions side by side
    workers = workers_of(process)
    process.send_signal(stop)
    out, err = process.communicate(timeout=10)  # not after the conversions have come to their end
    if stop is signal.SIGKILL:
        assert (process.returncode, out) == (-signal.SIGKILL, "")
    else:
        assert process.returncode == 130
        assert json.loads(out)["error"]["code"] == "stopped"
    assert "Traceback" not in err
    wait_for(lambda: not running(workers), seconds=10)
    assert snapshot(kit) == before
    assert edgekit("check", kit, "--target", "tflite", "--json", cwd=tmp_path).document["ok"] is True


def test_stopped_again_and_again_until_it_is_done(digits: Path, tmp_path: Path) -> None:
    """Whenever it is killed, the kit can be read, and the next run makes it whole."""
    command = ("export", digits / "digits.keras", "--target", "openvino", "-o", "kit", "--json")
    for seen in ("", "golden.npz", "artifacts/openvino-*"):
        process = start(*command, cwd=tmp_path)
        while seen and not list((tmp_path / "kit").glob(seen)):
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
        process.communicate()
        manifest = tmp_path / "kit" / "kit.json"
        if manifest.exists():
            for artifact in json.loads(manifest.read_text())["artifacts"]:
                assert (tmp_path / "kit" / artifact["path"]).is_file()
    assert edgekit(*command, cwd=tmp_path).document["ok"] is True
    assert edgekit("check", "kit", "--json", cwd=tmp_path).document["ok"] is True
    assert not list((tmp_path / "kit").rglob(".tmp-*"))
