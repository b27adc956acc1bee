"""Charts: runs in, plotly figures out. Pure; a figure stays small however many rows its run has.

Here are the charts that every run has; `special` holds those that fit one kind of load.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from perflib.figures.summary import item_rows
from perflib.spec import ERROR_KINDS
from perflib.workbook.charts.binning import (
    MARKS,
    POINTS,
    USED,
    first_fitting,
    log_edges,
    percentile_curve,
    thin,
    time_edges,
    timed_successes,
    warmup_end_s,
    warmups_s,
    window_s,
    windowed,
)
from perflib.workbook.charts.comparison import ratios, restarts, shift
from perflib.workbook.charts.dark_form import DARK_COLOURS, dark
from perflib.workbook.charts.history import history, overlay
from perflib.workbook.charts.look import (
    COLOURS,
    DASHES,
    INK,
    QUIET,
    TARGET_DASH,
    TEMPLATE,
    cold_marks,
    empty_figure,
    figure_of,
    items_of,
    label_of,
    legend_entries,
    line_of,
    log_ms_axis,
    panel_target,
    panels,
    shade,
    target_line,
    target_marks,
)
from perflib.workbook.charts.memory import allocations, memory, memory_and_load
from perflib.workbook.charts.special import (
    heatmap,
    latency_by_active_users,
    rates,
    recovery_timeline,
    response_and_service,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from perflib.spec import Run

__all__ = [
    "COLOURS",
    "DARK_COLOURS",
    "DASHES",
    "POINTS",
    "TEMPLATE",
    "allocations",
    "dark",
    "ecdf",
    "errors",
    "heatmap",
    "histogram",
    "history",
    "latency_by_active_users",
    "latency_over_time",
    "memory",
    "memory_and_load",
    "overlay",
    "percentiles",
    "rates",
    "ratios",
    "recovery_timeline",
    "response_and_service",
    "restarts",
    "shift",
    "throughput",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def percentiles(*runs: Run) -> go.Figure:
    """Percentile curves of warm successes on a log axis of 1/(1 - q), as HdrHistogram draws them.

    A curve ends where its sample no longer supports it (`required_count`). Several runs differ by their dash.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.percentiles(run).layout.yaxis.title.text
    'Response time, ms (log)'
    """
    if not runs:
        return empty_figure("Response time by percentile", "No run was given.")
    figure = figure_of("Response time by percentile", *runs, alt="Percentile curves of response times in milliseconds")
    shown, reach = [1.0], 2.1  # past 99 %
    for number, run in enumerate(runs):
        dash = {"dash": DASHES[number % len(DASHES)]} if len(runs) > 1 else {}
        for item in items_of(run):
            q, ms = percentile_curve(item_rows(run, item.name).warm_ms)
            shown += [*ms[:1], *ms[-1:]]
            reach = max([reach, *np.log10(1.05 / (1 - q[-1:]))])
            name = label_of(item.name) + (f" · {label_of(run.facts.run_id)}" if len(runs) > 1 else "")
            figure.add_scatter(
                x=1 / (1 - q),
                y=ms,
                name=name if len(q) else f"{name} (insufficient)",
                legendgroup=item.name,
                mode="lines",
                line=line_of(runs[0], item.name) | dash,
                customdata=100 * q,
                hovertemplate="%{fullData.name}<br>%{customdata:.5~g} % within %{y:.3~r} ms<extra></extra>",
            )
    for mark in target_marks(items_of(runs[0])):
        shown.append(mark.target_ms)
        label = {
            "text": [f"target {mark.target_ms:,g} ms " if mark.begin == 0 else "", ""],
            "textposition": "middle left",
        }
        x = 10 ** np.array([1 + mark.begin, 1 + mark.end])  # from 90 % to 99 %: across the judged 95 %
        figure.add_scatter(x=x, y=[mark.target_ms] * 2, **target_line(runs[0], mark), **label)
    ticks = [1 / (1 - q) for q in MARKS]
    figure.update_xaxes(title="Percentile of successes (log)", type="log", range=[0, reach])
    figure.update_xaxes(tickvals=ticks, ticktext=list(MARKS.values()))
    figure.update_yaxes(title="Response time, ms (log)", **log_ms_axis(shown[1:]))
    return figure


def ecdf(run: Run) -> go.Figure:
    """The share of warm requests answered within a time; with failures it stays below 100 %.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.ecdf(run).layout.xaxis.title.text
    'Response time, ms (log)'
    """
    title = "Requests answered within a time"
    figure = figure_of(title, run, alt="Cumulative distribution of response times in milliseconds")
    shown = [math.nan]
    for item in items_of(run):
        judged = item_rows(run, item.name).judged_ms
        answered = judged[np.isfinite(judged)]
        ranks = thin(len(answered))
        shown += [*answered[:1], *answered[-1:]]
        figure.add_scatter(
            x=answered[ranks],
            y=100 * (ranks + 1) / max(len(judged), 1),
            name=label_of(item.name) if len(ranks) else f"{label_of(item.name)} (no success)",
            legendgroup=item.name,
            mode="lines",
            line=line_of(run, item.name) | {"shape": "hv"},
            hovertemplate="%{fullData.name}<br>%{y:.4~g} % within %{x:.3~r} ms<extra></extra>",
        )
    for mark in target_marks(items_of(run)):
        shown.append(mark.target_ms)
        share = 90 + 10 * np.array([mark.begin, mark.end])
        figure.add_scatter(x=[mark.target_ms] * 2, y=share, **target_line(run, mark))
    if any(item.target_ms is not None for item in items_of(run)):
        line = {"color": INK, "width": 2.2, "dash": TARGET_DASH}
        figure.add_scatter(x=[None], y=[None], name="target for p95", mode="lines", line=line)
    figure.add_hline(y=95, line={"color": QUIET, "width": 1, "dash": "dot"})
    figure.update_xaxes(title="Response time, ms (log)", **log_ms_axis(shown))
    figure.update_yaxes(title="Requests answered, %", range=[0, 101.5], tickvals=[0, 25, 50, 75, 95, 100])
    return figure


def histogram(run: Run) -> go.Figure:
    """Counts of response times of warm successes; a panel an endpoint, bins even on a log axis.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.histogram(run).layout.annotations[0].text
    'GET /health · 127 successes'
    """
    items = items_of(run)
    values = {item.name: item_rows(run, item.name).warm_ms for item in items}
    title = "Distribution of response times"
    if not any(len(ms) for ms in values.values()):
        return empty_figure(title, "No request was answered as expected after warm-up.", run)
    headings = [f"{item.name} · {len(values[item.name]):,} successes" for item in items]
    alt = "Histograms of response times in milliseconds"
    figure = panels(title, headings, run, y_title="Requests", alt=alt)
    edges = log_edges(np.concatenate(list(values.values())))
    for row, item in enumerate(items, start=1):
        counts = np.histogram(np.clip(values[item.name], edges[0], edges[-1]), edges)[0]
        figure.add_bar(
            x=np.sqrt(edges[:-1] * edges[1:]),
            y=counts,
            width=np.diff(edges),
            marker={"color": line_of(run, item.name)["color"], "line": {"width": 0}},
            customdata=np.column_stack([edges[:-1], edges[1:]]),
            hovertemplate="%{y:,} in %{customdata[0]:.3~r} to %{customdata[1]:.3~r} ms<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        if item.target_ms is not None:
            peak = max(1, int(counts.max()))
            figure.add_scatter(x=[item.target_ms] * 2, y=[0, peak], **panel_target(item.target_ms), row=row, col=1)
    legend_entries(figure, target=any(item.target_ms is not None for item in items))
    shown = [edges[0], edges[-1], *(item.target_ms for item in items if item.target_ms is not None)]
    figure.update_xaxes(**log_ms_axis(shown))
    figure.update_xaxes(title="Response time, ms (log)", row=len(items), col=1)
    figure.update_yaxes(nticks=4, rangemode="tozero")
    return figure


def latency_over_time(run: Run) -> go.Figure:
    """p50 and p95 of warm successes by window of intended start, and single cold answers; warm-up shaded.

    A window is a second; longer where a second holds too few requests for a p95, or the run too many seconds.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.latency_over_time(run).layout.yaxis.title.text
    'ms (log)'
    """
    items = items_of(run)
    title = "Response time over time"
    own = {item.name: timed_successes(run, item.name) for item in items}
    if not any(len(times) for times in own.values()):
        return empty_figure(title, "No request was answered as expected.", run)
    windows = {name: window_s(times["at_s"].to_numpy()) for name, times in own.items()}
    headings = [f"{item.name} · {windows[item.name]}-s windows" for item in items]
    alt = "p50 and p95 response times in milliseconds over time"
    figure = panels(title, headings, run, y_title="ms (log)", alt=alt)
    end_s = 1.01 * max(times["at_s"].max() for times in own.values() if len(times))
    for row, item in enumerate(items, start=1):
        times, colour = own[item.name], line_of(run, item.name)["color"]
        _draw_windows(figure, windowed(times[~times["cold"]], windows[item.name]), colour, row)
        cold = times[times["cold"]].nlargest(POINTS, "ms")
        figure.add_scatter(x=cold["at_s"], y=cold["ms"], **cold_marks(colour), row=row, col=1)
        if item.target_ms is not None:
            figure.add_scatter(x=[0, end_s], y=[item.target_ms] * 2, **panel_target(item.target_ms), row=row, col=1)
        shade(figure, [(0.0, warmup_end_s(run, run.requests, item.name))], row=row, col=1)
    figure.update_yaxes(**log_ms_axis([ms for trace in figure.data for ms in trace.y], few=True))
    any_cold = any(bool(times["cold"].any()) for times in own.values())
    legend_entries(figure, "p50", "p95", target=any(i.target_ms is not None for i in items), cold=any_cold)
    since = "the endpoint's own start" if len(run.facts.parts) > 1 else "the start of the run"
    figure.update_xaxes(range=[0, end_s])
    figure.update_xaxes(title=f"Intended start, seconds since {since}", row=len(items), col=1)
    return figure


def _draw_windows(figure: go.Figure, by_window: pd.DataFrame, colour: str, row: int) -> None:
    for column, style in (("p50_ms", {"width": 1.3, "dash": "dot"}), ("p95_ms", {"width": 2.0})):
        figure.add_scatter(
            x=by_window["at_s"],
            y=by_window[column],
            mode="lines+markers" if len(by_window) <= POINTS / 4 else "lines",
            marker={"size": 4},
            line={"color": colour} | style,
            customdata=by_window["successes"],
            hovertemplate=f"{column[:3]} of %{{customdata:,}} at %{{x:.4~g}} s: %{{y:.3~r}} ms<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )


def throughput(run: Run) -> go.Figure:
    """Completed requests a second on the wire, pages' parts included, stacked by endpoint; warm-up shaded.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.throughput(run).layout.yaxis.title.text
    'Completed requests a second'
    """
    title = "Throughput over time"
    rows = run.requests[USED]
    done = rows[(rows["kind"] == "request") & rows["error"].isna() & (rows["end_ns"] >= 0)]
    if done.empty:
        return empty_figure(title, "No request was answered as expected.", run)
    figure = figure_of(title, run, alt="Completed requests a second over time, stacked by endpoint")
    edges = time_edges(done["end_ns"].to_numpy() / 1e9)
    for endpoint in run.facts.target.endpoints:
        of_it = done["end_ns"].to_numpy()[(done["endpoint"] == endpoint.name).to_numpy()] / 1e9
        if not len(of_it):
            continue
        counts = np.histogram(of_it, edges)[0]
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts / np.diff(edges),
            name=label_of(endpoint.name),
            stackgroup="completed",
            mode="lines",
            line=line_of(run, endpoint.name) | {"width": 1},
            customdata=counts,
            hovertemplate="%{fullData.name}: %{y:,.4~r}/s<extra></extra>",
        )
    mean = float((~done["warmup"]).sum()) / run.facts.duration_s if run.facts.duration_s else 0.0
    figure.add_scatter(
        x=[min(part.measured_from_ns for part in run.facts.parts) / 1e9, edges[-1]] if run.facts.parts else [],
        y=[mean, mean] if run.facts.parts else [],
        name="mean after warm-up",
        mode="lines",
        line={"color": INK, "width": 1.4, "dash": "dash"},
        hovertemplate="mean after warm-up: %{y:,.4~r}/s<extra></extra>",
    )
    shade(figure, warmups_s(run, rows))
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title="Answered, seconds since the start of the run", range=[0, edges[-1]])
    figure.update_yaxes(title="Completed requests a second", rangemode="tozero")
    return figure


def errors(run: Run) -> go.Figure:
    """Failed requests on the wire by window of intended start and kind; warm-up shaded.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.errors(run).layout.annotations[0].text
    'None of 512 requests failed, warm-up included.'
    """
    title = "Failed requests over time"
    rows = run.requests[USED]
    wire = rows[rows["kind"] == "request"]
    failed = wire[wire["error"].notna()]
    if failed.empty:
        why = f"None of {len(wire):,} requests failed, warm-up included." if len(wire) else "No request was recorded."
        return empty_figure(title, why, run)
    figure = figure_of(title, run, alt="Failed requests over time by kind of failure")
    edges = time_edges(wire["intended_ns"].to_numpy() / 1e9)
    for number, kind in enumerate(ERROR_KINDS):
        at_s = failed["intended_ns"].to_numpy()[(failed["error"] == kind).to_numpy()] / 1e9
        if not len(at_s):
            continue
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=np.histogram(at_s, edges)[0],
            width=np.diff(edges),
            name=kind.replace("_", " "),
            marker={
                "color": COLOURS[number % len(COLOURS)],
                "pattern": {"shape": ("", "/", "x", ".")[number % 4], "fillmode": "overlay", "solidity": 0.15},
            },
            hovertemplate="%{fullData.name}: %{y:,}<extra></extra>",
        )
    shade(figure, warmups_s(run, rows))
    figure.update_layout(barmode="stack", hovermode="x unified", showlegend=True)
    figure.update_xaxes(title="Intended start, seconds since the start of the run", range=[0, edges[-1]])
    figure.update_yaxes(title=f"Failures a {first_fitting(edges[-1])}-s window", rangemode="tozero", tickformat="d")
    return figure
