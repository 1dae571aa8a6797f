"""The four stages stand at the root as git links, for readers only: no tool and no import goes through them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINKS = ("devices", "exporter", "quantizer", "runtimes")

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the links are git's: this is no checkout")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A checkout of the index where git may not make links, as on a file system without them."""
    git = ["git", "-c", "safe.directory=*", "-c", "core.symlinks=false"]
    subprocess.run([*git, "checkout-index", "--all", f"--prefix={tmp_path}/"], cwd=ROOT, check=True)
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_its_stage(link: str) -> None:
    target = (ROOT / link).readlink() if (ROOT / link).is_symlink() else Path((ROOT / link).read_text())
    assert target == Path("edgekit", link)
    assert (ROOT / target / "__init__.py").is_file()


def test_a_checkout_without_links_imports_and_passes(flat: Path) -> None:
    assert all((flat / link).read_text() == f"edgekit/{link}" for link in LINKS)
    walk = (
        "import importlib, pkgutil, edgekit\n"
        "print(edgekit.__file__)\n"
        "for module in pkgutil.walk_packages(edgekit.__path__, 'edgekit.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
    )
    imported = run(flat, "-c", walk)
    assert imported.returncode == 0, imported.stderr
    assert Path(imported.stdout.strip()).is_relative_to(flat)
    tested = run(flat, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/jobs/test_codec.py", "tests/test_docs.py")
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout


@pytest.mark.parametrize(
    "tool",
    [
        ("ruff", "check", "--no-cache", "--output-format=concise", "."),
        ("mypy", "--no-incremental", "."),
    ],
    ids=["ruff", "mypy"],
)
def test_a_tool_sees_the_real_folder_once(tmp_path: Path, tool: tuple[str, ...]) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for link in LINKS:
        folder = tmp_path / "edgekit" / link
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "planted.py").write_text('import os\n\nlength: int = "no number"\n')
        (tmp_path / link).symlink_to(Path("edgekit", link))
    found = run(tmp_path, "-m", *tool).stdout
    for link in LINKS:
        assert found.count(f"{link}/planted.py:") == 1, found
        assert f"edgekit/{link}/planted.py:" in found
