"""Charts of the target's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.subplots import make_subplots

from perflib.verdict.leak import memory_of
from perflib.workbook.charts.binning import USED, first_fitting, time_edges, warmups_s, window_s, windowed
from perflib.workbook.charts.look import (
    COLOURS,
    GRID,
    INK,
    QUIET,
    empty_figure,
    faint,
    figure_of,
    label_of,
    log_ms_axis,
    shade,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from perflib.spec import Run
    from perflib.spec.allocations import Allocations
    from perflib.verdict.leak import Memory

_MB = 1e6
_LEAST_SHARE = 0.005
"""A bar of the flame graph that is narrower cannot be seen."""
_BAR_PX, _BAR_TEXT_PX = 22, 12
_SAMPLES = 2000
_RSS, _USS, _FIT = COLOURS[0], COLOURS[5], COLOURS[1]


def memory(run: Run) -> go.Figure:
    """Resident memory of the target by time, the growth that was judged with its band, restarts marked.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.memory(run).layout.yaxis.title.text
    'MB'
    """
    title = "Memory of the target"
    if run.memory is None:
        return empty_figure(title, f"Not sampled: {run.facts.memory.told}.", run)
    figure = figure_of(title, run, alt="Resident and unshared memory of the target in megabytes over time")
    _draw_memory(figure, run, memory_of(run))
    figure.update_layout(height=340, hovermode="x unified")
    figure.update_xaxes(title="Seconds since the start of the run")
    return figure


def memory_and_load(run: Run) -> go.Figure:
    """Memory, response time (endpoints pooled) and throughput on one time axis: what grew when, and what it did.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.memory_and_load(run).layout.yaxis2.title.text
    'ms (log)'
    """
    title = "Memory, p95 and throughput"
    rows = run.requests[USED]
    done = rows[(rows["kind"] == "request") & rows["error"].isna() & (rows["end_ns"] >= 0)]
    if run.memory is None or done.empty:
        why = f"Memory was not sampled: {run.facts.memory.told}." if run.memory is None else "No request was answered."
        return empty_figure(title, why, run)
    headings = ["Memory", "p95 of response times, endpoints pooled", "Completed requests a second"]
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, subplot_titles=headings, row_heights=[0.5, 0.25, 0.25], vertical_spacing=0.08
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": 12.5, "color": INK})
    figure_of(title, run, alt="Memory in megabytes, p95 in milliseconds and throughput over time", figure=figure)
    _draw_memory(figure, run, memory_of(run), row=1, col=1)
    _draw_p95(figure, done)
    edges = time_edges(done["end_ns"].to_numpy() / 1e9)
    per_s = np.histogram(done["end_ns"].to_numpy() / 1e9, edges)[0] / np.diff(edges)
    look = {"line": {"color": COLOURS[2], "width": 1.6}, "showlegend": False}
    hover = {"hovertemplate": "%{y:,.4~r}/s at %{x:.4~g} s<extra></extra>"}
    figure.add_scatter(x=(edges[:-1] + edges[1:]) / 2, y=per_s, **look, **hover, row=3, col=1)
    figure.update_yaxes(title="requests/s", rangemode="tozero", row=3, col=1)
    figure.update_layout(height=640, margin={"t": 104})
    figure.update_xaxes(title=f"Seconds since the start of the run, {first_fitting(edges[-1])}-s windows", row=3, col=1)
    return figure


def _draw_p95(figure: go.Figure, done: pd.DataFrame) -> None:
    times = {"at_s": done["intended_ns"] / 1e9, "ms": (done["end_ns"] - done["intended_ns"]) / 1e6}
    frame = done.assign(**times)
    by_window = windowed(frame, window_s(frame["at_s"].to_numpy()))
    figure.add_scatter(
        x=by_window["at_s"],
        y=by_window["p95_ms"],
        line={"color": INK, "width": 1.6},
        showlegend=False,
        hovertemplate="p95 at %{x:.4~g} s: %{y:.3~r} ms<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_yaxes(title="ms (log)", **log_ms_axis(by_window["p95_ms"].dropna(), few=True), row=2, col=1)


def _draw_memory(figure: go.Figure, run: Run, found: Memory, **where: int) -> None:
    assert run.memory is not None
    samples = _lows_and_highs(run.memory)
    at_s = samples["t_ns"] / 1e9
    lines = {"resident (RSS)": ("rss_bytes", _RSS, 2.0), "its own (USS)": ("uss_bytes", _USS, 1.4)}
    for name, (column, colour, width) in lines.items():
        told = samples[column] >= 0
        hover = {"hovertemplate": f"{name}: %{{y:,.4~r}} MB<extra></extra>"}
        if told.any():
            line = {"color": colour, "width": width}
            figure.add_scatter(x=at_s[told], y=samples.loc[told, column] / _MB, name=name, line=line, **hover, **where)
    _draw_fit(figure, found, **where)
    for restart_s in found.restarts_s:
        label: dict[str, Any] = {"annotation_text": "restart", "annotation_position": "top right"}
        figure.add_vline(x=restart_s, line={"color": QUIET, "width": 1.4, "dash": "dot"}, **label, **where)
    shade(figure, warmups_s(run, run.requests[USED])[:1], **where)
    figure.update_yaxes(title="MB", **where)


def _lows_and_highs(samples: pd.DataFrame) -> pd.DataFrame:
    """All samples, or the lowest and the highest of each of many windows: a sawtooth keeps its teeth."""
    if len(samples) <= _SAMPLES:
        return samples
    by_window = samples["rss_bytes"].groupby(np.arange(len(samples)) * (_SAMPLES // 2) // len(samples))
    return samples.loc[np.unique([*by_window.idxmin(), *by_window.idxmax()])]


def _draw_fit(figure: go.Figure, found: Memory, **where: int) -> None:
    """The window minima that were judged, the curve through them and its band at 99 %."""
    fit = None if found.rss is None else found.rss.fit
    if fit is None:
        return
    edge = {"x": fit.at_s, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(y=fit.low / _MB, **edge, **where)
    filled = {"fill": "tonexty", "fillcolor": faint(_FIT), "name": "99 % band"}
    figure.add_scatter(y=fit.high / _MB, **edge | {"showlegend": True} | filled, **where)
    line = {"color": _FIT, "width": 2, "dash": "dash"}
    hover = {"hovertemplate": "fitted: %{y:,.4~r} MB<extra></extra>"}
    figure.add_scatter(x=fit.at_s, y=fit.fitted / _MB, mode="lines", line=line, name="fitted growth", **hover, **where)
    marks = {"symbol": "circle-open", "size": 6, "color": _FIT}
    hover = {"hovertemplate": "least of its window: %{y:,.4~r} MB<extra></extra>"}
    figure.add_scatter(
        x=fit.at_s, y=fit.level / _MB, mode="markers", marker=marks, name="window minima", **hover, **where
    )


def allocations(found: Allocations) -> go.Figure:
    """A flame graph of what a process allocated and held: a bar's width is its bytes, the callee below its caller.

    >>> import perflib
    >>> run = perflib.run("sustained")  # doctest: +SKIP
    >>> perflib.charts.allocations(perflib.leak_sites(run))  # doctest: +SKIP
    """
    title = "Held allocations"
    if found.why_not or not found.sites:
        return empty_figure(title, f"Not measured: {found.why_not}." if found.why_not else "Nothing was held.")
    held = _held_by_path(found)
    kept = {path: size for path, size in held.items() if size >= _LEAST_SHARE * held[()]}
    figure = figure_of(title, alt="Flame graph of held allocations by place in the source")
    figure.add_icicle(
        ids=["\n".join(("all", *path)) for path in kept],
        labels=[label_of(path[-1].split(" (")[0]) if path else "all" for path in kept],
        text=[label_of(path[-1]) if path else "all" for path in kept],
        textinfo="text",
        parents=["\n".join(("all", *path[:-1])) if path else "" for path in kept],
        values=[size / 1e3 for size in kept.values()],
        branchvalues="total",
        tiling={"orientation": "v"},
        root={"color": GRID},
        leaf={"opacity": 1},
        textfont={"size": _BAR_TEXT_PX},
        pathbar={"visible": False},
        hovertemplate="%{text}<br>%{value:,.0f} kB held<extra></extra>",
    )
    height = 80 + _BAR_PX * (1 + max(map(len, kept)))
    figure.update_layout(height=height, margin={"l": 0, "r": 0, "t": 56, "b": 24})
    figure.update_layout(uniformtext={"minsize": _BAR_TEXT_PX, "mode": "hide"})
    return figure


def _held_by_path(found: Allocations) -> dict[tuple[str, ...], int]:
    """The bytes held beneath each path of callers, outermost first."""
    held: dict[tuple[str, ...], int] = {}
    for site in found.sites:
        path = tuple(f"{frame.function} ({frame.file}:{frame.line})" for frame in reversed(site.stack))
        for depth in range(len(path) + 1):
            held[path[:depth]] = held.get(path[:depth], 0) + site.held_bytes
    return held
