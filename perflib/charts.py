"""Charts: runs in, plotly figures out. Pure; a figure stays small however many rows its run has."""

from __future__ import annotations

import html
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from perflib.model import ERROR_KINDS
from perflib.stats.percentile import required_count
from perflib.summary import judged_ms, measured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from perflib.model import Endpoint, Page, Run

    Floats = NDArray[np.float64]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colour-blind-safe palette of Okabe & Ito 2008, without its yellow, which white paper swallows."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
POINTS = 400
"""At most so many points in a line."""

_INK, _QUIET, _GRID = "#24292F", "#6E7781", "#E8EBEE"
_MARKS = {0.5: "50 %", 0.9: "90 %", 0.95: "95 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}
_WINDOWS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_USED = ["endpoint", "page", "kind", "intended_ns", "start_ns", "end_ns", "error", "warmup", "cold"]
_BINS_PER_DECADE = 20
_PANEL_PX = 104

_AXIS = {
    "gridcolor": _GRID,
    "linecolor": "#C9CED4",
    "showline": True,
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": "#C9CED4",
    "ticklen": 4,
    "automargin": True,
    "title": {"font": {"size": 12.5, "color": _QUIET}, "standoff": 8},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {
            "family": "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
            "size": 13,
            "color": _INK,
        },
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "yref": "container",
            "y": 0.985,
            "yanchor": "top",
            "font": {"size": 17},
            "subtitle": {"font": {"size": 12.5, "color": _QUIET}},
            "pad": {"t": 6},
        },
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "colorway": list(COLOURS),
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 64, "r": 28, "t": 78, "b": 96},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "paper",
            "y": 0.01,
            "yref": "container",
            "yanchor": "bottom",
        },
        "hoverlabel": {"bgcolor": "white", "bordercolor": "#C9CED4", "font": {"color": _INK, "size": 12.5}},
        "bargap": 0.0,
    }
)
"""The look of every chart: white ground, quiet grid, legend below."""


def percentiles(*runs: Run) -> go.Figure:
    """Percentile curves of warm successes on a log axis of 1/(1 - q), as HdrHistogram draws them.

    A curve ends where its sample no longer supports it (`required_count`). Several runs differ by their dash.
    """
    if not runs:
        return _empty("Response time by percentile", "No run was given.")
    figure = _figure("Response time by percentile", *runs, alt="Percentile curves of response times in milliseconds")
    shown, reach = [1.0], 2.35  # past 99 %, with room for the targets' labels
    for number, run in enumerate(runs):
        rows, dash = _measured(run), {"dash": DASHES[number % len(DASHES)]} if len(runs) > 1 else {}
        for item in _items(run):
            q, ms = _percentile_curve(_warm_successes(rows, item.name))
            shown += [*ms[:1], *ms[-1:]]
            reach = max([reach, *np.log10(1.05 / (1 - q[-1:]))])
            name = _label(item.name) + (f" · {_label(run.facts.run_id)}" if len(runs) > 1 else "")
            figure.add_scatter(
                x=1 / (1 - q),
                y=ms,
                name=name if len(q) else f"{name} (insufficient)",
                legendgroup=item.name,
                mode="lines",
                line=_line(runs[0], item.name) | dash,
                customdata=100 * q,
                hovertemplate="%{fullData.name}<br>%{customdata:.5~g} % within %{y:.3~r} ms<extra></extra>",
            )
    for mark in _target_marks(_items(runs[0])):
        shown.append(mark.target_ms)
        label = {
            "text": ["", f" target {mark.target_ms:,g} ms" if mark.end == 1 else ""],
            "textposition": "middle right",
        }
        x = 10 ** np.array([1 + mark.begin, 1 + mark.end])  # from 90 % to 99 %: across the judged 95 %
        figure.add_scatter(x=x, y=[mark.target_ms] * 2, **_target_line(runs[0], mark), **label)
    ticks = [1 / (1 - q) for q in _MARKS]
    figure.update_xaxes(title="Percentile of successes (log)", type="log", range=[0, reach])
    figure.update_xaxes(tickvals=ticks, ticktext=list(_MARKS.values()))
    figure.update_yaxes(title="Response time, ms (log)", **_log_ms(shown[1:]))
    return figure


