"""The dark form of a chart: the same template and the same marks, in colours for a dark ground."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from perflib.workbook.charts.look import COLOURS, EDGE, GLASS, GRID, HEAT, INK, PAPER, QUIET, SHADE, faint

DARK_PAPER = "#111111"
"""The ground of JupyterLab's dark theme."""
DARK_COLOURS = ("#3D7BEF", "#DB4A1B", "#18BA7A", "#B74A98", "#FBA600", "#6CC8FF", "#F4F6F8")
"""In the order of `COLOURS`."""
_DARK = {
    **dict(zip(COLOURS, DARK_COLOURS, strict=True)),
    **{faint(light): faint(night) for light, night in zip(COLOURS, DARK_COLOURS, strict=True)},
    **dict(zip(HEAT, ("#14293A", "#1F5F8B", "#57ABDD", "#E3F3FF"), strict=True)),
    PAPER: DARK_PAPER,
    INK: "#E6EDF3",
    QUIET: "#9DA7B3",
    GRID: "#2A2F36",
    EDGE: "#4A525C",
    SHADE: "#8B949E",
    GLASS: "rgba(17, 17, 17, 0.8)",
}


def dark(figure: go.Figure) -> go.Figure:
    """The same chart for a dark ground, such as JupyterLab's dark theme; the one given stays as it is.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.dark(perflib.charts.ecdf(run)).layout.template.layout.paper_bgcolor
    '#111111'
    """
    return go.Figure(_recoloured(figure.to_plotly_json()))


def _recoloured(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _recoloured(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_recoloured(value) for value in part]
    return _DARK.get(part, part) if isinstance(part, str) else part
