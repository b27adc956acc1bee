"""Charts that fit one kind of load: ramps, open workloads, long runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.subplots import make_subplots

from perflib.figures.spike import degradation, recovery, users_at
from perflib.spec import Open, Ramp
from perflib.workbook.charts.binning import (
    MARKS,
    POINTS,
    USED,
    first_fitting,
    measured_rows,
    percentile_curve,
    thin,
    time_edges,
    warmups_s,
)
from perflib.workbook.charts.look import COLOURS, HEAT, INK, QUIET, empty_figure, faint, figure_of, log_ms_axis, shade

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from perflib.figures.spike import LoadBand, Recovery
    from perflib.spec import Run
    from perflib.spec.stages import Stages

    Floats = NDArray[np.float64]

_HEAT_COLUMNS, _HEAT_ROWS = 100, 40
_HEAT = tuple(zip((0.0, 0.35, 0.7, 1.0), HEAT, strict=True))
_P95 = COLOURS[0]
_CROSS = {"color": COLOURS[1], "symbol": "x", "size": 8}


def latency_by_active_users(run: Run) -> go.Figure:
    """p50 and p95 of warm successes by number of active users, until the load went back; endpoints pooled.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.latency_by_active_users(run).layout.annotations[0].text
    'The load of this run has no ramp.'
    """
    title = "Response time by active users"
    bands = [band for band in degradation(run) if band.requests]
    if not any(band.p50_ms is not None for band in bands):
        why = "No request was answered as expected before the load went back."
        return empty_figure(title, why if _is_ramp(run) else "The load of this run has no ramp.", run)
    figure = figure_of(title, run, alt="p50 and p95 response times in milliseconds by number of active users")
    x = [_users(band) for band in bands]
    for name, style in (("p50", {"width": 1.6, "dash": "dot"}), ("p95", {"width": 2.4})):
        figure.add_scatter(
            x=x,
            y=[band.p50_ms if name == "p50" else band.p95_ms for band in bands],
            name=name,
            mode="lines+markers",
            marker={"size": 7},
            line={"color": _P95} | style,
            customdata=[[band.requests, band.errors] for band in bands],
            hovertemplate=f"{name} at %{{x}} users: %{{y:.3~r}} ms<br>%{{customdata[0]:,}} requests, "
            "%{customdata[1]:,} failed<extra></extra>",
        )
    for place, band in enumerate(bands):
        if band.p95_ms is None:
            _note(figure, place, "p95 insufficient")
    shown = [ms for band in bands for ms in (band.p50_ms, band.p95_ms) if ms is not None]
    figure.update_xaxes(title="Active users, as the ramp asks for", type="category", range=[-0.4, len(x) - 0.6])
    figure.update_yaxes(title="Response time, ms (log)", **log_ms_axis(shown))
    return figure


def recovery_timeline(run: Run) -> go.Figure:
    """p95 by window over a ramp, the band it had before the spike, the moment of recovery; active users below.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.recovery_timeline(run).layout.annotations[0].text
    'The load of this run has no ramp.'
    """
    title = "p95 around the spike"
    found = recovery(run)
    if not any(window.p95_ms is not None for window in found.windows):
        why = "No window holds enough successes for a p95."
        return empty_figure(title, why if _is_ramp(run) else "The load of this run has no ramp.", run)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07, row_heights=[0.7, 0.3])
    figure_of(title, run, figure=figure, alt="p95 response time in milliseconds by window, and active users, over time")
    figure.add_scatter(**_window_line(found), row=1, col=1)
    ramp, end_s = run.facts.scenario.workload, run.facts.parts[0].duration_s
    assert isinstance(ramp, Ramp)
    moments = np.unique([*np.linspace(0, end_s, POINTS // 2), *_corners_s(ramp, end_s)])
    figure.add_scatter(
        x=moments,
        y=users_at(ramp, moments),
        name="active users",
        mode="lines",
        line={"color": QUIET, "width": 2},
        hovertemplate="%{y:.3~g} users at %{x:.4~g} s<extra></extra>",
        row=2,
        col=1,
    )
    shown = [window.p95_ms for window in found.windows if window.p95_ms is not None]
    if found.band_ms is not None:
        shown += [ms for ms in found.band_ms if ms is not None]
        _mark_band(figure, found, end_s)
    figure.update_layout(height=560, hovermode="x")
    figure.update_xaxes(range=[0, end_s])
    figure.update_xaxes(title="Intended start, seconds since the end of warm-up", row=2, col=1)
    figure.update_yaxes(title="p95, ms (log)", **log_ms_axis(shown), row=1, col=1)
    figure.update_yaxes(title="Active users", rangemode="tozero", nticks=4, row=2, col=1)
    return figure


def rates(run: Run) -> go.Figure:
    """Requests a second: due, sent, completed; dropped arrivals marked. Warm-up shaded.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.rates(run).data[1].name
    'sent'
    """
    title = "Intended and actual rate"
    rows = run.requests[USED]
    wire = rows[rows["kind"] == "request"]
    if wire.empty:
        return empty_figure(title, "No request was recorded.", run)
    figure = figure_of(title, run, alt="Requests a second over time: due, sent and completed")
    edges = time_edges(wire[["intended_ns", "start_ns", "end_ns"]].to_numpy().max(axis=0) / 1e9)
    for name, (at_s, style) in _rate_series(wire).items():
        per_s = np.histogram(at_s, edges)[0] / np.diff(edges)
        shown = per_s > 0 if name == "dropped" else np.full(len(per_s), True)
        if shown.any():
            hover = {"hovertemplate": f"{name}: %{{y:,.4~r}}/s<extra></extra>"}
            x = ((edges[:-1] + edges[1:]) / 2)[shown]
            figure.add_scatter(x=x, y=per_s[shown], name=name, **style, **hover)
    shade(figure, warmups_s(run, rows))
    _draw_offered(figure, run)
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title="Seconds since the start of the run", range=[0, edges[-1]])
    window = "" if first_fitting(edges[-1]) == 1 else f", {first_fitting(edges[-1])}-s windows"
    figure.update_yaxes(title=f"Requests a second{window}", rangemode="tozero")
    return figure


def _rate_series(wire: pd.DataFrame) -> dict[str, tuple[Floats, dict[str, Any]]]:
    """The moments in seconds at which something became of the requests, and how their rate is drawn."""
    due, sent, ended = (wire[["intended_ns", "start_ns", "end_ns"]].to_numpy() / 1e9).T
    dropped = (wire["error"] == "dropped").to_numpy()
    return {
        "due (intended start)": (due, {"mode": "lines", "line": {"color": INK, "width": 3.4, "dash": "dot"}}),
        "sent": (sent[sent >= 0], {"mode": "lines", "line": {"color": COLOURS[0], "width": 2.2}}),
        "completed": (ended[wire["error"].isna()], {"mode": "lines", "line": {"color": COLOURS[2], "width": 1.6}}),
        "dropped": (due[dropped], {"mode": "markers", "marker": _CROSS}),
    }


def _draw_offered(figure: go.Figure, run: Run) -> None:
    """The rate that an open workload asks for, by stage where it has some."""
    workload, line = run.facts.scenario.workload, {"color": QUIET, "width": 1, "dash": "dash"}
    if isinstance(workload, Open) and workload.stages:
        begin_s = run.facts.parts[0].measured_from_ns / 1e9 if run.facts.parts else 0.0
        levels = [level for stage in workload.stages for level in (stage.start, stage.end)]
        hover = {"hovertemplate": "offered: %{y:,.4~r}/s<extra></extra>"}
        figure.add_scatter(x=begin_s + _stage_corners_s(workload.stages), y=levels, name="offered", line=line, **hover)
    elif isinstance(workload, Open):
        label = {"annotation_text": f"offered: {workload.rate_per_s:g}/s", "annotation_position": "top right"}
        figure.add_hline(y=workload.rate_per_s, line=line, **label)


def response_and_service(run: Run) -> go.Figure:
    """Percentile curves of response time, which is judged, and of service time; warm successes, endpoints pooled.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.response_and_service(run).data[1].name
    'service time, from the actual start'
    """
    title = "Response time and service time"
    rows = _pooled(measured_rows(run))
    good = rows[rows["error"].isna()]
    if good.empty:
        return empty_figure(title, "No request was answered as expected after warm-up.", run)
    figure = figure_of(title, run, alt="Percentile curves of response time and service time in milliseconds, pooled")
    styles: dict[str, tuple[str, dict[str, Any]]] = {
        "response time, from the intended start (judged)": ("response_ms", {"color": COLOURS[0], "width": 2.6}),
        "service time, from the actual start": ("service_ms", {"color": COLOURS[1], "width": 2.0, "dash": "dash"}),
    }
    shown, reach = [math.nan], 2.1
    for name, (column, line) in styles.items():
        q, ms = percentile_curve(np.sort(good[column].to_numpy(dtype=np.float64)))
        shown += [*ms[:1], *ms[-1:]]
        reach = max([reach, *np.log10(1.05 / (1 - q[-1:]))])
        figure.add_scatter(
            x=1 / (1 - q),
            y=ms,
            name=name if len(q) else f"{name} (insufficient)",
            mode="lines",
            line=line,
            customdata=100 * q,
            hovertemplate="%{fullData.name}<br>%{customdata:.5~g} % within %{y:.3~r} ms<extra></extra>",
        )
    figure.update_xaxes(title="Percentile of successes (log)", type="log", range=[0, reach])
    figure.update_xaxes(tickvals=[1 / (1 - q) for q in MARKS], ticktext=list(MARKS.values()))
    figure.update_yaxes(title="Time, ms (log)", **log_ms_axis(shown))
    return figure


def heatmap(run: Run) -> go.Figure:
    """Counts of warm successes by window of intended start and response time (log bins); endpoints pooled.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.heatmap(run).layout.yaxis.title.text
    'Response time, ms (log); 1-s windows'
    """
    title = "Response times as a heat map"
    rows = run.requests[USED]
    good = _pooled(rows[~rows["cold"]])
    good = good[good["error"].isna() & (good["end_ns"] >= 0)]
    if good.empty:
        return empty_figure(title, "No request was answered as expected.", run)
    figure = figure_of(title, run, alt="Heat map of counts of response times in milliseconds over time, pooled")
    at_s = good["intended_ns"].to_numpy() / 1e9
    log_ms = np.log10(np.maximum((good["end_ns"] - good["intended_ns"]).to_numpy() / 1e6, 1e-3))
    x_step = max(1, math.ceil(at_s.max() / _HEAT_COLUMNS))
    y_step = next(step for step in (0.05, 0.1, 0.2, 0.4) if np.ptp(log_ms) / step < _HEAT_ROWS - 1 or step == 0.4)
    column, row = (at_s // x_step).astype(np.int64), np.floor(log_ms / y_step).astype(np.int64)
    lowest, shape = row.min(), (np.ptp(row) + 1, column.max() + 1)
    counts = np.bincount((row - lowest) * shape[1] + column, minlength=math.prod(shape)).reshape(shape)
    levels = [10**power for power in range(math.ceil(math.log10(counts.max())) + 1)]
    seen = counts > 0
    figure.add_heatmap(
        x=(np.arange(shape[1]) + 0.5) * x_step,
        y=10 ** ((np.arange(shape[0]) + lowest + 0.5) * y_step),
        z=np.log10(counts, where=seen, out=np.full(shape, np.nan)).astype(np.float32),
        customdata=counts.astype(np.uint32),
        colorscale=_HEAT,
        colorbar={
            "title": {"text": "Requests (log)", "font": {"size": 12.5, "color": QUIET}},
            "tickvals": np.log10(levels),
            "ticktext": [f"{n:,}" for n in levels],
        },
        hoverongaps=False,
        hovertemplate="%{customdata:,} requests around %{y:.3~r} ms, %{x:.4~g} s<extra></extra>",
    )
    shade(figure, warmups_s(run, rows))
    figure.update_xaxes(title="Intended start, seconds since the start of the run", range=[0, shape[1] * x_step])
    figure.update_layout(margin={"b": 56})
    edges_ms = 10.0 ** (np.array([lowest, lowest + shape[0]]) * y_step)
    figure.update_yaxes(title=f"Response time, ms (log); {x_step}-s windows", **log_ms_axis(edges_ms))
    return figure


def _is_ramp(run: Run) -> bool:
    return isinstance(run.facts.scenario.workload, Ramp)


def _pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """The warm requests outside pages; the loads of pages where a run drives only these."""
    own = rows[rows["page"].isna() & ~rows["cold"]]
    requests = own[own["kind"] == "request"]
    return own if requests.empty else requests


def _users(band: LoadBand) -> str:
    alone = band.users_from == band.users_to
    return f"{band.users_from}" if alone else f"{band.users_from}–{band.users_to}"


def _note(figure: go.Figure, place: int, text: str) -> None:
    look = {"showarrow": False, "textangle": -90, "font": {"size": 11.5, "color": QUIET}}
    figure.add_annotation(x=place, y=0.5, yref="paper", text=text, **look)


def _corners_s(ramp: Ramp, end_s: float) -> list[float]:
    """Just before and at the end of each stage, where the level may jump."""
    ends_s = np.cumsum([stage.duration_s for stage in ramp.stages])
    return [moment for end in ends_s for moment in (end - 1e-6, float(end)) if moment <= end_s]


def _window_line(found: Recovery) -> dict[str, Any]:
    kept = [found.windows[place] for place in thin(len(found.windows))]
    return {
        "x": [(window.start_s + window.end_s) / 2 for window in kept],
        "y": [window.p95_ms for window in kept],
        "name": f"p95 by {kept[0].end_s - kept[0].start_s:g}-s window",
        "mode": "lines+markers" if len(kept) <= POINTS / 4 else "lines",
        "marker": {"size": 4.5},
        "line": {"color": _P95, "width": 2},
        "customdata": [window.requests for window in kept],
        "hovertemplate": "p95 of %{customdata:,} at %{x:.4~g} s: %{y:.3~r} ms<extra></extra>",
    }


def _mark_band(figure: go.Figure, found: Recovery, end_s: float) -> None:
    assert found.band_ms is not None
    low, high = found.band_ms
    figure.add_scatter(
        x=[0, end_s, end_s, 0],
        y=[low, low, high, high],
        name="band before the spike",
        mode="lines",
        fill="toself",
        fillcolor=faint(COLOURS[2]),
        line={"width": 0},
        hoverinfo="skip",
        meta="band",
        row=1,
        col=1,
    )
    if found.after_s is not None and found.back_s is not None:
        at_s = found.back_s + found.after_s
        text = f"recovered after {found.after_s:.3g} s" if found.after_s else "recovered at once"
        figure.add_vline(
            x=at_s,
            line={"color": COLOURS[2], "width": 1.6, "dash": "dash"},
            annotation={"text": text, "font": {"size": 11.5, "color": INK}},
            annotation_position="top right" if at_s < 0.8 * end_s else "top left",
            row=1,
            col=1,
        )


def _stage_corners_s(stages: Stages) -> Floats:
    """Begin and end of each stage, from the first one's begin; shape (2 x stages,)."""
    ends_s = np.cumsum([stage.duration_s for stage in stages])
    return np.column_stack([np.concatenate([[0.0], ends_s[:-1]]), ends_s]).ravel()