def ecdf(run: Run) -> go.Figure:
    """The share of warm requests answered within a time; with failures it stays below 100 %."""
    title = "Share of requests answered within a time"
    figure = _figure(title, run, alt="Cumulative distribution of response times in milliseconds")
    rows, shown = _measured(run), [math.nan]
    for item in _items(run):
        judged = np.sort(judged_ms(_warm(rows, item.name)))
        answered = judged[np.isfinite(judged)]
        ranks = _thin(len(answered))
        shown += [*answered[:1], *answered[-1:]]
        figure.add_scatter(
            x=answered[ranks],
            y=100 * (ranks + 1) / max(len(judged), 1),
            name=_label(item.name) if len(ranks) else f"{_label(item.name)} (no success)",
            legendgroup=item.name,
            mode="lines",
            line=_line(run, item.name) | {"shape": "hv"},
            hovertemplate="%{fullData.name}<br>%{y:.4~g} % within %{x:.3~r} ms<extra></extra>",
        )
    for mark in _target_marks(_items(run)):
        shown.append(mark.target_ms)
        label = {"text": ["target" if mark.begin == 0 else "", ""], "textposition": "bottom center"}
        share = 90 + 10 * np.array([mark.begin, mark.end])
        figure.add_scatter(x=[mark.target_ms] * 2, y=share, **_target_line(run, mark), **label)
    figure.add_hline(y=95, line={"color": _QUIET, "width": 1, "dash": "dot"})
    figure.update_xaxes(title="Response time, ms (log)", **_log_ms(shown))
    figure.update_yaxes(title="Requests answered, %", range=[0, 101.5], tickvals=[0, 25, 50, 75, 95, 100])
    return figure


