"""The history: the trend of a percentile over many runs, with its change points."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from perflib.judge.changes import PERCENTILES, SETUP_WORDS, changes, judged, valued
from perflib.spec.revision import shown
from perflib.workbook.charts import parts
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Panel, Words, label_of, scatter
from perflib.workbook.charts.windows import POINTS

_PANEL_PX, _MOST_PANELS, _LINE_CHARACTERS = 170, 16, 120
_NEAR, _DECADE = 2.0, 6.0
"""A limit is drawn where it is within `_NEAR` times what its panel shows: one far away would flatten the trend."""
_BEYOND = 1000.0
"""An interval without an upper end, for failures, is drawn to so many times its point: out of the panel."""


@dataclass(frozen=True)
class _Series:
    """The runs of one setup at one endpoint, oldest first, the changes among them, and how they are drawn."""

    rows: pd.DataFrame
    marks: pd.DataFrame
    colour: str
    name: str

    @property
    def judged(self) -> pd.DataFrame:
        return judged(self.rows)

    @property
    def begins(self) -> NDArray[np.intp]:
        """The judged rows with which new levels began."""
        return np.flatnonzero(self.judged["run_id"].isin(self.marks["run_id"]))


def history(
    frame: pd.DataFrame, *, percentile: str = "p95_ms", baselines: Mapping[str, float] | None = None
) -> go.Figure:
    """The trend of a percentile by run: a panel per endpoint, a colour per setup; change points, limit and baseline.

    The line is the median of the level between two change points (see `changes`). Runs that are invalid or
    were interrupted are crosses, and part of no level. A run too slow for its p95 is a hollow arrow at what its p95 is
    at least. At most the latest `POINTS` runs are drawn and judged.

    Args:
        frame: as `perflib.runs` gives it.
        percentile: "p50_ms" or "p95_ms".
        baselines: the baseline's value of this percentile in ms, by endpoint.

    >>> import perflib
    >>> perflib.charts.history(perflib.runs(endpoint="GET /clients")).layout.annotations[0].text
    'GET /clients · limit 200 ms'
    """
    if percentile not in PERCENTILES:
        raise ValueError(f"percentile: {percentile!r} is none of {', '.join(PERCENTILES)}")
    title, shown = f"{percentile.removesuffix('_ms')} by run", _latest(frame)
    shown = shown.join(valued(shown, percentile))
    drawable = shown[np.isfinite(shown["ms"])]
    if drawable.empty:
        why = "No run is stored, or none passes the filters." if frame.empty else "No run has enough successes for it."
        return parts.empty_figure(title, why)
    by_endpoint = dict(list(drawable.groupby("endpoint", sort=False, observed=True)))
    panelled = dict(list(by_endpoint.items())[:_MOST_PANELS])
    words = Words(
        title,
        f"{title} in milliseconds, with change points, for {', '.join(panelled)}.",
        "Look for a step in the line, which is the median of a level: its mark names by how much, and the commit and "
        "brief of the first run after it. A hollow arrow is a run too slow for its p95, which lies there or higher. "
        "Bars at a point are that run's own 95 % interval. Points of different colours were measured under different "
        "setups and are never compared.",
    )
    found = changes(shown)
    found = found[found["percentile"] == percentile]
    series = {endpoint: list(_series_of(own, shown, found)) for endpoint, own in panelled.items()}
    known = baselines or {}
    panels = [_panel(own, series[name], percentile, known.get(name)) for name, own in panelled.items()]
    figure = parts.stacked(words, panels, x_title="Run, in order of its start (UTC)")
    for row, some in enumerate(series.values(), start=1):
        _mark_changes(figure, some, row)
    _caption(figure, frame, shown, len(by_endpoint))
    return figure.update_xaxes(**_run_axis(shown))


def _latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the latest `POINTS` runs, with `number`: the run's place among them, from 1."""
    order = frame.sort_values(["started_at", "run_id"], kind="stable")
    runs = order["run_id"].drop_duplicates().tail(POINTS)
    places = pd.Series(np.arange(1.0, len(runs) + 1), index=runs.to_numpy())
    kept = order[order["run_id"].isin(runs)]
    return kept.assign(number=kept["run_id"].map(places).astype(float)).reset_index(drop=True)


