"""The versions that a device is held to are those that `pyproject.toml` declares."""

from __future__ import annotations

import pytest

from edgekit.errors import MissingError
from edgekit.registry import requirements
from edgekit.runtimes import RUNTIMES, RuntimeRow
from edgekit.runtimes.registry import installed_runtime


@pytest.mark.parametrize("row", [row for row in RUNTIMES if row.least], ids=lambda row: row.name)
def test_the_least_version_is_the_declared_one(row: RuntimeRow) -> None:
    declared = {one.name: one.least for one in requirements()}
    assert row.least == declared[row.name]


def test_an_engine_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    future = RuntimeRow("onnxruntime", RUNTIMES["onnxruntime"].target, "", (), ("onnx",), least="99.0")
    monkeypatch.setattr(RUNTIMES, "_builtin", (future,))
    with pytest.raises(MissingError) as caught:
        installed_runtime("onnxruntime")
    assert caught.value.code == "engine-too-old"
    assert "99.0 or newer" in caught.value.hint
