"""``edgekit.toml``: what ``edgekit run`` does in a project, and the same from options alone."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgekit.devices.names import TABLE
from edgekit.errors import UsageError
from edgekit.exporter.source import open_source
from edgekit.parity.task import ACCURACY
from edgekit.pipeline import RunOptions, run
from edgekit.progress import SILENT, Reporter
from edgekit.results import RunResult, Runs, unique
from edgekit.types import Evidence, worst

PROJECT_FILE = "edgekit.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line or ``edgekit.toml`` can say; None or empty where they do not.

    Attributes are the options of ``edgekit run``, spelled in the file with dashes: ``eval-data = "test.npz"``;
    ``runtimes`` is ``for``.
    Paths in a file are relative to it.
    """

    target: tuple[str, ...] = ()
    precision: tuple[str, ...] = ()
    data: str | None = None
    eval_data: str | None = None
    labels: str | None = None
    metric: str = ACCURACY.name
    max_drop: float | None = None
    trials: int | None = None
    output: str | None = None
    input: tuple[str, ...] = ()
    backend: str = "auto"
    device: tuple[str, ...] = ()
    threads: int | None = None
    max_seconds: float | None = None
    runtimes: tuple[str, ...] = ()
    custom_objects: tuple[str, ...] = ()
    submodel: str | None = None
    trust_code: bool = False

    def options(self) -> RunOptions:
        return RunOptions(
            targets=self.target or RunOptions().targets,
            precisions=self.precision or None,
            data=self.data,
            eval_data=self.eval_data,
            labels=self.labels,
            metric=self.metric,
            max_drop=self.max_drop,
            trials=self.trials,
            inputs=self.input,
            backend=self.backend,
            threads=self.threads,
            max_seconds=self.max_seconds,
            device=self.device or RunOptions().device,
            runtimes=self.runtimes,
            custom_objects=self.custom_objects,
            submodel=self.submodel,
            trust_code=self.trust_code,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """One model to run, with its settings."""

    model: str
    settings: Settings


def planned(arguments: Sequence[str], given: Settings) -> tuple[Planned, ...]:
    """Models from the command line, or from a project file.

    Args:
        arguments: models, or one ``.toml`` file; ``edgekit.toml`` in this folder when empty.
        given: options of the command line, which win over the file.

    Raises:
        UsageError: nothing to run, a bad file, or one output for several models.
    """
    files = [argument for argument in arguments if argument.endswith(".toml")]
    if not arguments:
        files = [PROJECT_FILE]
    if files and len(arguments) > 1:
        raise UsageError(
            "mixed-arguments", "give one project file, or models.", received=" ".join(arguments), hint="Run them apart."
        )
    models, settings = _read(Path(files[0]), given) if files else (list(arguments), given)
    if settings.output is not None and len(models) > 1:
        raise UsageError(
            "one-output",
            "one output folder cannot hold several models.",
            received=" ".join(models),
            hint="Leave -o out.",
        )
    return tuple(Planned(model, settings) for model in models)


def run_all(
    jobs: Sequence[Planned],
    *,
    replace_source: bool = False,
    fresh: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> RunResult | Runs:
    """Run every planned model, one after another; a single one returns its own result."""
    for job in jobs:
        open_source(
            job.model, job.settings.options().source
        )  # a name with a slip in it is refused before the first model takes its minutes
    runs = tuple(
        run(
            job.model,
            job.settings.options(),
            output=job.settings.output,
            replace_source=replace_source,
            fresh=fresh,
            strict=strict,
            reporter=reporter,
        )
        for job in jobs
    )
    if len(runs) == 1:
        return runs[0]
    real = all(one.evidence.inputs == "real" for one in runs)
    evidence = Evidence(
        "real" if real else "generated",
        min(one.evidence.samples for one in runs),
        unique(shape for one in runs for shape in one.evidence.shapes),
    )
    return Runs(all(one.ok for one in runs), worst(one.verdict for one in runs), evidence, runs)


def _read(path: Path, given: Settings) -> tuple[list[str], Settings]:
    if not path.is_file():
        raise UsageError(
            "no-project",
            "there is no model to run and no project file.",
            received=str(path),
            hint=f"Give a model, or write a {PROJECT_FILE} with: model = 'model.keras'",
        )
    try:
        table = {
            "runtimes" if key == "for" else key.replace("-", "_"): value
            for key, value in tomllib.loads(path.read_text()).items()
        }
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise UsageError("bad-project", f"{path} is no TOML: {err}.", hint="Mend the line it names.") from err
    table.pop(TABLE, None)  # read where a device is named
    models = _strings("model", table.pop("model", []), path)
    if not models:
        raise UsageError("bad-project", f"{path} names no model.", hint="Add a line: model = 'model.keras'")
    known = {field.name: field for field in fields(Settings)}
    unknown = sorted(set(table) - set(known))
    if unknown:
        names = ", ".join("for" if name == "runtimes" else name.replace("_", "-") for name in ("model", *known))
        raise UsageError(
            "bad-project", f"{path} holds an unknown key.", received=unknown[0], hint=f"Known keys: {names}."
        )
    values = {key: _value(key, value, path) for key, value in table.items()}
    default = Settings()
    chosen = {name: getattr(given, name) for name in known if getattr(given, name) != getattr(default, name)}
    return [str(path.parent / model) for model in models], Settings(**{**values, **chosen})


_PATHS = ("data", "eval_data", "output")
_LISTS = ("target", "precision", "input", "custom_objects", "runtimes", "device")
_NUMBERS = {"max_drop": (int, float), "max_seconds": (int, float), "threads": (int,), "trials": (int,)}


def _value(key: str, value: Any, path: Path) -> Any:
    if key in _LISTS:
        values = _strings(key, value, path)
        return tuple(str(path.parent / item) if key == "custom_objects" else item for item in values)
    kinds = (bool,) if key == "trust_code" else _NUMBERS.get(key, (str,))
    if not isinstance(value, kinds) or isinstance(value, bool) != (kinds == (bool,)):
        raise UsageError(
            "bad-project",
            f"{key.replace('_', '-')} in {path} should be {kinds[-1].__name__}.",
            received=repr(value),
            hint="Mend it.",
        )
    return _beside(path, str(value)) if key in _PATHS else value


def _beside(path: Path, value: str) -> str:
    """A path in a project file is relative to it; ``package.module:name`` is none."""
    named = re.fullmatch(r"[\w.]+:\w+(\?.*)?", value) and ".py:" not in value
    return value if named else str(path.parent / value)


def _strings(key: str, value: Any, path: Path) -> list[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise UsageError(
            "bad-project",
            f"{key} in {path} should be a string or a list of strings.",
            received=repr(value),
            hint="Mend it.",
        )
    return listed
