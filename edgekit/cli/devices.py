"""``edgekit devices``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.cli.devices_prepare import prepare
from edgekit.cli.output import command

devices = typer.Typer(
    name="devices",
    help="Name devices, and ask what they are.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
devices.command()(prepare)


@devices.command("list")
def list_(json: options.Json = False, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Show the devices that have names; none of them is asked."""
    with command(json, quiet, debug) as out:
        from edgekit.devices.inventory import list_devices

        out.show(list_devices())


@devices.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you will give to --device.")],
    spec: Annotated[str, typer.Argument(metavar="DEVICE", help="Such as ssh://pi@raspberrypi.local?cpus=big.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Name a device, in your own configuration."""
    with command(json, quiet, debug) as out:
        from edgekit.devices.inventory import add_device

        out.show(add_device(name, spec))


@devices.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that you added.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Forget a name."""
    with command(json, quiet, debug) as out:
        from edgekit.devices.inventory import remove_device

        out.show(remove_device(name))


@devices.command()
def probe(
    devices: Annotated[
        list[str] | None, typer.Argument(metavar="[DEVICE...]", help="Default: this machine and every name.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Ask devices what they are and which engines they have."""
    with command(json, quiet, debug) as out:
        from edgekit.devices.inventory import probe_devices

        with out.reporter() as reporter:
            result = probe_devices(devices or (), reporter=reporter)
        out.show(result)
