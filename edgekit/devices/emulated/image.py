"""The root file system of an emulated board, and QEMU itself: built once, then kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgekit.devices.cache import cache_folder, locked
from edgekit.devices.emulated import debian
from edgekit.errors import UsageError

#: Raised with every change to what an image holds, so that an older one is not taken for it.
_VERSION = 2

#: The account that boards are logged in to.
USER, USER_ID = "pi", 1000

#: Its login shell. An SSH server gives a session a fresh environment, and without this variable QEMU silently
#: emulates ``max``.
SHELL = "/usr/local/bin/board-sh"
_SHELL_TEXT = '#!/bin/sh\nexport QEMU_CPU=$(cat /etc/board/cpu)\nexec /bin/sh "$@"\n'

#: Besides Python: what engines link to, a shell with the usual commands, and the SSH server.
_PACKAGES = (
    *("base-files", "coreutils", "dash", "dropbear-bin", "grep", "libgomp1", "libstdc++6"),
    *("openssh-sftp-server", "sed", "util-linux"),
)


@dataclass(frozen=True, slots=True)
class Suite:
    """A Debian release.

    Attributes:
        python: its Python.
        qemu_package, qemu_file: where its static QEMU for aarch64 is.
    """

    python: str
    qemu_package: str
    qemu_file: str


SUITES = {
    "bookworm": Suite("3.11", "qemu-user-static", "usr/bin/qemu-aarch64-static"),
    "trixie": Suite("3.13", "qemu-user", "usr/bin/qemu-aarch64"),
}


@dataclass(frozen=True, slots=True)
class Image:
    """A built board.

    Attributes:
        root: its file system, never written to again.
        qemu: the program that runs it.
    """

    root: Path
    qemu: Path


def image(suite: str) -> Image:
    """The image of a suite, built when this user does not have it yet. Two commands at once build it once.

    Args:
        suite: name in `SUITES`.

    Raises:
        MissingError: no apt, no network.
        UsageError: no such suite, or the cache cannot be written.
    """
    if suite not in SUITES:
        raise UsageError(
            "bad-suite",
            "there is no emulated board of this Debian release.",
            received=suite,
            hint=f"Choose one of: {', '.join(f'suite={name}' for name in SUITES)}.",
        )
    folder = cache_folder("boards")
    final = folder / f"{suite}-{_key(suite)}"
    if not final.is_dir():
        with locked(folder / f"{final.name}.lock"):
            if not final.is_dir():
                _build(suite, folder / f"{final.name}.making", final)
    return Image(final / "root", final / "qemu-aarch64")


def _key(suite: str) -> str:
    """What the image depends on, as a short digest."""
    recipe = [_VERSION, suite, SUITES[suite].python, *_PACKAGES]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def _build(suite: str, making: Path, final: Path) -> None:
    """Build aside, then move into place. What a killed command left is thrown away: the lock says that nobody has it.

    Raises:
        MissingError: see `image`.
    """
    debian.require_tools()
    if making.exists():
        shutil.rmtree(making)
    making.mkdir()
    try:
        with ThreadPoolExecutor(2) as pool:
            parts = [pool.submit(make, suite, making) for make in (_make_root, _make_qemu)]
            for part in parts:
                part.result()
        os.rename(making, final)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _make_root(suite: str, folder: Path) -> None:
    apt, root = folder / "apt-arm64", folder / "root"
    python = SUITES[suite].python
    packages = debian.Apt(apt, "arm64", suite).download([f"python{python}", *_PACKAGES])
    root.mkdir()
    # base-files first: in newer releases it makes /bin and /lib links, which the others write through
    for package in sorted(packages, key=lambda path: (not path.name.startswith("base-files_"), path.name)):
        debian.unpack(package, root)
    _configure(root, python)
    shutil.rmtree(apt)


def _configure(root: Path, python: str) -> None:
    """What the packages' own scripts would have done, as far as a login needs it."""
    account = f"{USER}:x:{USER_ID}"
    files = {
        "etc/passwd": [
            "root:x:0:0:root:/:/bin/sh",
            f"{account}:{USER_ID}:{USER}:/home/{USER}:{SHELL}",
            "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin",
        ],
        "etc/group": ["root:x:0:", f"{account}:", "nogroup:x:65534:"],
        "etc/nsswitch.conf": ["passwd: files", "group: files", "hosts: files dns"],
        "etc/shells": ["/bin/sh", SHELL],
    }
    for name, lines in files.items():
        (root / name).write_text("".join(f"{line}\n" for line in lines))
    for name in ("proc", "sys", "dev", "tmp", "run", "etc/board", f"home/{USER}"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shell = root / SHELL.lstrip("/")
    shell.parent.mkdir(parents=True, exist_ok=True)
    shell.write_text(_SHELL_TEXT)
    shell.chmod(0o755)
    (root / "usr/bin/python3").symlink_to(f"python{python}")


def _make_qemu(suite: str, folder: Path) -> None:
    """QEMU alone out of its package: it is static, so nothing else of it is needed."""
    apt, wanted = folder / "apt-amd64", SUITES[suite]
    (package,) = debian.Apt(apt, "amd64", suite).download([wanted.qemu_package], alone=True)
    target = folder / "qemu-aarch64"
    debian.unpack_file(package, wanted.qemu_file, target)
    target.chmod(0o755)
    shutil.rmtree(apt)
