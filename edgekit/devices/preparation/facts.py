"""What a device is, asked with its shell alone: enough to choose wheels for it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from edgekit.devices.ssh.connection import Connection
from edgekit.errors import MissingError

#: Architectures that engines have wheels for.
ARCHITECTURES = ("aarch64", "x86_64")

#: Oldest Python of the device core.
OLDEST_PYTHON = (3, 9)

_TIMEOUT_S = 60.0

#: Asked of Python itself: a 64-bit kernel may carry a 32-bit userland, and ``uname`` shows only the kernel.
_ASK_PYTHON = (
    "import json,platform,struct,sys;"
    "print(json.dumps([list(sys.version_info[:3]),8*struct.calcsize('P'),platform.python_implementation(),"
    "getattr(sys,'abiflags',''),list(platform.libc_ver())]))"
)

#: One line ``name=value`` each. A dynamic program prints its capabilities where glibc's loader is asked to
#: (ld.so(8), LD_SHOW_AUXV); a device without glibc prints nothing.
_ASK = """\
echo "system=$(uname -s)"
echo "machine=$(uname -m)"
echo "hwcap=$(LD_SHOW_AUXV=1 /bin/true 2>/dev/null | sed -n 's/^AT_HWCAP: *//p')"
echo "free_kb=$(df -Pk {folder} 2>/dev/null | sed -n '2s/.* \\([0-9][0-9]*\\)  *[0-9][0-9]*% .*/\\1/p')"
echo "musl=$(ls /lib/ld-musl-* 2>/dev/null)"
echo "python=$({python} -c {ask} 2>&1)"
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """A device, as far as wheels depend on it.

    Attributes:
        machine: of the kernel, such as ``aarch64``.
        python: version of its interpreter.
        glibc: version of its C library.
        hwcap: AT_HWCAP of a process there; None where it cannot be asked.
        free_bytes: where edgekit keeps its files; None where that cannot be asked.
    """

    machine: str
    python: tuple[int, int, int]
    glibc: tuple[int, int]
    hwcap: int | None
    free_bytes: int | None

    @property
    def key(self) -> str:
        """What devices have in common that take the same wheels, such as ``aarch64-py3.11-glibc2.36``."""
        return f"{self.machine}-py{self.python[0]}.{self.python[1]}-glibc{self.glibc[0]}.{self.glibc[1]}"


def ask(connection: Connection, folder: str) -> Facts:
    """Ask a device what it is.

    Args:
        connection: to it.
        folder: there, where edgekit keeps its files; it need not exist.

    Raises:
        MissingError: it cannot be reached, has no Python that fits, or no engine has wheels for it.
        JobCrashed: the connection broke.
    """
    python = shlex.quote(connection.target.python)
    existing = f'"$(d={shlex.quote(folder)}; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; echo "$d")"'
    script = _ASK.format(python=python, ask=shlex.quote(_ASK_PYTHON), folder=existing)
    said = connection.check(script, timeout_s=_TIMEOUT_S).decode(errors="replace")
    answers = dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
    return read(answers, connection.name, connection.target.python)


def read(answers: dict[str, str], device: str, python: str) -> Facts:
    """Make sense of what a device answered.

    Args:
        answers: by name, as `ask` prints them.
        device: its name, for messages.
        python: the interpreter that was asked.

    Raises:
        MissingError: see `ask`.
    """
    machine = answers.get("machine", "")
    if answers.get("system") != "Linux":
        raise _unfit(device, "no-wheels-for-device", "it does not run Linux", answers.get("system"), _OTHER_BOARD)
    version, bits, kind, flags, libc = _python(answers.get("python", ""), device, python)
    if machine not in ARCHITECTURES or bits != 64:
        found = f"{machine}, Python of {bits} bits"
        why = "engines have no wheels for 32-bit systems" if bits == 32 else "engines have no wheels for its CPU"
        hint = "Install a 64-bit system on it, such as Raspberry Pi OS (64-bit)." if bits == 32 else _OTHER_BOARD
        raise _unfit(device, "no-wheels-for-device", why, found, hint)
    if version[:2] < OLDEST_PYTHON:
        found = ".".join(map(str, version))
        hint = "Install Python 3.9 or newer there and name it: python=/path/to/python3 in the device."
        raise _unfit(device, "old-python", "its Python is too old", found, hint)
    if kind != "CPython" or "t" in flags:
        hint = "Name a usual one: python=/path/to/python3 in the device."
        raise _unfit(device, "no-wheels-for-device", "engines have wheels for CPython only", f"{kind} {flags}", hint)
    glibc = re.match(r"(\d+)\.(\d+)", libc[1]) if libc[0] == "glibc" and not answers.get("musl") else None
    if glibc is None:
        hint = "Use a Debian, Ubuntu, Fedora or Raspberry Pi OS on it."
        found = answers.get("musl") or " ".join(libc).strip() or "unknown"
        raise _unfit(device, "no-wheels-for-device", "engines have wheels for glibc only", found, hint)
    hwcap = re.fullmatch(r"(0x)?([0-9a-fA-F]+)", answers.get("hwcap", "").strip())
    free = answers.get("free_kb", "").strip()
    return Facts(
        machine=machine,
        python=version,
        glibc=(int(glibc[1]), int(glibc[2])),
        hwcap=int(hwcap[2], 16) if hwcap and machine == "aarch64" else None,
        free_bytes=int(free) * 1024 if free.isdecimal() else None,
    )


_OTHER_BOARD = "Use a device with Linux on aarch64 or x86-64."


def _python(said: str, device: str, python: str) -> tuple[tuple[int, int, int], int, str, str, tuple[str, str]]:
    """Version, bits, implementation, ABI flags and libc as the interpreter gave them."""
    try:
        version, bits, kind, flags, libc = json.loads(said)
    except ValueError as err:
        raise MissingError(
            "device-no-python",
            f"{device} has no Python called {python}.",
            received=said[-200:] or None,
            hint="Install Python 3.9 or newer there, or name it with python=/path/to/python3 in the device.",
        ) from err
    return (version[0], version[1], version[2]), bits, kind, flags, (libc[0], libc[1])


def _unfit(device: str, code: str, why: str, found: str | None, hint: str) -> MissingError:
    return MissingError(code, f"{device} cannot be prepared: {why}.", received=found, hint=hint)
