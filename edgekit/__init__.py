"""edgekit: from a trained model to an artifact that is proven on a named device.

Importing this package loads nothing else. The public functions come through a lazy ``__getattr__``
(PEP 562), so that the same file serves the device core, where the host's modules do not exist.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "bench": "edgekit.benching",
    "check": "edgekit.checking",
    "compare": "edgekit.comparing",
    "doctor": "edgekit.devices.doctor",
    "export": "edgekit.exporter.export",
    "inspect": "edgekit.inspection",
    "load": "edgekit.prediction",
    "predict": "edgekit.prediction",
    "prepare": "edgekit.devices.preparation.prepare",
    "quantize": "edgekit.quantizer.quantize",
    "report": "edgekit.report.render",
    "routes": "edgekit.routing",
    "run": "edgekit.pipeline",
    "RunOptions": "edgekit.pipeline",
    "sensitivity": "edgekit.quantizer.sensitivity",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 the keys are strings


def __getattr__(name: str) -> Any:
    """Import the module that holds a public function when it is first asked for."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
