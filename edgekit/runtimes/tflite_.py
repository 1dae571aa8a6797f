"""LiteRT, formerly TensorFlow Lite. Part of the device core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import MissingError
from edgekit.runtimes.base import OpenOptions, Runtime, Session, check_open
from edgekit.runtimes.litert_compiled import ACCELERATORS, open_compiled
from edgekit.runtimes.placement import CPU, split_accelerator
from edgekit.runtimes.tflite_delegates import open_delegated, require_taken
from edgekit.runtimes.tflite_engine import engine, refused
from edgekit.runtimes.tflite_session import TfliteSession

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter


class TfliteRuntime(Runtime):
    """LiteRT, or an older build of it, by default on the CPU with the XNNPACK kernels that it uses there by itself.

    On the CPU it computes in the types that the file declares, so ``options.precision`` has no effect. ``GPU`` and
    ``NPU`` are LiteRT's own accelerators, see `edgekit.runtimes.litert_compiled`; ``XNNPACK``, ``EdgeTPU`` and the path
    of a library are delegates, see `edgekit.runtimes.tflite_delegates`. The interpreter keeps nothing that it compiled:
    XNNPACK's cache of packed weights belongs to another interface of LiteRT (``CompiledModel``).
    """

    name = "tflite"

    def version(self) -> str:
        return str(engine())

    def open(self, path: Path, options: OpenOptions) -> Session:
        """Load a ``.tflite`` file."""
        check_open(path, options)
        if options.accelerator.upper() == CPU:
            return TfliteSession(self._interpreter(path, options), path)
        try:
            return self._open_on(path, options)
        except MissingError:
            if not options.allow_fallback:
                raise
            return TfliteSession(self._interpreter(path, options), path)

    def _open_on(self, path: Path, options: OpenOptions) -> Session:
        """A session on an accelerator.

        Raises:
            MissingError: it is not there, or takes no operator.
        """
        known = TfliteSession(self._interpreter(path, options), path)  # raises where the file is at fault
        name, _ = split_accelerator(options.accelerator)
        if name.upper() in ACCELERATORS:
            return open_compiled(path, options, known)
        interpreter, unit = open_delegated(engine(), path, options)
        require_taken(interpreter, unit)
        return TfliteSession(interpreter, path, unit)

    def _interpreter(self, path: Path, options: OpenOptions) -> Interpreter:
        found = engine()
        try:
            interpreter = found.module.Interpreter(str(path), num_threads=options.threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as err:
            raise refused(found, path, err) from err
        return interpreter
