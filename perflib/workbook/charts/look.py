"""How charts look: the template, the palette, and the parts that charts have in common."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perflib.spec import Endpoint, Page, Run

COLOURS = ("#0047C0", "#8A2C00", "#0F9D6E", "#7A2E78", "#C1870A", "#0A98DC", "#000000")
"""Safe for the colour-blind, after Okabe & Ito 2008, and darker: each has a contrast of 3 to 1 to white paper."""
TARGET_DASH = "4px,3px"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

PAPER, INK, QUIET, GRID, EDGE, SHADE = "#FFFFFF", "#24292F", "#6E7781", "#E8EBEE", "#C9CED4", "#8C959F"
HEAT = ("#E3EEF5", "#7FB7DA", "#0072B2", "#00263D")
"""From few to many."""
GLASS = "rgba(255, 255, 255, 0.8)"
_HEADING_PX = 28
_LINE_PX = 17

_AXIS = {
    "gridcolor": GRID,
    "linecolor": EDGE,
    "showline": True,
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": EDGE,
    "ticklen": 4,
    "automargin": True,
    "title": {"font": {"size": 12.5, "color": QUIET}, "standoff": 8},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {
            "family": "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
            "size": 13,
            "color": INK,
        },
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "yref": "container",
            "y": 0.985,
            "yanchor": "top",
            "font": {"size": 17},
            "subtitle": {"font": {"size": 12.5, "color": QUIET}},
            "pad": {"t": 6},
        },
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "colorway": list(COLOURS),
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 64, "r": 28, "t": 78, "b": 96},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "paper",
            "y": 0.01,
            "yref": "container",
            "yanchor": "bottom",
        },
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": EDGE, "font": {"color": INK, "size": 12.5}},
        "bargap": 0.0,
    }
)
"""The look of every chart: white ground, quiet grid, legend below. `dark` has its other form."""


class TargetMark(NamedTuple):
    """A target, and the stretch (in shares of 1) it gets of the dashed line that equal targets have in common."""

    name: str
    target_ms: float
    begin: float
    end: float


def items_of(run: Run) -> tuple[Endpoint | Page, ...]:
    return run.facts.scenario.takes(run.facts.target)


def line_of(run: Run, name: str) -> dict[str, Any]:
    """Colour and dash by place in the target, so that an endpoint looks the same in every chart."""
    place = [item.name for item in run.facts.target.items].index(name)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "dash": DASHES[place // len(COLOURS) % len(DASHES)],
        "width": 2.2,
    }


def faint(colour: str) -> str:
    """A colour of `COLOURS` as the ground of a band."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"


def label_of(text: str) -> str:
    """A name as plotly shall print it: plotly reads tags in every text."""
    return html.escape(text, quote=False)


def target_marks(items: Iterable[Endpoint | Page]) -> list[TargetMark]:
    """A mark for each item with a target; equal targets share a line side by side, so that none hides another."""
    levels: dict[float, list[str]] = {}
    for item in items:
        if item.target_ms is not None:
            levels.setdefault(item.target_ms, []).append(item.name)
    return [
        TargetMark(name, target_ms, place / len(names), (place + 1) / len(names))
        for target_ms, names in levels.items()
        for place, name in enumerate(names)
    ]


def target_line(run: Run, mark: TargetMark) -> dict[str, Any]:
    return {
        "mode": "lines+text",
        "textfont": {"size": 11.5, "color": QUIET},
        "cliponaxis": False,
        "legendgroup": mark.name,
        "showlegend": False,
        "name": label_of(mark.name),
        "line": {"color": line_of(run, mark.name)["color"], "width": 2.2, "dash": TARGET_DASH},
        "hovertemplate": f"%{{fullData.name}}<br>target: p95 below {mark.target_ms:g} ms<extra></extra>",
        "meta": "target",
    }


def panel_target(target_ms: float) -> dict[str, Any]:
    return {
        "mode": "lines",
        "showlegend": False,
        "line": {"color": QUIET, "width": 1.4, "dash": "dash"},
        "hovertemplate": f"target: p95 below {target_ms:g} ms<extra></extra>",
        "meta": "target",
    }


def cold_marks(colour: str) -> dict[str, Any]:
    return {
        "mode": "markers",
        "showlegend": False,
        "marker": {"symbol": "diamond-open", "size": 8, "color": colour, "line": {"width": 1.5}},
        "hovertemplate": "cold answer: %{y:.3~r} ms at %{x:.4~g} s<extra></extra>",
        "meta": "cold",
    }


