"""Accelerators: for real on a GPU in software, and up to the missing hardware for the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.devices.environments import prepare_variant
from edgekit.devices.software_gpu import software_gpu
from edgekit.errors import MissingError, UsageError
from edgekit.jobs.executor import Executor
from edgekit.kit import Kit
from edgekit.runtimes import RUNTIMES, OpenOptions
from edgekit.runtimes.execution import ExecutionJob
from edgekit.runtimes.onnx_providers import pin_precision, provider_settings
from edgekit.runtimes.openvino_devices import refuse_elsewhere
from edgekit.runtimes.placement import native_words, share, split_accelerator, units_of
from edgekit.runtimes.tflite_delegates import edge_tpus
from tests import models
from tests.devices.running import absent, run_on

#: A delegate that loads and takes no operator (tensorflow/lite/delegates/external: its two entry points).
IDLE_DELEGATE = """
#include <stdlib.h>
typedef struct { void *data; int (*prepare)(void *, void *); void *rest[16]; } Delegate;
static int prepare(void *context, void *delegate) { return 0; }
Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  return delegate;
}
void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
"""


@pytest.fixture(scope="module")
def software() -> str:
    """The options of a device whose GPU is in software."""
    try:
        software_gpu()
    except MissingError as err:
        absent(f"{err.message} {err.hint}")
    return "?gpu=software&threads=1"


@pytest.fixture(scope="module")
def webgpu(software: str) -> str:
    """onnxruntime's build for WebGPU, in the user's cache, where it stays for the next time."""
    prepare_variant("onnxruntime-webgpu")
    return f"python:variant=onnxruntime-webgpu{software}"


def opened(name: str, path: Path, **options: Any) -> Any:
    return RUNTIMES[name].load()().open(path, OpenOptions(**options))


def test_tflite_runs_on_a_gpu(software: str, dense_tflite: Path, tmp_path: Path) -> None:
    inputs = {"x": np.concatenate([models.dense_inputs(1, seed)["x"] for seed in range(3)])}
    there, ran = run_on(f"local{software}", "tflite", dense_tflite, inputs, tmp_path, accelerator="GPU")
    here, _ = run_on("local", "tflite", dense_tflite, inputs, tmp_path)
    assert (ran.effective.placement.value, ran.effective.placement.how) == ("GPU", "engine")
    assert np.ptp(here["y"]) > 1
    step = np.diff(np.unique(here["y"])).min()
    np.testing.assert_allclose(there["y"], here["y"], atol=2 * step)


def test_tflite_says_what_the_gpu_left_to_the_cpu(software: str, twin_tflite_fixed: Path, tmp_path: Path) -> None:
    inputs = models.twin_inputs(4)
    outputs, ran = run_on(f"local{software}", "tflite", twin_tflite_fixed, inputs, tmp_path, accelerator="gpu")
    for name, expected in models.twin_outputs(inputs).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=2e-6)
    placement = ran.effective.placement
    assert placement.how == "engine"
    assert units_of(placement.value) == ("GPU", "CPU")
    assert placement.value is not None
    assert placement.value.endswith("(for GATHER_ND)")


def test_tflite_without_a_gpu_is_refused_unless_the_cpu_may_stand_in(dense_tflite: Path, tmp_path: Path) -> None:
    inputs = models.dense_inputs(1)
    with pytest.raises(MissingError) as caught:
        run_on("local?threads=1", "tflite", dense_tflite, inputs, tmp_path, accelerator="NPU")
    assert caught.value.code == "accelerator-missing"
    assert "No compiler plugin found" in caught.value.message
    _, ran = run_on("local", "tflite", dense_tflite, inputs, tmp_path, accelerator="NPU", allow_fallback=True)
    assert ran.effective.placement.value == "CPU"


def test_a_graph_that_the_gpu_cannot_take_is_no_silent_fallback(
    software: str, twin_tflite: Path, tmp_path: Path
) -> None:
    device = f"local{software}"
    with pytest.raises(MissingError, match="static"):
        run_on(device, "tflite", twin_tflite, models.twin_inputs(2), tmp_path, accelerator="GPU")
    inputs = models.twin_inputs(2)
    outputs, ran = run_on(device, "tflite", twin_tflite, inputs, tmp_path, accelerator="GPU", allow_fallback=True)
    np.testing.assert_allclose(outputs["embed"], models.twin_outputs(inputs)["embed"], atol=2e-6)
    assert ran.effective.placement.value == "CPU"


def test_xnnpack_by_name_counts_what_it_took(dense_tflite: Path, twin_tflite: Path) -> None:
    with opened("tflite", dense_tflite, accelerator="XNNPACK") as session:
        assert session.effective().placement.value == "XNNPACK"
    with opened("tflite", twin_tflite, accelerator="xnnpack") as session:
        assert units_of(session.effective().placement.value) == ("XNNPACK", "CPU")


def test_an_edge_tpu_that_is_not_there(dense_tflite: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        opened("tflite", dense_tflite, accelerator="edgetpu")
    assert "libedgetpu" in caught.value.message
    assert "No Edge TPU is seen" in edge_tpus(tmp_path, tmp_path)
    stick = tmp_path / "usb" / "1-2"
    stick.mkdir(parents=True)
    (stick / "idVendor").write_text("1a6e\n")
    (stick / "idProduct").write_text("089a\n")
    (tmp_path / "apex_0").touch()
    assert edge_tpus(tmp_path / "usb", tmp_path) == f"Seen: {tmp_path}/apex_0, USB 1a6e:089a at 1-2."


def test_an_external_delegate_is_loaded_and_has_to_take_something(dense_tflite: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        absent("there is no C compiler")
    (tmp_path / "idle.c").write_text(IDLE_DELEGATE)
    library = tmp_path / "libidle.so"
    build = [compiler, "-shared", "-fPIC", "-w", "-o", str(library), str(tmp_path / "idle.c")]
    subprocess.run(build, check=True)
    with pytest.raises(MissingError) as caught:
        opened("tflite", dense_tflite, accelerator=f"{library}?level=3")
    assert "took no operator" in caught.value.message
    with opened("tflite", dense_tflite, accelerator=str(library), allow_fallback=True) as session:
        assert session.effective().placement.value == "CPU"
    with pytest.raises(MissingError, match="could not be loaded"):
        opened("tflite", dense_tflite, accelerator=str(tmp_path / "absent.so"))


@pytest.mark.parametrize(
    ("accelerator", "words"),
    [
        ("CUDA", ("onnxruntime-gpu", "libcuda.so.1", "libcudnn.so.9")),
        ("TensorRT", ("onnxruntime-gpu", "libnvinfer.so.10")),
        ("OpenVINO?device_type=GPU", ("onnxruntime-openvino",)),
        ("WebGPU", ("onnxruntime-webgpu",)),
        ("CoreML", ("macOS",)),
        ("QNN", ("onnxruntime-qnn", "libQnnHtp.so")),
        ("XNNPACK", ("--use_xnnpack",)),
        ("Azure", ("no such provider",)),
    ],
)
def test_a_provider_that_this_build_lacks(accelerator: str, words: tuple[str, ...], twin_onnx: Path) -> None:
    with pytest.raises(MissingError) as caught:
        opened("onnxruntime", twin_onnx, accelerator=accelerator)
    assert all(word in caught.value.message for word in words)
    assert "CPU" in caught.value.hint
    with opened("onnxruntime", twin_onnx, accelerator=accelerator, allow_fallback=True) as session:
        session.run(models.twin_inputs(1))
        assert session.effective().placement.value == "CPU"


def test_no_provider_computes_f32_in_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    assert provider_settings("CUDAExecutionProvider", OpenOptions(accelerator="CUDA")) == {"use_tf32": "0"}
    chosen = OpenOptions(accelerator="TensorRT", precision=None)
    pin_precision("TensorrtExecutionProvider", chosen)
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")  # so that it is put back
    pin_precision("TensorrtExecutionProvider", replace(chosen, precision="f32"))
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_openvino_devices_that_stand_for_others(twin_openvino: Path) -> None:
    inputs = models.twin_inputs(3)
    for accelerator in ("AUTO", "AUTO:CPU", "HETERO:CPU", "CPU?ENABLE_CPU_PINNING=NO"):
        with opened("openvino", twin_openvino, accelerator=accelerator) as session:
            got = session.run(inputs)["embed"]
            assert session.effective().placement.value == "CPU"
        np.testing.assert_allclose(got, models.twin_outputs(inputs)["embed"], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("accelerator", ["GPU", "NPU", "HETERO:GPU,CPU", "AUTO:NPU,CPU"])
def test_an_openvino_device_that_is_not_there(accelerator: str, twin_openvino: Path) -> None:
    import openvino

    if len(openvino.Core().available_devices) > 1:
        pytest.skip("this machine has more than a CPU")
    with pytest.raises(MissingError) as caught:
        opened("openvino", twin_openvino, accelerator=accelerator)
    assert ("/dev/dri" if "GPU" in accelerator else "/dev/accel") in caught.value.message
    with opened("openvino", twin_openvino, accelerator=accelerator, allow_fallback=True) as session:
        assert session.effective().placement.value == "CPU"


def test_openvino_has_to_use_what_was_asked_for() -> None:
    refuse_elsewhere("GPU", ("GPU.0",), ("CPU", "GPU.0"))
    refuse_elsewhere("AUTO:GPU,CPU", ("CPU",), ("CPU", "GPU"))
    refuse_elsewhere("HETERO:GPU,CPU", ("GPU", "CPU"), ("CPU", "GPU"))
    for device in ("GPU", "HETERO:GPU,CPU"):
        with pytest.raises(MissingError, match="executes on CPU"):
            refuse_elsewhere(device, ("CPU",), ("CPU", "GPU"))


@pytest.mark.slow
def test_onnxruntime_runs_on_webgpu(webgpu: str, digits_kit: Path, tmp_path: Path) -> None:
    kit = Kit.open(digits_kit)
    inputs, expected = kit.golden()[0]
    for artifact in (one for one in kit.artifacts if one.target == "onnx"):
        (tmp_path / artifact.precision).mkdir()
        path = kit.files(artifact)[0]
        outputs, ran = run_on(webgpu, "onnxruntime", path, inputs, tmp_path / artifact.precision, accelerator="WebGPU")
        placement = ran.effective.placement
        assert placement.how == "engine"
        for name, array in expected.items():
            assert np.mean(outputs[name].argmax(1) == array.argmax(1)) > 0.9
        if artifact.precision == "fp32":
            assert placement.value == "WebGPU"
            np.testing.assert_allclose(outputs["probs"], expected["probs"], atol=1e-5)
        else:
            assert units_of(placement.value) == ("WebGPU", "CPU")
            assert "QuantizeLinear" in str(placement.value)


@pytest.mark.slow
def test_each_operator_shows_the_unit_that_ran_it(webgpu: str, dense_onnx: Path, tmp_path: Path) -> None:
    from edgekit.devices import open_device

    np.save(tmp_path / "x.npy", models.dense_inputs(2)["x"])
    with Executor() as executor:
        options = OpenOptions(threads=1, accelerator="WebGPU")
        inputs = {"x": executor.add(tmp_path / "x.npy")}
        job = ExecutionJob("onnxruntime", (executor.add(dense_onnx),), inputs, options)
        ran = executor.run_fresh(job, open_device(webgpu).context())
    units = {group.kind: group.unit for group in ran.operators}
    assert units["MatMul"] == "WebGPU"
    assert units["QuantizeLinear"] == "CPU"


@pytest.mark.slow
def test_a_gpu_build_without_a_gpu_is_no_silent_fallback(webgpu: str, twin_onnx: Path, tmp_path: Path) -> None:
    bare = webgpu.partition("?")[0]
    if Path("/dev/dri").exists():
        pytest.skip("this machine may have a GPU")
    with pytest.raises(MissingError) as caught:
        run_on(bare, "onnxruntime", twin_onnx, models.twin_inputs(2), tmp_path, accelerator="WebGPU")
    assert "adapter" in caught.value.message
    assert "/dev/dri" in caught.value.message
    inputs = models.twin_inputs(2)
    outputs, ran = run_on(bare, "onnxruntime", twin_onnx, inputs, tmp_path, accelerator="WebGPU", allow_fallback=True)
    assert ran.effective.placement.value == "CPU"
    np.testing.assert_allclose(outputs["embed"], models.twin_outputs(inputs)["embed"], atol=2e-6)


def test_shares_in_words() -> None:
    assert share([("CPU", "Conv")] * 3) == "CPU"
    assert share([]) is None
    mixed = [("CPU", "Cast"), *[("CUDA", "Conv")] * 8, ("CPU", "Shape"), ("CPU", "Shape")]
    assert share(mixed) == "CUDA 8/11, CPU 3/11 (2 Shape, 1 Cast)"
    assert units_of(share(mixed)) == ("CUDA", "CPU")
    many = [("GPU", "X"), *(("CPU", f"K{index}") for index in range(9))]
    assert str(share(many)).endswith("3 others)")


def test_options_of_an_accelerator() -> None:
    assert split_accelerator("OpenVINO?device_type=GPU&precision=FP16") == (
        "OpenVINO",
        {"device_type": "GPU", "precision": "FP16"},
    )
    assert split_accelerator("/opt/x/libdelegate.so") == ("/opt/x/libdelegate.so", {})
    for bad in ("?a=b", "GPU?fast", "GPU?=1"):
        with pytest.raises(UsageError):
            split_accelerator(bad)


def test_native_words_are_kept_and_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with native_words() as said:
        os.write(2, b"from native code\n")
        assert said() == "from native code\n"
    assert capfd.readouterr().err == "from native code\n"
