"""Results as GitHub-flavoured Markdown, for pull requests and wikis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.checked import CheckRow
from edgekit.figures import BenchRow, Profile
from edgekit.report import history, layers, profiles, tables, text
from edgekit.report.collect import Summary, commands, defaults
from edgekit.report.reasons import reasons_by_text


def to_markdown(summaries: Sequence[Summary]) -> str:
    """A document with one first-level section per source."""
    return "\n".join(line for summary in summaries for line in _lines(summary)).rstrip() + "\n"


def _lines(summary: Summary) -> Iterator[str]:
    yield f"# {_escape(summary.title)}: {summary.verdict}"
    yield ""
    for phrase in text.judged_on(summary.evidence, summary.against):
        yield f"- {_escape(phrase)}"
    if summary.measured_at:
        yield f"- measured {text.moment(summary.measured_at)}"
    yield ""
    if summary.recommendation is not None:
        yield from ("## Recommendation", "")
        name = summary.recommendation.artifact
        path = f" (`{summary.recommendation.path}`)" if summary.recommendation.path else ""
        yield f"**{_escape(name)}**{path}" if name else "No artifact can be recommended."
        yield from ("", _escape(summary.recommendation.reason), "")
    yield from _section("Artifacts", tables.artifacts(summary))
    yield from _findings(summary)
    yield from _quantization(summary)
    for row in summary.sensitivity:
        yield from _section(f"Sensitivity of {row.target} to {row.precision}", tables.sensitivity(row))
        yield from (_escape(text.sensitivity_sentence(row)), "")
    yield from _section("Latency", tables.timings(summary))
    yield from _section("Openings", tables.openings(summary))
    if summary.gains:
        yield from _section("What deployment gains", tables.gains(summary))
        yield from (_escape(text.gain_sentence(summary.gains)), "")
    for found in profiles.shown(summary):
        yield from _profile(*found)
    yield from _section("Checks", tables.checks(summary))
    yield from (line for sentence in defaults(summary) for line in (_escape(sentence), ""))
    yield from _section("Stages", tables.stages(summary))
    for check in layers.looked_at(summary):
        yield from _layers(check)
    for title, trends in history.listed(summary.history):
        yield from (f"## {title}", "", *(f"- {_escape(trend)}" for trend in trends), "")
    yield from _section("Against the baseline", tables.comparisons(summary))
    yield from _section("Routes that were tried", tables.attempts(summary))
    yield from _section("Environment", tables.Table(("Fact", "Value"), tuple(summary.environment.items()), 2))
    yield from ("## Make it again", "", "```sh", *commands(summary), "```", "")


def _findings(summary: Summary) -> Iterator[str]:
    pays = [text.pays_sentence(line.name, answer) for line in summary.lines for answer in line.pays]
    if pays:
        yield from ("## Does quantization pay?", "", *(f"- {_escape(sentence)}" for sentence in pays), "")
    reasons = [f"{', '.join(names)}: {reason}" for reason, names in reasons_by_text(summary).items()]
    found = [*reasons, *summary.notes]
    if found:
        yield from ("## Reasons and notes", "", *(f"- {_escape(sentence)}" for sentence in found), "")


def _quantization(summary: Summary) -> Iterator[str]:
    """What was saved and what it cost, and how each recipe was found."""
    known = [(line, found) for line in summary.lines if (found := line.quantization) is not None]
    if not known:
        return
    yield from _section("Quantization", tables.quantized(summary))
    for line, found in known:
        yield f"- {_escape(text.quantization_sentence(line.name, found))}"
        if found.left_float:
            yield f"- {_escape(text.left_float_sentence(line.name, found))}"
    yield ""
    for line, _ in known:
        yield from _section(f"Recipes that were tried for {line.name}", tables.trials(line))


def _layers(check: CheckRow) -> Iterator[str]:
    """Who is to blame, the command that shows it, and every layer."""
    yield from (f"## {layers.title(check)}", "")
    for sentence in layers.sentences(check):
        yield from (_escape(sentence), "")
    if check.failing is not None:
        yield from ("```sh", check.failing.command, "```", "")
    table = tables.layers(check)
    yield from _drawn(table)
    if table.rows:
        yield from (" ".join(filter(None, (layers.ADDED, layers.unknown(check)))), "")


def _profile(row: BenchRow, profile: Profile) -> Iterator[str]:
    """How it was measured, and the operators that take the most time."""
    yield from (f"## {_escape(profiles.title(row))}", "")
    for sentence in profiles.sentences(profile):
        yield from (_escape(sentence), "")
    yield from _drawn(tables.profile(profile, profiles.MOST_ROWS))
    if rest := profiles.left_out(profile, profiles.MOST_ROWS):
        yield from (rest, "")


def _section(title: str, table: tables.Table) -> Iterator[str]:
    """A table under its heading; nothing for an empty one."""
    if table.rows:
        yield from (f"## {title}", "")
        yield from _drawn(table)


def _drawn(table: tables.Table) -> Iterator[str]:
    if not table.rows:
        return
    yield "| " + " | ".join(table.header) + " |"
    yield "|" + "|".join("---:" if index >= table.figures else "---" for index in range(len(table.header))) + "|"
    for row in table.rows:
        cells = [_cell(name, value) for name, value in zip(table.header, row, strict=True)]
        yield "| " + " | ".join(cells) + " |"
    yield from ("", *([_escape(table.common), ""] if table.common else []))


def _cell(column: str, value: str) -> str:
    if (column == "Verdict" and value != "verified") or (column == "Holds" and value in ("no", "culprit")):
        return f"**{value}**"
    if column in ("Route", "Recipe", "Layer", "Operator") and value != text.NONE:
        return f"`{_escape(value)}`"
    return _escape(value)


def _escape(value: str | None) -> str:
    """Text that cannot end a table cell or start HTML."""
    return " ".join((value or "").replace("|", "\\|").replace("<", "&lt;").split())