def legend_entries(figure: go.Figure, *columns: str, target: bool = False, cold: bool = False) -> None:
    """Entries for what has the same meaning in every panel, in ink instead of the panels' colours."""
    styles: dict[str, dict[str, Any]] = {
        "p50": {"mode": "lines", "line": {"color": INK, "width": 1.3, "dash": "dot"}},
        "p95": {"mode": "lines", "line": {"color": INK, "width": 2}},
        "target for p95": panel_target(0) | {"hovertemplate": None, "meta": None},
        "cold answer": cold_marks(INK) | {"hovertemplate": None, "meta": None},
    }
    chosen = [*columns, *(["target for p95"] if target else []), *(["cold answer"] if cold else [])]
    for name in chosen:
        figure.add_scatter(x=[None], y=[None], name=name, **styles[name] | {"showlegend": True}, row=1, col=1)


def log_ms_axis(values: Iterable[float], few: bool = False) -> dict[str, Any]:
    """A log axis in ms around the finite positive values, ticks at 1, 2, 5 of every decade where two or more fit."""
    kept = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 100.0]
    lowest, highest = math.log10(min(kept)), math.log10(max(kept))
    pad = 0.06 * max(highest - lowest, 0.5)
    axis: dict[str, Any] = {"type": "log", "range": [lowest - pad, highest + pad]}
    powers = range(math.floor(lowest) - 1, math.ceil(highest) + 1)
    for steps in ((1, 2, 5),) if highest - lowest < (1 if few else 4) else ((1,), (1, 2, 5)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        if sum(lowest - pad <= math.log10(tick) <= highest + pad for tick in ticks) >= 2:
            return axis | {"tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks]}
    return axis | {"tickmode": "auto", "nticks": 5}


def shade(figure: go.Figure, stretches: list[tuple[float, float]], **where: int) -> None:
    """Shade warm-ups; the first of a chart is labelled."""
    label = {
        "annotation": {"text": "warm-up", "font": {"size": 11, "color": QUIET}},
        "annotation_position": "top left",
    }
    for number, (begin, end) in enumerate(stretches):
        if end > begin:
            named = label if number == 0 and where.get("row", 1) == 1 else {}
            look = {"fillcolor": SHADE, "opacity": 0.16, "line_width": 0, "layer": "below"}
            figure.add_vrect(x0=begin, x1=end, **look, **named, **where)


def figure_of(title: str, *runs: Run, alt: str, figure: go.Figure | None = None) -> go.Figure:
    figure = figure or go.Figure()
    names = ", ".join(item.name for item in items_of(runs[0])) if runs else ""
    more_px = _LINE_PX * max(len(runs) - 1, 0)
    figure.update_layout(
        template=TEMPLATE,
        title={"text": title, "subtitle": {"text": " ·<br>".join(label_of(_about(run)) for run in runs)}},
        margin={"t": TEMPLATE.layout.margin.t + more_px},
        height=480 + more_px,
        meta={"alt": f"{alt} for {names}; {' and '.join(_about(run) for run in runs)}." if runs else alt},
    )
    return figure


def _about(run: Run) -> str:
    facts = run.facts
    state = ", invalid" if not facts.valid else ", interrupted" if facts.interrupted else ""
    return f"{facts.scenario.title}, target {facts.target.name}, run {facts.run_id}{state}"


def panels(title: str, headings: Sequence[str], *runs: Run, y_title: str, alt: str, panel_px: int = 104) -> go.Figure:
    """One panel below the other on a common x axis, each headed by its endpoint."""
    count = len(headings)
    plot_px = panel_px * count
    figure = make_subplots(
        rows=count,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=min(_HEADING_PX / plot_px, 0.9 / max(count - 1, 1)),
        subplot_titles=[label_of(heading) for heading in headings],
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": 12.5, "color": INK})
    figure_of(title, *runs, alt=alt, figure=figure)
    figure.update_layout(height=plot_px + 200, margin={"t": 96, "b": 104})
    figure.update_yaxes(title=y_title)
    return figure


def empty_figure(title: str, why: str, *runs: Run) -> go.Figure:
    """A figure that says why it shows nothing."""
    figure = figure_of(title, *runs, alt=f"{title}: {why}")
    figure.add_annotation(text=why, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font={"size": 15})
    figure.update_layout(height=200, margin={"b": 24}, xaxis={"visible": False}, yaxis={"visible": False})
    return figure
