"""Curves over quantiles: how slow the slow ones are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from perflib.figures.summary import item_rows, pooled
from perflib.spec import Run
from perflib.stats.percentile import required_count
from perflib.workbook.charts import parts
from perflib.workbook.charts.look import COLOURS, DASHES
from perflib.workbook.charts.parts import Words, label_of
from perflib.workbook.charts.windows import POINTS, Floats

_MARKS = {0.5: "50 %", 0.9: "90 %", 0.95: "95 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}

_LEAST_MS = 0.001
"""Less than a microsecond is drawn as one."""


def percentiles(*runs: Run) -> go.Figure:
    """Percentile curves of warm successes on a log axis of 1/(1 - q), as HdrHistogram draws them.

    A curve ends where its sample no longer supports it (`required_count`). Several runs differ by their dash.

    >>> import perflib
    >>> perflib.charts.percentiles(perflib.load_run("sample-28-release-1.4")).layout.yaxis.title.text
    'Response time, ms (log)'
    """
    words = Words(
        "Response time by percentile",
        "Percentile curves of response times in milliseconds",
        "Each step to the right takes in rarer requests. Where a curve bends upwards, a few requests wait for "
        "something that the others do not meet. A curve belongs below its dashed limit at 95 %, and ends where the "
        "sample supports no further percentile.",
    )
    if not runs:
        return parts.empty_figure(words.title, "No run was given.")
    curves = []
    for number, run in enumerate(runs):
        dash = {"dash": DASHES[number % len(DASHES)]} if len(runs) > 1 else {}
        which = f" · {label_of(run.facts.run_id)}" if len(runs) > 1 else ""
        for item in parts.items_of(run):
            line = parts.line_of(runs[0], item.name) | dash
            ms = item_rows(run, item.name).warm_ms
            curves.append(_curve(ms, label_of(item.name) + which, line, item.name))
    limits = parts.limit_traces(runs[0], 10, 100, spaced=np.geomspace)  # 90 to 99 %: across the judged 95 %
    for trace in {trace.y[0]: trace for trace in reversed(limits)}.values():
        text = [f"limit {trace.y[0]:,g} ms ", ""]
        trace.update(mode="lines+text", text=text, textposition="middle left", cliponaxis=False)
    return _over_quantiles(parts.figure_of(words, *runs), curves, limits)


def response_and_service(run: Run) -> go.Figure:
    """Percentile curves of response time, which is judged, and of service time; warm successes, endpoints pooled.

    >>> import perflib
    >>> perflib.charts.response_and_service(perflib.load_run("sample-28-release-1.4")).data[1].name
    'service time, from the actual start'
    """
    words = Words(
        "Response time and service time",
        "Percentile curves of response time and service time in milliseconds, pooled",
        "The gap between the curves is the time that requests waited before they were sent. Where it opens, the target "
        "could not keep up with the rate.",
    )
    rows = pooled(run)
    good = rows[rows["error"].isna() & ~rows["warmup"]]
    if good.empty:
        return parts.empty_figure(words.title, "No request succeeded after warm-up.", run)
    response, service = (np.sort(good[f"{kind}_ms"].to_numpy(dtype=np.float64)) for kind in ("response", "service"))
    solid, dashed = {"color": COLOURS[0], "width": 2.6}, {"color": COLOURS[1], "width": 2.0, "dash": "dash"}
    curves = [
        _curve(response, "response time, from the intended start (judged)", solid),
        _curve(service, "service time, from the actual start", dashed),
    ]
    return _over_quantiles(parts.figure_of(words, run), curves).update_yaxes(title="Time, ms (log)")


def lateness(run: Run) -> go.Figure:
    """Percentile curves of response time and of what the load generator itself did late; successes, endpoints pooled.

    None of it is in a response time but what was sent late: the kernel tells when an answer arrived.

    >>> import perflib
    >>> perflib.charts.lateness(perflib.load_run("sample-28-release-1.4")).layout.title.text
    'The load generator itself'
    """
    words = Words(
        "The load generator itself",
        "Percentile curves of response time and of the load generator's own lateness in milliseconds, pooled",
        "How late answers were read is in no response time. Where that curve comes near the response times, users sent "
        "their next requests late; where sends took long, they were interrupted: the machine was busy.",
    )
    rows = run.requests
    if "read_late_ns" not in rows or not (rows["read_late_ns"] >= 0).any():
        return parts.empty_figure(
            words.title, "The kernel did not report when answers arrived: how late is unknown.", run
        )
    good = rows[rows["error"].isna() & ~rows["warmup"] & (rows["kind"] == "request") & (rows["read_late_ns"] >= 0)]
    response_ns = good["end_ns"] - good["intended_ns"]
    drawn = {"response time": response_ns, "answer read late": good["read_late_ns"], "sending": good["send_ns"]}
    curves = [
        _curve(np.sort(ns.to_numpy() / 1e6).clip(_LEAST_MS), name, {"color": colour, "width": 2.0})
        for (name, ns), colour in zip(drawn.items(), (COLOURS[0], COLOURS[1], COLOURS[2]), strict=True)
    ]
    return _over_quantiles(parts.figure_of(words, run), curves).update_yaxes(title="Time, ms (log)")


def _curve(values: Floats, name: str, line: dict[str, Any], group: str | None = None) -> go.Scatter:
    """The percentiles of ascending values by the rule of `stats.percentile`, up to the last they support."""
    q = np.empty(0)
    if len(values) >= required_count(0.5):
        last = 0.05 ** (1 / len(values))  # required_count(last) is just as many
        q = np.unique([*(1 - np.geomspace(1, 1 - last, POINTS // 2)), *(mark for mark in _MARKS if mark <= last)])
    ranks = np.ceil(q * len(values) - 1e-9).astype(np.int64).clip(1) - 1
    hover, label = "%{fullData.name}<br>%{customdata:.5~g} % within %{y:.3~r} ms", "" if len(q) else " (too few)"
    return parts.scatter(1 / (1 - q), values[ranks], hover, name=name + label, group=group, line=line, data=100 * q)


def _over_quantiles(figure: go.Figure, curves: Sequence[go.Scatter], marks: Sequence[go.Scatter] = ()) -> go.Figure:
    figure.add_traces([*curves, *marks])
    reach = max([2.1, *(np.log10(1.05 * curve.x[-1]) for curve in curves if len(curve.x))])  # past 99 %
    ticks = {"tickvals": [1 / (1 - q) for q in _MARKS], "ticktext": list(_MARKS.values())}
    figure.update_xaxes(title="Percentile of successes (log)", type="log", range=[0, reach], **ticks)
    axis = parts.log_ms_axis(ms for trace in figure.data for ms in trace.y)
    return figure.update_yaxes(title="Response time, ms (log)", **axis)
