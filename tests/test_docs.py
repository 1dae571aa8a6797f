"""What the documents say about the code is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import README, ROOT, TABLES, fill

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_generated_tables_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_stale_table_is_noticed_and_mended() -> None:
    text = README.read_text()
    stale = text.replace("`keras@jax>onnx`", "`keras@nowhere>onnx`")
    assert stale != text
    assert fill(stale) == text


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_place_in_the_readme(name: str) -> None:
    assert README.read_text().count(f"<!-- generated:{name} -->\n") == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    broken = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_commands_in_documents_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {name for line in re.findall(r"^([a-z][\w. -]*):", makefile, re.MULTILINE) for name in line.split()}
    assert {"demo", "test", "lint", "bench", "docs"} <= targets
    named = set(re.findall(r"(?:`|^\s*)make ([a-z][\w.-]*)", document.read_text(), re.MULTILINE))
    assert named <= targets
