"""What charts are put together from: the figure with its title, panels on one axis, lines, axes, limits, shading."""

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from perflib.show.table import one_line
from perflib.spec import Run
from perflib.spec.whole import Item
from perflib.workbook.charts.look import COLOURS, DASHES, LIGHT, TEMPLATE
from perflib.workbook.charts.windows import warmups_s

_SEEN_SHARE = 0.005
"""A shorter part of the time axis is not seen."""
_HEADING_PX, _LINE_PX, _HELP_CHARACTERS = 28, 17, 70


@dataclass(frozen=True)
class Words:
    """What a figure says of itself: `alt` to those who cannot see it, `reading` to those who look for something."""

    title: str
    alt: str = ""
    reading: str = ""


@dataclass(frozen=True)
class Panel:
    """One of the plots of a figure that stand below each other on a common x axis."""

    traces: Sequence[Any]
    unit: str
    heading: str = ""
    px: int = 104
    axis: Mapping[str, Any] = field(default_factory=lambda: {"rangemode": "tozero", "nticks": 4})


def scatter(
    x: Any,
    y: Any,
    hover: str = "",
    *,
    name: str = "",
    group: str | None = None,
    line: Mapping[str, Any] | None = None,
    marker: Mapping[str, Any] | None = None,
    data: Any = None,
    meta: str | None = None,
) -> go.Scatter:
    """A line, marks, or both: what is given a look."""
    mode = "+".join(kind for kind, look in (("lines", line), ("markers", marker)) if look)
    shown = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    look = {"line": line, "marker": marker, "mode": mode, "customdata": data}
    return go.Scatter(x=x, y=y, name=name, legendgroup=group, showlegend=bool(name), meta=meta, **look, **shown)


def items_of(run: Run) -> tuple[Item, ...]:
    return run.facts.scenario.takes(run.facts.target)


