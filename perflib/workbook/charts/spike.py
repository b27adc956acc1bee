"""A ramp: response time by the number of active users, and when it came back to normal."""

import plotly.graph_objects as go

from perflib.figures.spike import LoadBand, Recovery, degradation, recovery
from perflib.spec import Ramp, Run
from perflib.workbook.charts import parts
from perflib.workbook.charts.look import COLOURS
from perflib.workbook.charts.over_time import users_line
from perflib.workbook.charts.parts import Panel, Words, scatter
from perflib.workbook.charts.windows import POINTS, thin

_P95, _BACK = COLOURS[0], COLOURS[2]


def latency_by_active_users(run: Run) -> go.Figure:
    """p50 and p95 of warm successes by number of active users, until the load went back; endpoints pooled.

    >>> import perflib
    >>> perflib.charts.latency_by_active_users(perflib.load_run("sample-28-release-1.4")).layout.annotations[0].text
    'The load of this run has no ramp.'
    """
    words = Words(
        "Response time by active users",
        "p50 and p95 response times in milliseconds by number of active users",
        "A level line is spare capacity; where p95 doubles as the users double, each waits for all others. The gap "
        "between p50 and p95 shows whether everybody waits or only some do.",
    )
    bands = [band for band in degradation(run) if band.requests]
    if not any(band.p50_ms is not None for band in bands):
        return _empty(words, run, "No request succeeded before the load went back.")
    figure = parts.figure_of(words, run)
    x, data = [_users(band) for band in bands], [[band.requests, band.errors] for band in bands]
    p50, p95 = [band.p50_ms for band in bands], [band.p95_ms for band in bands]
    counts = "<br>%{customdata[0]:,} requests, %{customdata[1]:,} failed"
    for name, ms, width, dash in (("p50", p50, 1.6, "dot"), ("p95", p95, 2.4, "solid")):
        hover, line = f"{name} at %{{x}} users: %{{y:.3~r}} ms{counts}", {"color": _P95, "width": width, "dash": dash}
        figure.add_trace(scatter(x, ms, hover, name=name, line=line, marker={"size": 7}, data=data))
    for place, value in enumerate(p95):
        if value is None:
            figure.add_annotation(x=place, y=0.5, yref="paper", text="p95: too few", textangle=-90)
    axis = {"type": "category", "range": [-0.4, len(x) - 0.6]}
    figure.update_xaxes(title="Active users, as the ramp asks for", **axis)
    return figure.update_yaxes(title="Response time, ms (log)", **parts.log_ms_axis([*p50, *p95]))


def recovery_timeline(run: Run) -> go.Figure:
    """p95 by window over a ramp, the band it had before the spike, the moment of recovery; active users below.

    >>> import perflib
    >>> perflib.charts.recovery_timeline(perflib.load_run("sample-28-release-1.4")).layout.annotations[0].text
    'The load of this run has no ramp.'
    """
    words = Words(
        "p95 around the spike",
        "p95 response time in milliseconds by window, and active users, over time",
        "Look at what p95 does once the users are gone: a fall within a window is a queue that drains at once, a slow "
        "slope is work that was put off, a level above the shaded band is something that broke.",
    )
    found, ramp = recovery(run), run.facts.scenario.workload
    if not isinstance(ramp, Ramp) or not any(window.p95_ms is not None for window in found.windows):
        return _empty(words, run, "No window holds enough successes for a p95.")
    end_s, traces = run.facts.parts[0].duration_s, [_windows(found)]
    if found.band_ms is not None:
        (low, high), line = found.band_ms, {"color": _BACK, "width": 0}
        name = "band before the spike"
        band = scatter([0, end_s, end_s, 0], [low, low, high, high], name=name, line=line, meta="band")
        traces.append(band.update(fill="toself", opacity=0.36))
    axis = parts.log_ms_axis(ms for trace in traces for ms in trace.y)
    users = Panel([users_line(ramp, 0.0, end_s)], "Active users", px=110)
    x_title = "Intended start, seconds since the end of warm-up"
    figure = parts.stacked(words, [Panel(traces, "p95, ms (log)", px=250, axis=axis), users], run, x_title=x_title)
    if found.after_s is not None and found.back_s is not None:
        at_s = found.back_s + found.after_s
        text = f"recovered after {found.after_s:.3g} s" if found.after_s else "recovered at once"
        label = {"annotation_text": text, "annotation_position": "top right" if at_s < 0.8 * end_s else "top left"}
        figure.add_vline(x=at_s, line={"color": _BACK, "width": 1.6, "dash": "dash"}, **label, row=1, col=1)
    return figure.update_layout(hovermode="x").update_xaxes(range=[0, end_s])


def _empty(words: Words, run: Run, why: str) -> go.Figure:
    is_ramp = isinstance(run.facts.scenario.workload, Ramp)
    return parts.empty_figure(words.title, why if is_ramp else "The load of this run has no ramp.", run)


def _users(band: LoadBand) -> str:
    alone = band.users_from == band.users_to
    return f"{band.users_from}" if alone else f"{band.users_from}–{band.users_to}"


def _windows(found: Recovery) -> go.Scatter:
    kept = [found.windows[place] for place in thin(len(found.windows))]
    x, y = [(window.start_s + window.end_s) / 2 for window in kept], [window.p95_ms for window in kept]
    line, marker = {"color": _P95, "width": 2}, {"size": 4.5} if len(kept) <= POINTS / 4 else None
    name, hover = f"p95 by {kept[0].end_s - kept[0].start_s:g}-s window", "%{y:.3~r} ms, p95 of %{customdata:,}"
    data = [window.requests for window in kept]
    return scatter(x, y, f"{hover} at %{{x:.4~g}} s", name=name, line=line, marker=marker, data=data)