def histogram(run: Run) -> go.Figure:
    """Counts of response times of warm successes; a panel an endpoint, bins even on a log axis."""
    items, rows = _items(run), _measured(run)
    values = {item.name: _warm_successes(rows, item.name) for item in items}
    title = "Distribution of response times"
    if not any(len(ms) for ms in values.values()):
        return _empty(title, "No request was answered as expected after warm-up.", run)
    headings = [f"{item.name} · {len(values[item.name]):,} successes" for item in items]
    figure = _panels(title, run, headings, "Requests", "Histograms of response times in milliseconds")
    edges = _log_edges(np.concatenate(list(values.values())))
    for row, item in enumerate(items, start=1):
        counts = np.histogram(np.clip(values[item.name], edges[0], edges[-1]), edges)[0]
        figure.add_bar(
            x=np.sqrt(edges[:-1] * edges[1:]),
            y=counts,
            width=np.diff(edges),
            marker={"color": _line(run, item.name)["color"], "line": {"width": 0}},
            customdata=np.column_stack([edges[:-1], edges[1:]]),
            hovertemplate="%{y:,} in %{customdata[0]:.3~r} to %{customdata[1]:.3~r} ms<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        if item.target_ms is not None:
            peak = max(1, int(counts.max()))
            figure.add_scatter(x=[item.target_ms] * 2, y=[0, peak], **_panel_target(item.target_ms), row=row, col=1)
    _legend_entries(figure, target=any(item.target_ms is not None for item in items))
    shown = [edges[0], edges[-1], *(item.target_ms for item in items if item.target_ms is not None)]
    figure.update_xaxes(**_log_ms(shown))
    figure.update_xaxes(title="Response time, ms (log)", row=len(items), col=1)
    figure.update_yaxes(nticks=4, rangemode="tozero")
    return figure


def latency_over_time(run: Run) -> go.Figure:
    """p50 and p95 of warm successes by window of intended start, and single cold answers; warm-up shaded.

    A window is a second; longer where a second holds too few requests for a p95, or the run too many seconds.
    """
    items, rows = _items(run), run.requests[_USED]
    title = "Response time over time"
    own = {item.name: _timed_successes(run, rows, item.name) for item in items}
    if not any(len(times) for times in own.values()):
        return _empty(title, "No request was answered as expected.", run)
    windows = {name: _window_s(times["at_s"].to_numpy()) for name, times in own.items()}
    headings = [f"{item.name} · {windows[item.name]}-s windows" for item in items]
    figure = _panels(title, run, headings, "ms (log)", "p50 and p95 response times in milliseconds over time")
    shown, end_s = [math.nan], max(times["at_s"].max() for times in own.values() if len(times))
    for row, item in enumerate(items, start=1):
        times = own[item.name]
        line = _line(run, item.name)
        by_window = _by_window(times[~times["cold"]], windows[item.name])
        for column, style in (("p50_ms", {"width": 1.3, "dash": "dot"}), ("p95_ms", {"width": 2.0})):
            shown += by_window[column].dropna().tolist()
            figure.add_scatter(
                x=by_window["at_s"],
                y=by_window[column],
                mode="lines+markers" if len(by_window) <= POINTS / 4 else "lines",
                marker={"size": 4},
                line={"color": line["color"]} | style,
                customdata=by_window["successes"],
                hovertemplate=f"{column[:3]} of %{{customdata:,}} at %{{x:.4~g}} s: %{{y:.3~r}} ms<extra></extra>",
                showlegend=False,
                row=row,
                col=1,
            )
        cold = times[times["cold"]].nlargest(POINTS, "ms")
        shown += cold["ms"].tolist()
        figure.add_scatter(x=cold["at_s"], y=cold["ms"], **_cold_marks(line["color"]), row=row, col=1)
        if item.target_ms is not None:
            shown.append(item.target_ms)
            figure.add_scatter(
                x=[0, 1.01 * end_s], y=[item.target_ms] * 2, **_panel_target(item.target_ms), row=row, col=1
            )
        _shade(figure, [(0.0, _warmup_end_s(run, rows, item.name))], row=row, col=1)
    any_cold = any(bool(times["cold"].any()) for times in own.values())
    _legend_entries(figure, "p50", "p95", target=any(i.target_ms is not None for i in items), cold=any_cold)
    since = "the endpoint's own start" if len(run.facts.parts) > 1 else "the start of the run"
    figure.update_xaxes(range=[0, 1.01 * end_s])
    figure.update_xaxes(title=f"Intended start, seconds since {since}", row=len(items), col=1)
    figure.update_yaxes(**_log_ms(shown, few=True))
    return figure


def throughput(run: Run) -> go.Figure:
    """Completed requests a second on the wire, pages' parts included, stacked by endpoint; warm-up shaded."""
    title = "Throughput over time"
    rows = run.requests[_USED]
    done = rows[(rows["kind"] == "request") & rows["error"].isna() & (rows["end_ns"] >= 0)]
    if done.empty:
        return _empty(title, "No request was answered as expected.", run)
    figure = _figure(title, run, alt="Completed requests a second over time, stacked by endpoint")
    edges = _time_edges(done["end_ns"].to_numpy() / 1e9)
    for endpoint in run.facts.target.endpoints:
        of_it = done["end_ns"].to_numpy()[(done["endpoint"] == endpoint.name).to_numpy()] / 1e9
        if not len(of_it):
            continue
        counts = np.histogram(of_it, edges)[0]
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts / np.diff(edges),
            name=_label(endpoint.name),
            stackgroup="completed",
            mode="lines",
            line=_line(run, endpoint.name) | {"width": 1},
            customdata=counts,
            hovertemplate="%{fullData.name}: %{y:,.4~r}/s<extra></extra>",
        )
    mean = float((~done["warmup"]).sum()) / run.facts.duration_s if run.facts.duration_s else 0.0
    figure.add_scatter(
        x=[min(part.measured_from_ns for part in run.facts.parts) / 1e9, edges[-1]] if run.facts.parts else [],
        y=[mean, mean] if run.facts.parts else [],
        name="mean after warm-up",
        mode="lines",
        line={"color": _INK, "width": 1.4, "dash": "dash"},
        hovertemplate="mean after warm-up: %{y:,.4~r}/s<extra></extra>",
    )
    _shade(figure, _warmups_s(run, rows))
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title="Answered, seconds since the start of the run", range=[0, edges[-1]])
    figure.update_yaxes(title="Completed requests a second", rangemode="tozero")
    return figure


