"""Proof that an engine works where it is installed: it runs a model of one operator. Part of the device core."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field

import numpy as np

from edgekit.errors import MissingError
from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.registry import RUNTIMES, installed_runtime

#: ``y = relu(x)``, ``(1, 4)`` float32, in every format: its own bytes, since no converter is at hand on a device.
_ONNX = b64decode("CAcSADo7CgwKAXgSAXkiBFJlbHUSAWdaEwoBeBIOCgwIARIICgIIAQoCCARiEwoBeRIOCgwIARIICgIIAQoCCARCBAoAEA0=")
_TFLITE = b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAcAAAA2AAAAAMAAAABAAAACAAAAAQABAAEAAAAAQAAABAAAAAMABQAEAAMAAgABAAMAAAA"
    "EAAAADwAAABAAAAARAAAAAEAAAAQAAAAAAAKAAwAAAAIAAQACgAAAAgAAAAMAAAAAQAAAAEAAAABAAAAAAAAAAEAAAABAAAAAQAAAAAAAAACAAAA"
    "NAAAAAQAAADg////CAAAAAwAAAABAAAAeQAAAAIAAAABAAAABAAAAAwADAAIAAAAAAAEAAwAAAAIAAAADAAAAAEAAAB4AAAAAgAAAAEAAAAEAAAA"
    "AQAAABAAAAAMAAwACwAAAAAABAAMAAAAEwAAAAAAABM="
)
_OPENVINO = b"""<?xml version="1.0"?>
<net name="smoke" version="11">
  <layers>
    <layer id="0" name="x" type="Parameter" version="opset1">
      <data shape="1,4" element_type="f32"/>
      <output><port id="0" precision="FP32" names="x"><dim>1</dim><dim>4</dim></port></output>
    </layer>
    <layer id="1" name="y" type="ReLU" version="opset1">
      <input><port id="0" precision="FP32"><dim>1</dim><dim>4</dim></port></input>
      <output><port id="1" precision="FP32" names="y"><dim>1</dim><dim>4</dim></port></output>
    </layer>
    <layer id="2" name="r" type="Result" version="opset1">
      <input><port id="0" precision="FP32"><dim>1</dim><dim>4</dim></port></input>
    </layer>
  </layers>
  <edges>
    <edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>
    <edge from-layer="1" from-port="1" to-layer="2" to-port="0"/>
  </edges>
</net>
"""

#: File name and content by artifact format.
MODELS = {"onnx": ("relu.onnx", _ONNX), "openvino": ("relu.xml", _OPENVINO), "tflite": ("relu.tflite", _TFLITE)}


@dataclass(frozen=True)
class Smoke:
    """An engine that works.

    Attributes:
        version: of the engine.
    """

    version: str


@dataclass(frozen=True)
class SmokeJob(Job[Smoke]):
    """Open and run a model of one operator.

    Attributes:
        runtime: name in the registry.
        options: how to open it.
    """

    runtime: str
    options: OpenOptions = field(default_factory=OpenOptions)

    def run(self, work: Workspace) -> Smoke:
        formats = RUNTIMES[self.runtime].formats
        name, content = next(MODELS[kind] for kind in formats if kind in MODELS)
        path = work.folder / name
        path.write_bytes(content)
        runtime = installed_runtime(self.runtime)
        values = np.array([[-1.0, 2.0, -3.0, 4.0]], np.float32)
        with runtime.open(path, self.options) as session:
            got = session.run({"x": values})["y"]
        if not np.array_equal(got, np.maximum(values, 0)):
            raise MissingError(
                "broken-engine",
                f"{self.runtime} {runtime.version()} computes one operator wrongly here.",
                received=f"relu{values.tolist()} = {got.tolist()}",
                hint="Install another version of the engine, or choose another runtime for this device.",
            )
        return Smoke(runtime.version())
