"""Series over time: when it was slow, and what went on at that moment."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from perflib.figures.level import level_change
from perflib.figures.spike import users_at
from perflib.figures.summary import item_rows
from perflib.spec import ERROR_KINDS, Open, Ramp, Run
from perflib.workbook.charts import parts
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Panel, Words, label_of, scatter
from perflib.workbook.charts.windows import POINTS, Floats, middles, time_edges, warmups_s, widened, width_s

_TIMES = ["intended_ns", "start_ns", "end_ns"]
_SINCE = "Seconds since the start of the run"
_GREY = {"color": LIGHT.quiet, "width": 2}


def over_time(run: Run) -> go.Figure:
    """When it was slow: p95 and p50 by endpoint, requests per second, users, failures, the target's CPU and memory.

    Percentiles are of warm successes by window of intended start. A window is a second (longer in a long run), and is
    widened until it holds enough successes for its percentile; warm-up, which is shaded, has windows of its own. Where
    an endpoint has too few successes for any p95, each of them is drawn. Requests and failures are those on the wire,
    parts of pages included. Shaded too is when requests waited that were never answered; a change of level is marked.
    Single cold answers, failures, CPU and memory have a panel if there are some.

    >>> import perflib
    >>> perflib.charts.over_time(perflib.load_run("sample-28-release-1.4")).layout.annotations[2].text
    'Completed requests per second · none failed'
    """
    words = Words(
        "Over time",
        "p95 and p50 response times in milliseconds, requests per second, users, failures, CPU and memory over time",
        "A bump of all endpoints at one moment is the machine or the whole server; a bump of one is its own. Look what "
        "the users, the requests per second, the failures and the target's CPU did at that moment. After the shaded "
        "warm-up the lines should be level. A click on a name in the legend hides it.",
    )
    wire = wire_of(run)
    if wire.empty:
        return parts.empty_figure(words.title, "No request was recorded.", run)
    edges = time_edges(float(wire[_TIMES].to_numpy().max()) / 1e9)
    panels = [
        Panel(_percentiles(run, 0.95, edges[-1]), "ms", "p95 of response times", 190),
        Panel(_percentiles(run, 0.50, edges[-1]), "ms", "p50 of response times", 120),
        _throughput(run, wire, edges),
        _load(run, wire, edges),
        Panel(list(_cold_answers(run)), "ms", "Single cold answers", 80),
        _failures(wire, edges),
        *_of_the_target(run, edges[-1]),
    ]
    figure = parts.stacked(words, [panel for panel in panels if panel.traces], run, x_title=_SINCE)
    parts.shade_warmups(figure, run)
    parts.shade_unanswered(figure, run, edges[-1])
    if changed := level_change(run):
        label = f"from here on {changed.ratio:.2f} × as long"
        figure.add_vline(x=changed.at_s, line_width=1.4, row="all", col=1)
        parts.label_top(figure, changed.at_s, label)
    figure.update_xaxes(range=[0, edges[-1]])
    return figure.update_layout(barmode="stack", updatemenus=[_linear_or_log(figure)], margin_t=106)


def wire_of(run: Run) -> pd.DataFrame:
    """The requests on the wire, warm-up and parts of pages included."""
    return run.requests.loc[
        run.requests["kind"] == "request", ["endpoint", *_TIMES, "error", "status", "warmup", "user"]
    ]


def completed_s(wire: pd.DataFrame) -> Floats:
    """When each completed request ended."""
    return np.asarray(wire.loc[wire["error"].isna() & (wire["end_ns"] >= 0), "end_ns"].to_numpy() / 1e9)


def per_second(
    at_s: Floats, edges: Floats, line: dict[str, Any], *, name: str = "", group: str | None = None
) -> go.Scatter:
    """How many of these moments there are per second."""
    counts = np.histogram(at_s, edges)[0].astype(np.uint32)
    hover = f"{name or 'requests'}: %{{y:,.4~r}}/s at %{{x:.4~g}} s"
    return scatter(middles(edges), counts / np.diff(edges), hover, name=name, group=group, line=line, data=counts)


def windows_line(
    windows: pd.DataFrame, figure: str, line: dict[str, Any], *, name: str = "", group: str | None = None
) -> go.Scatter:
    """A percentile by window, as a line through the middles."""
    when = "from %{customdata[1]:.4~g} to %{customdata[2]:.4~g} s"
    hover = f"{figure} of %{{customdata[0]:,}} {when}: %{{y:.3~r}} ms"
    data = windows[["count", "begin_s", "end_s"]].to_numpy(np.float32)
    x = (data[:, 1] + data[:, 2]) / 2
    marker = {"size": 4} if len(windows) <= POINTS / 4 else None
    return scatter(x, windows["ms"], hover, name=name, group=group, line=line, marker=marker, data=data)


def users_line(ramp: Ramp, from_s: float, end_s: float) -> go.Scatter:
    """The users that a ramp asks for which starts at `from_s`."""
    ends_s = from_s + np.cumsum([stage.duration_s for stage in ramp.stages])
    corners = [moment for end in ends_s for moment in (end - 1e-6, end) if moment <= end_s]  # a level may jump
    x = np.unique([*np.linspace(0, end_s, POINTS // 2), *corners])
    y = users_at(ramp, (x - from_s).clip(0))
    return scatter(x, y, "%{y:.3~g} users at %{x:.4~g} s", name="active users", line=_GREY)


def _percentiles(run: Run, q: float, end_s: float) -> list[go.Scatter]:
    traces, highest = [], 0.0
    for item in parts.items_of(run):
        rows, (begin_s, from_s) = item_rows(run, item.name), warmups_s(run).get(item.name, (0.0, 0.0))
        kept = rows.good & ~rows.cold & (rows.end_ns >= 0)
        at_s, ms = rows.intended_ns[kept] / 1e9, rows.response_ms[kept]
        spans = [(begin_s, at_s < from_s), (from_s, at_s >= from_s)]
        windows = pd.concat([widened(at_s[own], ms[own], q, begin_s=s, width_s=width_s(end_s)) for s, own in spans])
        name, line = label_of(item.name), parts.line_of(run, item.name)
        if len(windows):
            traces.append(windows_line(windows, f"p{100 * q:g}", line, name=name, group=item.name))
        elif len(ms):
            circle = {"color": line["color"], "symbol": "circle-open", "size": 6}
            hover = "%{y:.3~r} ms at %{x:.4~g} s, one of too few answers for a percentile"
            traces.append(scatter(at_s, ms, hover, name=name, group=item.name, marker=circle))
        highest = max([highest, *(traces[-1].y if len(ms) else ())])
    limits = parts.limit_traces(run, 0, end_s) if q == 0.95 else []
    return traces + [trace for trace in limits if trace.y[0] <= 1.3 * highest]


def _throughput(run: Run, wire: pd.DataFrame, edges: Floats) -> Panel:
    traces = []
    for endpoint in run.facts.target.endpoints:
        done_s = completed_s(wire[wire["endpoint"] == endpoint.name])
        line = parts.line_of(run, endpoint.name) | {"width": 1}
        if len(done_s):
            area = per_second(done_s, edges, line, name=label_of(endpoint.name), group=endpoint.name)
            traces.append(area.update(stackgroup="completed"))
    if traces and run.facts.duration_s:
        begin_s = min(part.measured_from_ns for part in run.facts.parts) / 1e9
        y = [len(completed_s(wire[~wire["warmup"]])) / run.facts.duration_s] * 2
        line, hover = {"color": LIGHT.ink, "width": 1.4, "dash": "dash"}, "mean after warm-up: %{y:,.4~r}/s"
        traces.append(scatter([begin_s, edges[-1]], y, hover, name="mean after warm-up", line=line))
    none_failed = " · none failed" if wire["error"].isna().all() else ""
    return Panel(traces, "per second", f"Completed requests per second{none_failed}", 110)


def _load(run: Run, wire: pd.DataFrame, edges: Floats) -> Panel:
    """The users that the workload asks for; where it asks for a rate, the connections it took."""
    workload = run.facts.scenario.workload
    if isinstance(workload, Open):
        sent = wire[wire["start_ns"] >= 0]
        window = np.searchsorted(edges, sent["start_ns"].to_numpy() / 1e9, side="right")
        used = sent["user"].groupby(window.clip(1, len(edges) - 1)).nunique()
        used = used.reindex(range(1, len(edges)), fill_value=0)
        hover = "%{y} connections used at %{x:.4~g} s"
        line = scatter(middles(edges), used, hover, name="connections used", line=_GREY)
        return Panel([line], "connections", "Connections used", 80)
    if isinstance(workload, Ramp):
        from_s = run.facts.parts[0].measured_from_ns / 1e9 if run.facts.parts else 0.0
        line = users_line(workload, from_s, edges[-1])
    else:
        line = scatter([0, edges[-1]], [workload.most_users] * 2, "%{y} users", name="active users", line=_GREY)
    return Panel([line], "users", "Active users", 64)


def _cold_answers(run: Run) -> Iterator[go.Scatter]:
    for item in parts.items_of(run):
        rows, colour = item_rows(run, item.name), parts.line_of(run, item.name)["color"]
        cold = np.flatnonzero(rows.good & rows.cold & (rows.end_ns >= 0))
        slowest = cold[np.argsort(rows.response_ms[cold])[-POINTS:]]
        look = {"symbol": "diamond-open", "size": 8, "color": colour, "line": {"width": 1.5}}
        if len(slowest):
            x, y = rows.intended_ns[slowest] / 1e9, rows.response_ms[slowest]
            hover, name = "cold answer: %{y:.3~r} ms at %{x:.4~g} s", label_of(item.name)
            marks = scatter(x, y, hover, name=name, group=item.name, marker=look, meta="cold")
            yield marks.update(cliponaxis=False)


def _failures(wire: pd.DataFrame, edges: Floats) -> Panel:
    """By kind of failure, or status, and window of intended start."""
    bars, total = [], np.zeros(len(edges) - 1)
    bad = wire[wire["error"].notna()]
    kinds = bad["error"].astype(str).where(bad["error"] != "status", "HTTP " + bad["status"].astype(str))
    known = [kind for kind in ERROR_KINDS if kind != "status"]
    for number, kind in enumerate([*sorted(set(kinds) - set(known)), *known]):
        counts = np.histogram(bad.loc[kinds == kind, "intended_ns"] / 1e9, edges)[0]
        pattern = {"shape": ("", "/", "x", ".")[number % 4], "fillmode": "overlay", "solidity": 0.15}
        look = {"color": COLOURS[number % len(COLOURS)], "pattern": pattern}
        bar = {"x": middles(edges), "y": counts, "width": np.diff(edges), "name": kind.replace("_", " ")}
        if counts.any():
            bars.append(go.Bar(**bar, marker=look, hovertemplate="%{fullData.name}: %{y:,}<extra></extra>"))
        total += counts
    ticks = {"dtick": 1} if total.max() < 4 else {"nticks": 4}
    unit = "per second" if width_s(edges[-1]) == 1 else f"per {width_s(edges[-1])} s"
    return Panel(bars, unit, "Failed requests", 90, {"rangemode": "tozero"} | ticks)


def _of_the_target(run: Run, end_s: float) -> Iterator[Panel]:
    """Its CPU and its memory, where they were sampled."""
    samples = run.memory
    if samples is None or samples.empty:
        return
    within = samples[samples["t_ns"] <= end_s * 1e9]
    at_s, cores = within["t_ns"] / 1e9, within.get("cpu_share", pd.Series(np.nan, within.index))
    if cores.notna().any():
        used = scatter(at_s, cores, "%{y:.3~r} cores at %{x:.4~g} s", line=_GREY)
        yield Panel([used], "cores", "CPU of the target", 64)
    held = scatter(at_s, within["rss_bytes"] / 1e6, "%{y:,.4~r} MB at %{x:.4~g} s", line=_GREY)
    yield Panel([held], "MB", "Memory of the target", 64)


def _linear_or_log(figure: go.Figure) -> dict[str, Any]:
    """Buttons for the scale of all axes in milliseconds."""
    axes = [axis.plotly_name for axis in figure.select_yaxes() if axis.title.text == "ms"]
    scales = {kind: {f"{axis}.type": kind for axis in axes} for kind in ("linear", "log")}
    buttons = [{"label": kind, "method": "relayout", "args": [scale]} for kind, scale in scales.items()]
    corner = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"r": 80}}
    return {"type": "buttons", "direction": "right", "buttons": buttons, "showactive": False} | corner


def rates(run: Run) -> go.Figure:
    """Requests per second: due, sent, completed; dropped arrivals marked. Warm-up shaded.

    >>> import perflib
    >>> perflib.charts.rates(perflib.load_run("sample-28-release-1.4")).data[1].name
    'sent'
    """
    words = Words(
        "Intended and actual rate",
        "Requests per second over time: due, sent and completed",
        "The three lines belong on top of each other. Where completed falls below sent, the target falls behind; "
        "crosses are arrivals dropped for want of a connection. Poisson arrivals scatter by nature.",
    )
    wire = wire_of(run)
    if wire.empty:
        return parts.empty_figure(words.title, "No request was recorded.", run)
    edges = time_edges(float(wire[_TIMES].to_numpy().max()) / 1e9)
    due, sent = (wire[column].to_numpy() / 1e9 for column in ("intended_ns", "start_ns"))
    traces = [
        per_second(due, edges, {"color": LIGHT.ink, "width": 3.4, "dash": "dot"}, name="due (intended start)"),
        per_second(sent[sent >= 0], edges, {"color": COLOURS[0], "width": 2.2}, name="sent"),
        per_second(completed_s(wire), edges, {"color": COLOURS[2], "width": 1.6}, name="completed"),
    ]
    dropped = per_second(due[(wire["error"] == "dropped").to_numpy()], edges, {"width": 0}, name="dropped")
    if some := (dropped.y > 0).nonzero()[0].tolist():
        cross = {"color": COLOURS[1], "symbol": "x", "size": 8}
        traces.append(dropped.update(x=dropped.x[some], y=dropped.y[some], mode="markers", marker=cross))
    window = "" if width_s(edges[-1]) == 1 else f", {width_s(edges[-1])}-s windows"
    panel = Panel(traces, f"Requests per second{window}", px=300, axis={"rangemode": "tozero"})
    figure = parts.stacked(words, [panel], run, x_title=_SINCE)
    parts.shade_warmups(figure, run)
    _draw_offered(figure, run)
    return figure.update_layout(hovermode="x unified").update_xaxes(range=[0, edges[-1]])


def _draw_offered(figure: go.Figure, run: Run) -> None:
    """The rate that an open workload asks for, by stage where it has some."""
    workload = run.facts.scenario.workload
    if isinstance(workload, Open) and workload.stages:
        begin_s = run.facts.parts[0].measured_from_ns / 1e9 if run.facts.parts else 0.0
        ends_s = begin_s + np.cumsum([0.0, *(stage.duration_s for stage in workload.stages)])
        levels = [level for stage in workload.stages for level in (stage.start, stage.end)]
        line = {"color": LIGHT.quiet, "width": 1, "dash": "dash"}
        x, hover = np.repeat(ends_s, 2)[1:-1], "offered: %{y:,.4~r}/s"
        figure.add_trace(scatter(x, levels, hover, name="offered", line=line))
    elif isinstance(workload, Open):
        label = {"annotation_text": f"offered: {workload.rate_per_s:g}/s", "annotation_position": "top right"}
        figure.add_hline(y=workload.rate_per_s, line_dash="dash", **label)
