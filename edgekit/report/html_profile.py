"""Where the time of an artifact goes, on the page: a chart of the operators that take the most, and all as a table."""

from __future__ import annotations

from html import escape

from edgekit.figures import OperatorTime, Profile
from edgekit.report import profiles, svg, text

#: Operators that the chart shows, and characters of a label.
MOST_BARS, _LABEL = 20, 28


def told(profile: Profile) -> str:
    """How it was measured."""
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in profiles.sentences(profile))


def chart(profile: Profile, title: str) -> str:
    """Horizontal bars; nothing where the clock saw no time at all."""
    if not profile.total_ms:
        return ""
    marks = [_mark(one, profile) for one in profile.operators[:MOST_BARS]]
    unit = "milliseconds" if _unit(profile) == 1 else "microseconds"
    method = "by bisection, with 95 % intervals" if profile.profiled_ms is None else "as the engine profiles them"
    axis = f"{unit} of one inference, {method}; no latency"
    drawn = svg.bars(marks, axis, title, linear=True)
    kinds = [("float", "floating point"), ("quantized", "integers")]
    named = {mark.kind for mark in marks}
    key = "".join(f'<span><i class="{kind}"></i>{words}</span>' for kind, words in kinds if kind in named)
    return f'{drawn}<div class="key">{key}</div>'


def _mark(one: OperatorTime, profile: Profile) -> svg.Mark:
    facts = ", ".join(filter(None, (one.kind, one.precision)))
    unit, noise = _unit(profile), one.noise_ms
    low, high = (None, None) if noise is None else (max(0.0, one.ms - noise) * unit, (one.ms + noise) * unit)
    words = f"{profiles.time(one, profile)} · {text.percent(one.share)}"
    label = profiles.layers(one)
    label = label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
    kind = "quantized" if (one.precision or "").startswith("i") else "float"
    return svg.Mark(label, facts, one.ms * unit, low, high, words, kind)


def _unit(profile: Profile) -> int:
    """Units of the axis in a millisecond."""
    return 1 if profile.operators[0].ms >= 1 else 1000
