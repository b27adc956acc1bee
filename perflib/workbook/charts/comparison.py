"""Charts of A against B: the verdicts, the restarts they rest on, and the shift function of two stored runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perflib.verdict.compare import FIGURES, THRESHOLD, log_ratios, shifts
from perflib.workbook.charts.look import COLOURS, DASHES, INK, QUIET, empty_figure, figure_of, label_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from perflib.spec import Run
    from perflib.verdict.compare import Comparison, FigureVerdict

_COLOUR_OF = {"REGRESSION": COLOURS[1], "IMPROVED": COLOURS[2], "SAME": COLOURS[0]}
_SYMBOL_OF = {"REGRESSION": "triangle-right", "IMPROVED": "triangle-left", "SAME": "circle"}
_EQUAL = {"line": {"color": INK, "width": 1.2}}


def ratios(figures: Sequence[FigureVerdict]) -> go.Figure:
    """B over A of every figure with its interval; grey: no verdict. The shaded band is too small to matter.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> perflib.charts.ratios(perflib.compare_stored(a, b, perflib.stored_baselines())).layout.title.text
    'B over A'
    """
    title = "B over A"
    known = [one for one in figures if one.ratio is not None]
    if not known:
        return empty_figure(title, "Nothing was compared.")
    figure = figure_of(title, alt="Ratio of B to A with its interval, by endpoint and percentile")
    for verdict in ("REGRESSION", "IMPROVED", "SAME", "INCONCLUSIVE"):
        own = [one for one in known if (one.verdict or "INCONCLUSIVE") == verdict]
        if own:
            figure.add_scatter(**_points(own), name=verdict.lower(), **_look(verdict))
    figure.add_vrect(x0=1 / (1 + THRESHOLD), x1=1 + THRESHOLD, fillcolor=QUIET, opacity=0.12, line_width=0)
    figure.add_vline(x=1, **_EQUAL)
    order = [f"{label_of(one.endpoint)}, {one.figure}" for one in known]
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1])
    figure.update_xaxes(title="B / A (log); right of 1: B is slower", type="log", tickformat=".3~g")
    figure.update_layout(height=200 + 26 * len(known))
    return figure


def _points(own: list[FigureVerdict]) -> dict[str, Any]:
    ratio = np.array([one.ratio for one in own], dtype=np.float64)
    low = np.array([np.nan if one.interval is None else one.interval.low for one in own])
    high = np.array([np.nan if one.interval is None else one.interval.high for one in own])
    return {
        "x": ratio,
        "y": [f"{label_of(one.endpoint)}, {one.figure}" for one in own],
        "error_x": {"type": "data", "symmetric": False, "array": high - ratio, "arrayminus": ratio - low},
        "hovertext": [label_of(one.reason) for one in own],
        "hovertemplate": "%{y}: %{hovertext}<extra></extra>",
    }


def _look(verdict: str) -> dict[str, Any]:
    colour, symbol = _COLOUR_OF.get(verdict, QUIET), _SYMBOL_OF.get(verdict, "circle-open")
    return {"mode": "markers", "marker": {"color": colour, "symbol": symbol, "size": 10}}


def restarts(comparison: Comparison | None, figure_name: str = "p95") -> go.Figure:
    """B over A of one figure, restart by restart: what the verdict's interval is made of.

    >>> import perflib
    >>> found = perflib.compare("http://127.0.0.1:8420", "http://127.0.0.1:8421")  # doctest: +SKIP
    >>> perflib.charts.restarts(found)  # doctest: +SKIP
    """
    title = f"{figure_name} of B over A, by restart"
    if comparison is None or not comparison.restarts:
        return empty_figure(title, "Nothing was measured by turns.")
    if figure_name not in FIGURES:
        raise ValueError(f"figure_name: {figure_name!r} is none of {', '.join(FIGURES)}")
    figure = figure_of(title, alt=f"Ratio of B to A at {figure_name} by restart, a line an endpoint")
    for place, endpoint in enumerate(comparison.endpoints):
        values = np.exp(log_ratios(comparison, endpoint, figure_name))
        line = {
            "color": COLOURS[place % len(COLOURS)],
            "dash": DASHES[place // len(COLOURS) % len(DASHES)],
            "width": 1.4,
        }
        hover = {"hovertemplate": "%{fullData.name}, restart %{x}: %{y:.3~g}<extra></extra>"}
        x = np.arange(1, len(values) + 1)
        figure.add_scatter(x=x, y=values, name=label_of(endpoint), mode="lines+markers", line=line, **hover)
    figure.add_hline(y=1, **_EQUAL)
    figure.update_xaxes(title="Restart" if comparison.restarted else "Group of blocks", dtick=1)
    figure.update_yaxes(title="B / A (log)", type="log", tickformat=".3~g")
    return figure


def shift(*runs: Run) -> go.Figure:
    """The shift function of two runs, A and B: how much slower B is at each quantile, with 95 % intervals.

    They do not know what the machine's mood adds from run to run.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> perflib.charts.shift(a, b).layout.yaxis.title.text
    'B / A (log)'
    """
    title = "B over A by quantile"
    if len(runs) != 2:
        return empty_figure(title, "It takes two runs.", *runs)
    found = [one for one in shifts(*runs) if any(point.ratio is not None for point in one.shifts)]
    if not found:
        return empty_figure(title, "The two runs share no endpoint with enough requests.", *runs)
    figure = figure_of(title, *runs, alt="Ratio of B to A by quantile with intervals, a line an endpoint")
    for place, one in enumerate(found):
        points = [point for point in one.shifts if point.ratio is not None and np.isfinite(point.ratio)]
        ratio = np.array([point.ratio for point in points], dtype=np.float64)
        low = np.array([np.nan if point.interval is None else point.interval.low for point in points])
        high = np.array([np.nan if point.interval is None else point.interval.high for point in points])
        figure.add_scatter(
            x=[f"{point.q:.0%}" for point in points],
            y=ratio,
            error_y={"type": "data", "symmetric": False, "array": high - ratio, "arrayminus": ratio - low, "width": 3},
            name=label_of(one.endpoint),
            mode="lines+markers",
            line={"color": COLOURS[place % len(COLOURS)], "dash": DASHES[place // len(COLOURS) % len(DASHES)]},
            hovertemplate="%{fullData.name} at %{x}: %{y:.3~g}<extra></extra>",
        )
    figure.add_hline(y=1, **_EQUAL)
    figure.update_xaxes(title="Quantile of response times", type="category")
    figure.update_yaxes(title="B / A (log)", type="log", tickformat=".3~g")
    return figure