def _series_of(own: pd.DataFrame, shown: pd.DataFrame, found: pd.DataFrame) -> Iterator[_Series]:
    """One endpoint's rows by setup; a setup keeps its colour over the panels."""
    setups = shown["setup"].drop_duplicates().tolist()
    differ = [column for column in SETUP_WORDS if shown[column].nunique(dropna=False) > 1]
    alike_in_words = len(shown[SETUP_WORDS].drop_duplicates()) < len(setups)
    for setup, rows in own.groupby("setup", sort=False):
        words = [str(rows[column].iloc[0]) for column in differ] + [f"setup {setup}"] * alike_in_words
        same = np.all([found[column] == rows[column].iloc[0] for column in ("setup", "endpoint")], axis=0)
        marks = found[same].sort_values("started_at", kind="stable")
        yield _Series(rows, marks, COLOURS[setups.index(setup) % len(COLOURS)], ", ".join(words) or "run")


def _panel(own: pd.DataFrame, series: Sequence[_Series], percentile: str, baseline_ms: float | None) -> Panel:
    """The runs of one endpoint, limit and baseline; a limit far away stands in the heading only."""
    heading, ms = own["endpoint"].iloc[0], own["ms"]
    kept, traces = [ms.min(), ms.max()], [trace for one in series for trace in _traces(one, percentile)]
    if baseline_ms is not None:
        kept.append(baseline_ms)
        line = {"color": LIGHT.ink, "width": 1.4, "dash": "dot", "shape": "hvh"}
        y, hover = [baseline_ms] * len(own), f"baseline: {baseline_ms:.4g} ms"
        traces.append(scatter(own["number"], y, hover, name="baseline", line=line, meta="baseline"))
    limits = own.drop_duplicates("number", keep="last").dropna(subset="target_ms")
    if percentile == "p95_ms" and len(limits):
        limit_ms = limits["target_ms"]
        heading += f" · limit {limit_ms.iloc[-1]:,g} ms"
        near = limit_ms[limit_ms.between(ms.min() / _NEAR, ms.max() * _NEAR)].tolist()
        kept += near
        if near:
            traces.append(parts.panel_limit(limit_ms.iloc[-1], limits["number"], limit_ms, shape="hvh"))
    return Panel(traces, "ms (log)", heading, _PANEL_PX, _ms_axis(kept))


def _traces(series: _Series, percentile: str) -> Iterator[go.Scatter]:
    """The runs as points, those that are not judged as crosses, and the medians between the changes as a line."""
    fit, colour = series.judged, series.colour
    dot, line = {"color": colour, "size": 6}, {"color": colour, "width": 2}
    cross = {"color": colour, "size": 7, "symbol": "x-thin", "line": {"width": 1.5, "color": colour}}
    arrow = {"color": colour, "size": 8, "symbol": "triangle-up-open", "line": {"width": 1.5}}
    apart, below = series.rows.drop(fit.index), f"{percentile.removesuffix('_ms')} ≥ "
    for rows, name, marker, sign in (
        (fit[~fit["bound"]], label_of(series.name), dot, ""),
        (fit[fit["bound"]], "at least, as too few requests succeeded", arrow, below),
        (apart, "invalid or interrupted", cross, ""),
    ):
        if len(rows):
            numbers, hover = rows["number"], f"{sign}%{{y:.3~r}} ms<br>%{{text}}"
            points = scatter(numbers, rows["ms"], hover, name=name, group=series.name, marker=marker)
            text = [_about(row) for row in rows.itertuples()]
            yield points.update(text=text, error_y=_whiskers(rows, percentile, colour))
    if len(fit):
        places, begins = fit["number"].to_numpy(), series.begins
        edges = [places[0] - 0.5, *(places[begins] - 0.5), places[-1] + 0.5]
        medians = [np.median(level) for level in np.split(fit["ms"].to_numpy(), begins)]
        x, y = np.repeat(edges, 2)[1:-1], np.repeat(medians, 2)
        yield scatter(x, y, name="median of the level", group=series.name, line=line)


