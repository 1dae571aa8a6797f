"""What `edgekit.doctor` says about this environment and about a bare one."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import venv
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

import edgekit
from edgekit.devices.doctor import GROUPS, Doctor, doctor, installed_extras, machine_notes
from edgekit.jobs.codec import from_json
from edgekit.runtimes.accelerators import Accelerators
from edgekit.runtimes.environment import probe


@pytest.fixture(scope="module")
def result() -> Doctor:
    return doctor()


def test_this_environment(result: Doctor) -> None:
    assert result.ok
    assert result.edgekit == edgekit.__version__
    found = {package.name: package for extra in result.extras for package in extra.packages}
    assert found["onnxruntime"].version == metadata.version("onnxruntime")
    assert found["onnxruntime"].state == "installed"
    assert "CPU" in result.accelerators["onnxruntime"]
    assert any(name.startswith("CPU: ") for name in result.accelerators["openvino"])


def test_it_survives_json(result: Doctor) -> None:
    document = json.loads(json.dumps(result.to_json()))
    assert document.pop("schema") == "edgekit.doctor/1"
    assert from_json(Doctor, document) == result


def test_every_extra_is_shown() -> None:
    pyproject = tomllib.loads((Path(edgekit.__file__).parent.parent / "pyproject.toml").read_text())
    declared = set(pyproject["project"]["optional-dependencies"])
    shown = {name for names in GROUPS.values() for name in names}
    assert shown == declared - {"all", "all-but-torch", "dev"}
    assert all(extra.packages for extra in installed_extras() if extra.name != "tensorflow")


def test_notes_follow_the_machine() -> None:
    nothing = Accelerators({}, {}, ())
    plain = replace(probe(), features=("avx2",), container=None, virtual=False, emulated=False, governor="performance")
    (slow,) = machine_notes(plain, nothing)
    assert "8-bit dot product" in slow
    assert machine_notes(replace(plain, features=("asimd", "asimddp")), nothing) == []
    assert "emulated" in machine_notes(replace(plain, features=("asimddp",), emulated=True), nothing)[0]
    assert "powersave" in machine_notes(replace(plain, features=("avx_vnni",), governor="powersave"), nothing)[0]
    bf16 = Accelerators({}, {"openvino": ("BF16", "FP32")}, ())
    assert "pins f32" in machine_notes(replace(plain, features=("avx512_vnni",)), bf16)[0]


def test_a_bare_environment_is_told_what_to_install(tmp_path: Path) -> None:
    """An interpreter with nothing but edgekit's own dependencies, which are borrowed by path."""
    venv.create(tmp_path / "bare", with_pip=False)
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    import numpy
    import rich

    for module in (numpy, rich):
        folder = Path(str(module.__file__)).parent
        (borrowed / folder.name).symlink_to(folder)
    libraries = Path(str(numpy.__file__)).parent.parent / "numpy.libs"
    if libraries.exists():
        (borrowed / "numpy.libs").symlink_to(libraries)
    root = Path(edgekit.__file__).parent.parent
    (borrowed / "edgekit").symlink_to(root / "edgekit")
    distribution = metadata.distribution("edgekit")
    meta = borrowed / f"edgekit-{edgekit.__version__}.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(str(distribution.read_text("METADATA")))
    code = "import json, edgekit; print(json.dumps(edgekit.doctor().to_json()))"
    done = subprocess.run(
        [str(tmp_path / "bare" / "bin" / "python"), "-c", code],
        env={"PYTHONPATH": str(borrowed), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert document["accelerators"] == {}
    commands = {extra["name"]: extra["install"] for extra in document["extras"]}
    assert commands["openvino"] == "pip install 'edgekit[openvino]'"
    assert sys.version_info[:2] == tuple(map(int, document["machine"]["python"].split(".")[:2]))
