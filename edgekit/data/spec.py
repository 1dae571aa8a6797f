"""How users name data: a place and options behind a question mark, as in ``faces?scale=1/255``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

from edgekit.errors import DataError, UsageError
from edgekit.jobs.code import Code, find_code
from edgekit.jobs.protocol import blob_of

_QUERY = re.compile(r"(?P<place>[^?]+)\?(?P<query>[a-z]+=.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DataSpec:
    """What the user named with ``--data``.

    Attributes:
        text: as given, for messages.
        path: the file or folder; for code the file it is in.
        code: the function that yields batches; None for a file or folder.
        options: behind the question mark.
    """

    text: str
    path: Path
    code: Code | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def parse_data(data: str | Path) -> DataSpec:
    """Read what the user gives as data. A file or folder of that very name goes first.

    Raises:
        DataError: there is no such file, folder or code, or the options cannot be read.
    """
    text = str(data)
    match = None if Path(text).exists() else _QUERY.match(text)
    place, options = (text, {}) if match is None else (match["place"], _options(match["query"], text))
    named = find_code(place, DataError)
    if named is not None:
        code, path = named
        return DataSpec(text, path, code, options)
    if not Path(place).exists():
        raise DataError(
            "no-data-file",
            "there is no such data file.",
            received=text,
            hint="Give an .npz, .npy, .csv or .parquet file, a folder of images, or code as file.py:function.",
        )
    return DataSpec(text, Path(place), None, options)


def with_columns(data: str | None, columns: Sequence[str]) -> str | None:
    """Data with ``--columns`` put behind it, which is the same as ``?columns=`` in its name.

    Args:
        data: as the user gave it.
        columns: each is ``NAME=a,b,c`` for one input, or ``a,b,c`` for the only one.

    Raises:
        UsageError: columns without data.
    """
    if not columns:
        return data
    if data is None:
        raise UsageError(
            "columns-without-data",
            "--columns names columns of the data, but there is none.",
            received=" ".join(columns),
            hint="Give --data table.csv or table.parquet.",
        )
    return f"{data}{'&' if _QUERY.match(data) else '?'}columns={';'.join(columns)}"


def numbers(spec_text: str, option: str, value: str) -> tuple[float, ...]:
    """Numbers of an option: ``1/255`` or ``0.485,0.456,0.406``.

    Raises:
        DataError: not numbers.
    """
    try:
        return tuple(float(Fraction(part.strip())) for part in value.split(","))
    except (ValueError, ZeroDivisionError) as err:
        raise bad_option(spec_text, option, "takes numbers, separated by commas", "scale=1/255") from err


def whole_number(spec_text: str, option: str, value: str) -> int:
    """A whole number above zero.

    Raises:
        DataError: anything else.
    """
    if not value.isdecimal() or int(value) == 0:
        raise bad_option(spec_text, option, "is a whole number above zero", "limit=1000")
    return int(value)


def bad_option(text: str, option: str, what: str, example: str) -> DataError:
    """The refusal of an option's value."""
    return DataError("bad-data-option", f"{option}= {what}.", received=text, hint=f"For example: ?{example}")


def _options(query: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals or name in found:
            raise DataError(
                "bad-data-option",
                "options of data are NAME=VALUE, each once, joined by &.",
                received=text,
                hint="For example: images?scale=1/255&limit=500",
            )
        found[name] = value
    return found


def data_digest(data: str | Path) -> str | None:
    """Digest of everything that some data are made of: contents, names in a folder, and options.

    Returns:
        None for code, since only running it would tell what it yields.

    Raises:
        DataError: see `parse_data`.
    """
    spec = parse_data(data)
    if spec.code is not None:
        return None
    files = sorted(file for file in spec.path.rglob("*") if file.is_file()) if spec.path.is_dir() else [spec.path]
    lines = [f"{file.relative_to(spec.path.parent)} {blob_of(file).sha256}" for file in files]
    lines += [f"{name}={value}" for name, value in spec.options.items()]
    return sha256("\n".join(lines).encode()).hexdigest()
