"""Charts of the target's memory."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from perflib.figures.summary import pooled
from perflib.judge.leak import memory_of
from perflib.spec import Run
from perflib.spec.allocations import Allocations
from perflib.stats.growth import Fit
from perflib.workbook.charts import parts
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.over_time import completed_s, per_second, windows_line, wire_of
from perflib.workbook.charts.parts import Panel, Words, label_of, scatter
from perflib.workbook.charts.windows import time_edges, widened, width_s

_MB = 1e6
_LEAST_SHARE = 0.005
"""A bar of the flame graph that is narrower cannot be seen."""
_BAR_PX, _BAR_TEXT_PX = 22, 12
_SAMPLES = 2000
_FIT = COLOURS[1]


def memory(run: Run) -> go.Figure:
    """Resident memory of the target by time, the growth that was judged with its band, restarts marked.

    >>> import perflib
    >>> perflib.charts.memory(perflib.load_run("sample-28-release-1.4")).layout.yaxis.title.text
    'MB'
    """
    words = Words(
        "Memory of the target",
        "Resident and unshared memory of the target in megabytes over time",
        "A rise at the start is warm-up. Look whether the window levels go on rising along the dashed curve: its "
        "shaded band is how sure that is.",
    )
    if run.memory is None:
        return parts.empty_figure(words.title, f"Not sampled: {run.facts.memory.told}.", run)
    figure = _with_memory(words, run, [], "Seconds since the start of the run")
    return figure.update_layout(hovermode="x unified")


def memory_and_load(run: Run) -> go.Figure:
    """Memory, response time (endpoints pooled) and throughput on one time axis: what grew when, and what it did.

    >>> import perflib
    >>> perflib.charts.memory_and_load(perflib.load_run("sample-28-release-1.4")).layout.yaxis2.title.text
    'ms (log)'
    """
    words = Words(
        "Memory, p95 and throughput",
        "Memory in megabytes, p95 in milliseconds and throughput over time",
        "Memory that rises while throughput is level is kept by the target, not needed for the load. Look whether p95 "
        "rises with it, and what a restart changes.",
    )
    rows, done_s = pooled(run), completed_s(wire_of(run))
    if run.memory is None or not len(done_s):
        why = f"Memory was not sampled: {run.facts.memory.told}." if run.memory is None else "No request was answered."
        return parts.empty_figure(words.title, why, run)
    edges = time_edges(float(done_s.max()))
    good = rows[rows["error"].isna() & (rows["end_ns"] >= 0)]
    at_s, width = good["intended_ns"].to_numpy() / 1e9, width_s(edges[-1])
    windows = widened(at_s, good["response_ms"].to_numpy(), 0.95, begin_s=0.0, width_s=width)
    p95 = windows_line(windows, "p95", {"color": LIGHT.ink, "width": 1.6})
    axis = parts.log_ms_axis(windows["ms"], few=True)
    per_s = per_second(done_s, edges, {"color": COLOURS[2], "width": 1.6})
    below = [
        Panel([p95], "ms (log)", "p95 of response times, endpoints pooled", axis=axis),
        Panel([per_s], "per second", "Completed requests per second"),
    ]
    return _with_memory(words, run, below, f"Seconds since the start of the run, {width}-s windows")


def _with_memory(words: Words, run: Run, below: list[Panel], x_title: str) -> go.Figure:
    """The panel of memory, and others below it."""
    assert run.memory is not None
    found = memory_of(run)
    fit = _fitted(found.rss.fit, found.peaks) if found.rss is not None and found.rss.fit is not None else ()
    heading = "Memory" if below else ""
    panel = Panel([*_sampled(run.memory), *fit], "MB", heading, 210, {"rangemode": "normal"})
    figure = parts.stacked(words, [panel, *below], run, x_title=x_title)
    for restart_s in found.restarts_s:
        label = {"annotation_text": "restart", "annotation_position": "top right"}
        figure.add_vline(x=restart_s, line_width=1.4, **label, row=1, col=1)
    parts.shade_warmups(figure, run)
    return figure.update_xaxes(rangemode="nonnegative")


def _sampled(every: pd.DataFrame) -> Iterator[go.Scatter]:
    samples = _lows_and_highs(every)
    several = "processes" in samples and samples["processes"].max() > 1
    for name, column, colour, width in (
        ("resident (RSS)", "rss_bytes", COLOURS[0], 2.0),
        *([("its share (PSS)", "pss_bytes", COLOURS[3], 2.0)] if several else []),
        ("its own (USS)", "uss_bytes", COLOURS[5], 1.4),
    ):
        known, line = samples[samples[column] >= 0], {"color": colour, "width": width}
        if len(known):
            yield scatter(known["t_ns"] / 1e9, known[column] / _MB, f"{name}: %{{y:,.4~r}} MB", name=name, line=line)


def _lows_and_highs(samples: pd.DataFrame) -> pd.DataFrame:
    """All samples, or the lowest and the highest of each of many windows: a sawtooth keeps its teeth."""
    if len(samples) <= _SAMPLES:
        return samples
    by_window = samples["rss_bytes"].groupby(np.arange(len(samples)) * (_SAMPLES // 2) // len(samples))
    return samples.loc[np.unique([*by_window.idxmin(), *by_window.idxmax()])]


def _fitted(fit: Fit, peaks: bool) -> Iterator[go.Scatter]:
    """The levels that were judged, or the peaks of recycled workers, the curve through them, its 99 % band."""
    edge, dashed = {"color": _FIT, "width": 0}, {"color": _FIT, "width": 2, "dash": "dash"}
    yield scatter(fit.at_s, fit.low / _MB, line=edge)
    yield scatter(fit.at_s, fit.high / _MB, name="99 % band", line=edge).update(fill="tonexty", opacity=0.36)
    yield scatter(fit.at_s, fit.fitted / _MB, "fitted: %{y:,.4~r} MB", name="fitted growth", line=dashed)
    circle, which = {"symbol": "circle-open", "size": 6, "color": _FIT}, "peak" if peaks else "level"
    hover, name = f"{which} of its window: %{{y:,.4~r}} MB", f"window {which}s"
    yield scatter(fit.at_s, fit.level / _MB, hover, name=name, marker=circle)


def allocations(found: Allocations) -> go.Figure:
    """A flame graph of what a process allocated and held: a bar's width is its bytes, the callee below its caller.

    >>> import perflib
    >>> run = perflib.run("sustained")  # doctest: +SKIP
    >>> perflib.charts.allocations(perflib.leak_sites(run))  # doctest: +SKIP
    """
    words = Words(
        "Held allocations",
        "Flame graph of held allocations by place in the source",
        "Look for the widest bar that nothing below it explains: its line in the source holds those bytes.",
    )
    if found.why_not or not found.sites:
        why = f"Not measured: {found.why_not}." if found.why_not else "Nothing was held."
        return parts.empty_figure(words.title, why)
    held = _held_by_path(found)
    kept = {path: size for path, size in held.items() if size >= _LEAST_SHARE * held[()]}
    figure = parts.figure_of(words).add_icicle(
        ids=["\n".join(("all", *path)) for path in kept],
        labels=[label_of(path[-1].split(" (")[0]) if path else "all" for path in kept],
        text=[label_of(path[-1]) if path else "all" for path in kept],
        textinfo="text",
        parents=["\n".join(("all", *path[:-1])) if path else "" for path in kept],
        values=[size / 1e3 for size in kept.values()],
        branchvalues="total",
        tiling={"orientation": "v"},
        leaf={"opacity": 1},
        textfont={"size": _BAR_TEXT_PX},
        pathbar={"visible": False},
        hovertemplate="%{text}<br>%{value:,.0f} kB held<extra></extra>",
    )
    height, margin = 80 + _BAR_PX * (1 + max(map(len, kept))), {"l": 0, "r": 0, "t": 56, "b": 24}
    return figure.update_layout(height=height, margin=margin, uniformtext={"minsize": _BAR_TEXT_PX, "mode": "hide"})


def _held_by_path(found: Allocations) -> dict[tuple[str, ...], int]:
    """The bytes held beneath each path of callers, outermost first."""
    held: dict[tuple[str, ...], int] = {}
    for site in found.sites:
        path = tuple(f"{frame.function} ({frame.file}:{frame.line})" for frame in reversed(site.stack))
        for depth in range(len(path) + 1):
            held[path[:depth]] = held.get(path[:depth], 0) + site.held_bytes
    return held
