"""Runs one program inside a root file system of another architecture. A script of its own, standard library alone.

``python -I launcher.py SETUP``, where SETUP is the JSON form of a `Setup`. It makes user, mount and process
namespaces, registers QEMU with a binfmt_misc that only they see (Linux 6.7 or newer), and starts the program as an
ordinary user. On stdout it says ``up``, or ``step: error`` and ends; everything ends when its stdin does, so when the
command that started it is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from dataclasses import dataclass

_NEWNS, _NEWUTS, _NEWUSER, _NEWPID = 0x20000, 0x4000000, 0x10000000, 0x20000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_DETACH = 2
_PIVOT_ROOT = 155  # on x86-64
_SET_PDEATHSIG = 1

#: How the kernel recognises an aarch64 program: the ELF header up to the machine, type masked (binfmt-misc.rst).
_MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Setup:
    """What to run and in what.

    Attributes:
        root: the root file system; it stays as it is.
        qemu: QEMU's static program for the architecture.
        cpu: the core that QEMU emulates.
        binds: folders and files of this machine by where they appear inside.
        hostname: of the board.
        user: id that the program runs as, inside; outside it is the user who started this.
        cpus: CPUs of this machine that the board may use.
        command: the program and its arguments.
        environment: its variables.
    """

    root: str
    qemu: str
    cpu: str
    binds: dict[str, str]
    hostname: str
    user: int
    cpus: list[int]
    command: list[str]
    environment: dict[str, str]


class _Step(Exception):
    """A system call that was refused."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: {os.strerror(ctypes.get_errno())}")


def main() -> None:
    """Run the program of the setup and leave with its exit status."""
    setup = Setup(**json.loads(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal; the command ends this one itself
    os.sched_setaffinity(0, setup.cpus)
    try:
        _enter_namespaces()
    except (_Step, OSError) as err:
        _say(str(err))
        sys.exit(1)
    init = os.fork()
    if init == 0:
        try:
            _init(setup)
        except (_Step, OSError) as err:
            _say(str(err))
        finally:
            os._exit(1)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(init, signal.SIGKILL))
    sys.exit(_watch(init))


def _watch(init: int) -> int:
    """Wait for the namespaces to end, and end them when stdin does."""
    ended = os.pidfd_open(init)
    ready, _, _ = select.select([0, ended], [], [])
    if ended not in ready:
        os.kill(init, signal.SIGKILL)  # the kernel kills everything else in the process namespace with it
    _, status = os.waitpid(init, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def _enter_namespaces() -> None:
    """New namespaces in which this user is root, and nobody else exists."""
    user, group = os.getuid(), os.getgid()
    _check(_libc.unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWUTS), "unshare")
    _map_ids(f"0 {user} 1", f"0 {group} 1")


def _map_ids(user: str, group: str) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", user), ("gid_map", group)):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _init(setup: Setup) -> None:
    """Process 1 of the namespaces: mount, start the program, reap. QEMU as process 1 could not die of a signal."""
    _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)
    _mount_all(setup)
    _check(_libc.sethostname(setup.hostname.encode(), len(setup.hostname)), "sethostname")
    os.chdir(setup.root)
    _check(_libc.syscall(_PIVOT_ROOT, b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _DETACH), "umount of the old root")
    os.chdir("/")
    program = os.fork()
    if program == 0:
        _check(_libc.unshare(_NEWUSER), "unshare of the user")
        _map_ids(f"{setup.user} 0 1", f"{setup.user} 0 1")  # servers refuse to log in an account when they are root
        _say("up")
        os.dup2(2, 1)
        os.execve(setup.command[0], setup.command, {**setup.environment, "QEMU_CPU": setup.cpu})
    while True:
        ended, status = os.wait()
        if ended == program:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _mount_all(setup: Setup) -> None:
    root = setup.root
    _mount("none", "/", "make the mounts private", flags=_REC | _PRIVATE)
    _mount(root, root, "mount the root", flags=_BIND | _REC)
    _mount("/dev", f"{root}/dev", "mount /dev", flags=_BIND | _REC)
    _mount("proc", f"{root}/proc", "mount /proc", kind="proc")
    # Mounted inside the new root's /proc: to unmount it with the old root would drop the registration.
    _mount("binfmt_misc", f"{root}/proc/sys/fs/binfmt_misc", "mount binfmt_misc", kind="binfmt_misc")
    # O, C: without them the server's re-execution fails; F: QEMU is opened now, and need not exist inside.
    entry = b":edgekit-aarch64:M::" + _MAGIC + b":" + _MASK + b":" + setup.qemu.encode() + b":OCF"
    with open(f"{root}/proc/sys/fs/binfmt_misc/register", "wb", buffering=0) as register:
        register.write(entry)
    for folder in ("tmp", "run"):
        _mount("tmpfs", f"{root}/{folder}", f"mount /{folder}", kind="tmpfs", flags=_NOSUID | _NODEV)
    for inside, outside in setup.binds.items():
        _mount(outside, root + inside, f"mount {inside}", flags=_BIND)
    kept = os.statvfs(root).f_flag & (_NOSUID | _NODEV)  # what the cache's own file system forbids stays forbidden
    _mount("none", root, "make the root read-only", flags=_REMOUNT | _BIND | _RDONLY | kept)


def _mount(source: str, target: str, step: str, *, kind: str | None = None, flags: int = 0) -> None:
    encoded = None if kind is None else kind.encode()
    _check(_libc.mount(source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), None), step)


def _check(result: int, step: str) -> None:
    if result != 0:
        raise _Step(step)


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    main()
