"""Distributions: the cumulative one, and counts of response times."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from perflib.figures.summary import item_rows, pooled
from perflib.spec import Run
from perflib.spec.revision import shown
from perflib.workbook.charts import parts
from perflib.workbook.charts.parts import Panel, Words, label_of
from perflib.workbook.charts.windows import POINTS, log_edges, thin

_HEAT_COLUMNS, _HEAT_ROWS = 100, 40


def overlay(*runs: Run, endpoint: str = "") -> go.Figure:
    """The cumulative distribution of an endpoint's response times, a curve per run; failures keep it below 100 %.

    Args:
        runs: any, at best a handful; a curve gets fewer points the more there are.
        endpoint: an endpoint or page; empty: the slowest in the last run, of those that all drove.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> perflib.charts.overlay(a, b, endpoint="GET /clients").layout.title.subtitle.text
    'GET /clients · 2 of 2 runs'
    """
    title = "Cumulative distribution of response times"
    names = [[item.name for item in parts.items_of(run)] for run in runs]
    common = [name for name in (names[0] if names else []) if all(name in some for some in names)]
    chosen = endpoint or max(common, key=lambda name: _median_ms(runs[-1], name), default="")
    drawn = [run for run, some in zip(runs, names, strict=True) if chosen in some]
    if not drawn:
        why = f"No run drove {chosen}." if chosen else "The runs have no endpoint in common."
        return parts.empty_figure(title, label_of(why) if runs else "No run was given.")
    ids = ", ".join(run.facts.run_id for run in drawn)
    words = Words(
        title,
        f"Cumulative distributions of the response times of {chosen} in milliseconds, runs {ids}.",
        "A curve that lies to the right everywhere is slower for every request; one that parts from the others only at "
        "the top has a longer tail. One that ends below 100 % has failures.",
    )
    most = min(POINTS, max(50, 4 * POINTS // len(drawn)))
    curves = [
        share_within(run, chosen, _named(run), parts.series_line(place, 2), most) for place, run in enumerate(drawn)
    ]
    figure = parts.figure_of(words).add_traces(curves)
    figure.update_layout(title_subtitle_text=f"{label_of(chosen)} · {len(drawn)} of {len(runs)} runs", showlegend=True)
    figure.add_hline(y=95)
    if not any(len(curve.x) for curve in curves):
        states = ", ".join(f"{run.facts.run_id} ({run.facts.state})" for run in drawn)
        why = f"No request of {chosen} succeeded after warm-up in {states}."
        figure.add_annotation(text=label_of(why), showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    axis = parts.log_ms_axis(ms for curve in curves for ms in curve.x)
    figure.update_xaxes(title="Response time, ms (log)", **axis)
    return figure.update_yaxes(title="Requests answered, %", range=[0, 101.5], tickvals=[0, 25, 50, 75, 95, 100])


def _median_ms(run: Run, item: str) -> float:
    warm_ms = item_rows(run, item).warm_ms
    return float(np.median(warm_ms)) if len(warm_ms) else 0.0


def _named(run: Run) -> str:
    facts = run.facts
    said = (facts.run_id, shown(facts.version), facts.brief, facts.note, "" if facts.valid else "invalid")
    return " · ".join(filter(None, said))


def share_within(run: Run, item: str, name: str, line: Mapping[str, Any], most: int) -> go.Scatter:
    """The share of an item's warm requests by the time within which they were answered, in at most so many points."""
    rows = item_rows(run, item)
    ranks = thin(len(rows.warm_ms), most)
    label = label_of(name) + ("" if len(ranks) else " (no success)")
    hover = "%{fullData.name}<br>%{y:.4~g} % within %{x:.3~r} ms"
    share = 100 * (ranks + 1) / max(int(rows.warm.sum()), 1)
    return parts.scatter(rows.warm_ms[ranks], share, hover, name=label, line={**line, "shape": "hv"})