def series_line(place: int, width: float = 2.2) -> dict[str, Any]:
    """Colour and dash of the series at this place."""
    dash = DASHES[place // len(COLOURS) % len(DASHES)]
    return {"color": COLOURS[place % len(COLOURS)], "dash": dash, "width": width}


def line_of(run: Run, name: str) -> dict[str, Any]:
    """Colour and dash by place in the target, so that an endpoint looks the same in every chart."""
    return series_line([item.name for item in run.facts.target.items].index(name))


def label_of(text: str) -> str:
    """A name as plotly shall print it: plotly reads tags in every text, and an SVG holds no control character."""
    return html.escape(one_line(text), quote=False)


def figure_of(words: Words, *runs: Run, figure: go.Figure | None = None) -> go.Figure:
    """A figure with its title, the runs it is of, and its reading help where the mouse rests on "How to read"."""
    figure = figure or go.Figure()
    names = ", ".join(item.name for item in items_of(runs[0])) if runs else ""
    more_px = _LINE_PX * max(len(runs) - 1, 0)
    alt = f"{words.alt} for {names}; {' and '.join(_about(run) for run in runs)}." if runs else words.alt
    figure.update_layout(
        template=TEMPLATE,
        title={"text": words.title, "subtitle": {"text": " ·<br>".join(label_of(_about(run)) for run in runs)}},
        margin={"t": TEMPLATE.layout.margin.t + more_px},
        height=480 + more_px,
        meta={"alt": alt, "reading": words.reading},
    )
    if words.reading:
        corner = {"xref": "paper", "x": 1, "xanchor": "right", "yref": "paper", "y": 1, "yanchor": "bottom"}
        hover = "<br>".join(wrap(words.reading, _HELP_CHARACTERS, break_on_hyphens=False))
        figure.add_annotation(text="How to read", hovertext=hover, name="reading", **corner)
    return figure


def _about(run: Run) -> str:
    facts = run.facts
    state = ", invalid" if not facts.valid else ", interrupted" if facts.interrupted else ""
    return f"{facts.scenario.title}, target {facts.target.name}, run {facts.run_id}{state}"


def stacked(words: Words, panels: Sequence[Panel], *runs: Run, x_title: str) -> go.Figure:
    """Panels below each other on a common x axis; a name stands in the legend once."""
    plot_px = sum(panel.px for panel in panels)
    figure = make_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        row_heights=[panel.px for panel in panels],
        vertical_spacing=min(_HEADING_PX / plot_px, 0.9 / max(len(panels) - 1, 1)),
        subplot_titles=[label_of(panel.heading) for panel in panels],
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": 12.5, "color": LIGHT.ink})
    figure_of(words, *runs, figure=figure).update_layout(height=plot_px + 200, margin={"t": 96, "b": 104})
    named = {""}
    for row, panel in enumerate(panels, start=1):
        for trace in panel.traces:
            trace.showlegend = (trace.name or "") not in named
            named.add(trace.name or "")
            figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(title=panel.unit, **panel.axis, row=row, col=1)
    return figure.update_xaxes(title=x_title, row=len(panels), col=1)


def empty_figure(title: str, why: str, *runs: Run) -> go.Figure:
    """A figure that says why it shows nothing."""
    figure = figure_of(Words(title, alt=f"{title}: {why}"), *runs)
    font = {"size": 15, "color": LIGHT.ink}
    figure.add_annotation(text=why, xref="paper", yref="paper", x=0.5, y=0.5, font=font)
    hidden = {"visible": False}
    return figure.update_layout(height=200, margin={"b": 24}, xaxis=hidden, yaxis=hidden)


def log_ms_axis(values: Iterable[float | None], few: bool = False) -> dict[str, Any]:
    """A log axis in ms around the finite positive values, ticks at 1, 2, 5 of every decade where two or more fit."""
    kept = [value for value in values if value is not None and math.isfinite(value) and value > 0] or [1.0, 100.0]
    lowest, highest = math.log10(min(kept)), math.log10(max(kept))
    pad = 0.06 * max(highest - lowest, 0.5)
    axis: dict[str, Any] = {"type": "log", "range": [lowest - pad, highest + pad]}
    powers = range(math.floor(lowest) - 1, math.ceil(highest) + 1)
    for steps in ((1, 2, 5),) if highest - lowest < (1 if few else 4) else ((1,), (1, 2, 5)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        if sum(lowest - pad <= math.log10(tick) <= highest + pad for tick in ticks) >= 2:
            return axis | {"tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks]}
    return axis | {"tickmode": "auto", "nticks": 5}


def limit_traces(run: Run, begin: float, end: float, spaced: Callable[..., Any] = np.linspace) -> list[go.Scatter]:
    """Each limit as a dashed line in the colour of its endpoint, between two places on the x axis.

    Equal limits share a line side by side, so that none hides another; `np.geomspace` does so on a log axis.
    """
    levels: dict[float, list[str]] = {}
    for item in items_of(run):
        if item.target_ms is not None:
            levels.setdefault(item.target_ms, []).append(item.name)
    traces = []
    for limit_ms, names in levels.items():
        for name, x in zip(names, pairwise(spaced(begin, end, len(names) + 1)), strict=True):
            hover = f"%{{fullData.name}}<br>limit: p95 below {limit_ms:g} ms"
            line = line_of(run, name) | {"dash": "4px,3px"}
            traces.append(scatter(x, [limit_ms] * 2, hover, name=label_of(name), group=name, line=line, meta="limit"))
    return [trace.update(showlegend=False) for trace in traces]


def panel_limit(limit_ms: float, x: Any, y: Any, shape: str = "linear") -> go.Scatter:
    """The limit of the one endpoint that a panel is of."""
    line = {"color": LIGHT.quiet, "width": 1.4, "dash": "dash", "shape": shape}
    return scatter(x, y, f"limit: p95 below {limit_ms:g} ms", name="limit for p95", line=line, meta="limit")


def shade_warmups(figure: go.Figure, run: Run) -> None:
    """Shade warm-ups in every panel; the first is labelled."""
    spans = [(begin, end) for begin, end in dict.fromkeys(warmups_s(run).values()) if end > begin]
    _shade(figure, spans, LIGHT.shade, "warm-up", 0.16)


def shade_unanswered(figure: go.Figure, run: Run, end_s: float) -> None:
    """Shade in every panel when requests waited that were never answered: no line of answers tells of them."""
    rows = run.requests[run.requests["error"].isin(("timeout", "in_flight"))]
    begin_s, ended_s = (rows[name].to_numpy() / 1e9 for name in ("intended_ns", "end_ns"))
    ended_s = np.where(rows["end_ns"] >= 0, ended_s, end_s)
    spans: list[tuple[float, float]] = []
    for begin, end in sorted(zip(begin_s.tolist(), ended_s.tolist(), strict=True)):
        last = spans.pop() if spans and begin <= spans[-1][1] else (begin, end)
        spans.append((last[0], max(last[1], end)))
    seen = [(begin, end) for begin, end in spans if end - begin > _SEEN_SHARE * end_s]
    _shade(figure, seen, COLOURS[1], "unanswered requests waiting", 0.10)


def label_top(figure: go.Figure, x: float, text: str) -> None:
    """Words at the top of the first panel, from this place on."""
    corner = {"x": x, "xref": "x", "xanchor": "left", "y": 1, "yref": "y domain", "yanchor": "top"}
    figure.add_annotation(text=text, **corner)


def _shade(figure: go.Figure, spans: Sequence[tuple[float, float]], colour: str, label: str, opacity: float) -> None:
    for begin, end in spans:
        figure.add_vrect(x0=begin, x1=end, fillcolor=colour, opacity=opacity, line_width=0, layer="below")
    for begin, _ in spans[:1]:
        label_top(figure, begin, label)
