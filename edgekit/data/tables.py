"""Tables: columns of ``.csv`` and ``.parquet`` files become inputs, read by Polars some thousand rows at a time."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.data.registry import Piece, ReadRequest
from edgekit.errors import DataError
from edgekit.jobs.protocol import Progress
from edgekit.types import Signature, TensorSpec

if TYPE_CHECKING:
    import polars as pl

_ROWS = 4096

#: Rows of a text file that decide the types of its columns.
_INFER_ROWS = 10_000


def read(request: ReadRequest) -> Iterator[Piece]:
    """Rows in order.

    Options: ``columns=NAME=a,b,c;OTHER=d`` says which columns make which input; ``NAME=`` may be left out for the only
    input, and ``pixel*`` stands for all columns that match, in their order. Without it each input takes the column
    of its name, and the only input of a model all columns but the labels. ``separator=`` is that of a text file.
    Several numbers of a row become the input's shape in C order. Labels that are text are numbered alphabetically.

    Raises:
        DataError: no such column, missing values, text among numbers, or columns that do not fill an input.
    """
    import polars as pl

    try:
        with tempfile.TemporaryDirectory() as folder:
            yield from _pieces(_scan(request, Path(folder)), request)
    except pl.exceptions.PolarsError as err:
        raise DataError(
            "bad-table",
            f"{request.path.name} cannot be read: {str(err).strip().splitlines()[0][:300]}",
            received=request.text,
            hint="Open the file and look there; ?separator=; is for other separators than the comma.",
        ) from err


def columns_of_inputs(
    names: list[str], signature: Signature, labels: str | None, given: str | None
) -> dict[str, list[str]]:
    """Which columns make which input.

    Args:
        names: of all columns, in order.
        signature: of the model.
        labels: the column that is no input.
        given: value of ``columns=``, or None.

    Raises:
        DataError: an unknown column or input, an input without columns, or the labels among them.
    """
    inputs = [spec.name for spec in signature.inputs]
    able = [name for name in names if name != labels]
    if given is None:
        if set(inputs) <= set(able):
            return {name: [name] for name in inputs}
        if len(inputs) == 1:
            return {inputs[0]: able}
        raise DataError(
            "no-columns",
            f"the table has no column for each of the inputs {', '.join(inputs)}.",
            received=_some(names),
            hint=f"Say which: --columns {inputs[0]}={able[0] if able else 'a,b,c'}, once per input.",
        )
    return _assigned(given, inputs, names, labels)


def _assigned(given: str, inputs: list[str], names: list[str], labels: str | None) -> dict[str, list[str]]:
    """What ``columns=`` says."""
    example = next((name for name in names if name != labels), "a")
    found: dict[str, list[str]] = {}
    for part in given.split(";"):
        name, equals, listed = part.partition("=")
        name, listed = (name, listed) if equals else (inputs[0], part)
        if name not in inputs or name in found or (not equals and len(inputs) > 1):
            raise DataError(
                "bad-columns",
                f"--columns takes INPUT=a,b,c, once for each of the inputs {', '.join(inputs)}.",
                received=part,
                hint=f"For example: --columns {inputs[0]}={example}",
            )
        found[name] = [column for pattern in listed.split(",") for column in _matching(pattern, names, labels)]
    missing = [name for name in inputs if name not in found]
    if missing:
        raise DataError(
            "bad-columns",
            f"--columns names nothing for the input {missing[0]}.",
            received=given,
            hint=f"Add: --columns {missing[0]}={example}",
        )
    return found


def _matching(pattern: str, names: list[str], labels: str | None) -> list[str]:
    if pattern in names:
        if pattern == labels:
            raise DataError(
                "labels-in-inputs",
                f"the column {pattern} holds the labels and is an input too, so that nothing could be told from it.",
                received=f"--columns …{pattern}… --labels {labels}",
                hint="Leave it out of --columns.",
            )
        return [pattern]
    found = [name for name in names if fnmatchcase(name, pattern) and name != labels] if "*" in pattern else []
    if not found:
        raise _unknown("no-such-column", "--columns", pattern, names)
    return found


def _unknown(code: str, option: str, name: str, names: list[str]) -> DataError:
    return DataError(
        code,
        f"{option} names no column of the table.",
        received=name,
        hint=f"It has: {_some(names)}.",
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _scan(request: ReadRequest, folder: Path) -> pl.LazyFrame:
    """The table as Parquet, of which any rows can be read without those before; text is turned into it first."""
    import polars as pl

    if request.path.suffix.lower() == ".parquet":
        return pl.scan_parquet(request.path)
    separator = request.options.get("separator", "\t" if request.path.suffix.lower() == ".tsv" else ",")
    if len(separator.encode()) != 1:
        raise DataError(
            "bad-data-option", "separator= is one character.", received=request.text, hint="For example: ?separator=;"
        )
    request.progress(Progress("read the table"))
    copy = folder / "table.parquet"
    pl.scan_csv(request.path, separator=separator, infer_schema_length=_INFER_ROWS).sink_parquet(copy)
    return pl.scan_parquet(copy)


def _pieces(table: pl.LazyFrame, request: ReadRequest) -> Iterator[Piece]:
    import polars as pl

    names = table.collect_schema().names()
    columns = columns_of_inputs(
        names, request.signature, request.labels or request.spare, request.options.get("columns")
    )
    if request.labels is not None and request.labels not in names:
        raise _unknown("no-labels", "--labels", request.labels, names)
    numbers = None if request.labels is None else _class_numbers(table, request.labels)
    held = [] if request.labels is None else [request.labels]
    wanted = list(dict.fromkeys([*(name for some in columns.values() for name in some), *held]))
    total = int(table.select(pl.len()).collect().item())
    for start in range(0, total, _ROWS):
        rows = table.select(wanted).slice(start, _ROWS).collect()
        _refuse_missing(rows, start)
        inputs = {spec.name: _input(spec, rows, columns[spec.name], start) for spec in request.signature.inputs}
        labels = None if request.labels is None else _labels(rows[request.labels], numbers)
        request.progress(Progress("read rows", min(start + _ROWS, total), total))
        yield inputs, labels


def _class_numbers(table: pl.LazyFrame, labels: str) -> dict[str, int] | None:
    """Numbers of classes that are text, alphabetically; None for numbers."""
    import polars as pl

    if table.collect_schema()[labels] not in (pl.String, pl.Categorical, pl.Enum):
        return None
    words = table.select(pl.col(labels).cast(pl.String).unique().drop_nulls()).collect()[labels].to_list()
    return {word: number for number, word in enumerate(sorted(words))}


def _labels(column: pl.Series, numbers: Mapping[str, int] | None) -> np.ndarray:
    if numbers is not None:
        return np.array([numbers[word] for word in column.cast(str).to_list()], np.int64)
    return np.asarray(column.to_numpy())


def _refuse_missing(rows: pl.DataFrame, start: int) -> None:
    for name in rows.columns:
        if rows[name].null_count():
            row = start + int(np.argmax(rows[name].is_null().to_numpy()))
            raise DataError(
                "missing-value",
                f"the column {name} has no value in row {row}.",
                received=f"{rows[name].null_count()} missing values in rows {start} to {start + len(rows) - 1}",
                hint="Remove these rows or fill in a value.",
            )


def _input(spec: TensorSpec, rows: pl.DataFrame, columns: list[str], start: int) -> np.ndarray:
    """Columns as one input, ``(samples, ...)``, in the input's dtype."""
    parts = [_numbers(rows[name], spec, start) for name in columns]
    values = parts[0] if len(parts) == 1 else np.concatenate([part.reshape(len(rows), -1) for part in parts], axis=1)
    return _shaped(_cast(values, spec, start), spec, columns)


