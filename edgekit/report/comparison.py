"""A comparison of speeds: for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgekit.figures import BenchRow, Comparison
from edgekit.report import tables, text
from edgekit.results import CompareResult

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Facts of the machine that a reader of a comparison needs.
_ENVIRONMENT = (
    *("cpu", "cpus_used", "governor", "container", "virtual", "os", "python"),
    *("foreign_load", "frequency_during_mhz", "temperature_after_c"),
)

_LEGEND = (
    "*Base*, *New*: p50. *Ratio*: new over base, above 1 is slower. *Shows*: the least difference that a measurement "
    "as noisy as this one shows in 80 of 100 cases."
)

#: Answers from the one that needs a reader most.
_ANSWERS = ("regression", "slower", "not comparable", "no difference shown", "faster")


def headline(result: CompareResult) -> str:
    """``1 slower, 2 no difference shown``."""
    found = [_answer(one) for one in result.comparisons]
    return ", ".join(f"{found.count(answer)} {answer}" for answer in _ANSWERS if answer in found)


def comparison_table(result: CompareResult) -> tables.Table:
    """One row per artifact."""
    header = ("Artifact", "Answer", "Base ms", "New ms", "Ratio", "95 % interval", "Shows")
    rows = tuple(
        (
            one.name,
            _answer(one),
            text.number(one.base_ms),
            text.number(one.new_ms),
            text.number(one.ratio),
            text.interval(one.ci95),
            _least(one.minimum_detectable),
        )
        for one in result.comparisons
    )
    return tables.Table(header, rows, 2)


def how(result: CompareResult) -> str:
    """How both were measured, in a sentence."""
    rounds = [one.rounds for one in result.comparisons if one.rounds is not None]
    if not rounds:
        return "Timed at different times: the intervals know nothing of how the machine differed between these."
    least, most = min(rounds), max(rounds)
    count = text.count(most, "round") if least == most else f"{least} to {most} rounds"
    return f"In turns, a fresh process for each opening, {count}; the intervals are corrected for early stops."


def notes(result: CompareResult) -> list[str]:
    """Reasons of the answers, and what was wrong with the timings."""
    found = [f"{one.name}: {reason}" for one in result.comparisons for reason in one.reasons]
    told = {reason for one in result.comparisons for reason in one.reasons}
    for which, rows in (("base", result.base_results), ("new", result.new_results)):
        reasons = [(row.name, reason) for row in rows for reason in row.reasons]
        found += [f"{which}, {name}: {reason}" for name, reason in reasons if not any(reason in one for one in told)]
    return found


def changes(result: CompareResult) -> list[str]:
    """What else differs between the two, a sentence for each artifact where anything does."""
    pairs = zip(result.comparisons, result.base_results, result.new_results, strict=False)  # lonely ones come last
    return [f"{one.name}: {', '.join(said)}." for one, base, new in pairs if (said := list(_changed(base, new)))]


def comparison_view(result: CompareResult) -> RenderableType:
    """What the terminal shows."""
    from rich.text import Text

    from edgekit.report.terminal_parts import grid, group, listed, plain, verdict_text

    line = Text.assemble((f"{result.new} against {result.base}", "bold"), "  ", verdict_text(result.verdict))
    head = Text.assemble(line, f": {headline(result)}", "\n", (f"{_judged(result)} {_LEGEND}".replace("*", ""), "dim"))
    parts = [head, grid(comparison_table(result))]
    for title, sentences in (("What else changed", changes(result)), ("Reasons and notes", notes(result))):
        parts += [listed(title, sentences)] if sentences else []
    return group([*parts, *([plain(f"Summary: {result.output}")] if result.output else [])])


def comparison_markdown(result: CompareResult) -> str:
    """A document for a pull request: the answer, the table, what changed, where it was measured."""
    return "\n".join(_lines(result)).rstrip() + "\n"


def _lines(result: CompareResult) -> Iterator[str]:
    yield from (f"## Speed: {headline(result)}", "")
    yield from (f"`{result.new}` against `{result.base}`. Verdict: **{result.verdict}**.", "")
    yield from _drawn(comparison_table(result))
    yield from ("", f"{_judged(result)} {_LEGEND}")
    for title, sentences in (("What else changed", changes(result)), ("Reasons and notes", notes(result))):
        if sentences:
            yield from ("", f"### {title}", "", *(f"- {_escape(sentence)}" for sentence in sentences))
    facts = _environment((*result.new_results, *result.base_results))
    if facts:
        yield from ("", "<details><summary>Environment</summary>", "")
        yield from _drawn(tables.Table(("Fact", "Value"), facts, 2))
        yield from ("", "</details>")


def _answer(one: Comparison) -> str:
    return "regression" if one.regression else one.answer


def _judged(result: CompareResult) -> str:
    return f"{how(result)} On {text.evidence(result.evidence)}."


def _changed(base: BenchRow, new: BenchRow) -> Iterator[str]:
    if base.sha256 is not None and base.sha256 == new.sha256:
        yield "the same file"
    elif base.size_bytes != new.size_bytes:
        yield f"size {text.size(base.size_bytes)} → {text.size(new.size_bytes)}"
    facts = (
        ("engine", base.environment.get("engine"), new.environment.get("engine")),
        ("computed in", _precision(base), _precision(new)),
        ("batch", base.batch, new.batch),
        ("threads", base.threads, new.threads),
    )
    for name, before, now in facts:
        if before != now:
            yield f"{name} {before or 'not known'} → {now or 'not known'}"


def _least(share: float | None) -> str:
    return "over 100 %" if share is not None and share > 1 else text.percent(share)


def _precision(row: BenchRow) -> str | None:
    return row.effective.precision.value if row.effective is not None else None


def _environment(rows: Sequence[BenchRow]) -> tuple[tuple[str, str], ...]:
    """Facts of the first timing that knows any; the engines of all."""
    known = next((row.environment for row in rows if row.environment), {})
    engines = dict.fromkeys(row.environment["engine"] for row in rows if "engine" in row.environment)
    devices = dict.fromkeys(row.device for row in rows)
    facts = [("device", ", ".join(devices)), ("engine", ", ".join(engines))] if known else []
    return (*facts, *((name, known[name]) for name in _ENVIRONMENT if name in known))


def _drawn(table: tables.Table) -> Iterator[str]:
    yield "| " + " | ".join(table.header) + " |"
    yield "|" + "|".join("---:" if index >= table.figures else "---" for index in range(len(table.header))) + "|"
    for row in table.rows:
        cells = [f"**{cell}**" if cell in ("regression", "slower", "not comparable") else _escape(cell) for cell in row]
        yield "| " + " | ".join(cells) + " |"


def _escape(value: str) -> str:
    """Text that cannot end a table cell or start HTML."""
    return " ".join(value.replace("|", "\\|").replace("<", "&lt;").split())
