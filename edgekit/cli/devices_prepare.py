"""``edgekit devices prepare``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def prepare(
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE", help="ssh://USER@HOST, qemu://aarch64?cpu=cortex-a72 or python:variant=tflite-runtime."
        ),
    ],
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", metavar="NAME", help="onnxruntime, openvino or tflite. May be repeated."),
    ] = None,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Install the newest versions, not those of this machine.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Put engines onto a device.

    Wheels are resolved here and unpacked there; the device needs no network, no root and no pip.
    """
    with command(json, quiet, debug) as out:
        with out.reporter() as reporter:
            result = edgekit.prepare(device, runtime=runtime or (), upgrade=upgrade, reporter=reporter)
        out.show(result)
