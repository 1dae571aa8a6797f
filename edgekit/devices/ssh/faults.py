"""What goes wrong between this machine and a device, as errors that say what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.devices.ssh.client import NO_SHELL
from edgekit.errors import EdgekitError, JobCrashed, MissingError


@dataclass(frozen=True, slots=True)
class _Fault:
    """A kind of failure: how the client or the device words it, and what edgekit makes of that."""

    words: str
    code: str
    message: str
    hint: str


#: How OpenSSH's client says that there is no connection; the first that fits counts.
_TRANSPORT = (
    _Fault(
        r"Could not resolve hostname|Name or service not known|hostname contains invalid characters",
        "unknown-host",
        "there is no host of this name: {name}.",
        "Check the spelling, or give the address: ssh://user@192.168.1.20",
    ),
    _Fault(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "host-key-changed",
        "the host key of {name} is not the one known here: another machine answers, or it was set up anew.",
        "If it was set up anew: ssh-keygen -R {known_as}, then connect once with: ssh {destination}",
    ),
    _Fault(
        r"host key is known for|Host key verification failed",
        "host-key-unknown",
        "this machine has never seen the host key of {name}.",
        "Connect once by hand, compare the fingerprint and accept it: ssh {destination}",
    ),
    _Fault(
        r"Permission denied \(|Too many authentication failures|no mutual signature|UNPROTECTED PRIVATE KEY",
        "key-refused",
        "{name} accepts no key of this user.",
        "Put your key there (ssh-copy-id {destination}), or load it into the agent (ssh-add).",
    ),
    _Fault(
        r"Connection refused|timed out during banner|Connection timed out|No route to host|Network is unreachable|"
        r"Operation timed out|Host is down",
        "device-unreachable",
        "nothing answers at {name}.",
        "Check that the device is on, in this network, and runs an SSH server on this port.",
    ),
    _Fault(
        NO_SHELL,
        "device-no-shell",
        "{name} lets this user in, and runs no commands for it.",
        "Give the user a login shell there, or name another one: ssh://user@host",
    ),
    _Fault(
        r"Can't open user config file|[Bb]ad configuration option",
        "bad-ssh-config",
        "the SSH client cannot read its configuration for {name}.",
        "Mend the line or the file that it names: see config= in the device, and ~/.ssh/config.",
    ),
)

#: What the device's own shell and tools say.
_DEVICE = (
    _Fault(
        r"No space left on device|Disk quota exceeded|File too large|Errno 28\b|Errno 122\b|Errno 27\b",
        "device-full",
        "there is no space left on {name}.",
        "Free some space there, or choose another disk with folder=/path in the device.",
    ),
    _Fault(
        r"Read-only file system|Errno 30\b|[Cc]an(no|')t create .*Permission denied|cannot create directory|"
        r"Errno 13\b|[Pp]ermission denied",
        "device-read-only",
        "{name} does not let this user write where edgekit keeps its files.",
        "Choose a folder that is writable with folder=/path in the device.",
    ),
    _Fault(
        r"python[^:]*: (command )?not found|[Nn]o such file or directory.*python|python[^:]*: [Nn]o such file",
        "device-no-python",
        "{name} has no such Python.",
        "Install Python 3.9 or newer there, or name it with python=/path/to/python3 in the device.",
    ),
)


def transport_fault(said: str, *, name: str, destination: str, known_as: str) -> EdgekitError:
    """The error for an SSH client that gave up.

    Args:
        said: its standard error.
        name: of the device, for the message.
        destination: what ``ssh`` takes to get there.
        known_as: what the host is called in the file of known hosts.
    """
    for fault in _TRANSPORT:
        if re.search(fault.words, said):
            hint = fault.hint.format(destination=destination, known_as=known_as)
            return MissingError(fault.code, fault.message.format(name=name), received=_last_line(said), hint=hint)
    return connection_lost(name, said)


def connection_lost(name: str, said: str = "") -> JobCrashed:
    """The error for a connection that broke, or whose device was switched off."""
    return JobCrashed(
        "connection-lost",
        f"the connection to {name} broke.",
        received=_last_line(said),
        hint="Check the device and its network, and run the command again: what was sent is not sent twice.",
    )


def device_fault(said: str, code: int, name: str) -> EdgekitError:
    """The error for a command that failed on a device.

    Args:
        said: its standard error.
        code: its exit status.
        name: of the device.
    """
    for fault in _DEVICE:
        if re.search(fault.words, said):
            return MissingError(fault.code, fault.message.format(name=name), received=_last_line(said), hint=fault.hint)
    return MissingError(
        "device-command-failed",
        f"a command failed on {name} with exit status {code}.",
        received=_last_line(said),
        hint="Look at the device: its disk, its shell and its tools.",
    )


def _last_line(said: str) -> str | None:
    """The line that says most, without the frame of at-signs that OpenSSH draws."""
    lines = [line.strip() for line in said.splitlines() if line.strip(" @\r")]
    return lines[-1][:300] if lines else None