def _whiskers(rows: pd.DataFrame, percentile: str, colour: str) -> dict[str, Any] | None:
    """The runs' own intervals, where they have one."""
    stem = percentile.removesuffix("_ms")
    low, high = rows.get(f"{stem}_low_ms"), rows.get(f"{stem}_high_ms")
    if low is None or high is None or low.isna().all():
        return None
    ms = rows["ms"]
    above = (high.clip(upper=_BEYOND * ms) - ms).clip(lower=0).fillna(0)
    look = {"type": "data", "symmetric": False, "color": colour, "thickness": 1, "width": 2}
    return look | {"array": above, "arrayminus": (ms - low).clip(lower=0).fillna(0)}


def _mark_changes(figure: go.Figure, series: Sequence[_Series], row: int) -> None:
    """A line where a level began; labels of neighbours stand below each other."""
    drawn = 0
    for one in series:
        for number, mark in zip(one.begins, one.marks.to_dict("records"), strict=True):
            since = [shown(mark["revision"]), _text(mark["brief"])]
            ratio = f"{mark['ratio'] - 1:+.0%}" + " or more" * mark["at_least"]
            text = label_of(" · ".join(word for word in (ratio, *since) if word))
            font = {"size": 11, "color": LIGHT.ink}
            label = {"text": text, "yshift": -15 * (drawn % 3), "font": font, "bgcolor": LIGHT.glass}
            place = {"x": one.judged["number"].iloc[number] - 0.5, "annotation_position": "top right"}
            line = {"color": one.colour, "width": 1.2}
            figure.add_vline(**place, line=line, annotation=label, row=row, col=1)
            drawn += 1


def _caption(figure: go.Figure, frame: pd.DataFrame, shown: pd.DataFrame, endpoints: int) -> None:
    """What runs these are, and what was left out, in the subtitle."""
    count, every = shown["run_id"].nunique(), frame["run_id"].nunique()
    same = [str(shown[column].iloc[0]) for column in SETUP_WORDS if shown[column].nunique() == 1]
    words = [f"{count:,} runs" if count == every else f"the latest {count:,} of {every:,} runs", *same]
    if endpoints > _MOST_PANELS:
        words.append(f"{_MOST_PANELS} of {endpoints} endpoints")
    if "unanswered" in shown and (silent := shown.loc[shown["unanswered"] > 0, "run_id"].nunique()):
        words.append(f"{silent:,} with an endpoint that was never answered")
    lines = wrap(" · ".join(words), _LINE_CHARACTERS)
    subtitle = "<br>".join(map(label_of, lines))
    figure.update_layout(
        title_subtitle_text=subtitle, margin_t=78 + 18 * len(lines), hovermode="closest", legend_traceorder="normal"
    )


def _run_axis(shown: pd.DataFrame) -> dict[str, Any]:
    """Runs at even distances, a few of them with their date."""
    runs = shown.drop_duplicates("run_id")
    places = np.unique(np.linspace(0, len(runs) - 1, min(len(runs), 8)).round().astype(int))
    labels = [f"{runs['started_at'].iloc[place]:%Y-%m-%d<br>%H:%M}" for place in places]
    return {"range": [0.4, len(runs) + 0.6], "tickvals": runs["number"].iloc[places], "ticktext": labels}


def _ms_axis(values: Sequence[float]) -> dict[str, Any]:
    """A log axis that shows at least a factor of 1.5, so that noise does not look like change."""
    lowest, highest = min(values), max(values)
    wider = max(1.0, math.sqrt(1.5 * lowest / highest))
    axis = parts.log_ms_axis([lowest / wider, highest * wider])
    return axis if highest > _DECADE * lowest else axis | {"tickmode": "auto", "nticks": 5}


def _about(row: Any) -> str:
    """What hovering over a run shows."""
    when = f"{row.started_at:%Y-%m-%d %H:%M} UTC"
    words = (row.run_id, when, shown(row.revision), _text(row.brief), _text(row.note))
    return "<br>".join(label_of(word) for word in words if word)


def _text(value: object) -> str:
    """A table's cell; empty where it holds none."""
    return value if isinstance(value, str) else ""
