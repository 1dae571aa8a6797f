"""An emulated Arm board as a device: ``qemu://aarch64?cpu=cortex-a72``."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from edgekit.devices.base import Device, DeviceSpec
from edgekit.devices.emulated.board import Board
from edgekit.devices.emulated.cores import assert_core, core_named
from edgekit.devices.emulated.image import SUITES
from edgekit.devices.preparation.ensure import ensure
from edgekit.devices.preparation.facts import Facts, ask
from edgekit.devices.ssh.device import SshDevice
from edgekit.errors import UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions

#: Where a board that names no release comes from.
DEFAULT_SUITE = "bookworm"

ARCHITECTURE = "aarch64"


class EmulatedDevice(Device):
    """An emulated board, started with the first job and given the engines that have wheels for it.

    From then on it is an ssh device like any other. Times taken on it mean nothing, and count for nothing.
    """

    def __init__(self, spec: DeviceSpec) -> None:
        """Args:
        spec: with the options ``cpu``, ``suite`` and ``threads``.

        Raises:
            UsageError: another architecture, no such core or release.
        """
        self.name = spec.text
        self._spec = spec
        suite = spec.options.get("suite", DEFAULT_SUITE)
        if spec.address != ARCHITECTURE:
            raise UsageError(
                "bad-emulated-cpu",
                "boards of this architecture cannot be emulated.",
                received=spec.text,
                hint=f"For example: qemu://{ARCHITECTURE}?cpu=cortex-a72",
            )
        if suite not in SUITES:
            raise UsageError(
                "bad-suite",
                "there is no emulated board of this Debian release.",
                received=spec.text,
                hint=f"Choose one of: {', '.join(f'suite={name}' for name in SUITES)}.",
            )
        self._core = core_named(spec.options.get("cpu"), spec.text)
        self._board = Board(self._core, suite)
        self._guard = threading.Lock()
        self._inner: SshDevice | None = None
        self._facts: Facts | None = None
        self._provided = False

    def options(self) -> OpenOptions:
        """Pinned precision, and the threads that the spec asks for."""
        return OpenOptions(threads=self._spec.threads)

    def context(self) -> Context:
        """An agent on the board, which is started and given its engines the first time.

        Raises:
            MissingError: no board can be emulated here, or engines cannot be had.
            JobCrashed: the board ended.
        """
        device = self.started()
        with self._guard:
            if not self._provided:
                ensure(device.connection, device.folder, (), lambda progress: None, facts=self._facts)
                self._provided = True
        return device.context()

    def started(self) -> SshDevice:
        """The board, started and proven to have the core that was asked for.

        Raises:
            MissingError, JobCrashed: see `context`.
        """
        with self._guard:
            if self._inner is None:
                with ExitStack() as undo:
                    undo.callback(self._board.stop)
                    inner = SshDevice.at(self.name, self._board.start(), threads=self._spec.threads, here=True)
                    self._facts = ask(inner.connection, inner.folder)
                    assert_core(self._core, self._facts.hwcap)
                    undo.pop_all()
                self._inner = inner
            return self._inner

    def close(self) -> None:
        """End the board."""
        with self._guard:
            if self._inner is not None:
                self._inner.close()
                self._inner = None
            self._board.stop()