def errors(run: Run) -> go.Figure:
    """Failed requests on the wire by window of intended start and kind; warm-up shaded."""
    title = "Failed requests over time"
    rows = run.requests[_USED]
    wire = rows[rows["kind"] == "request"]
    failed = wire[wire["error"].notna()]
    if failed.empty:
        why = f"None of {len(wire):,} requests failed, warm-up included." if len(wire) else "No request was recorded."
        return _empty(title, why, run)
    figure = _figure(title, run, alt="Failed requests over time by kind of failure")
    edges = _time_edges(wire["intended_ns"].to_numpy() / 1e9)
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
    _shade(figure, _warmups_s(run, rows))
    figure.update_layout(barmode="stack", hovermode="x unified", showlegend=True)
    figure.update_xaxes(title="Intended start, seconds since the start of the run", range=[0, edges[-1]])
    figure.update_yaxes(title=f"Failures a {_first_fitting(edges[-1])}-s window", rangemode="tozero", tickformat="d")
    return figure


class _TargetMark(NamedTuple):
    """A target, and the stretch (in shares of 1) it gets of the dashed line that equal targets have in common."""

    name: str
    target_ms: float
    begin: float
    end: float


def _items(run: Run) -> tuple[Endpoint | Page, ...]:
    return run.facts.scenario.takes(run.facts.target)


def _line(run: Run, name: str) -> dict[str, Any]:
    """Colour and dash by place in the target, so that an endpoint looks the same in every chart."""
    place = [item.name for item in run.facts.target.items].index(name)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "dash": DASHES[place // len(COLOURS) % len(DASHES)],
        "width": 2.2,
    }


def _label(text: str) -> str:
    """A name as plotly shall print it: plotly reads tags in every text."""
    return html.escape(text, quote=False)


def _measured(run: Run) -> pd.DataFrame:
    return measured(replace(run, requests=run.requests[_USED]))


