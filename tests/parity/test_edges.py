"""Outputs at the edges can fail an artifact, and say nothing else."""

from __future__ import annotations

import numpy as np

from edgekit.parity.edges import judge_edges
from edgekit.types import Evidence

EVIDENCE = Evidence("real", 8, ("x=1x4",))


def test_only_what_fails_is_told() -> None:
    wanted = {name: np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32) for name in ("steady", "shaky")}
    noise = {"steady": {"one-ulp": 1e-7}, "shaky": {"one-ulp": 0.01}}
    shaken = {**wanted, "shaky": wanted["shaky"] + np.float32(0.02)}
    assert judge_edges(wanted, shaken, "fp32", noise, EVIDENCE) is None, "its source moves by as much"
    found = judge_edges(wanted, {**shaken, "steady": wanted["steady"] * np.float32(1.01)}, "fp32", noise, EVIDENCE)
    assert found is not None
    assert found.verdict == "failed"
    assert len(found.reasons) == 2
    assert all("output steady: " in reason for reason in found.reasons)
