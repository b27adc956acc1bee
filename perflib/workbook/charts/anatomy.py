"""Where the time of an endpoint goes: computing, waiting, in the machine's queue, receiving; alone and in a crowd."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from perflib.show.numbers import ms as shown
from perflib.spec.diagnosis import Anatomy, Diagnosis, Interval
from perflib.workbook.charts.diagnosed import add_part, bars, empty_figure, figure_of, not_measured, short
from perflib.workbook.charts.parts import Words, label_of

_TEXT_SHARE = 0.3
"""Of the plot's width, left for the figure at the end of a bar."""


@dataclass(frozen=True)
class _Bar:
    """The parts of an endpoint's time in ms, and what stands beside and over them."""

    label: str
    hover: str
    p50_ms: float | None
    parts: dict[str, float | None]
    ends: dict[str, Interval]
    """Intervals of parts."""

    @property
    def ms(self) -> float:
        return max(self.p50_ms or 0, sum(filter(None, self.parts.values())))


def anatomy(found: Diagnosis) -> go.Figure:
    """The time of each endpoint by what it is spent on, medians: a bar of a request alone, one of it in the crowd.

    >>> import perflib
    >>> perflib.charts.anatomy(perflib.why("light_load"))  # doctest: +SKIP
    """
    words = Words(
        "Where the time goes",
        "Median time of a request in milliseconds by what it is spent on, alone and in a crowd.",
        "Look for the largest part of a request alone: that is the work itself. Then for what grows in the crowd: "
        "CPU that grows is a machine too small, waiting that grows is a queue before something scarce.",
    )
    rows = [bar for one in found.endpoints for bar in (_alone(one), _in_crowd(one)) if bar.ms]
    if not rows:
        return empty_figure(words.title, not_measured(found), found)
    figure = figure_of(words, found)
    for part in rows[0].parts:
        between = [_between(row.ends.get(part)) for row in rows]
        more = {"customdata": between, "hovertemplate": f"{part}: %{{x:.3~r}} ms%{{customdata}}<extra></extra>"}
        add_part(figure, part, [row.parts[part] for row in rows], **more)
    figure.add_scatter(
        x=[row.ms for row in rows],
        y=[*range(len(rows))],
        mode="text",
        text=[f" {shown(row.ms)} ms" for row in rows],
        textposition="middle right",
        hovertext=[row.hover for row in rows],
        hoverinfo="text",
        showlegend=False,
    )
    most_ms = max(row.ms for row in rows)
    bars(figure, [row.label for row in rows])
    return figure.update_xaxes(title="Time of a request, ms", range=[0, most_ms / (1 - _TEXT_SHARE)])


def _alone(one: Anatomy) -> _Bar:
    parts = {"connecting": one.connect_ms, "CPU": one.cpu_ms, "waiting": one.waiting_ms}
    parts |= {"machine's queue": one.queue_ms, "receiving": one.receiving_ms}
    hover = f"{label_of(one.endpoint)}, alone{_between(one.alone_interval_ms)}"
    names = ("connect_ms", "cpu_ms", "waiting_ms", "queue_ms", "receiving_ms")
    return _Bar(short(one.endpoint), hover, one.alone_p50_ms, parts, _ends(one, parts, names))


def _in_crowd(one: Anatomy) -> _Bar:
    at_once = "" if one.at_once is None else f"<br>{one.at_once:.1f} of {one.users} were served at once"
    cores = "" if one.cores_used is None else f"<br>{one.cores_used:.2g} cores used"
    parts = {"connecting": None, "CPU": one.crowd_cpu_ms, "waiting": one.crowd_waiting_ms}
    parts |= {"machine's queue": None, "receiving": one.crowd_receiving_ms}
    crowd = f"{one.users} users" if one.users else "in the crowd"
    label = short(one.endpoint) if one.alone_p50_ms is None else crowd
    between = _between(one.intervals.get("crowd_p50_ms"))
    hover = f"{label_of(one.endpoint)}, {crowd}{between}{at_once}{cores}"
    names = ("", "crowd_cpu_ms", "crowd_waiting_ms", "", "crowd_receiving_ms")
    return _Bar(label, hover, one.crowd_p50_ms, parts, _ends(one, parts, names))


def _ends(one: Anatomy, parts: Iterable[str], names: Sequence[str]) -> dict[str, Interval]:
    return {part: one.intervals[name] for part, name in zip(parts, names, strict=True) if name in one.intervals}


def _between(ends: Interval | None) -> str:
    return "" if ends is None else f"<br>{shown(ends.low)} to {shown(ends.high)} ms"
