"""Realistic results, with the figures of a small convolutional network on 8x8 digits."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from edgekit.checked import Accuracy, Blame, CheckRow, Distance, Failing, LayerParity, OutputParity, Parity, StageParity
from edgekit.figures import ArtifactResult, BenchRow, Latency, Pays, Quantization, Recommendation, SourceSummary, Trial
from edgekit.results import (
    BenchResult,
    CheckResult,
    ExportResult,
    LayerSensitivity,
    QuantizeResult,
    RunResult,
    SensitivityResult,
    SensitivityRow,
)
from edgekit.types import Attempt, Effective, Evidence, Reading, Signature, TensorSpec, Verdict

REAL = Evidence("real", 297, ("image=1x8x8x1", "image=3x8x8x1"))
SLOW = "INT8 is slower than its FP32 parent on this machine."
WEAK = "The upper bound of the drop in accuracy is 0.9 %, above the 0.5 % that was allowed: 297 samples are too few."
HOSTILE = "<script>alert('x')</script> | & \"quoted\""

SOURCE = SourceSummary(
    path="models/digits.keras",
    sha256="5f" * 32,
    kind="keras",
    backend="jax",
    framework="keras 3.15.1",
    signature=Signature(
        (TensorSpec("image", (None, 8, 8, 1), "float32"),), (TensorSpec("scores", (None, 10), "float32"),)
    ),
    parameters=25_482,
)

ENVIRONMENT = {
    "cpu": "AMD EPYC 9B14, 2 of 2 CPUs",
    "features": "avx2 fma avx512_vnni avx512_bf16",
    "governor": "not readable",
    "system": "Debian GNU/Linux 12 (bookworm), Linux 6.1.0",
    "versions": "onnxruntime 1.31.1, openvino 2026.4.1, ai-edge-litert 2.3.0",
}


def parity(
    sqnr_db: float | None, agreement: float, verdict: Verdict = "verified", reasons: tuple[str, ...] = ()
) -> Parity:
    exact = sqnr_db is None or sqnr_db > 80
    output = OutputParity(
        name="scores",
        max_abs=0.0 if sqnr_db is None else 10 ** (-sqnr_db / 20),
        max_rel=1e-4,
        sqnr_db=sqnr_db,
        worst_sqnr_db=sqnr_db,
        cosine=1.0,
        top1_agreement=agreement,
        top1_ci95=(agreement - 0.01, 1.0),
        tolerance=2e-4 if exact else None,
        noise_floor=1e-7,
    )
    return Parity(verdict, reasons, (output,), REAL)


def artifact(target: str, precision: str, size: int, sqnr_db: float | None, agreement: float) -> ArtifactResult:
    sha = sha256(f"{target} {precision}".encode()).hexdigest()
    suffix = {"onnx": "onnx", "openvino": "xml", "tflite": "tflite"}[target]
    route = {"onnx": "keras@torch>onnx", "openvino": "keras@openvino>openvino", "tflite": "keras@jax>stablehlo>tflite"}
    accuracy = Accuracy("accuracy", 0.9764, 0.9798, 0.0034, (-0.004, 0.009), 297) if precision == "int8" else None
    attempts: tuple[Attempt, ...] = (Attempt(route[target], "accepted", "", 7.4),)
    if target == "openvino" and precision == "fp32":
        refused = "output scores differs from the source by 0.98, 4,900 times its tolerance"
        attempts = (Attempt("keras@torch>onnx>openvino", "rejected", refused, 14.2), *attempts)
    return ArtifactResult(
        target=target,
        precision=precision,
        path=f"edgekit-out/digits/artifacts/{target}-{precision}-{sha[:8]}/model.{suffix}",
        size_bytes=size,
        sha256=sha,
        route=route[target],
        verdict="weak" if accuracy else "verified",
        reasons=(WEAK,) if accuracy else (),
        parity=parity(sqnr_db, agreement),
        accuracy=accuracy,
        attempts=attempts if precision == "fp32" else (),
    )


def failed_artifact() -> ArtifactResult:
    reason = f"the converter refused operator Gelu {HOSTILE}"
    attempts = (
        Attempt("keras@jax>onnx", "failed", reason, 3.1),
        Attempt("keras@torch>onnx", "crashed", "signal SIGSEGV", 9.0),
    )
    return ArtifactResult(
        "onnx", "fp16", None, None, None, None, "error", ("no route was accepted",), None, None, attempts
    )


def timing(made: ArtifactResult, p50: float, pays: tuple[Pays, ...] = (), verdict: Verdict = "verified") -> BenchRow:
    return BenchRow(
        artifact=str(made.path),
        target=made.target,
        precision=made.precision,
        runtime={"onnx": "onnxruntime"}.get(made.target, made.target),
        device="local",
        threads=1,
        batch=1,
        scenario="latency",
        latency_ms=Latency(p50, p50 * 1.12, p50 * 1.4, p50 * 0.93, p50 * 1.03, (p50 * 0.985, p50 * 1.02)),
        throughput_per_s=1000 / p50,
        load_ms=31.0,
        first_ms=p50 * 3,
        peak_rss_mb=48.2,
        size_bytes=made.size_bytes or 0,
        openings=8,
        samples=12_480,
        opening_p50_ms=(p50,) * 8,
        verdict=verdict,
        reasons=() if verdict == "verified" else ("Other programs used 34 % of a core while this was timed.",),
        effective=Effective(
            Reading("f32" if made.precision == "fp32" else "i8+f32", "engine"), Reading("CPU", "engine")
        ),
        environment=ENVIRONMENT,
        measured_at="2026-03-01T12:30:45+00:00",
        pays=pays,
    )


def run_result() -> RunResult:
    rows: tuple[ArtifactResult, ...] = (
        artifact("onnx", "fp32", 104_212, 131.2, 1.0),
        artifact("onnx", "int8", 38_800, 33.1, 0.9966),
        artifact("openvino", "fp32", 118_003, None, 1.0),
        artifact("openvino", "int8", 51_200, 34.8, 0.9966),
        artifact("tflite", "fp32", 103_900, 128.7, 1.0),
        artifact("tflite", "int8", 34_500, 31.9, 0.9933),
    )
    pays = {
        1: Pays("local", "not shown", 1.01, (0.97, 1.05), None),
        3: Pays("local", "yes", 1.62, (1.57, 1.68), None),
        5: Pays("local", "no", 0.71, (0.69, 0.74), "The model is so small that the cost of a call dominates."),
    }
    p50 = (0.0421, 0.0417, 0.0683, 0.0422, 0.0215, 0.0303)
    latency = tuple(
        timing(row, p50[index], (pays[index],) if index in pays else (), "weak" if index == 4 else "verified")
        for index, row in enumerate(rows)
    )
    rows = tuple(replace(row, pays=(pays[index],)) if index in pays else row for index, row in enumerate(rows))
    return RunResult(
        ok=True,
        verdict="weak",
        evidence=REAL,
        kit="edgekit-out/digits",
        source=SOURCE,
        artifacts=rows,
        checks=tuple(check_row(row) for row in rows),
        latency=latency,
        recommendation=Recommendation(
            "tflite fp32",
            rows[4].path,
            "It is the fastest verified artifact here: 0.0215 ms, 1.4 times as fast as the next.",
        ),
        key="00" * 32,
        measured_at="2026-03-01T12:31:00+00:00",
        cached=False,
        report="edgekit-out/digits/report.html",
        warnings=("onnx: batch is free; tflite: batch fixed to 1.",),
    )


def check_row(made: ArtifactResult) -> CheckRow:
    assert made.parity is not None
    return CheckRow(
        artifact=str(made.path),
        target=made.target,
        precision=made.precision,
        runtime={"onnx": "onnxruntime"}.get(made.target, made.target),
        device="local",
        verdict=made.verdict,
        reasons=made.reasons,
        outputs=made.parity.outputs,
        effective=None,
        culprit=None,
        accuracy=made.accuracy,
    )


def export_result() -> ExportResult:
    made = (*(row for row in run_result().artifacts if row.precision == "fp32"), failed_artifact())
    return ExportResult(False, "error", REAL, "edgekit-out/digits", SOURCE, made)


def check_result() -> CheckResult:
    return CheckResult(True, "weak", REAL, "edgekit-out/digits", "golden samples", run_result().checks)


def bench_result() -> BenchResult:
    return BenchResult(True, "weak", REAL, "edgekit-out/digits", run_result().latency)


#: A name as converters write it, longer than a screen is wide.
LAYER = "StatefulPartitionedCall/digits_cnn_1/block_3/depthwise_1/separable_conv2d;block_3/batch_normalization_2/add"

QUANTIZATION = Quantization(
    recipe="int8_conv_histogram_biasfast",
    model_kind="convolutional",
    trials=(
        Trial("int8_conv", "worse", "2.4 dB noisier than the best", 34.8, 0.9764, 0.988, 3.1),
        Trial("int8_conv_histogram", "worse", "0.6 dB noisier than the best", 36.6, 0.9764, 0.988, 3.4),
        Trial("int8_conv_histogram_biasfast", "chosen", "", 37.2, 0.9798, 0.988, 4.4),
        Trial(
            "int8_conv_actchannels",
            "unrunnable",
            "QLinearConv: the zero point must be a scalar",
            None,
            None,
            0.988,
            2.2,
        ),
        Trial("int8_conv_percentile_biasfull", "timeout", "it took more than 15 s", None, None, None, 15.0),
    ),
    low_bit_macs=0.812,
    left_float=(LAYER, "fc1/MatMul"),
    calibration_samples=300,
    selection_samples=128,
)


def quantize_result() -> QuantizeResult:
    """Four artifacts: one that pays, one that does not, one of which nothing is shown, and one that was not made."""
    pays = (
        Pays("local", "no", 0.71, (0.69, 0.74), "the engine did not fuse 4 DequantizeLinear.", 2.73, 0.85, "f32"),
        Pays("local", "yes", 1.62, (1.57, 1.68), None, 1.62, 1.05, "f32", "bf16"),
        Pays("local", "not shown", 1.01, (0.97, 1.05), "an inference takes 0.02 ms.", 2.71, None, "f32"),
    )
    rows = [row for row in run_result().artifacts if row.precision == "int8"]
    made = [replace(row, pays=(answer,)) for row, answer in zip(rows, pays, strict=True)]
    made[1] = replace(made[1], quantization=QUANTIZATION)
    made[0] = replace(made[0], quantization=replace(QUANTIZATION, trials=QUANTIZATION.trials[:1], left_float=()))
    warnings = ("300 calibration samples cover 94 % of the range of the evaluation samples.",)
    return QuantizeResult(False, "error", REAL, "edgekit-out/digits", (*made, failed_artifact()), warnings)


def sensitivity_result() -> SensitivityResult:
    """One operator that does nearly all the damage, one that does none, many between."""
    layers = (
        LayerSensitivity(LAYER, "GroupConvolution", 11.3, 0.081, 0.061),
        LayerSensitivity("conv2", "Convolution", 24.9, 0.0067, 0.744),
        *(LayerSensitivity(f"block_{i}/conv", "Convolution", 28.0 + i / 2, 0.0, 0.004) for i in range(24)),
        LayerSensitivity("fc1/MatMul", "MatMul", None, 0.0, 0.019),
    )
    row = SensitivityRow(
        artifact=str(run_result().artifacts[2].path),
        target="openvino",
        precision="int8",
        recipe="int8_conv",
        layers=layers,
        not_measured=3,
        verdict="verified",
        reasons=(),
    )
    return SensitivityResult(True, "verified", REAL, "edgekit-out/digits", (row,))


def layer(name: str, kind: str, sqnr_db: float | None, good: bool | None, added_db: float | None = None) -> LayerParity:
    """One that has no tensor where it neither holds nor fails."""
    return LayerParity(
        layer=name,
        kind=kind,
        operator=None if good is None else f"{name}/{kind}",
        tensor=None if good is None else f"{name}_out",
        sqnr_db=sqnr_db,
        max_abs=None if good is None else 0.0 if sqnr_db is None else 10 ** (-sqnr_db / 20),
        tolerance=None if good is None else 1.1e-4,
        added_db=added_db,
        good=good,
    )


def stage(name: str, sqnr_db: float | None, source_db: float | None, verdict: Verdict = "verified") -> StageParity:
    """One of an artifact; equal without a figure."""
    beside, whole = (Distance(one, 0.0 if one is None else 10 ** (-one / 20), verdict) for one in (sqnr_db, source_db))
    return StageParity(name, f"artifacts/{name}/model.onnx", beside, whole, verdict, ())


def failed_check() -> CheckRow:
    """The culprit is fused into the layer behind it; layers around, and one name as long as converters make them."""
    row = check_row(run_result().artifacts[0])
    right = tuple(layer(f"block_{i}/conv", "Conv2D", 131.25 - i, True, 135.0 if i % 2 else None) for i in range(24))
    wrong = (
        layer("conv2d_24", "Conv2D", None, None),
        layer(LAYER, "BatchNormalization", 17.49, False, 17.5),
        layer("global_average_pooling2d", "GlobalAveragePooling2D", 15.82, False, 25.63),
        layer("probs", "Dense", 32.88, False),
    )
    return replace(
        row,
        verdict="failed",
        reasons=("output probs: SQNR 26.4 dB is under 80 dB.",),
        culprit="export: layer conv2d_24 (Conv conv2d_24/Conv)",
        blame=Blame("export", "conv2d_24", "Conv", "conv2d_24/Conv"),
        stages=(stage("export", 26.4, 26.4, "failed"),),
        layers=(layer("image", "InputLayer", None, True), *right, *wrong),
        failing=Failing(
            "edgekit-out/digits/failing/onnx-fp32-0c2e77a1",
            "python edgekit-out/digits/failing/onnx-fp32-0c2e77a1/reproduce.py",
            "conv2d_24/Conv",
            ("conv2d_24", LAYER),
            0.52,
        ),
    )


def noisy_check() -> CheckRow:
    """Quantized, nothing failed: the layers of the artifact that it was made from, most of them quiet."""
    noise = {3: 28.1, 17: 24.6, 30: 31.0}
    found = [
        replace(layer(f"op_{i}", "Conv", 40.0 - i / 10, True, noise.get(i, 50.0)), tolerance=None) for i in range(32)
    ]
    return replace(
        check_row(run_result().artifacts[1]),
        layers=tuple(replace(one, operator=one.layer) for one in found),
        stages=(stage("export", None, None), stage("quantize", 33.1, 33.0, "weak")),
    )


def layers_result() -> CheckResult:
    """What ``edgekit check --layers`` returns for an artifact that holds and one that does not."""
    return CheckResult(False, "failed", REAL, "edgekit-out/digits", "golden samples", (noisy_check(), failed_check()))
