"""Which comparisons pass, which are weak and which fail, and in which words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import UsageError
from edgekit.jobs.codec import to_json
from edgekit.parity.criteria import judge
from edgekit.results import holds
from tests.parity.comparing import GENERATED, REAL, Array, check, scores, with_noise


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "int8-dynamic", "int8-weights", "int4-weights"])
def test_equal_outputs_on_real_samples_are_verified(precision: str) -> None:
    parity = check(scores(), scores(), precision)
    assert (parity.verdict, parity.reasons) == ("verified", ())
    assert parity.outputs[0].sqnr_db is None
    assert parity.outputs[0].top1_agreement == 1.0


@pytest.mark.parametrize(
    ("precision", "gate"), [("fp32", 80), ("fp16", 50), ("bf16", 40), ("int8-weights", 30), ("int8", 20)]
)
def test_each_precision_has_its_gate(precision: str, gate: int) -> None:
    wide = scores().reshape(400, 5, 2)  # no scores, so that nothing but the size of the noise counts
    above = check(wide, with_noise(wide, gate + 3), precision, floor=2e-5)
    assert not [reason for reason in above.reasons if "dB" in reason]
    assert above.verdict == ("weak" if precision == "int8" else "verified")
    below = check(wide, with_noise(wide, gate - 3), precision)
    assert below.verdict == "failed"
    assert f"output probs: SQNR {gate - 3:.1f} dB is under {gate} dB." in below.reasons


def test_one_element_beyond_the_tolerance_fails_although_sqnr_is_fine() -> None:
    reference = scores()
    got = reference.copy()
    got[7, 3] += 0.005
    parity = check(reference, got)
    assert parity.verdict == "failed"
    assert parity.outputs[0].sqnr_db is not None
    assert parity.outputs[0].sqnr_db > 80
    assert parity.reasons == ("output probs: the largest difference 0.005 is over 9.98e-05 (0.0001 of its deviation).",)


@given(scale=st.floats(1e-4, 1e4), noise=st.sampled_from([1e-5, 1e-1]))
def test_the_verdict_does_not_depend_on_the_unit(scale: float, noise: float) -> None:
    reference = scores(40).astype(np.float64)
    got = reference + noise * np.sin(np.arange(400)).reshape(40, 10)
    expected = "verified" if noise == 1e-5 else "failed"
    assert check(reference * scale, got * scale, floor=0.0).verdict == expected


def test_a_source_that_one_ulp_moves_past_the_tolerance_makes_it_weak() -> None:
    parity = check(scores(), with_noise(scores(), 60), floor=0.002)
    assert parity.verdict == "weak"
    assert any("one rounding moves the source itself by 0.002" in reason for reason in parity.reasons)


def test_no_bound_fails_what_correct_artifacts_do_beside_a_source_of_much_noise() -> None:
    noise = 2e-4  # times 17 is three times the largest bound
    moved = scores() + np.float32(10 * noise) * np.sign(scores(seed=5))
    assert check(scores(), moved, floor=noise).verdict == "weak"
    assert check(scores(), scores() + 100 * (moved - scores()), floor=noise).verdict == "failed"
    assert check(scores(), moved, floor=noise / 100).verdict == "failed"


def test_an_unruly_source_does_not_excuse_garbage() -> None:
    assert check(scores(), with_noise(scores(), 0), floor=0.002).verdict == "failed"


def test_sqnr_within_the_roundings_of_the_source_is_a_doubt() -> None:
    faint = np.linspace(-50, 50, 10) + 1e-4 * scores()  # hardly anything moves over samples
    near = faint + 2e-8 * np.random.default_rng(1).normal(size=faint.shape)
    assert check(faint, near, floor=1e-9).verdict == "failed"
    parity = check(faint, near, floor=1e-8)
    assert parity.verdict == "weak"
    assert "dB is under 80 dB, but one rounding moves the source itself by 1e-08" in parity.reasons[0]


def test_numbers_so_large_that_float32_rounds_their_signal_away_are_weak() -> None:
    large = np.float32(1e6) * np.linspace(-1, 1, 10, dtype=np.float32) + scores()
    parity = check(large, np.nextafter(large, np.float32(np.inf)), floor=0.0)
    assert parity.verdict == "weak"
    assert "one rounding moves the source itself" in parity.reasons[0]
    unrelated = large - scores() + 20 * scores(seed=9)
    assert check(large, unrelated, floor=0.0).verdict == "failed"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "int8-dynamic", "int8-weights"])
def test_a_shared_offset_does_not_make_unrelated_outputs_agree(precision: str) -> None:
    parity = check(100 + scores(), 100 + scores(seed=5), precision)
    assert parity.verdict == "failed"
    assert parity.outputs[0].sqnr_db is not None
    assert parity.outputs[0].sqnr_db < 0


def detections(seed: int = 5) -> Array:
    """``(samples, 6, 40)``: four rows of boxes in pixels, two of scores."""
    random = np.random.default_rng(seed)
    boxes, scored = random.uniform(0, 640, (400, 4, 40)), random.uniform(0, 1, (400, 2, 40))
    return np.concatenate([boxes, scored], axis=1).astype(np.float32)


def test_scores_do_not_hide_behind_boxes_of_another_scale() -> None:
    want = detections()
    rounded = with_noise(want, 140)
    assert check(want, rounded, floor=1e-5).verdict == "verified"
    rounded[:, 4:] *= 1.01
    found = check(want, rounded, floor=1e-5)
    assert found.verdict == "failed"
    assert found.outputs[0].sqnr_db is not None
    assert found.outputs[0].sqnr_db > 90
    assert any("column" in reason and "axis 1" in reason for reason in found.reasons)


def test_a_column_within_the_noise_of_the_source_is_right() -> None:
    """What rounds the boxes rounds the scores beside them, where one sum makes both."""
    want = detections()
    got = want.copy()
    got[:, 4:] += np.float32(1e-3)
    assert check(want, got, floor=1e-4).verdict == "verified"


def test_a_tolerance_of_the_users_takes_the_place_of_the_derived_ones() -> None:
    got = with_noise(scores(), 60)
    assert check(scores(), got).verdict == "failed"
    assert check(scores(), got, tolerance=0.01).verdict == "verified"
    assert check(scores(), got, tolerance=0.001).verdict == "failed"
    assert check(scores(), with_noise(scores(), 55), "fp16", tolerance=1e-6).verdict == "failed"


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int8-weights", "int4-weights"])
def test_generated_inputs_never_verify_a_quantized_artifact(precision: str) -> None:
    parity = check(scores(), scores(), precision, evidence=GENERATED)
    assert parity.verdict == "weak"
    assert "generated inputs cannot prove" in parity.reasons[0]
    assert check(scores(), scores(), "fp32", evidence=GENERATED).verdict == "verified"


def test_integer_outputs_have_to_be_equal() -> None:
    classes = np.arange(400) % 7
    wrong = classes.copy()
    wrong[3] += 1
    assert check(classes, classes).verdict == "verified"
    parity = check(classes, wrong)
    assert parity.verdict == "failed"
    assert parity.reasons == ("output probs: 1 of 400 samples differ, and integers should be equal.",)
    assert check(classes, wrong, "int8").verdict == "verified"  # 399 of 400 agree
    assert check(classes, (classes + (np.arange(400) < 40)), "int8").verdict == "failed"


def nan_at(array: Array) -> Array:
    spoiled = array.copy()
    spoiled[0, 0] = np.nan
    return spoiled


def infinite_at(array: Array) -> Array:
    spoiled = array.copy()
    spoiled[-1, -1] = np.inf
    return spoiled


@pytest.mark.parametrize(
    ("got", "words"),
    [
        ({}, "no output in common"),
        ({"other": scores()}, "no output in common"),
        ({"probs": nan_at(scores())}, "1 elements are NaN or infinite"),
        ({"probs": infinite_at(scores())}, "1 elements are NaN or infinite"),
        ({"probs": scores().astype(np.float64)}, "gives 400x10:float64, the source 400x10:float32"),
        ({"probs": scores()[:399]}, "gives 399x10:float32, the source 400x10:float32"),
        ({"probs": scores()[..., None]}, "gives 400x10x1:float32"),
        ({"probs": np.repeat(scores()[:1], 400, axis=0)}, "the artifact gives the same for every sample"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4-weights"])
def test_what_can_never_pass(precision: str, got: dict[str, Array], words: str) -> None:
    parity = check({"probs": scores()}, got, precision)
    assert parity.verdict == "failed"
    assert any(words in reason for reason in parity.reasons)


def test_a_missing_output_fails_and_an_unknown_one_is_weak() -> None:
    two = {"probs": scores(), "box": scores(seed=5)}
    missing = check(two, {"probs": scores()})
    assert missing.verdict == "failed"
    assert missing.reasons == ("the artifact lacks the source's output box.",)
    extra = check({"probs": scores()}, two)
    assert extra.verdict == "weak"
    assert extra.reasons == ("the artifact's output box has no reference to compare with.",)


def test_an_empty_comparison_fails() -> None:
    parity = check(scores(0), scores(0), evidence=replace(REAL, samples=0))
    assert parity.verdict == "failed"
    assert parity.reasons[0] == "nothing was compared: there is no sample."
    assert check(np.zeros((4, 0), np.float32), np.zeros((4, 0), np.float32)).verdict == "failed"
    assert check(np.asarray(1.0, np.float32), np.asarray(1.0, np.float32)).verdict == "failed"


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_constant_outputs_are_at_best_weak(value: float) -> None:
    constant = np.full((400, 3), value, np.float32)
    parity = check(constant, constant)
    assert parity.verdict == "weak"
    assert "the source gives the same for every sample" in parity.reasons[0]
    assert check(constant, constant + np.float32(0.1)).verdict == "failed"
    one = replace(REAL, samples=1)
    assert check(scores(1), scores(1), evidence=one).verdict == "weak"


def test_rounding_of_a_constant_output_is_no_failure() -> None:
    constant = np.full((400, 1), 1.0, np.float32)
    assert check(constant, np.nextafter(constant, np.float32(2))).verdict == "weak"


def test_nan_of_the_source_itself_is_weak() -> None:
    parity = check(nan_at(scores()), nan_at(scores()))
    assert parity.verdict == "weak"
    assert "the source itself has 1 NaN" in parity.reasons[0]


def test_a_figure_where_the_source_has_nan_fails() -> None:
    parity = check(nan_at(scores()), scores())
    assert parity.verdict == "failed"
    assert "1 elements are NaN or infinite in one and not the same in both" in parity.reasons[0]


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4-weights"])
def test_outputs_without_any_common_number_fail(precision: str) -> None:
    nothing = np.full((400, 10), np.nan, np.float32)
    parity = check(nothing, nothing, precision, evidence=GENERATED)
    assert parity.verdict == "failed"
    assert any("nothing could be compared" in reason for reason in parity.reasons)
    assert (parity.outputs[0].max_abs, parity.outputs[0].sqnr_db) == (None, None)


def test_inputs_that_nothing_reacts_to_make_it_weak() -> None:
    parity = check(scores(), scores(), reacts={"x": True, "mask": False})
    assert parity.verdict == "weak"
    assert parity.reasons == ("no output reacts to input mask, so a fault behind it cannot show.",)


def test_samples_within_a_corner_of_what_is_known_make_it_weak() -> None:
    narrow = check(scores(), scores(), evidence=replace(REAL, range_covered=0.2))
    assert narrow.verdict == "weak"
    assert narrow.reasons == (
        "the samples span only 20 % of the known range of an input, so faults in the rest cannot show.",
    )
    assert not holds(narrow.verdict, strict=True)
    for share in (None, 0.25, 1.0):
        assert check(scores(), scores(), evidence=replace(REAL, range_covered=share)).verdict == "verified"


def test_the_evidence_tells_how_much_each_output_moves() -> None:
    offset = 100 * np.arange(10, dtype=np.float32) + scores()
    constant = np.ones((400, 3), np.float32)
    found = check(
        {"logits": scores(), "offset": offset, "flat": constant},
        {"logits": scores(), "offset": offset, "flat": constant},
    )
    assert found.evidence.variance["logits"] == pytest.approx(1.0, abs=0.01)
    assert found.evidence.variance["offset"] == pytest.approx(1 / offset.std(), rel=0.05)
    assert found.evidence.variance["flat"] == 0.0


def test_the_derivation_of_the_bound_is_in_the_figures() -> None:
    parity = judge({"y": scores()}, {"y": scores()}, precision="fp32", evidence=REAL,
                   noise={"y": {"one-ulp": 1e-6, "float64": 1e-5}})  # fmt: skip
    (figures,) = parity.outputs
    assert figures.derivation is not None
    assert (figures.derivation.method, figures.noise_floor) == ("float64", 1e-5)
    assert figures.tolerance == figures.derivation.bound == pytest.approx(64 * 1e-5)
    half = check(scores(), scores(), "fp16").outputs[0]
    assert (half.derivation, half.tolerance) == (None, None)
    given = check(scores(), scores(), "fp16", tolerance=0.25).outputs[0]
    assert given.derivation is not None
    assert (given.derivation.given, given.tolerance) == (0.25, 0.25)


def test_the_worst_output_decides_and_each_is_named() -> None:
    two = {"probs": scores(), "box": scores(seed=5)}
    parity = check(two, {"probs": scores(), "box": with_noise(two["box"], 40)})
    assert parity.verdict == "failed"
    assert [figures.name for figures in parity.outputs] == ["probs", "box"]
    assert all("box" in reason for reason in parity.reasons)


def test_figures_have_a_json_form_without_nan() -> None:
    parity = check(nan_at(scores()), infinite_at(scores()))
    json.dumps(to_json(parity), allow_nan=False)


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        check(scores(), scores(), "int3")
    assert "int4-weights" in caught.value.hint


def test_noise_does_not_fail_an_artifact_that_was_calibrated_on_real_samples() -> None:
    reference = scores()
    parity = check(reference, with_noise(reference, 2.3), "int8", evidence=GENERATED)
    assert parity.verdict == "weak"
    assert any("2.3 dB" in reason for reason in parity.reasons)
    assert check(reference, with_noise(reference, 2.3), "int8").verdict == "failed"


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int8-weights", "int4-weights"])
def test_no_inputs_excuse_an_error_larger_than_the_output(precision: str) -> None:
    reference = scores()
    assert check(reference, with_noise(reference, -3), precision, evidence=GENERATED).verdict == "failed"
    assert check(reference, np.full_like(reference, np.nan), precision, evidence=GENERATED).verdict == "failed"
    assert check(reference, np.zeros_like(reference), precision, evidence=GENERATED).verdict == "failed"
