"""Making sure that a device has the engines that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.devices.preparation.facts import Facts, ask
from edgekit.devices.preparation.install import install, installed
from edgekit.devices.preparation.wheels import ENGINES, Lock, lock_for
from edgekit.devices.ssh.connection import Connection
from edgekit.errors import UsageError
from edgekit.jobs.protocol import Progress
from edgekit.progress import Update


@dataclass(frozen=True, slots=True)
class Ready:
    """A device with engines.

    Attributes:
        facts: what it is.
        lock: what it has.
        sent_bytes: 0 where it had everything before.
    """

    facts: Facts
    lock: Lock
    sent_bytes: int


def ensure(
    connection: Connection,
    folder: str,
    engines: Sequence[str],
    update: Update,
    *,
    upgrade: bool = False,
    facts: Facts | None = None,
) -> Ready:
    """Give a device the engines that it lacks; engines that it has stay.

    Args:
        connection: to it.
        folder: there, where edgekit keeps its files.
        engines: names of runtimes; empty for all that have wheels for it.
        update: told what happens.
        upgrade: install the newest versions even where it has some.
        facts: where they are known already.

    Raises:
        UsageError: no such engine.
        MissingError: it cannot be reached or prepared; see `ask`, `lock_for` and `install`.
        JobCrashed: the connection broke.
    """
    unknown = [name for name in engines if name not in ENGINES]
    if unknown:
        raise UsageError(
            "unknown-runtime",
            "this engine is no package that a device could be given.",
            received=", ".join(unknown),
            hint=f"Choose from: {', '.join(ENGINES)}.",
        )
    update(Progress("look at the device"))
    facts = facts or ask(connection, folder)
    there = installed(connection, folder)
    there = there if there is not None and there.target == facts.key else None  # another Python now: start anew
    wanted = set(engines or ENGINES)
    if there is not None:
        if not upgrade and all(there.version(name) or name in there.left_out for name in wanted):
            return Ready(facts, there, 0)
        wanted |= {name for name in ENGINES if there.version(name)}
    update(Progress("resolve wheels"))
    lock = lock_for(facts, [name for name in ENGINES if name in wanted], upgrade=upgrade)
    if there is not None and there.digest == lock.digest:
        return Ready(facts, lock, 0)
    update(Progress("send and unpack wheels"))
    return Ready(facts, lock, install(connection, folder, lock, facts))
