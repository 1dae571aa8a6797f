"""What a check of a real kit rests on: ranges, reactions and variance; and the engine's own precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.kit import Kit
from tests.cli.command import copied
from tests.cli.command import edgekit as command
from tests.parity.test_evaluate import has_bf16


def test_golden_samples_span_what_the_artifacts_were_calibrated_with(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    ((low, high),) = Kit.open(kit).manifest.ranges.values()
    assert (low, high) == (0.0, 1.0)
    result = edgekit.check(kit, target="openvino", precision=("fp32", "int8"), strict=True)
    assert result.evidence.inputs == "real"
    assert result.evidence.range_covered is None  # they reach as far as all that is known
    assert list(result.evidence.reacts.values()) == [True]
    (variance,) = result.evidence.variance.values()
    assert 0.5 < variance < 1.01
    for row in result.results:
        assert row.evidence is not None
        assert row.evidence.variance == result.evidence.variance
    plain, quantized = result.results
    assert plain.verdict == "verified"
    assert quantized.by_default is None  # its precision is not fp32
    assert (plain.by_default is not None) == has_bf16()
    if plain.by_default is not None:
        assert plain.by_default.sqnr_db is not None
        assert plain.outputs[0].sqnr_db is not None
        assert plain.by_default.sqnr_db < plain.outputs[0].sqnr_db
    shown = command("check", kit, "--target", "openvino", "--precision", "fp32", cwd=tmp_path).out
    assert ("openvino fp32 as the engine would run it by default (bf16" in shown) == has_bf16()


def test_samples_of_one_shade_of_grey_cannot_carry_a_verdict(digits_kit: Path, tmp_path: Path) -> None:
    """All that a strict check needs to be no more than weak, and to leave with 1."""
    kit = copied(digits_kit, tmp_path)
    (spec,) = Kit.open(kit).manifest.source.signature.inputs
    shape = [40, *(length or 1 for length in spec.shape[1:])]
    narrow = 0.4 + 0.2 * np.random.default_rng(0).random(shape, np.float32)
    np.savez(tmp_path / "narrow.npz", allow_pickle=False, **{spec.name: narrow})
    result = edgekit.check(kit, target="onnx", precision="fp32", data=tmp_path / "narrow.npz")
    (row,) = result.results
    assert (result.ok, row.verdict) == (True, "weak")
    assert result.evidence.range_covered == pytest.approx(0.2, abs=0.01)
    assert row.reasons == (
        "the samples span only 20 % of the known range of an input, so faults in the rest cannot show.",
    )
    done = command(
        "check", kit, "--target", "onnx", "--precision", "fp32", "--data", "narrow.npz", "--strict", cwd=tmp_path
    )
    assert done.code == 1
    assert "span only 20 % of the known range" in done.out