def histogram(run: Run) -> go.Figure:
    """Counts of response times of warm successes; a panel per endpoint, bins even on a log axis.

    >>> import perflib
    >>> perflib.charts.histogram(perflib.load_run("sample-28-release-1.4")).layout.annotations[0].text
    'GET /health · 127 successes'
    """
    words = Words(
        "Distribution of response times",
        "Histograms of response times in milliseconds",
        "Look at the shape. A second hill far to the right is a queue or a lock that some requests meet; a long flat "
        "foot is waiting of every length.",
    )
    items = parts.items_of(run)
    values = {item.name: item_rows(run, item.name).warm_ms for item in items}
    if not any(len(ms) for ms in values.values()):
        return parts.empty_figure(words.title, "No request succeeded after warm-up.", run)
    edges = log_edges(np.concatenate(list(values.values())))
    panels = []
    for item in items:
        counts = np.histogram(np.clip(values[item.name], edges[0], edges[-1]), edges)[0]
        bars = go.Bar(
            x=np.sqrt(edges[:-1] * edges[1:]),
            y=counts,
            width=np.diff(edges),
            marker={"color": parts.line_of(run, item.name)["color"], "line": {"width": 0}},
            customdata=np.column_stack([edges[:-1], edges[1:]]),
            hovertemplate="%{y:,} in %{customdata[0]:.3~r} to %{customdata[1]:.3~r} ms<extra></extra>",
        )
        peak, bound = max(1, int(counts.max())), item.target_ms
        limit = [] if bound is None else [parts.panel_limit(bound, [bound] * 2, [0, peak])]
        panels.append(Panel([bars, *limit], "Requests", f"{item.name} · {len(values[item.name]):,} successes"))
    figure = parts.stacked(words, panels, run, x_title="Response time, ms (log)")
    return figure.update_xaxes(**parts.log_ms_axis([edges[0], edges[-1], *(item.target_ms for item in items)]))


def heatmap(run: Run) -> go.Figure:
    """Counts of warm successes by window of intended start and response time (log bins); endpoints pooled.

    >>> import perflib
    >>> perflib.charts.heatmap(perflib.load_run("sample-28-release-1.4")).layout.yaxis.title.text
    'Response time, ms (log); 1-s windows'
    """
    words = Words(
        "Response times as a heat map",
        "Heat map of counts of response times in milliseconds over time, pooled",
        "A band that forks has found a second way to an answer; a band that climbs gets slower; a column that reaches "
        "up is a moment when everything stood still.",
    )
    rows = pooled(run)
    good = rows[rows["error"].isna() & (rows["end_ns"] >= 0)]
    if good.empty:
        return parts.empty_figure(words.title, "No request succeeded.", run)
    at_s, log_ms = good["intended_ns"].to_numpy() / 1e9, np.log10(np.maximum(good["response_ms"].to_numpy(), 1e-3))
    x_step = max(1, math.ceil(at_s.max() / _HEAT_COLUMNS))
    y_step = next(step for step in (0.05, 0.1, 0.2, 0.4) if np.ptp(log_ms) / step < _HEAT_ROWS - 1 or step == 0.4)
    column, row = (at_s // x_step).astype(np.int64), np.floor(log_ms / y_step).astype(np.int64)
    lowest, shape = row.min(), (np.ptp(row) + 1, column.max() + 1)
    counts = np.bincount((row - lowest) * shape[1] + column, minlength=math.prod(shape)).reshape(shape)
    levels = [10**power for power in range(math.ceil(math.log10(counts.max())) + 1)]
    scale = {"tickvals": np.log10(levels), "ticktext": [f"{n:,}" for n in levels]}
    figure = parts.figure_of(words, run)
    figure.add_heatmap(
        x=(np.arange(shape[1]) + 0.5) * x_step,
        y=10 ** ((np.arange(shape[0]) + lowest + 0.5) * y_step),
        z=np.log10(counts, where=counts > 0, out=np.full(shape, np.nan)).astype(np.float32),
        customdata=counts.astype(np.uint32),
        colorbar=scale | {"title": {"text": "Requests (log)"}},
        hoverongaps=False,
        hovertemplate="%{customdata:,} requests around %{y:.3~r} ms, %{x:.4~g} s<extra></extra>",
    )
    parts.shade_warmups(figure, run)
    figure.update_xaxes(title="Intended start, seconds since the start of the run", range=[0, shape[1] * x_step])
    axis = parts.log_ms_axis(10.0 ** (np.array([lowest, lowest + shape[0]]) * y_step))
    return figure.update_yaxes(title=f"Response time, ms (log); {x_step}-s windows", **axis)
