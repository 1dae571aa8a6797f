"""A running emulated board: an SSH server of another architecture on a loopback port of this machine."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from edgekit.devices.cache import ELSEWHERE, cache_folder, locked
from edgekit.devices.emulated import launcher
from edgekit.devices.emulated.cores import Core, put
from edgekit.devices.emulated.image import USER, USER_ID, Image, image
from edgekit.devices.ssh.connection import SshTarget
from edgekit.errors import MissingError
from edgekit.jobs.disk import writing

#: Most CPUs of a board; Raspberry Pis have four.
MAX_CPUS = 4

#: Seconds until its server answers; a quarter of one on an idle machine.
_START_S = 60.0

#: Starts that are tried: another program may take the port that was free a moment ago.
_TRIES = 3

_SERVER = """\
[ -s /etc/board/host_key ] || dropbearkey -t ed25519 -f /etc/board/host_key >/dev/null || exit 1
[ -s /etc/board/host_key.pub ] || dropbearkey -y -f /etc/board/host_key | grep ^ssh- > /etc/board/host_key.pub
exec dropbear -F -E -s -j -k -r /etc/board/host_key -p 127.0.0.1:{port}
"""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": f"/home/{USER}", "LANG": "C.UTF-8"}


class Board:
    """An emulated board. A context manager; it ends with it, or with this process, even a killed one.

    Its home folder stays in the user's cache between commands, so that what was sent to it is there the next time.
    """

    def __init__(self, core: Core, suite: str) -> None:
        """Args:
        core: its CPU.
        suite: its Debian release.
        """
        self.core = core
        self._suite = suite
        self._launcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> SshTarget:
        """Start it and wait until its SSH server answers.

        Raises:
            MissingError: this machine cannot run one; the message says what it lacks.
        """
        require_host()
        built = image(self._suite)
        state = cache_folder("boards") / f"{self._suite}-{self.core.name}.state"
        with locked(state.with_suffix(".lock")):
            _make_state(state, self.core)
            for attempt in range(1, _TRIES + 1):
                port = _free_port()
                try:
                    self._launch(built, state, port)
                    break
                except _NotUp as err:
                    self.stop()
                    if attempt == _TRIES:
                        raise _refused(str(err)) from err
            return _target(state, port)

    def stop(self) -> None:
        """End it and everything that runs on it. Safe to call twice."""
        running, self._launcher = self._launcher, None
        if running is None:
            return
        for pipe in (running.stdin, running.stdout):
            assert pipe is not None
            pipe.close()  # the launcher ends the board when its input ends
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()

    def _launch(self, built: Image, state: Path, port: int) -> None:
        setup = launcher.Setup(
            root=str(built.root),
            qemu=str(built.qemu),
            cpu=self.core.name,
            binds={
                f"/home/{USER}": str(state / "home"),
                "/etc/board": str(state / "etc"),
                "/proc/cpuinfo": str(state / "cpuinfo"),
                "/sys": str(state / "sys"),
            },
            hostname=f"emulated-{self.core.name}",
            user=USER_ID,
            cpus=_cpus(),
            command=["/bin/sh", "-c", _SERVER.format(port=port)],
            environment=_ENVIRONMENT,
        )
        words = [sys.executable, "-I", "-S", launcher.__file__, json.dumps(asdict(setup))]
        with tempfile.TemporaryFile() as log:
            self._launcher = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
            assert self._launcher.stdout is not None
            said = self._launcher.stdout.readline().decode(errors="replace").strip()
            if said == "up" and self._answers(port):
                return
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
        raise _NotUp(said if said not in ("", "up") else lines[-1] if lines else "its server does not answer")

    def _answers(self, port: int) -> bool:
        assert self._launcher is not None
        deadline = time.monotonic() + _START_S
        while self._launcher.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    return True
            except OSError:
                time.sleep(0.02)
        return False


class _NotUp(Exception):
    """The board did not come up; the text is the step that failed."""


def require_host() -> None:
    """Refuse a machine that cannot run an emulated board.

    Raises:
        MissingError: another system or architecture.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ("x86_64", "AMD64"):
        raise MissingError(
            "no-emulation-here",
            "an emulated board needs Linux on x86-64.",
            received=f"{platform.system()} on {machine}",
            hint="On an Arm machine use it itself, --device local; else a real board: --device ssh://USER@HOST.",
        )


