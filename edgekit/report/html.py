"""Results as one self-contained HTML page: no script, no request, light and dark, printable."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources

import edgekit
from edgekit.checked import CheckRow
from edgekit.figures import BenchRow, Profile
from edgekit.report import html_layers, html_profile, html_stages, layers, profiles, stages, svg, tables, text
from edgekit.report.collect import Summary, commands, defaults, noise_shares
from edgekit.report.reasons import reasons_by_text
from edgekit.results import SensitivityRow
from edgekit.types import Verdict

#: Operators that the chart of a ranking shows; its table has all.
MOST_BARS = 20

#: Layers up to which their table is open from the start.
MOST_ROWS = 24


#: Colours of the answers whether a layer holds.
_HELD = {"yes": "verified", "no": "failed", "culprit": "failed"}


def to_html(summaries: Sequence[Summary]) -> str:
    """A whole document, one article per source."""
    style = resources.files("edgekit.report").joinpath("page.css").read_text(encoding="utf-8")
    titles = ", ".join(summary.title for summary in summaries)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(titles)} · edgekit</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"{''.join(_article(summary) for summary in summaries)}"
        f"<footer>Made by edgekit {edgekit.__version__}.</footer>\n</main>\n</body>\n</html>\n"
    )


def _article(summary: Summary) -> str:
    sections = (
        _recommendation(summary),
        _artifacts(summary),
        _latency(summary),
        _gains(summary),
        *(_profile(*found) for found in profiles.shown(summary)),
        _pays(summary),
        _quantization(summary),
        *(_sensitivity(row) for row in summary.sensitivity),
        _reasons(summary),
        _checks(summary),
        _stages(summary),
        *(_layers(check) for check in layers.looked_at(summary)),
        _history(summary),
        _optional("Against the baseline", tables.comparisons(summary)),
        _optional("Routes that were tried", tables.attempts(summary)),
        _environment(summary),
        _again(summary),
    )
    return f"<article>\n{_head(summary)}{''.join(sections)}</article>\n"


def _head(summary: Summary) -> str:
    facts = [f"{_verdict(summary.verdict)}({escape(summary.meaning)})"]
    if summary.source is not None:
        count = summary.source.parameters
        known = (
            summary.source.framework
            if count is None
            else f"{summary.source.framework}, {text.count(count, 'parameter')}"
        )
        facts.append(escape(known))
    facts += [escape(phrase) for phrase in text.judged_on(summary.evidence, summary.against)]
    if summary.measured_at:
        facts.append(escape(f"measured {text.moment(summary.measured_at)}"))
    return f'<h1>{escape(summary.title)}</h1>\n<p class="meta">{" · ".join(facts)}</p>\n'


def _recommendation(summary: Summary) -> str:
    found = summary.recommendation
    if found is None:
        return ""
    name = f'<p class="name">{escape(found.artifact)}</p>' if found.artifact else '<p class="name">No artifact</p>'
    path = f"<p><code>{escape(found.path)}</code></p>" if found.path else ""
    kind = "pick" if found.artifact else "pick none"
    return (
        f'<section class="{kind}">\n<h2>Recommendation</h2>\n{name}\n<p>{escape(found.reason)}</p>\n{path}</section>\n'
    )


def _artifacts(summary: Summary) -> str:
    found = summary.recommendation
    picked = {found.artifact, found.path} - {None} if found is not None else set()
    marks = [line.name in picked or (line.made is not None and line.made.path in picked) for line in summary.lines]
    return _section("Artifacts", _table(tables.artifacts(summary), marks))


def _latency(summary: Summary) -> str:
    marks = [mark for row in summary.timings if (mark := _bar(row)) is not None]
    if not marks:
        return ""
    chart = svg.bars(
        marks, "p50 in milliseconds, with its 95 % interval; shorter is faster", "Latency of each artifact"
    )
    kinds = [("float", "floating point"), ("quantized", "quantized"), ("source", "the source in its framework")]
    shown = [pair for pair in kinds if pair[0] in {mark.kind for mark in marks}]
    key = "".join(f'<span><i class="{kind}"></i>{words}</span>' for kind, words in shown)
    listed = f"{_table(tables.timings(summary))}{_table(tables.openings(summary))}"
    return _section("Latency", f'{chart}<div class="key">{key}</div>{listed}')


def _bar(row: BenchRow) -> svg.Mark | None:
    latency = row.latency_ms
    if latency is None:
        return None
    low, high = latency.ci95_p50 or (latency.p50, latency.p50)
    threads = f"{row.threads} thread{'' if row.threads == 1 else 's'}" if row.threads else "threads auto"
    words = text.ms(latency.p50) + ("" if row.verdict == "verified" else f" ({row.verdict})")
    kind = "float" if row.precision.startswith(("fp", "bf")) else "quantized"
    kind = kind if row.way is None else "source"
    unit = row.runtime.partition(":")[2] if row.way is None else ""
    place = f"{row.device} ({unit})" if unit else row.device
    detail = f"{place}, {threads}, batch {row.batch}" + ("" if row.scenario == "latency" else f", {row.scenario}")
    return svg.Mark(row.name, detail, latency.p50, low, high, words, kind)


def _profile(row: BenchRow, profile: Profile) -> str:
    """The operators that take the most time as a chart, and all of them as a table; a long one waits to be opened."""
    table = tables.profile(profile)
    opened = " open" if len(table.rows) <= MOST_ROWS else ""
    title = profiles.title(row)
    listed = f"<details{opened}><summary>{text.count(len(table.rows), 'operator')}</summary>{_table(table)}</details>"
    if (by_layer := tables.profiled_layers(profile)).rows:
        listed += f"<details><summary>{text.count(len(by_layer.rows), 'layer')}</summary>{_table(by_layer)}</details>"
    return _section(title, f"{html_profile.told(profile)}{html_profile.chart(profile, title)}{listed}")


def _gains(summary: Summary) -> str:
    if not summary.gains:
        return ""
    said = f"<p>{escape(text.gain_sentence(summary.gains))}</p>"
    return _section("What deployment gains", f"{said}{_table(tables.gains(summary))}")


def _pays(summary: Summary) -> str:
    answers = [(line, pays) for line in summary.lines for pays in line.pays]
    if not answers:
        return ""
    marks = [
        svg.Mark(
            line.name,
            pays.device,
            pays.speedup,
            pays.ci95[0] if pays.ci95 else None,
            pays.ci95[1] if pays.ci95 else None,
            f"{text.times(pays.speedup)} {pays.answer}",
            {"yes": "yes", "no": "no"}.get(pays.answer, "unsure"),
        )
        for line, pays in answers
        if pays.speedup is not None
    ]
    axis = "speed-up over the artifact it was made from, timed in turns; right of 1 is faster"
    chart = svg.ratios(marks, axis, "Speed-up by quantization") if marks else ""
    items = "".join(f"<li>{escape(text.pays_sentence(line.name, pays))}</li>" for line, pays in answers)
    return _section("Does quantization pay?", f"{chart}<ul>{items}</ul>")


def _quantization(summary: Summary) -> str:
    """What each quantized artifact saved and cost, and how its recipe was found."""
    known = [(line, found) for line in summary.lines if (found := line.quantization) is not None]
    if not known:
        return ""
    sentences = [text.quantization_sentence(line.name, found) for line, found in known]
    sentences += [text.left_float_sentence(line.name, found) for line, found in known if found.left_float]
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    tried = [
        f"<h3>Recipes that were tried for {escape(line.name)}</h3>{_table(table)}"
        for line, _ in known
        if (table := tables.trials(line)).rows
    ]
    return _section("Quantization", f"{_table(tables.quantized(summary))}<ul>{listed}</ul>{''.join(tried)}")


def _sensitivity(row: SensitivityRow) -> str:
    """The operators that add the most noise as a chart, and all of them as a table."""
    shares = noise_shares(row)
    marks = [
        svg.Mark(
            text.short(layer.layer, 28),
            layer.kind,
            100 * share,
            None,
            None,
            f"{'no change' if layer.sqnr_db is None else f'{layer.sqnr_db:.1f} dB'} · {text.percent(share)}",
            "quantized",
        )
        for layer, share in zip(row.layers[:MOST_BARS], shares, strict=False)
    ]
    axis = "part of the summed noise in percent, each operator quantized alone; shorter is better"
    chart = svg.bars(marks, axis, "Noise of each operator", linear=True) if any(shares) else ""
    title = f"Sensitivity of {row.target} to {row.precision}"
    return _section(title, f"<p>{escape(text.sensitivity_sentence(row))}</p>{chart}{_table(tables.sensitivity(row))}")


def _checks(summary: Summary) -> str:
    table = tables.checks(summary)
    said = "".join(f'<p class="common">{escape(sentence)}</p>' for sentence in defaults(summary))
    return _section("Checks", f"{_table(table)}{said}") if table.rows else ""


def _stages(summary: Summary) -> str:
    checks = stages.compared(summary)
    return _section("Stages", html_stages.boxes(checks)) if checks else ""


def _history(summary: Summary) -> str:
    checks, timings = html_stages.curves(summary.history.checks), html_stages.times(summary.history.timings)
    found = (("History of checks", checks), ("History of timings", timings))
    return "".join(_section(title, drawn) for title, drawn in found if drawn)


def _layers(check: CheckRow) -> str:
    """The culprit, the error of each layer as a chart, and all figures; a long table waits to be opened."""
    table = tables.layers(check)
    opened = " open" if len(table.rows) <= MOST_ROWS else ""
    listed = (
        f"<details{opened}><summary>{text.count(len(table.rows), 'layer')} in the order of execution</summary>"
        f'{_table(table)}<p class="common">{escape(" ".join((layers.ADDED, layers.unknown(check))))}</p></details>'
    )
    body = f"{html_layers.told(check)}{html_layers.chart(check)}{listed if table.rows else ''}"
    return _section(layers.title(check), body)


def _reasons(summary: Summary) -> str:
    found = [
        f"<li><b>{escape(', '.join(names))}</b>: {escape(reason)}</li>"
        for reason, names in reasons_by_text(summary).items()
    ]
    found += [f"<li>{escape(note)}</li>" for note in summary.notes]
    return _section("Reasons and notes", f"<ul>{''.join(found)}</ul>") if found else ""


def _optional(title: str, table: tables.Table) -> str:
    return _section(title, _table(table)) if table.rows else ""


def _environment(summary: Summary) -> str:
    if not summary.environment:
        return ""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in summary.environment.items())
    return _section("Environment", f"<dl>{facts}</dl>")


def _again(summary: Summary) -> str:
    digests = [f"<dt>source</dt><dd><code>{summary.source.sha256}</code></dd>"] if summary.source is not None else []
    digests += [
        f"<dt>{escape(line.name)}</dt><dd><code>{line.made.sha256}</code></dd>"
        for line in summary.lines
        if line.made is not None and line.made.sha256
    ]
    listed = f"<p></p><p>SHA-256 of what these figures are about:</p><dl>{''.join(digests)}</dl>" if digests else ""
    return _section("Make it again", f"<pre>{escape(chr(10).join(commands(summary)))}</pre>{listed}")


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>\n"


def _verdict(verdict: Verdict) -> str:
    return f'<span class="verdict {verdict}">{verdict}</span>'


def _table(table: tables.Table, picked: Sequence[bool] = ()) -> str:
    kinds = [
        "name" if index == 0 else "figure" if index >= table.figures else "long" if name in ("Reason", "Note") else ""
        for index, name in enumerate(table.header)
    ]
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for name, kind in zip(table.header, kinds, strict=True))
    rows = []
    for number, row in enumerate(table.rows):
        mark = ' class="picked"' if any(picked[number : number + 1]) else ""
        cells = [_cell(name, kind, value) for name, kind, value in zip(table.header, kinds, row, strict=True)]
        rows.append(f"<tr{mark}>{''.join(cells)}</tr>")
    drawn = f'<div class="scroll"><table>\n<tr>{head}</tr>\n{chr(10).join(rows)}\n</table></div>'
    return f'<p class="common">{escape(table.common)}</p>{drawn}' if table.common else drawn


def _cell(column: str, kind: str, value: str) -> str:
    if column == "Verdict":
        return f'<td><span class="verdict {value}">{value}</span></td>'
    if column == "Holds" and value in _HELD:
        return f'<td><span class="verdict {_HELD[value]}">{value}</span></td>'
    if column in ("Route", "Recipe", "Layer", "Operator") and value != text.NONE:
        return f'<td class="code"><code>{_breakable(value)}</code></td>'
    if value == "chosen":
        return f'<td><span class="verdict verified">{value}</span></td>'
    return f'<td class="{kind}">{escape(value)}</td>'


def _breakable(name: str) -> str:
    """A long name that breaks between its words."""
    return escape(name).replace("_", "_<wbr>").replace("/", "/<wbr>").replace("&gt;", "&gt;<wbr>")
