"""Engine adapters. Part of the device core: standard library, numpy and one engine.

A runtime opens an artifact as a session; a session runs it. Adding one is one file with a `Runtime`, one row
in `edgekit.runtimes.registry` and one class in ``tests/conformance``.
"""

from edgekit.runtimes.base import OpenOptions, Runtime, Session
from edgekit.runtimes.registry import RUNTIMES, RuntimeRow, runtime_for

__all__ = ["RUNTIMES", "OpenOptions", "Runtime", "RuntimeRow", "Session", "runtime_for"]
