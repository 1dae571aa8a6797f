"""Names for device specs: in ``edgekit.toml`` of a project, and in the user's own configuration.

Both have a table ``[devices]`` with lines like ``pi5 = "ssh://pi@raspberrypi.local?cpus=big"``. The project's win.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit.errors import UsageError
from edgekit.jobs.disk import writing

#: In the folder that a command is called from.
PROJECT_FILE = "edgekit.toml"

TABLE = "devices"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")

_HEAD = "# Devices that `edgekit devices add` named. Lines may be edited; comments are not kept.\n"


@dataclass(frozen=True, slots=True)
class Named:
    """A device that has a name.

    Attributes:
        name: what users type.
        spec: what it stands for.
        origin: where that is said.
        path: the file.
    """

    name: str
    spec: str
    origin: Literal["project", "user"]
    path: Path


def user_file() -> Path:
    """The user's own list: ``$XDG_CONFIG_HOME/edgekit/devices.toml``."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"  # the specification counts an empty one as unset
    return Path(home).expanduser() / "edgekit" / "devices.toml"


def named_devices() -> dict[str, Named]:
    """Every name, those of the project first.

    Raises:
        UsageError: one of the files is no TOML, or names something that is no string.
    """
    found: dict[str, Named] = {}
    project, user = Path(PROJECT_FILE), user_file()
    for name, spec in _read(project).items():
        found[name] = Named(name, spec, "project", project)
    for name, spec in _read(user).items():
        found.setdefault(name, Named(name, spec, "user", user))
    return found


def resolved(text: str) -> str:
    """The spec behind a name; further options may follow it: ``pi5?threads=2``. What is no name stays as it is."""
    name, mark, options = text.partition("?")
    if not _NAME.match(name):
        return text
    known = named_devices().get(name)
    if known is None:
        return text
    return f"{known.spec}{'&' if '?' in known.spec else '?'}{options}" if mark else known.spec


def add_name(name: str, spec: str) -> Path:
    """Name a device in the user's configuration; a name that is there gets the new spec.

    Returns:
        The file that was written.

    Raises:
        UsageError: the name cannot be told apart from a spec, or the file cannot be written.
    """
    if not _NAME.match(name):
        raise UsageError(
            "bad-device-name",
            "a name has letters, digits, dots, dashes and underscores.",
            received=name,
            hint="For example: edgekit devices add pi5 ssh://pi@raspberrypi.local",
        )
    path = user_file()
    _write(path, {**_read(path), name: spec})
    return path


def remove_name(name: str) -> Path:
    """Forget a name of the user's configuration.

    Returns:
        The file that was written.

    Raises:
        UsageError: there is no such name, or it is the project's.
    """
    path = user_file()
    names = _read(path)
    if name not in names:
        elsewhere = named_devices().get(name)
        raise UsageError(
            "no-such-name",
            f"{path} names no such device.",
            received=name,
            hint=f"Remove the line from {elsewhere.path}." if elsewhere else "List them with: edgekit devices list",
        )
    _write(path, {known: spec for known, spec in names.items() if known != name})
    return path


def _read(path: Path) -> dict[str, str]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get(TABLE, {})
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise UsageError("bad-device-file", f"{path} is no TOML: {err}.", hint="Mend the line it names.") from err
    if not isinstance(table, dict) or not all(isinstance(spec, str) for spec in table.values()):
        raise UsageError(
            "bad-device-file",
            f'[{TABLE}] in {path} holds lines like pi5 = "ssh://pi@raspberrypi.local".',
            received=repr(table)[:200],
            hint="Mend it.",
        )
    return table


def _write(path: Path, names: Mapping[str, str]) -> None:
    lines = [f"{json.dumps(name)} = {json.dumps(spec, ensure_ascii=False)}\n" for name, spec in names.items()]
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path, "set XDG_CONFIG_HOME to a folder that is writable"):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(f"{_HEAD}[{TABLE}]\n{''.join(lines)}", encoding="utf-8")
        aside.replace(path)