def _numbers(column: pl.Series, spec: TensorSpec, start: int) -> np.ndarray:
    """A column of numbers ``(samples,)``, or of lists of one length ``(samples, length)``."""
    import polars as pl

    kind: Any = column.dtype
    if kind == pl.List:
        lengths = column.list.len()
        if lengths.n_unique() > 1:
            row = start + int(np.argmax((lengths != lengths[0]).to_numpy()))
            raise DataError(
                "uneven-samples",
                f"the lists of column {column.name} differ in length, first in row {row}.",
                received=f"{lengths.min()} to {lengths.max()} numbers",
                hint="Pad or cut them to one length.",
            )
        column = column.list.to_array(int(lengths[0]))
        kind = column.dtype
    inner = getattr(kind, "inner", kind)
    if not (inner.is_numeric() or inner == pl.Boolean):
        raise DataError(
            "text-column",
            f"the column {column.name} holds {inner}, not numbers.",
            received=f"{str(column[0])[:40]!r} for input {spec}",
            hint="Leave it out with --columns, or say which column holds the labels with --labels.",
        )
    return np.asarray(column.to_numpy())


def _cast(values: np.ndarray, spec: TensorSpec, start: int) -> np.ndarray:
    """A table has no types of its own to speak of; but whole numbers must stay what they are."""
    cast = values.astype(spec.dtype)
    if np.dtype(spec.dtype).kind in "iub" and not np.array_equal(cast, values):
        row = start + int(np.argmax((cast != values).reshape(len(values), -1).any(axis=1)))
        raise DataError(
            "not-whole",
            f"input {spec} takes whole numbers within its range, but row {row} holds others.",
            received=str(values[row - start])[:80],
            hint="Choose other columns with --columns.",
        )
    return cast


def _shaped(values: np.ndarray, spec: TensorSpec, columns: list[str]) -> np.ndarray:
    sample = spec.shape[1:]
    width = values.size // len(values)
    if not sample and width == 1:
        return values.reshape(-1)
    if len(sample) == 1 and sample[0] in (None, width):
        return values.reshape(len(values), width)
    lengths = [length for length in sample if length is not None]
    if len(lengths) == len(sample) and math.prod(lengths) == width:
        return values.reshape(len(values), *lengths)
    raise DataError(
        "wrong-columns",
        f"input {spec} takes other numbers per sample than these columns hold.",
        received=f"{width} from {_some(columns)}",
        hint="Choose columns with --columns; a column of labels is named with --labels.",
    )
