"""The slowest requests, and what was under way when they began."""

import plotly.graph_objects as go

from perflib.spec.diagnosis import Diagnosis, Slow
from perflib.workbook.charts.diagnosed import add_part, bars, empty_figure, figure_of, short
from perflib.workbook.charts.parts import Words, label_of

_ROW_PX = 44


def slowest(found: Diagnosis) -> go.Figure:
    """The slowest requests by where their time went; below each name what else was under way as it began.

    >>> import perflib
    >>> perflib.charts.slowest(perflib.why("sample-28-release-1.4"))  # doctest: +SKIP
    """
    words = Words(
        "The slowest requests",
        "Time of the slowest requests in milliseconds by phase, with what was under way as each began.",
        "Look for an endpoint that is under way beside many of them: it may be what they waited for. Then for moments "
        "that they share, which are under the mouse.",
    )
    if not found.slowest:
        none = "In no block were several endpoints asked." if found.live else "No request was answered."
        return empty_figure(words.title, none, found)
    rows = found.slowest
    figure = figure_of(words, found)
    late = [max(one.ms - one.connect_ms - one.waiting_ms - one.receiving_ms, 0) for one in rows]
    of_parts = {
        "late": [ms if ms > 0.01 * one.ms else 0 for ms, one in zip(late, rows, strict=True)],
        "connecting": [one.connect_ms for one in rows],
        "waiting": [one.waiting_ms for one in rows],
        "receiving": [one.receiving_ms for one in rows],
    }
    for part, ms in of_parts.items():
        hover = f"%{{customdata}}<br>{part}: %{{x:,.3~r}} ms<extra></extra>"
        add_part(figure, part, ms, customdata=[_hover(one) for one in rows], hovertemplate=hover)
    bars(figure, [_label(one) for one in rows], _ROW_PX)
    return figure.update_xaxes(title="Response time, ms")


def _label(one: Slow) -> str:
    """Its name, and in smaller letters what was under way the most."""
    beside = sorted(one.under_way.items(), key=lambda item: -item[1])
    first = f"with {beside[0][1]} × {beside[0][0]}" if beside else "alone"
    more = f" +{len(beside) - 1}" if len(beside) > 1 else ""
    told = short(first, 26 - len(more)) + more
    return f"{short(one.endpoint)}<br><span style='font-size:10px'>{told}</span>"


def _hover(one: Slow) -> str:
    beside = [f"{count} × {label_of(name)}" for name, count in one.under_way.items()]
    named = f"{label_of(one.endpoint)}, {one.ms:,.4g} ms<br>at {one.at_s:,.2f} s of {label_of(one.run_id)}"
    return "<br>".join([named, "under way:", *beside] if beside else [named, "nothing else was under way"])
