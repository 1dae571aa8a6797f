"""A CUDA machine in one run: parity, placement and latency of the demo's models and of a ResNet-50, as a table.

    python benchmarks/cuda.py [--device python:variant=onnxruntime-gpu] [--kit KIT] [--output FILE.md]

onnxruntime runs on the CPU, on CUDA and on TensorRT through ``edgekit check`` and ``edgekit bench``; torch runs the
ResNet-50 on CUDA eagerly, with TF32 off. Each figure of parity is against the same model in f32 on the CPU. Needs an
NVIDIA driver, a GPU build of onnxruntime on the device, and a CUDA build of torch here. Without a GPU it says what was
looked for and ends with exit status 3.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]

#: What onnxruntime runs on, the reference first.
RUNTIMES = ("onnxruntime", "onnxruntime:CUDA", "onnxruntime:TensorRT")

SAMPLES, BATCH = 8, 1

MISSING = 3

HEAD = ("Model", "Runs on", "Verdict", "SQNR", "Placement", "p50", "95 % interval")


@dataclass(frozen=True)
class Subject:
    """A model to run.

    Attributes:
        name: in the table.
        onnx: its file.
        reference: the same under another description: an artifact is never held against itself.
        data: ``.npz`` of samples by input name.
        module: the same in torch; None where there is none.
    """

    name: str
    onnx: Path
    reference: Path
    data: Path
    module: torch.nn.Module | None = None


def what_is_missing(device: str) -> str:
    """Why nothing can be measured here; empty where a GPU answers."""
    from edgekit.runtimes.onnx_providers import seen_for

    reasons = []
    try:
        import torch
    except ImportError:
        reasons.append("torch is not installed")
    else:
        if not torch.cuda.is_available():
            built = torch.version.cuda or "without CUDA"
            reasons.append(f"torch {torch.__version__} (built {built}) sees no GPU")
    if reasons:
        return f"no CUDA machine: {'; '.join(reasons)}. For onnxruntime on {device}: {seen_for('CUDA')}"
    return ""


def demo_subjects(kit: Path | None, scratch: Path) -> Iterator[Subject]:
    """The ONNX artifacts of the demo's kit, which is made where it is not there."""
    from edgekit.kit import Kit
    from edgekit.samples import save_npz

    folder = kit or ROOT / "demo" / "edgekit-out" / "digits"
    if not folder.is_dir():
        subprocess.run([sys.executable, ROOT / "examples" / "digits" / "demo.py"], cwd=ROOT, check=True)
    opened = Kit.open(folder)
    data = scratch / "digits.npz"
    save_npz(data, opened.golden()[0][0].items())
    for artifact in (one for one in opened.artifacts if one.target == "onnx"):
        path = opened.files(artifact)[0]
        yield Subject(
            f"digits {artifact.precision}", path, _described(path, scratch / f"{artifact.precision}.onnx"), data
        )


def resnet_subject(folder: Path) -> Subject:
    """ResNet-50 (arxiv.org/abs/1512.03385) with random weights: its speed and its arithmetic are a trained one's."""
    import torch

    module = resnet50().eval()
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(SAMPLES, 3, 224, 224)).astype(np.float32))
    path = folder / "resnet50.onnx"
    names = {"input_names": ["image"], "output_names": ["scores"]}
    torch.onnx.export(module, (images[:BATCH],), str(path), external_data=False, verbose=False, **names)
    np.savez(folder / "images.npz", image=images.numpy())
    return Subject("ResNet-50 fp32", path, _described(path, folder / "reference.onnx"), folder / "images.npz", module)


def _described(path: Path, target: Path) -> Path:
    import onnx

    model = onnx.load(str(path))
    model.doc_string = "Reference on the CPU."
    onnx.save(model, str(target))
    return target