def _warm(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return rows[(rows["endpoint"] == name) & rows["page"].isna() & ~rows["cold"]]


def _warm_successes(rows: pd.DataFrame, name: str) -> Floats:
    own = _warm(rows, name)
    return own.loc[own["error"].isna(), "response_ms"].to_numpy(dtype=np.float64)


def _percentile_curve(values: Floats) -> tuple[Floats, Floats]:
    """Shares and their percentiles, by the rule of `stats.percentile`, up to the last with required_count(q) <= n."""
    if len(values) < required_count(0.5):
        return np.empty(0), np.empty(0)
    last = 0.05 ** (1 / len(values))
    q = np.unique([*(1 - np.geomspace(1, 1 - last, POINTS // 2)), *(mark for mark in _MARKS if mark <= last)])
    ranks = np.ceil(q * len(values) - 1e-9).astype(np.int64).clip(1) - 1
    return q, np.sort(values)[ranks]


def _thin(count: int) -> NDArray[np.int64]:
    """At most POINTS of the ranks 0 ... count - 1, evenly, and more of the last: the tail is what one looks at."""
    if count <= POINTS:
        return np.arange(count)
    even = np.linspace(0, count - 1, 3 * POINTS // 4)
    return np.unique(np.r_[even, count - np.geomspace(1, count, POINTS // 4)].astype(np.int64))


def _log_edges(values: Floats) -> Floats:
    """Bin edges in ms, _BINS_PER_DECADE a decade, around all values."""
    lowest, highest = (math.log10(max(value, 1e-3)) * _BINS_PER_DECADE for value in (values.min(), values.max()))
    return 10 ** (np.arange(math.floor(lowest), max(math.ceil(highest), math.floor(lowest) + 1) + 1) / _BINS_PER_DECADE)


def _time_edges(at_s: Floats) -> Floats:
    """Edges of equal windows from 0 to the last moment; a second each, longer where those were too many.

    What is left at the end is a window of its own if it is half as long as the others, else part of the last one.
    """
    last = max(float(at_s.max()), 1e-3)
    width = _first_fitting(last)
    return np.append(np.arange(max(1, round(last / width))) * float(width), last)


def _first_fitting(span_s: float) -> int:
    return next((width for width in _WINDOWS_S if span_s / width <= POINTS - 2), math.ceil(span_s / (POINTS - 2)))


def _window_s(at_s: Floats) -> int:
    """The shortest window whose typical count supports a p95, as long as three windows remain."""
    span_s = float(at_s.max()) if len(at_s) else 0.0
    shortest = _first_fitting(span_s)
    longer = [width for width in _WINDOWS_S if width >= shortest and width <= span_s / 3]
    return next(
        (w for w in longer if len(at_s) * w / span_s >= 1.2 * required_count(0.95)),
        (longer or [shortest])[-1],
    )


def _timed_successes(run: Run, rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Successes of an item, warm-up included: `at_s` from the start of its part of the run, `ms`, `cold`."""
    own = rows[(rows["endpoint"] == name) & rows["page"].isna() & rows["error"].isna() & (rows["end_ns"] >= 0)]
    return pd.DataFrame(
        {
            "at_s": (own["intended_ns"] - _begin_ns(run, rows, name)) / 1e9,
            "ms": (own["end_ns"] - own["intended_ns"]) / 1e6,
            "cold": own["cold"],
        }
    )


def _begin_ns(run: Run, rows: pd.DataFrame, name: str) -> int:
    """When the part of the run that drives this item began, from the run's start."""
    number = next((n for n, part in enumerate(run.facts.parts) if name in part.items), 0)
    if number == 0:
        return 0
    own = rows.loc[rows["endpoint"].isin(list(run.facts.parts[number].items)) & rows["page"].isna(), "intended_ns"]
    return int(own.min()) if len(own) else run.facts.parts[number - 1].measured_to_ns


def _warmup_end_s(run: Run, rows: pd.DataFrame, name: str) -> float:
    ends = [part.measured_from_ns for part in run.facts.parts if name in part.items]
    return (ends[0] - _begin_ns(run, rows, name)) / 1e9 if ends else 0.0


def _warmups_s(run: Run, rows: pd.DataFrame) -> list[tuple[float, float]]:
    begins = [_begin_ns(run, rows, part.items[0]) for part in run.facts.parts]
    return [(begin / 1e9, part.measured_from_ns / 1e9) for begin, part in zip(begins, run.facts.parts, strict=True)]


def _by_window(times: pd.DataFrame, width_s: int) -> pd.DataFrame:
    """One row a window: `at_s` (its middle), `successes`, `p50_ms`, `p95_ms` (NaN where too few support it)."""
    window, ms = (times["at_s"].to_numpy() // width_s).astype(np.int64), times["ms"].to_numpy()
    order = np.lexsort((ms, window))
    window, ms = window[order], ms[order]
    first = np.flatnonzero(np.diff(window, prepend=-1))
    count = np.diff(first, append=len(window))
    frame = pd.DataFrame({"successes": count}, index=window[first])
    for column, q in (("p50_ms", 0.50), ("p95_ms", 0.95)):
        rank = np.ceil(q * count - 1e-9).astype(np.int64) - 1
        frame[column] = np.where(count >= required_count(q), ms[first + rank], np.nan)
    whole = frame.reindex(np.arange(window[-1] + 1 if len(window) else 0))
    return whole.assign(successes=whole["successes"].fillna(0).astype(int), at_s=(whole.index + 0.5) * width_s)


def _target_marks(items: Iterable[Endpoint | Page]) -> list[_TargetMark]:
    """A mark for each item with a target; equal targets share a line side by side, so that none hides another."""
    levels: dict[float, list[str]] = {}
    for item in items:
        if item.target_ms is not None:
            levels.setdefault(item.target_ms, []).append(item.name)
    return [
        _TargetMark(name, target_ms, place / len(names), (place + 1) / len(names))
        for target_ms, names in levels.items()
        for place, name in enumerate(names)
    ]


def _target_line(run: Run, mark: _TargetMark) -> dict[str, Any]:
    return {
        "mode": "lines+text",
        "textfont": {"size": 11.5, "color": _QUIET},
        "cliponaxis": False,
        "legendgroup": mark.name,
        "showlegend": False,
        "name": _label(mark.name),
        "line": {"color": _line(run, mark.name)["color"], "width": 2.2, "dash": "4px,3px"},
        "hovertemplate": f"%{{fullData.name}}<br>target: p95 below {mark.target_ms:g} ms<extra></extra>",
        "meta": "target",
    }


def _panel_target(target_ms: float) -> dict[str, Any]:
    return {
        "mode": "lines",
        "showlegend": False,
        "line": {"color": _QUIET, "width": 1.4, "dash": "dash"},
        "hovertemplate": f"target: p95 below {target_ms:g} ms<extra></extra>",
        "meta": "target",
    }


def _cold_marks(colour: str) -> dict[str, Any]:
    return {
        "mode": "markers",
        "showlegend": False,
        "marker": {"symbol": "diamond-open", "size": 8, "color": colour, "line": {"width": 1.5}},
        "hovertemplate": "cold answer: %{y:.3~r} ms at %{x:.4~g} s<extra></extra>",
        "meta": "cold",
    }


def _legend_entries(figure: go.Figure, *columns: str, target: bool = False, cold: bool = False) -> None:
    """Entries for what has the same meaning in every panel, in ink instead of the panels' colours."""
    styles: dict[str, dict[str, Any]] = {
        "p50": {"mode": "lines", "line": {"color": _INK, "width": 1.3, "dash": "dot"}},
        "p95": {"mode": "lines", "line": {"color": _INK, "width": 2}},
        "target for p95": _panel_target(0) | {"hovertemplate": None, "meta": None},
        "cold answer": _cold_marks(_INK) | {"hovertemplate": None, "meta": None},
    }
    chosen = [*columns, *(["target for p95"] if target else []), *(["cold answer"] if cold else [])]
    for name in chosen:
        figure.add_scatter(x=[None], y=[None], name=name, **styles[name] | {"showlegend": True}, row=1, col=1)


def _log_ms(values: Iterable[float], few: bool = False) -> dict[str, Any]:
    """A log axis in ms around the finite positive values, ticks at 1, 2, 5 of every decade where they fit."""
    kept = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 100.0]
    lowest, highest = math.log10(min(kept)), math.log10(max(kept))
    pad = 0.06 * max(highest - lowest, 0.5)
    steps = (1, 2, 5) if highest - lowest < (1 if few else 4) else (1,)
    ticks = [step * 10.0**power for power in range(math.floor(lowest) - 1, math.ceil(highest) + 1) for step in steps]
    return {
        "type": "log",
        "range": [lowest - pad, highest + pad],
        "tickvals": ticks,
        "ticktext": [f"{tick:,.10g}" for tick in ticks],
    }


def _shade(figure: go.Figure, stretches: list[tuple[float, float]], **where: int) -> None:
    """Shade warm-ups; the first of a chart is labelled."""
    label = {
        "annotation": {"text": "warm-up", "font": {"size": 11, "color": _QUIET}},
        "annotation_position": "top left",
    }
    for number, (begin, end) in enumerate(stretches):
        if end > begin:
            named = label if number == 0 and where.get("row", 1) == 1 else {}
            look = {"fillcolor": "#8C959F", "opacity": 0.16, "line_width": 0, "layer": "below"}
            figure.add_vrect(x0=begin, x1=end, **look, **named, **where)


def _figure(title: str, *runs: Run, alt: str, figure: go.Figure | None = None) -> go.Figure:
    figure = figure or go.Figure()
    names = ", ".join(item.name for item in _items(runs[0])) if runs else ""
    figure.update_layout(
        template=TEMPLATE,
        title={"text": title, "subtitle": {"text": " · ".join(_label(_about(run)) for run in runs)}},
        height=480,
        meta={"alt": f"{alt} for {names}; {' and '.join(_about(run) for run in runs)}." if runs else alt},
    )
    return figure


def _about(run: Run) -> str:
    facts = run.facts
    state = ", invalid" if not facts.valid else ", interrupted" if facts.interrupted else ""
    return f"{facts.scenario.title}, target {facts.target.name}, run {facts.run_id}{state}"


def _panels(title: str, run: Run, headings: list[str], y_title: str, alt: str) -> go.Figure:
    """One panel below the other on a common x axis, each headed by its endpoint."""
    count = len(headings)
    plot_px = _PANEL_PX * count
    figure = make_subplots(
        rows=count,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=min(26 / plot_px, 0.9 / max(count - 1, 1)),
        subplot_titles=[_label(heading) for heading in headings],
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": 12.5, "color": _INK})
    _figure(title, run, alt=alt, figure=figure)
    figure.update_layout(height=plot_px + 200, margin={"t": 96, "b": 104})
    figure.update_yaxes(title=y_title)
    return figure


def _empty(title: str, why: str, *runs: Run) -> go.Figure:
    """A figure that says why it shows nothing."""
    figure = _figure(title, *runs, alt=f"{title}: {why}")
    figure.add_annotation(text=why, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font={"size": 15})
    figure.update_layout(height=200, margin={"b": 24}, xaxis={"visible": False}, yaxis={"visible": False})
    return figure
