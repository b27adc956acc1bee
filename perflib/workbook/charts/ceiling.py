"""The highest rate at which every limit still holds, and how throughput grows with users."""

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from perflib.spec.diagnosis import Ceiling, Diagnosis, Usl
from perflib.workbook.charts.diagnosed import empty_figure, figure_of, not_measured
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Words, label_of, scatter

_TRIES = (
    (True, "every limit held", {"color": COLOURS[2], "symbol": "circle", "size": 9}),
    (False, "a limit was missed", {"color": COLOURS[1], "symbol": "x", "size": 9}),
)
_LINE_LETTERS = 100


def ceiling(found: Diagnosis) -> go.Figure:
    """The tries of the search for the highest rate, the rate with its interval; below, throughput over users.

    >>> import perflib
    >>> perflib.charts.ceiling(perflib.why("light_load", find_ceiling=True))  # doctest: +SKIP
    """
    words = Words(
        "How much it can take",
        "Largest p95 over its limit by rate, requests per second, and throughput by number of users.",
        "Above the dashed line a limit is missed. A steep rise at the shaded band is a queue that begins there. Below: "
        "a curve that bends early waits for something shared; one that falls pays for every further user.",
    )
    known = found.ceiling
    if known is None or not (known.probes or known.usl):
        why = known.told if known and known.told else not_measured(found)
        return empty_figure(words.title, why, found)
    rows = [list(_search(known))] * bool(known.probes) + [list(_scaling(known.usl))] * bool(known.usl)
    figure = make_subplots(rows=len(rows), cols=1, vertical_spacing=0.24)
    figure_of(words, found, figure).update_layout(height=220 + 240 * len(rows))
    for row, traces in enumerate(rows, start=1):
        figure.add_traces(traces, rows=row, cols=1)
    if known.probes:
        figure.add_hline(y=1, row=1, col=1, line={"color": LIGHT.ink, "width": 1.2, "dash": "dash"})
        figure.update_xaxes(title="Rate, requests per second", row=1, col=1)
        figure.update_yaxes(title="Worst p95 / limit (log)", row=1, col=1, type="log", tickformat="~g", nticks=5)
    if known.usl:
        figure.update_xaxes(title="Users", rangemode="tozero", row=len(rows), col=1)
        figure.update_yaxes(title="Requests per second", rangemode="tozero", row=len(rows), col=1)
    told = "<br>".join(map(label_of, wrap(known.told, _LINE_LETTERS)))
    if told:
        subtitle = f"{figure.layout.title.subtitle.text} ·<br>{told}"
        figure.update_layout(title_subtitle_text=subtitle, margin_t=96 + 17 * told.count("<br>"))
    return figure


def _search(known: Ceiling) -> Iterator[go.Scatter]:
    heights = [_finite(probe.worst, known) for probe in known.probes]
    ends = min([*heights, 1.0]) / 1.3, max([*heights, 1.0]) * 1.3
    low, high = known.interval
    name = f"ceiling {known.rate_per_s:,.4g} per second ({low:,.4g} to {high:,.4g})"
    yield _upright(low, high, ends, name)
    if known.cpu_bound_per_s is not None:
        line, name = {"color": LIGHT.quiet, "dash": "dot", "width": 1.6}, f"CPU allows {known.cpu_bound_per_s:,.4g}"
        yield scatter([known.cpu_bound_per_s] * 2, ends, name, name=name, line=line)
    for met, name, marker in _TRIES:
        own = [(probe, y) for probe, y in zip(known.probes, heights, strict=True) if probe.met == met]
        if own:
            data = [[probe.worst, probe.duration_s] for probe, _ in own]
            hover = f"{name}<br>%{{x:,.4~g}} per second for %{{customdata[1]:.3~g}} s: %{{customdata[0]:.3~g}} × limit"
            x, y = [probe.rate_per_s for probe, _ in own], [y for _, y in own]
            yield scatter(x, y, hover, name=name, marker=marker, data=data)


def _finite(worst: float, known: Ceiling) -> float:
    """Where a try is drawn: one that was hardly answered, above all others."""
    finite = [probe.worst for probe in known.probes if math.isfinite(probe.worst)]
    return max(worst, 1e-3) if math.isfinite(worst) else 2 * max([*finite, 1.0])


def _upright(low: float, high: float, ends: Sequence[float], name: str) -> go.Scatter:
    """A band over the whole height, as wide as an interval."""
    bottom, top = ends
    edge = {"color": COLOURS[0], "width": 1}
    x, y = [low, low, high, high, low], [bottom, top, top, bottom, bottom]
    return scatter(x, y, name=name, line=edge).update(fill="toself", opacity=0.5)


def _scaling(usl: Usl | None) -> Iterator[go.Scatter]:
    if usl is None:
        return
    most = max(point.users for point in usl.points)
    users = np.linspace(1, max(most, min(usl.peak_users or most, 2 * most)) * 1.1, 80)
    throughput = usl.rate_per_s * users / (1 + usl.contention * (users - 1) + usl.coherency * users * (users - 1))
    line, dot = {"color": COLOURS[0], "width": 2.2}, {"color": COLOURS[3], "size": 8}
    told = f"USL: contention {usl.contention:.2g}, coherency {usl.coherency:.2g}"
    yield scatter(users, throughput, "%{x:.3~g} users: %{y:,.4~g} per second, fitted", name=told, line=line)
    points = sorted(usl.points, key=lambda point: point.users)
    x, y = [point.users for point in points], [point.throughput_per_s for point in points]
    yield scatter(x, y, "%{x:.3~g} users: %{y:,.4~g} per second", name="measured", marker=dot)