def resnet50() -> torch.nn.Module:
    """Bottleneck blocks 3, 4, 6, 3; weights drawn so that activations keep their size."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Bottleneck(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            after = 4 * width
            self.path = nn.Sequential(
                *_convolution(before, width, 1, 1),
                nn.ReLU(),
                *_convolution(width, width, 3, stride),
                nn.ReLU(),
                *_convolution(width, after, 1, 1),
            )
            same = stride == 1 and before == after
            self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(before, after, 1, stride))

        def forward(self, x: Any) -> Any:
            return torch.relu(self.path(x) + self.shortcut(x))

    layers: list[nn.Module] = [*_convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for place in range(count):
            layers.append(Bottleneck(before, width, stride if place == 0 else 1))
            before = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


def _convolution(before: int, after: int, size: int, stride: int) -> Iterator[torch.nn.Module]:
    from torch import nn

    convolution = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    yield convolution
    yield nn.BatchNorm2d(after)


def rows_of(subject: Subject, device: str) -> Iterator[tuple[str, ...]]:
    """One row per runtime; what cannot run says why in place of its verdict."""
    import edgekit
    from edgekit.errors import EdgekitError

    for runtime in RUNTIMES:
        try:
            checked = edgekit.check(
                subject.onnx, against=subject.reference, data=subject.data, device=device, runtime=runtime
            ).results[0]
            timed = edgekit.bench(
                subject.onnx, data=subject.data, device=device, runtime=runtime, max_seconds=20
            ).results[0]
        except EdgekitError as error:
            yield (subject.name, runtime, error.message, "–", "–", "–", "–")
            continue
        sqnr = min((one.sqnr_db for one in checked.outputs if one.sqnr_db is not None), default=None)
        placement = timed.effective.placement.value if timed.effective is not None else None
        yield (
            subject.name,
            runtime,
            checked.verdict if checked.verdict != "error" else " ".join(checked.reasons),
            "exact" if sqnr is None and checked.outputs else f"{sqnr:.1f} dB" if sqnr is not None else "–",
            placement or "–",
            f"{timed.latency_ms.p50:.3f} ms" if timed.latency_ms else "–",
            " to ".join(f"{bound:.3f}" for bound in timed.latency_ms.ci95_p50) if timed.latency_ms else "–",
        )
    if subject.module is not None:
        yield torch_row(subject)


def torch_row(subject: Subject) -> tuple[str, ...]:
    """Torch on CUDA, eagerly; an inference includes the copies to the GPU and back, as onnxruntime's does."""
    import torch

    assert subject.module is not None
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    images = torch.from_numpy(np.load(subject.data)["image"])
    with torch.inference_mode():
        expected = subject.module(images).double()
        there = subject.module.cuda()
        got = torch.cat([there(image[None].cuda()).cpu() for image in images]).double()
        nanoseconds = []
        for count in range(260):
            start = time.perf_counter_ns()
            there(images[:BATCH].cuda()).cpu()
            if count >= 60:
                nanoseconds.append(time.perf_counter_ns() - start)
    sqnr = float(10 * torch.log10((expected**2).sum() / ((expected - got) ** 2).sum()))
    p50 = float(np.median(nanoseconds)) / 1e6
    verdict = "verified" if sqnr >= 80 else "failed"
    return (subject.name, "torch:CUDA", verdict, f"{sqnr:.1f} dB", "CUDA", f"{p50:.3f} ms", "–")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Parity, placement and latency on a CUDA machine.")
    parser.add_argument("--device", default="local", help="such as python:variant=onnxruntime-gpu")
    parser.add_argument("--kit", type=Path, help="of the demo; made in demo/ where it is not there")
    parser.add_argument("--output", type=Path, help="write the table there too")
    options = parser.parse_args(arguments)
    missing = what_is_missing(options.device)
    if missing:
        print(missing, file=sys.stderr)
        return MISSING
    from benchmarks.measuring import conditions, table

    with TemporaryDirectory() as folder:
        subjects = [*demo_subjects(options.kit, Path(folder)), resnet_subject(Path(folder))]
        rows = [row for subject in subjects for row in rows_of(subject, options.device)]
    command = f"python benchmarks/cuda.py --device {options.device}"
    text = f"{table(HEAD, rows)}\n\n{conditions(('onnxruntime-gpu', 'torch'), command)}\n"
    print(text, end="")
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
