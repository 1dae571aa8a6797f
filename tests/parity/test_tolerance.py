"""The bound of an fp32 artifact: which measure decides it, and what it says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.checked import Derivation
from edgekit.jobs.codec import from_json, to_json
from edgekit.parity.tolerance import METHODS, MULTIPLE, derive, derived_tolerance, origin

measures = st.dictionaries(st.sampled_from(sorted(METHODS)), st.floats(0, 1e6))


@given(scale=st.floats(1e-6, 1e6), measured=measures)
def test_the_bound_follows_the_largest_measure_within_the_clip(scale: float, measured: dict[str, float]) -> None:
    found = derive(scale, measured)
    products = [MULTIPLE * size for size in measured.values()]
    assert found.bound == pytest.approx(min(max([1e-4 * scale, *products]), 1e-3 * scale))
    assert found.low == pytest.approx(1e-4 * scale)
    assert found.high == pytest.approx(1e-3 * scale)
    assert found.measured == measured
    assert found.tolerance == found.bound


@given(scale=st.floats(1e-6, 1e6), measured=measures, method=st.sampled_from(sorted(METHODS)))
def test_more_noise_never_tightens_the_bound(scale: float, measured: dict[str, float], method: str) -> None:
    more = {**measured, method: 2 * measured.get(method, 1e-9)}
    assert derive(scale, more).bound >= derive(scale, measured).bound


def test_the_measure_that_decides_is_named_with_its_multiple() -> None:
    found = derive(1.0, {"one-ulp": 1e-6, "float64": 1e-5, "threads": 0.0})
    assert (found.method, found.multiple) == ("float64", MULTIPLE)
    assert found.bound == pytest.approx(1e-5 * MULTIPLE)
    assert origin(found) == "64 times the source's own noise of 1e-05, by double precision"


def test_what_the_clip_decides_says_so() -> None:
    assert origin(derive(2.0, {})) == "0.0001 of its deviation"
    assert origin(derive(2.0, {"one-ulp": 1e-9})) == "0.0001 of its deviation"
    assert origin(derive(2.0, {"one-ulp": 1.0})) == "0.001 of its deviation"
    assert derive(2.0, {}).method is None


def test_a_bound_of_the_users_is_judged_and_the_derived_one_is_kept() -> None:
    found = derive(1.0, {"one-ulp": 1e-9}, given=0.5)
    assert (found.tolerance, found.bound, found.given) == (0.5, 1e-4, 0.5)
    assert origin(found) == "as given"


def test_single_layers_have_one_ulp_alone() -> None:
    assert derived_tolerance(1.0, 5e-6) == derive(1.0, {"one-ulp": 5e-6}).bound == pytest.approx(3.2e-4)


def test_a_derivation_survives_json() -> None:
    found = derive(1.0, {"one-ulp": 1e-9, "float64": 0.0}, given=None)
    assert from_json(Derivation, to_json(found)) == found