def _make_state(state: Path, core: Core) -> None:
    """What a board keeps between commands: home, keys, and what it shows of its CPUs.

    Another command may be running it, so each file is replaced in one step.
    """
    count = len(_cpus())
    home, etc = state / "home", state / "etc"
    with writing(state, ELSEWHERE):
        for folder in (home / ".ssh", etc, state / "sys"):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (state, home, home / ".ssh"):  # servers refuse keys that others could have written
            folder.chmod(0o700)
        put(etc / "cpu", f"{core.name}\n")
        put(state / "cpuinfo", core.cpuinfo(count))
        core.write_sysfs(state / "sys", count)
        key = state / "key"
        if not key.with_suffix(".pub").exists():  # which is written last
            key.unlink(missing_ok=True)
            _make_key(key)
        put(home / ".ssh" / "authorized_keys", key.with_suffix(".pub").read_text(), 0o600)


def _make_key(key: Path) -> None:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "edgekit", "-f", str(key)]
    try:
        subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as err:
        raise MissingError(
            "ssh-missing", "this machine has no SSH client.", hint="Install it: apt install openssh-client"
        ) from err


def _target(state: Path, port: int) -> SshTarget:
    """How to log in, whatever the user's own SSH configuration says."""
    known = state / "known_hosts"
    public = (state / "etc" / "host_key.pub").read_text().split()
    put(known, f"{_ALIAS} {' '.join(public[:2])}\n")
    settings = (
        *("IdentitiesOnly=yes", "IdentityAgent=none", f"HostKeyAlias={_ALIAS}", "CheckHostIP=no"),
        *(f'UserKnownHostsFile="{known}"', "GlobalKnownHostsFile=none"),
    )
    options = ["-F", "none", "-i", str(state / "key")]
    for setting in settings:
        options += ["-o", setting]
    return SshTarget("127.0.0.1", USER, port, "python3", tuple(options))


_ALIAS = "edgekit-board"


def _cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))[:MAX_CPUS]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


#: What a refused step means: how it starts, and the error code, message and hint.
_MEANINGS: Sequence[tuple[str, str, str, str]] = (
    (
        "mount binfmt_misc",
        "old-kernel",
        "this kernel has no binfmt_misc for users, which comes with Linux 6.7.",
        "Use a newer kernel, or a real board: --device ssh://USER@HOST.",
    ),
    (
        "mount /proc",
        "no-user-namespaces",
        "this container hides parts of /proc, so none can be mounted for an emulated board.",
        "In Docker: docker run --security-opt systempaths=unconfined --security-opt seccomp=unconfined …",
    ),
    (
        "",
        "no-user-namespaces",
        "this machine does not let users make namespaces, which an emulated board lives in.",
        "Allow them: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=10000; in "
        "Docker: docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined …",
    ),
)

#: Steps that the kernel refuses where namespaces are closed to users.
_NAMESPACE_STEPS = ("unshare", "make the mounts", "mount ", "pivot_root", "sethostname", "[Errno")


def _refused(said: str) -> MissingError:
    """The error for a board that did not come up."""
    if said.startswith(_NAMESPACE_STEPS):
        code, message, hint = next(rest for start, *rest in _MEANINGS if said.startswith(start))
        return MissingError(code, message, received=said, hint=hint)
    return MissingError(
        "board-not-up",
        "the emulated board did not start.",
        received=said,
        hint="Run the command again; if it happens twice, remove its folder: ~/.cache/edgekit/boards",
    )
