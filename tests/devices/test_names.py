"""Names of devices, in a project and in the user's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices import parse_device
from edgekit.devices.inventory import add_device, list_devices, probe_devices, remove_device
from edgekit.errors import MissingError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration and a project folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def test_a_name_stands_for_its_spec_and_takes_more_options() -> None:
    add_device("pi5", "ssh://pi@board?cpus=big")
    spec = parse_device("pi5?threads=2")
    assert (spec.text, spec.kind, spec.address, spec.cpus, spec.threads) == (
        "pi5?threads=2",
        "ssh",
        "pi@board",
        "big",
        2,
    )
    add_device("here", "local")
    assert parse_device("here?threads=3").threads == 3


def test_the_project_wins_over_the_user() -> None:
    add_device("board", "ssh://mine")
    Path("edgekit.toml").write_text('model = "x.keras"\n[devices]\nboard = "ssh://ours"\n')
    assert parse_device("board").address == "ours"
    assert {(one.name, one.origin) for one in list_devices().devices} == {("local", "built-in"), ("board", "project")}


def test_names_come_and_go() -> None:
    add_device("one", "local?threads=1")
    add_device("two", "local?threads=2")
    add_device("one", "local?threads=3")
    remove_device("two")
    assert {one.name: one.spec for one in list_devices().devices} == {"local": "local", "one": "local?threads=3"}


@pytest.mark.parametrize(
    ("name", "spec", "code"),
    [
        ("local", "local", "bad-device-name"),
        ("my board", "local", "bad-device-name"),
        ("a:b", "local", "bad-device-name"),
        ("board", "toaster://x", "unknown-device"),
        ("board", "ssh://", "bad-device-address"),
        ("board", "ssh://x?cores=2", "bad-device-option"),
    ],
)
def test_bad_names_and_specs_are_refused(name: str, spec: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        add_device(name, spec)
    assert caught.value.code == code
    assert len(list_devices().devices) == 1


def test_a_mistyped_name_is_told_the_names() -> None:
    add_device("pi5", "local")
    with pytest.raises(UsageError) as caught:
        parse_device("pi6?threads=1")
    assert (caught.value.code, caught.value.received) == ("unknown-device", "pi6?threads=1")
    assert "pi5" in caught.value.hint
    assert "ssh" in caught.value.hint


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(UsageError, match="names no such device"):
        remove_device("nothing")
    Path("edgekit.toml").write_text('[devices]\nboard = "ssh://ours"\n')
    with pytest.raises(UsageError) as caught:
        remove_device("board")
    assert "edgekit.toml" in caught.value.hint


@pytest.mark.parametrize("text", ["[devices", 'devices = "pi5"', "[devices]\npi5 = 3\n"])
def test_a_bad_file_is_named(home: Path, text: str) -> None:
    Path("edgekit.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        list_devices()
    assert caught.value.code == "bad-device-file"
    assert "edgekit.toml" in caught.value.message


def test_several_are_asked_and_one_that_does_not_answer_leaves_the_others() -> None:
    add_device("gone", "ssh://nobody@127.0.0.1:1")
    found = probe_devices(())
    assert not found.ok
    here, gone = found.devices
    assert here.facts is not None
    assert here.facts.environment.logical_cpus
    assert gone.problem is not None
    assert gone.problem.code == "device-unreachable"
    with pytest.raises(MissingError):
        probe_devices(("gone",))
