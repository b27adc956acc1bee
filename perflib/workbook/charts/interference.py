"""What a crowd on one endpoint does to the others."""

import math

import plotly.graph_objects as go

from perflib.spec.diagnosis import Diagnosis, Interference
from perflib.workbook.charts.diagnosed import empty_figure, figure_of, not_measured, short
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Words, label_of

_ROW_PX = 34
_LEAST_RANGE = 0.5
"""Of the colours, in powers of ten: noise does not look like interference."""
_COLOURS = [[0.0, COLOURS[0]], [0.5, LIGHT.grid], [1.0, COLOURS[1]]]


def interference(found: Diagnosis) -> go.Figure:
    """How many times slower each endpoint (a row) is beside a crowd on another (a column).

    >>> import perflib
    >>> perflib.charts.interference(perflib.why("light_load"))  # doctest: +SKIP
    """
    words = Words(
        "Who holds up whom",
        "Heat map: median time of an endpoint beside a crowd on another, over its time alone.",
        "Look for a dark column: its endpoint holds up all others. A single dark cell, or two across the diagonal, is "
        "a pair that shares something. In bold: the whole interval lies above 1, or below.",
    )
    if not found.interference:
        return empty_figure(words.title, not_measured(found), found)
    cells = {(one.victim, one.aggressor): one for one in found.interference}
    names = dict.fromkeys([one.endpoint for one in found.endpoints] + [name for pair in cells for name in pair])
    victims, aggressors = ([name for name in names if name in some] for some in map(set, zip(*cells, strict=True)))
    rows = [[cells.get((victim, aggressor)) for aggressor in aggressors] for victim in victims]
    log = [[math.log10(max(one.ratio, 1e-3)) if one else None for one in row] for row in rows]
    most = max(_LEAST_RANGE, *(abs(value) for row in log for value in row if value is not None))
    figure = figure_of(words, found).add_heatmap(
        z=log,
        text=[[_text(one) for one in row] for row in rows],
        texttemplate="%{text}",
        hovertext=[[_hover(one) for one in row] for row in rows],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        colorscale=_COLOURS,
        showscale=False,
        zmin=-most,
        zmax=most,
        xgap=2,
        ygap=2,
    )
    bottom = {"title": "Beside a crowd on", "tickangle": -35 if len(aggressors) > 1 else 0}
    figure.update_xaxes(tickvals=[*range(len(aggressors))], ticktext=[short(name, 16) for name in aggressors], **bottom)
    figure.update_yaxes(tickvals=[*range(len(victims))], ticktext=[short(name, 18) for name in victims])
    figure.update_yaxes(range=[len(victims) - 0.5, -0.5], showgrid=False).update_xaxes(showgrid=False)
    return figure.update_layout(height=240 + _ROW_PX * len(victims), margin={"b": 40})


def _text(one: Interference | None) -> str:
    if one is None:
        return ""
    ratio = f"×{one.ratio:.2g}" if one.ratio < 10 else f"×{one.ratio:,.0f}"
    low, high = one.interval
    return f"<b>{ratio}</b>" if low > 1 or high < 1 else ratio


def _hover(one: Interference | None) -> str:
    if one is None:
        return ""
    low, high = one.interval
    added = "" if one.added_ms is None else f"<br>{one.added_ms:+.3g} ms"
    named = f"{label_of(one.victim)}<br>beside {label_of(one.aggressor)}"
    return f"{named}<br>× {one.ratio:.3g}, from {low:.3g} to {high:.3g}{added}"
