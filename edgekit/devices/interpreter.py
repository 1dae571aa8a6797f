"""Another Python of this machine: ``python:/path/to/python``, or ``python:variant=tflite-runtime``.

Its engines run in worker processes of that Python. Of edgekit they see the device core alone, and of this Python
nothing, so what is installed here cannot help out there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from edgekit.devices.agent import agent_file
from edgekit.devices.base import Device, DeviceSpec
from edgekit.devices.environments import find_variant
from edgekit.devices.local import local_env
from edgekit.errors import MissingError, UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions

#: What the address begins with where it names an environment that edgekit made.
VARIANT = "variant="

#: The oldest Python that the device core runs on.
OLDEST = (3, 9)

_ASK = """\
import importlib.util, json, sys
print(json.dumps([sys.version_info[:2], importlib.util.find_spec("numpy") is not None]))
"""

_ANSWER_S = 30.0


class PythonDevice(Device):
    """Another interpreter here; ``cpus=`` pins its processes, ``gpu=software`` gives them a GPU in software."""

    def __init__(self, spec: DeviceSpec) -> None:
        self.name = spec.text
        self._spec = spec
        self._context: Context | None = None
        if not spec.address:
            raise UsageError(
                "no-python-named",
                "a python: device names an interpreter, or an engine build.",
                received=spec.text,
                hint="For example: python:/usr/bin/python3.11 or python:variant=tflite-runtime",
            )

    def options(self) -> OpenOptions:
        """Pinned precision, and the threads that the spec asks for."""
        return OpenOptions(threads=self._spec.threads)

    def context(self) -> Context:
        """A process of that interpreter. It is asked once whether it can run edgekit's device core.

        Raises:
            MissingError: no such Python, too old, without numpy, or a variant that is not prepared.
            UsageError: no such engine build.
        """
        if self._context is None:
            env = local_env(self._spec)
            python = self._python()
            _refuse_unfit(python, self.name)
            self._context = Context(self.name, {**env, "PYTHONPATH": str(agent_file())}, str(python))
        return self._context

    def _python(self) -> Path:
        address = self._spec.address
        if address.startswith(VARIANT):
            return find_variant(address.removeprefix(VARIANT)).python
        found = shutil.which(os.path.expanduser(address))
        if found is None:
            raise MissingError(
                "no-such-python",
                "there is no program of this name that may be run.",
                received=address,
                hint="Give the path of an interpreter, such as python:/usr/bin/python3.11",
            )
        return Path(found).absolute()  # not resolved: the link of a virtual environment is what makes it one


def _refuse_unfit(python: Path, name: str) -> None:
    """Ask an interpreter for its version and for numpy.

    Raises:
        MissingError: it does not answer, is too old or lacks numpy.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        asked = subprocess.run(
            [str(python), "-c", _ASK], env=clean, capture_output=True, text=True, timeout=_ANSWER_S, check=True
        )
        version, numpy = json.loads(asked.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as err:
        said = (getattr(err, "stderr", None) or str(err)).strip().splitlines()
        raise MissingError(
            "python-does-not-work",
            f"{name} does not answer as a Python interpreter does.",
            received=said[-1] if said else None,
            hint=f"Try it: {python} --version",
        ) from err
    if tuple(version) < OLDEST:
        raise MissingError(
            "python-too-old",
            f"a device needs Python {'.'.join(map(str, OLDEST))} or newer.",
            received=f"{python} is Python {'.'.join(map(str, version))}",
            hint="Name a newer interpreter.",
        )
    if not numpy:
        raise MissingError(
            "no-numpy",
            "this Python has no numpy, which every engine needs.",
            received=str(python),
            hint=f"Run: {python} -m pip install numpy",
        )
