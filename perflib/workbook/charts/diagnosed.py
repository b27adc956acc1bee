"""What charts of a diagnosis share: what it is of, why one is empty, rows of bars, names short enough for a phone."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from perflib.spec.diagnosis import Diagnosis
from perflib.workbook.charts import parts
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Words, label_of

PARTS = {
    "late": LIGHT.quiet,
    "connecting": LIGHT.edge,
    "CPU": COLOURS[1],
    "waiting": COLOURS[4],
    "machine's queue": COLOURS[3],
    "receiving": COLOURS[2],
}
"""What a request's time consists of, in order, with its colour."""
_MOST_LETTERS = 22


def figure_of(words: Words, found: Diagnosis, figure: go.Figure | None = None) -> go.Figure:
    """A figure with its title and what it is a diagnosis of."""
    return parts.figure_of(words, figure=figure).update_layout(title_subtitle_text=label_of(_about(found)))


def empty_figure(title: str, why: str, found: Diagnosis) -> go.Figure:
    """A figure that says why it shows nothing."""
    return parts.empty_figure(title, label_of(why)).update_layout(title_subtitle_text=label_of(_about(found)))


def not_measured(found: Diagnosis) -> str:
    """Why a diagnosis lacks what only an experiment tells."""
    if not found.live:
        return "Not known of a stored run; the first note names the command."
    return "Not measured: the notes of the diagnosis say why."


def _about(found: Diagnosis) -> str:
    how = "by experiments" if found.live else f"as seen in {', '.join(found.run_ids)}"
    return f"target {found.target}, {how}{'' if found.valid else ', invalid'}"


def short(name: str, most: int = _MOST_LETTERS) -> str:
    """A name as a label: its middle is left out where it is long."""
    end = most * 2 // 3
    return label_of(name if len(name) <= most else f"{name[: most - end - 1]}…{name[-end:]}")


def bars(figure: go.Figure, labels: Sequence[str], px: int = 26) -> go.Figure:
    """Lay out a figure of rows of stacked bars, the first on top; names may be alike, so a row is its number."""
    figure.update_yaxes(tickvals=[*range(len(labels))], ticktext=labels, range=[len(labels) - 0.5, -0.5])
    layout = {"barmode": "stack", "bargap": 0.25, "showlegend": True, "legend_traceorder": "normal"}
    figure.update_layout(height=200 + px * len(labels), **layout)
    return figure.update_xaxes(rangemode="tozero")


def add_part(figure: go.Figure, part: str, ms: Sequence[float | None], **more: Any) -> None:
    """Add one part of the time of all rows, where any has it; `more`: `base`, or a hover text of its own."""
    if any(ms):
        hover = {"hovertemplate": f"{part}: %{{x:.3~r}} ms<extra></extra>"} | more
        figure.add_bar(x=ms, y=[*range(len(ms))], orientation="h", name=part, marker_color=PARTS[part], **hover)
