"""Debian packages of any architecture, without root and without touching this machine's own packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgekit.errors import MissingError

#: Where a mirror is looked up, after the variable.
_SOURCES = Path("/etc/apt")
MIRROR_VARIABLE = "EDGEKIT_DEBIAN_MIRROR"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_TIMEOUT_S = 300
_MIRROR = re.compile(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S*/debian)/?(?=\s|$)", re.MULTILINE)

_CONFIGURATION = """\
APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false"; APT::Sandbox::User "{user}"; APT::Update::Error-Mode "any";
Dir::State "{folder}"; Dir::State::lists "{folder}/lists"; Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache"; Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{folder}/sources";
Acquire::Languages "none"; Acquire::Retries "3"; Acquire::http::Timeout "20"; Debug::NoLocking "true";
"""


def require_tools() -> None:
    """Refuse a machine that cannot fetch and unpack Debian packages.

    Raises:
        MissingError: names the program or the key that is missing.
    """
    absent = [name for name in ("apt-get", "dpkg-deb", "tar") if shutil.which(name) is None]
    if absent:
        raise MissingError(
            "no-apt",
            f"an emulated board is built from Debian packages, and {', '.join(absent)} is not here.",
            hint="Use a Debian or Ubuntu machine or container, or a real board: --device ssh://USER@HOST.",
        )
    if not _KEYRING.is_file():
        raise MissingError(
            "no-archive-key",
            "the keys that Debian signs its packages with are not here.",
            received=str(_KEYRING),
            hint="Run: sudo apt-get install debian-archive-keyring",
        )


def mirror() -> str:
    """The Debian mirror that this machine itself uses, or ``EDGEKIT_DEBIAN_MIRROR``.

    Raises:
        MissingError: neither is there, as on Ubuntu.
    """
    given = os.environ.get(MIRROR_VARIABLE)
    if given:
        return given
    files = sorted((*_SOURCES.glob("sources.list.d/*.sources"), *_SOURCES.glob("**/*.list")))
    for file in files:
        found = _MIRROR.search(file.read_text(errors="replace"))
        if found:
            return found[1]
    raise MissingError(
        "no-debian-mirror",
        "this machine names no Debian mirror, which the packages of an emulated board come from.",
        hint=f"Name one: export {MIRROR_VARIABLE}=http://MIRROR/debian",
    )


class Apt:
    """A package manager of one architecture and suite with all its state in one folder."""

    def __init__(self, folder: Path, architecture: str, suite: str) -> None:
        self._folder = folder
        for name in ("lists/partial", "cache/archives/partial", "sources"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()  # nothing is installed: every dependency is fetched
        (folder / "sources" / "debian.sources").write_text(
            f"Types: deb\nURIs: {mirror()}\nSuites: {suite}\nComponents: main\nSigned-By: {_KEYRING}\n"
        )
        user = "root" if os.getuid() == 0 else ""
        text = _CONFIGURATION.format(architecture=architecture, folder=folder, user=user)
        (folder / "apt.conf").write_text(text)

    def download(self, packages: Sequence[str], *, alone: bool = False) -> list[Path]:
        """Fetch packages and, unless ``alone``, all that they depend on.

        Raises:
            MissingError: the mirror cannot be reached, or lacks a package.
        """
        self._run("update")
        if alone:
            self._run("download", *packages)
            return sorted(self._folder.glob("*.deb"))
        self._run("--yes", "--download-only", "install", *packages)
        return sorted((self._folder / "cache" / "archives").glob("*.deb"))

    def _run(self, *arguments: str) -> None:
        environment = {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"}
        words = ["apt-get", "-qq", *arguments]
        run(words, environment, "the packages of the emulated board could not be fetched", self._folder)


def unpack(package: Path, folder: Path) -> None:
    """Put the files of a package into a folder; links to folders that are there already stay.

    Raises:
        MissingError: there is no space for them, or the package is damaged.
    """
    words = ["tar", "-x", "-C", str(folder), "--no-same-owner", "--keep-directory-symlink"]
    with _contents(package) as stream:
        run(words, None, f"{package.name} could not be unpacked", stdin=stream)


def unpack_file(package: Path, name: str, target: Path) -> None:
    """Write one file of a package, and read no further than that.

    Raises:
        MissingError: the package has no such file.
    """
    with _contents(package) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.removeprefix("./") == name else None
            if content is not None:
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                return
    raise MissingError(
        "bad-package", f"{package.name} holds no {name}.", hint=f"Let {MIRROR_VARIABLE} name another mirror."
    )


@contextmanager
def _contents(package: Path) -> Iterator[IO[bytes]]:
    """The files of a package as a tar stream. Apt has compared the package with its signed digest."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacker:
        assert unpacker.stdout is not None
        try:
            yield unpacker.stdout
        finally:
            unpacker.kill()


def run(
    words: Sequence[str],
    environment: Mapping[str, str] | None,
    failure: str,
    folder: Path | None = None,
    stdin: IO[bytes] | None = None,
) -> None:
    """Run a program of this machine.

    Raises:
        MissingError: it failed; ``failure`` says what that means, followed by its own last words.
    """
    try:
        done = subprocess.run(
            words, env=environment, cwd=folder, stdin=stdin, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as err:
        raise MissingError("no-network", f"{failure}: no answer in time.", hint="Check the network.") from err
    if done.returncode:
        lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith(("E:", "Err"))), lines[-1] if lines else "no word")
        raise MissingError(
            "board-packages",
            f"{failure}: {said[:300]}",
            hint=f"Check the network and the proxy settings, or let {MIRROR_VARIABLE} name another mirror.",
        )
