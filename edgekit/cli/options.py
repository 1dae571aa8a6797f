"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated

import typer

from edgekit.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Strict = Annotated[bool, typer.Option("--strict", help="Count weak evidence as a failure.")]

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .keras, .pt2, .jax, .onnx, .xml or .tflite file, a SavedModel folder, or code: file.py:factory.",
    ),
]
CustomObjects = Annotated[
    list[str] | None,
    typer.Option(
        "--custom-objects", metavar="FILE.py", help="Code that defines layers of a .keras file. May be repeated."
    ),
]
OldRuntimes = Annotated[
    list[str] | None,
    typer.Option(
        "--for", metavar="RUNTIME==X.Y", help="Oldest runtime to load it: onnxruntime==1.19. May be repeated."
    ),
]
Submodel = Annotated[
    str | None, typer.Option("--submodel", metavar="NAME", help="The model inside the model: generator.")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Run code that the model file itself holds.")]
KitOrArtifact = Annotated[str, typer.Argument(metavar="KIT|ARTIFACT", help="A kit's folder, or one of its artifacts.")]

Targets = Annotated[
    list[str] | None, typer.Option("--target", metavar="TARGET", help="onnx, openvino, tflite or all. May be repeated.")
]
Precisions = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="PRECISION",
        help="int8, int8-dynamic, int8-weights, int4-weights, fp16, bf16. May be repeated.",
    ),
]
TimedRuntimes = Annotated[
    list[str] | None,
    typer.Option(
        "--runtime",
        metavar="RUNTIME",
        help="Engine and what it runs on: openvino:GPU; or the source too: keras:jax. May be repeated.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="DATA", help="Real samples: .npz, .npy, .csv, .parquet, a folder of images, or file.py:name."
    ),
]
EvalData = Annotated[
    str | None,
    typer.Option("--eval-data", metavar="DATA", help="Samples to evaluate on. Default: a third of --data, set aside."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="[INPUT=]A,B", help="Columns of a table that an input takes. May be repeated."),
]
Labels = Annotated[
    str | None, typer.Option("--labels", metavar="NAME", help="The array or column of the data that holds labels.")
]
Metric = Annotated[
    str,
    typer.Option(
        "--metric", metavar="NAME", help="accuracy, top5, f1, iou, mse, mae or file.py:function; NAME@OUTPUT."
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option("--max-drop", metavar="X", help="Largest accepted loss of the metric, such as 0.005."),
]
Trials = Annotated[
    int | None, typer.Option("--trials", metavar="N", min=1, help="Most recipes, or layers, to try per artifact.")
]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=SHAPE", help="Pin sizes: image=?x224x224x3[:float32]; ? stays free."),
]
TimedInputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=SHAPE", help="Free sizes to time with: image=1x224x224x3. May be repeated."),
]
ZeroCopy = Annotated[
    bool,
    typer.Option(
        "--zero-copy/--copy", help="Bind inputs and outputs once, or copy them in every inference (the default)."
    ),
]
Backend = Annotated[
    str, typer.Option("--backend", metavar="NAME", help="Keras backend: auto, jax, torch, tensorflow or openvino.")
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="Where to run: local?cpus=0, python:PATH, ssh://user@host, or a name."
    ),
]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Where to run: local?cpus=0, python:PATH, ssh://user@host, or a name. May be repeated. Default: local.",
    ),
]
Runtimes = Annotated[
    list[str] | None,
    typer.Option(
        "--runtime",
        metavar="NAME[:ACCELERATOR]",
        help="Engine and what it runs on: openvino:GPU, onnxruntime:CUDA, tflite:EdgeTPU. May be repeated.",
    ),
]
Runtime = Annotated[
    str,
    typer.Option("--runtime", metavar="NAME[:ACCELERATOR]", help="Engine and what it runs on: onnxruntime:CUDA."),
]
AllowFallback = Annotated[
    bool, typer.Option("--allow-fallback", help="Run on the CPU where the accelerator is missing, and say so.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Inference threads. Default: the engine's choice.")
]
Cpus = Annotated[
    str | None, typer.Option("--cpus", metavar="CPUS", help="Pin to these CPUs: 0,2-3, or big, little or one.")
]
MaxSeconds = Annotated[
    float | None,
    typer.Option("--max-seconds", metavar="S", help="Time limit per artifact. Default: 20, and 6 in edgekit run."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Throw away a kit of another source in the same folder.")]


def share(text: str | None, option: str) -> float | None:
    """A share written as ``5%`` or ``0.05``.

    Raises:
        UsageError: neither.
    """
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < inf:
        raise UsageError(
            "bad-share", f"{option} takes a share of 0 or more.", received=text, hint=f"Example: {option} 5%"
        )
    return value


def refuse_with_sensitivity(*, io: str, max_drop: float | None, must_pay: bool, precisions: Sequence[str]) -> None:
    """Refuse options about a result that ``--sensitivity`` does not make.

    Raises:
        UsageError: names the option.
    """
    given = {
        "--io int8": io != "float",
        "--max-drop": max_drop is not None,
        "--must-pay": must_pay,
        "a second --precision": len(precisions) > 1,
    }
    useless = [name for name, is_given in given.items() if is_given]
    if useless:
        raise UsageError(
            "nothing-is-made",
            "--sensitivity ranks layers and makes no artifact.",
            received=", ".join(useless),
            hint=f"Leave out {useless[0]}, or leave out --sensitivity.",
        )
