"""Charts of A against B: the verdicts, the restarts they rest on, and the shift function of two stored runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from perflib.judge.compare import FIGURES, Comparison, FigureVerdict, log_ratios, shifts
from perflib.spec import Run
from perflib.stats import Interval
from perflib.stats.band import THRESHOLD
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Words, empty_figure, figure_of, label_of, scatter, series_line

_MARKERS = {
    "REGRESSION": {"color": COLOURS[1], "symbol": "triangle-right"},
    "IMPROVED": {"color": COLOURS[2], "symbol": "triangle-left"},
    "SAME": {"color": COLOURS[0], "symbol": "circle"},
    "INCONCLUSIVE": {"color": LIGHT.quiet, "symbol": "circle-open"},
}
_DOT = {"size": 6}
_EQUAL = {"line": {"color": LIGHT.ink, "width": 1.2, "dash": "solid"}}
_RATIO_AXIS = {"title": "B / A (log)", "type": "log", "tickformat": ".3~g"}


def ratios(figures: Sequence[FigureVerdict]) -> go.Figure:
    """B over A of every figure with its interval; grey: no verdict. The shaded band is too small to matter.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> perflib.charts.ratios(perflib.compare_stored(a, b, perflib.stored_baselines())).layout.title.text
    'B over A'
    """
    words = Words(
        "B over A",
        "Ratio of B to A with its interval, by endpoint and percentile",
        "A mark right of the shaded band, with its whole bar right of the line, is a regression. A bar that reaches "
        "over both sides was not measured long enough.",
    )
    known = [one for one in figures if one.ratio is not None]
    if not known:
        return empty_figure(words.title, "Nothing was compared.")
    figure = figure_of(words)
    for verdict, marker in _MARKERS.items():
        own = [one for one in known if (one.verdict or "INCONCLUSIVE") == verdict]
        ratio, y, look = [one.ratio for one in own], [_row(one) for one in own], marker | {"size": 10}
        reasons = [label_of(one.reason) for one in own]
        if own:
            marks = scatter(ratio, y, "%{y}: %{customdata}", name=verdict.lower(), marker=look, data=reasons)
            figure.add_trace(marks.update(error_x=_bars(ratio, [one.interval for one in own])))
    figure.add_vrect(x0=1 / (1 + THRESHOLD), x1=1 + THRESHOLD, fillcolor=LIGHT.quiet, opacity=0.12, line_width=0)
    figure.add_vline(x=1, **_EQUAL)
    figure.update_yaxes(categoryorder="array", categoryarray=[_row(one) for one in known][::-1])
    figure.update_xaxes(**_RATIO_AXIS | {"title": "B / A (log); right of 1: B is slower"})
    return figure.update_layout(height=200 + 26 * len(known))


def _row(one: FigureVerdict) -> str:
    return f"{label_of(one.endpoint)}, {one.figure}"


def _bars(ratios: Sequence[float | None], intervals: Sequence[Interval | None]) -> dict[str, Any]:
    ratio = np.array(ratios, dtype=np.float64)
    ends = [(np.nan, np.nan) if one is None else (one.low, one.high) for one in intervals]
    low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
    return {"type": "data", "symmetric": False, "array": high - ratio, "arrayminus": ratio - low}


def restarts(comparison: Comparison | None, figure_name: str = "p95") -> go.Figure:
    """B over A of one figure, restart by restart: what the verdict's interval is made of.

    >>> import perflib
    >>> found = perflib.compare("http://127.0.0.1:8420", "http://127.0.0.1:8421")  # doctest: +SKIP
    >>> perflib.charts.restarts(found)  # doctest: +SKIP
    """
    words = Words(
        f"{figure_name} of B over A, by restart",
        f"Ratio of B to A at {figure_name} by restart, a line per endpoint",
        "Points that scatter around one level are noise; two levels are two states of the same program.",
    )
    if comparison is None or not comparison.restarts:
        return empty_figure(words.title, "Nothing was measured by turns.")
    if figure_name not in FIGURES:
        raise ValueError(f"figure_name: {figure_name!r} is none of {', '.join(FIGURES)}")
    figure = figure_of(words)
    for place, endpoint in enumerate(comparison.endpoints):
        values = np.exp(log_ratios(comparison, endpoint, figure_name))
        hover, line = "%{fullData.name}, restart %{x}: %{y:.3~g}", series_line(place, 1.4)
        x = np.arange(1, len(values) + 1)
        figure.add_trace(scatter(x, values, hover, name=label_of(endpoint), line=line, marker=_DOT))
    figure.add_hline(y=1, **_EQUAL)
    figure.update_xaxes(title="Restart" if comparison.restarted else "Group of blocks", dtick=1)
    return figure.update_yaxes(**_RATIO_AXIS)


def shift(*runs: Run) -> go.Figure:
    """The shift function of two runs, A and B: how much slower B is at each quantile, with 95 % intervals.

    The intervals do not include how much runs on the machine differ by chance.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> perflib.charts.shift(a, b).layout.yaxis.title.text
    'B / A (log)'
    """
    words = Words(
        "B over A by quantile",
        "Ratio of B to A by quantile with intervals, a line per endpoint",
        "A level line above 1 is a cost that every request pays; one that rises to the right is a longer tail. Bars "
        "are 95 % intervals of these two runs alone.",
    )
    if len(runs) != 2:
        return empty_figure(words.title, "It takes two runs.", *runs)
    found = [one for one in shifts(*runs) if any(point.ratio is not None for point in one.shifts)]
    if not found:
        return empty_figure(words.title, "The two runs share no endpoint with enough requests.", *runs)
    figure = figure_of(words, *runs)
    for place, one in enumerate(found):
        points = [point for point in one.shifts if point.ratio is not None and np.isfinite(point.ratio)]
        x, ratio = [f"{point.q:.0%}" for point in points], [point.ratio for point in points]
        hover, name = "%{fullData.name} at %{x}: %{y:.3~g}", label_of(one.endpoint)
        line = scatter(x, ratio, hover, name=name, line=series_line(place, 2), marker=_DOT)
        figure.add_trace(line.update(error_y=_bars(ratio, [point.interval for point in points]) | {"width": 3}))
    figure.add_hline(y=1, **_EQUAL)
    figure.update_xaxes(title="Quantile of response times", type="category")
    return figure.update_yaxes(**_RATIO_AXIS)
