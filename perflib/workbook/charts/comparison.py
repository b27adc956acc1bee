"""Charts of A against B: verdicts and the restarts they rest on; distributions and shift function of stored runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from perflib.figures.summary import item_rows
from perflib.judge.compare import FIGURES, Comparison, FigureVerdict, log_ratios, shifts
from perflib.show.numbers import ms
from perflib.spec import Run
from perflib.stats import Floats, Interval
from perflib.stats.band import THRESHOLD
from perflib.stats.percentile import percentile
from perflib.workbook.charts.distribution import share_within
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import (
    Panel,
    Words,
    empty_figure,
    figure_of,
    items_of,
    label_of,
    log_ms_axis,
    scatter,
    series_line,
    stacked,
)

_MARKERS = {
    "REGRESSION": {"color": COLOURS[1], "symbol": "triangle-right"},
    "IMPROVED": {"color": COLOURS[2], "symbol": "triangle-left"},
    "SAME": {"color": COLOURS[0], "symbol": "circle"},
    "INCONCLUSIVE": {"color": LIGHT.quiet, "symbol": "circle-open"},
}
_DOT = {"size": 6}
_EQUAL = {"line": {"color": LIGHT.ink, "width": 1.2, "dash": "solid"}}
_PANELS, _PANEL_PX, _POINTS = 12, 132, 150
_SHARES = {"range": [0, 101.5], "tickvals": [0, 50, 95]}
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


def distributions(*runs: Run) -> go.Figure:
    """The response times of two runs, A and B, over each other: a panel per endpoint, the largest change first.

    A curve is the share of warm requests that took no longer; failures keep it below 100 %.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> perflib.charts.distributions(a, b).layout.title.text
    'Response times of A and B'
    """
    title = "Response times of A and B"
    reading = (
        "The curve further to the right is the slower one. Curves apart at every height: each request got slower. "
        "Curves apart only near 100 %: a longer tail. A curve that ends below 100 % has failures. Dotted: p95."
    )
    if len(runs) != 2:
        return empty_figure(title, "It takes two runs.", *runs)
    times = {item.name: [item_rows(run, item.name).warm_ms for run in runs] for item in items_of(runs[0])}
    both = {name: sides for name, sides in times.items() if all(len(side) for side in sides)}
    if not both:
        return empty_figure(title, "The two runs have no endpoint in common that answered.", *runs)
    names = sorted(both, key=lambda name: _change(*both[name]), reverse=True)[:_PANELS]
    title += f", the {_PANELS} endpoints of {len(both)} that differ most" if len(both) > _PANELS else ""
    words = Words(title, "Cumulative distributions of response times in milliseconds of A and B", reading)
    drawn = [share_within(run, name, side, look, _POINTS) for name in names for run, side, look in _sides(runs)]
    panels = [
        Panel(drawn[2 * place : 2 * place + 2], "Answered, %", f"{name} · {_medians(*both[name])}", _PANEL_PX, _SHARES)
        for place, name in enumerate(names)
    ]
    figure = stacked(words, panels, *runs, x_title="Response time, ms (log)")
    figure.update_layout(height=figure.layout.height + 24, margin_t=figure.layout.margin.t + 24)
    above = {"yref": "paper", "y": 1 + 18 / (_PANEL_PX * len(names)), "yanchor": "bottom", "x": 1, "xanchor": "right"}
    figure.update_layout(legend=above)
    figure.update_annotations(selector={"name": "reading"}, yshift=36)
    figure.add_hline(y=95)
    return figure.update_xaxes(**log_ms_axis(at for curve in drawn for at in (curve.x[0], curve.x[-1])))


def _sides(runs: Sequence[Run]) -> list[tuple[Run, str, dict[str, Any]]]:
    return [(run, name, series_line(place, 2)) for place, (run, name) in enumerate(zip(runs, "AB", strict=True))]


def _change(a_ms: Floats, b_ms: Floats) -> float:
    """How far the medians and the p95s are apart at the most; of any sample."""
    apart = np.log(np.quantile(b_ms, list(FIGURES.values())) / np.quantile(a_ms, list(FIGURES.values())))
    return float(np.abs(apart).max())


def _medians(a_ms: Floats, b_ms: Floats) -> str:
    of_a, of_b = (ms(percentile(side, 0.5)) for side in (a_ms, b_ms))
    return f"p50 {of_a} in A, {of_b} ms in B"


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
