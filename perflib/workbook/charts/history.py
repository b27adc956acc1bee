"""Charts of many runs: the trend of a percentile with its change points, and distributions laid over each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from perflib.figures.summary import item_rows
from perflib.verdict.changes import PERCENTILES, SETUP_WORDS, changes, judged
from perflib.workbook.charts.binning import POINTS, thin
from perflib.workbook.charts.look import (
    COLOURS,
    DASHES,
    GLASS,
    INK,
    QUIET,
    empty_figure,
    figure_of,
    items_of,
    label_of,
    log_ms_axis,
    panel_target,
    panels,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from perflib.spec import Run

    Floats = NDArray[np.float64]

_PANEL_PX, _MOST_PANELS, _NEAR = 170, 16, 2.0
"""A target is drawn where it is within this factor of what its panel shows: one far away would flatten the trend."""

_LINE_CHARACTERS, _DECADE = 120, 6.0
_BEYOND = 1000.0
"""An interval without an upper end, for failures, is drawn to so many times its point: out of the panel."""


@dataclass(frozen=True)
class _Series:
    """The runs of one setup at one endpoint, oldest first, and how they are drawn."""

    rows: pd.DataFrame
    colour: str
    name: str


def history(
    frame: pd.DataFrame, *, percentile: str = "p95_ms", baselines: Mapping[str, float] | None = None
) -> go.Figure:
    """The trend of a percentile by run: a panel an endpoint, a colour a setup; change points, target and baseline.

    The line is the median of the level between two change points (see `changes`). Runs that are invalid or
    were interrupted are crosses, and part of no level. At most the latest `POINTS` runs are drawn and judged.

    Args:
        frame: as `perflib.runs` gives it.
        percentile: "p50_ms" or "p95_ms".
        baselines: the baseline's value of this percentile in ms, by endpoint.

    >>> import perflib
    >>> perflib.charts.history(perflib.runs(endpoint="GET /clients")).layout.annotations[0].text
    'GET /clients · target 200 ms'
    """
    title = f"{percentile.removesuffix('_ms')} by run"
    if percentile not in PERCENTILES:
        raise ValueError(f"percentile: {percentile!r} is none of {', '.join(PERCENTILES)}")
    shown = _latest(frame)
    drawable = shown[np.isfinite(shown[percentile])]
    if drawable.empty:
        why = "No run is stored, or none passes the filters." if frame.empty else "No run has enough successes for it."
        return empty_figure(title, why)
    endpoints = drawable["endpoint"].drop_duplicates().tolist()
    panelled = endpoints[:_MOST_PANELS]
    alt = f"{title} in milliseconds, with change points, for {', '.join(panelled)}."
    figure = panels(title, panelled, y_title="ms (log)", alt=alt, panel_px=_PANEL_PX)
    _caption(figure, frame, shown, len(endpoints))
    marks = changes(shown)
    marks = marks[marks["percentile"] == percentile]
    named: set[str] = set()
    for row, endpoint in enumerate(panelled, start=1):
        own = drawable[drawable["endpoint"] == endpoint]
        panel = _Panel(figure, row, percentile, None if baselines is None else baselines.get(endpoint))
        for series in _series_of(own, shown):
            panel.draw(series, _of(marks, series), legend=series.name not in named)
            named.add(series.name)
        panel.close(own)
    _run_axis(figure, shown, len(panelled))
    _legend(figure, drawable)
    return figure


def overlay(*runs: Run, endpoint: str = "") -> go.Figure:
    """The share of an endpoint's warm requests answered within a time, a curve a run; failures keep it below 100 %.

    Args:
        runs: any, at best a handful; a curve gets fewer points the more there are.
        endpoint: an endpoint or page; empty: the first that all the runs drove.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> perflib.charts.overlay(a, b, endpoint="GET /clients").layout.title.subtitle.text
    'GET /clients · 2 of 2 runs'
    """
    title = "Requests answered within a time"
    names = [[item.name for item in items_of(run)] for run in runs]
    common = [name for name in (names[0] if names else []) if all(name in some for some in names)]
    chosen = endpoint or next(iter(common), "")
    drawn = [run for run, some in zip(runs, names, strict=True) if chosen in some]
    if not drawn:
        why = f"No run drove {chosen}." if chosen else "The runs have no endpoint in common."
        return empty_figure(title, label_of(why) if runs else "No run was given.")
    ids = ", ".join(run.facts.run_id for run in drawn)
    alt = f"Cumulative distributions of the response times of {chosen} in milliseconds, runs {ids}."
    figure = figure_of(title, alt=alt)
    shown = [math.nan]
    for number, run in enumerate(drawn):
        rows = item_rows(run, chosen)
        answered = rows.warm_ms
        ranks = _thinner(thin(len(answered)), len(drawn))
        shown += [*answered[:1], *answered[-1:]]
        figure.add_scatter(
            x=answered[ranks],
            y=100 * (ranks + 1) / max(len(rows.judged_ms), 1),
            name=_run_label(run),
            mode="lines",
            line=_line(number) | {"shape": "hv"},
            hovertemplate="%{fullData.name}<br>%{y:.4~g} % within %{x:.3~r} ms<extra></extra>",
        )
    figure.add_hline(y=95, line={"color": QUIET, "width": 1, "dash": "dot"})
    figure.update_layout(showlegend=True, title_subtitle_text=f"{label_of(chosen)} · {len(drawn)} of {len(runs)} runs")
    figure.update_xaxes(title="Response time, ms (log)", **log_ms_axis(shown))
    figure.update_yaxes(title="Requests answered, %", range=[0, 101.5], tickvals=[0, 25, 50, 75, 95, 100])
    return figure


@dataclass(frozen=True)
class _Panel:
    """One endpoint's place in the figure."""

    figure: go.Figure
    row: int
    percentile: str
    baseline_ms: float | None

    def draw(self, series: _Series, marks: pd.DataFrame, *, legend: bool) -> None:
        fit = judged(series.rows)
        apart = series.rows.drop(fit.index)
        self._points(fit, series, {"color": series.colour, "size": 6}, legend=legend)
        self._points(apart, series, _cross(series.colour), legend=False)
        x, y = _levels(fit, self.percentile, marks)
        line = {"color": series.colour, "width": 2}
        look: dict[str, Any] = {"mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False}
        self.figure.add_scatter(x=x, y=y, legendgroup=series.name, **look, row=self.row, col=1)
        for number, mark in zip(_begins(fit, marks), marks.to_dict("records"), strict=True):
            self._mark(fit["number"].iloc[number] - 0.5, _change_label(mark), series.colour)

    def close(self, own: pd.DataFrame) -> None:
        """Target and baseline, and an axis around what is shown; a target far away stands in the heading only."""
        ms = own[self.percentile].to_numpy()
        kept = [ms.min(), ms.max()]
        if self.baseline_ms is not None:
            kept.append(self.baseline_ms)
            self._across(own["number"], [self.baseline_ms] * len(own), _baseline_line(self.baseline_ms))
        targets = own.drop_duplicates("number", keep="last") if self.percentile == "p95_ms" else own.iloc[:0]
        if targets["target_ms"].notna().any():
            latest = float(targets["target_ms"].dropna().iloc[-1])
            self.figure.layout.annotations[self.row - 1].text += f" · target {latest:,g} ms"
            near = [value for value in targets["target_ms"].dropna() if ms.min() / _NEAR < value < ms.max() * _NEAR]
            kept += near
            if near:
                self._across(targets["number"], targets["target_ms"], panel_target(latest))
        self.figure.update_yaxes(**_ms_axis(kept), row=self.row, col=1)

    def _points(self, rows: pd.DataFrame, series: _Series, marker: dict[str, Any], *, legend: bool) -> None:
        ms = rows[self.percentile].to_numpy()
        self.figure.add_scatter(
            x=rows["number"],
            y=ms,
            error_y=self._whiskers(rows, series.colour),
            mode="markers",
            marker=marker,
            name=label_of(series.name),
            legendgroup=series.name,
            showlegend=legend,
            text=[_about(row) for row in rows.itertuples()],
            hovertemplate="%{y:.3~r} ms<br>%{text}<extra></extra>",
            row=self.row,
            col=1,
        )

    def _whiskers(self, rows: pd.DataFrame, colour: str) -> dict[str, Any] | None:
        """The runs' own intervals, where they have one."""
        stem = self.percentile.removesuffix("_ms")
        low, high = rows.get(f"{stem}_low_ms"), rows.get(f"{stem}_high_ms")
        if low is None or high is None or low.isna().all():
            return None
        ms = rows[self.percentile]
        top = high.clip(upper=_BEYOND * ms)
        above, below = (top - ms).clip(lower=0).fillna(0), (ms - low).clip(lower=0).fillna(0)
        look = {"color": colour, "thickness": 1, "width": 2}
        return {"type": "data", "array": above, "arrayminus": below, "symmetric": False} | look

    def _mark(self, x: float, text: str, colour: str) -> None:
        """A line where a level began; labels of neighbours stand below each other."""
        axis = "y domain" if self.row == 1 else f"y{self.row} domain"
        earlier = sum(shape.yref == axis for shape in self.figure.layout.shapes)
        label = {"text": text, "yshift": -15 * (earlier % 3), "font": {"size": 11, "color": INK}, "bgcolor": GLASS}
        line = {"color": colour, "width": 1.2, "dash": "dot"}
        where = {"annotation_position": "top right", "row": self.row, "col": 1}
        self.figure.add_vline(x=x, line=line, annotation=label, **where)

    def _across(self, numbers: pd.Series[float], ms: Sequence[float] | pd.Series[float], style: dict[str, Any]) -> None:
        stepped = style | {"line": style["line"] | {"shape": "hvh"}}
        self.figure.add_scatter(x=numbers, y=ms, **stepped, row=self.row, col=1)


def _latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the latest `POINTS` runs, with `number`: the run's place among them, from 1."""
    order = frame.sort_values(["started_at", "run_id"], kind="stable")
    runs = order["run_id"].drop_duplicates().tail(POINTS)
    places = pd.Series(np.arange(1.0, len(runs) + 1), index=runs.to_numpy())
    kept = order[order["run_id"].isin(runs)]
    return kept.assign(number=kept["run_id"].map(places).astype(float)).reset_index(drop=True)


def _series_of(own: pd.DataFrame, shown: pd.DataFrame) -> Iterator[_Series]:
    """One endpoint's rows by setup; a setup keeps its colour over the panels."""
    setups = shown["setup"].drop_duplicates().tolist()
    differ = [column for column in SETUP_WORDS if shown[column].nunique(dropna=False) > 1]
    alike_in_words = len(shown[SETUP_WORDS].drop_duplicates()) < len(setups)
    for setup, rows in own.groupby("setup", sort=False):
        words = [str(rows[column].iloc[0]) for column in differ] + [f"setup {setup}"] * alike_in_words
        yield _Series(rows, COLOURS[setups.index(setup) % len(COLOURS)], ", ".join(words) or "run")


def _of(marks: pd.DataFrame, series: _Series) -> pd.DataFrame:
    first = series.rows.iloc[0]
    same = np.all([marks[column] == first[column] for column in ("setup", "endpoint")], axis=0)
    return marks[same].sort_values("started_at", kind="stable")


def _levels(judged: pd.DataFrame, percentile: str, marks: pd.DataFrame) -> tuple[Floats, Floats]:
    """The medians between the changes as one line that steps where they are."""
    if judged.empty:
        return np.empty(0), np.empty(0)
    numbers, ms = judged["number"].to_numpy(), judged[percentile].to_numpy()
    begins = _begins(judged, marks)
    edges = [numbers[0] - 0.5, *(numbers[begins] - 0.5), numbers[-1] + 0.5]
    medians = [np.median(part) for part in np.split(ms, begins)]
    return np.repeat(edges, 2)[1:-1], np.repeat(medians, 2)


def _begins(judged: pd.DataFrame, marks: pd.DataFrame) -> NDArray[np.intp]:
    """The rows with which new levels began."""
    return np.flatnonzero(judged["run_id"].isin(marks["run_id"]))


def _caption(figure: go.Figure, frame: pd.DataFrame, shown: pd.DataFrame, endpoints: int) -> None:
    """What runs these are, and what was left out, in the subtitle."""
    count, every = shown["run_id"].nunique(), frame["run_id"].nunique()
    same = [str(shown[column].iloc[0]) for column in SETUP_WORDS if shown[column].nunique() == 1]
    words = [f"{count:,} runs" if count == every else f"the latest {count:,} of {every:,} runs", *same]
    if endpoints > _MOST_PANELS:
        words.append(f"{_MOST_PANELS} of {endpoints} endpoints")
    lines = wrap(" · ".join(words), _LINE_CHARACTERS)
    figure.update_layout(
        title_subtitle_text="<br>".join(map(label_of, lines)), margin_t=78 + 18 * len(lines), hovermode="closest"
    )


def _run_axis(figure: go.Figure, shown: pd.DataFrame, count: int) -> None:
    """Runs at even distances, a few of them with their date."""
    runs = shown.drop_duplicates("run_id")
    places = np.unique(np.linspace(0, len(runs) - 1, min(len(runs), 8)).round().astype(int))
    labels = [f"{runs['started_at'].iloc[place]:%Y-%m-%d<br>%H:%M}" for place in places]
    span = {"range": [0.4, len(runs) + 0.6], "tickvals": runs["number"].iloc[places], "ticktext": labels}
    figure.update_xaxes(**span)
    figure.update_xaxes(title="Run, in order of its start (UTC)", row=count, col=1)


def _ms_axis(values: Sequence[float]) -> dict[str, Any]:
    """A log axis that shows at least a factor of 1.5, so that noise does not look like change."""
    lowest, highest = min(values), max(values)
    wider = max(1.0, math.sqrt(1.5 * lowest / highest))
    axis = log_ms_axis([lowest / wider, highest * wider])
    return axis if highest > _DECADE * lowest else axis | {"tickmode": "auto", "nticks": 5}


def _legend(figure: go.Figure, drawable: pd.DataFrame) -> None:
    """Entries for what is drawn and means the same in every panel."""
    drawn = {trace.meta for trace in figure.data}
    styles: dict[str, dict[str, Any]] = {"median of the level": {"mode": "lines", "line": {"color": INK, "width": 2}}}
    if len(judged(drawable)) < len(drawable):
        styles["invalid or interrupted"] = {"mode": "markers", "marker": _cross(INK)}
    if "target" in drawn:
        styles["target for p95"] = panel_target(0) | {"hovertemplate": None, "meta": None}
    if "baseline" in drawn:
        styles["baseline"] = _baseline_line(0) | {"hovertemplate": None, "meta": None}
    for name, style in styles.items():
        figure.add_scatter(x=[None], y=[None], name=name, **style | {"showlegend": True}, row=1, col=1)


def _cross(colour: str) -> dict[str, Any]:
    return {"color": colour, "size": 7, "symbol": "x-thin", "line": {"width": 1.5, "color": colour}}


def _baseline_line(ms: float) -> dict[str, Any]:
    return {
        "mode": "lines",
        "showlegend": False,
        "line": {"color": INK, "width": 1.4, "dash": "dot"},
        "hovertemplate": f"baseline: {ms:.4g} ms<extra></extra>",
        "meta": "baseline",
    }


def _change_label(change: dict[Hashable, Any]) -> str:
    """By how much, since which commit and brief."""
    since = [_commit(change["git_commit"]), _text(change["brief"])]
    return label_of(" · ".join(word for word in (f"{change['ratio'] - 1:+.0%}", *since) if word))


def _about(row: Any) -> str:
    """What hovering over a run tells."""
    when = f"{row.started_at:%Y-%m-%d %H:%M} UTC"
    words = (row.run_id, when, _commit(row.git_commit), _text(row.brief), _text(row.note))
    return "<br>".join(label_of(word) for word in words if word)


def _commit(value: object) -> str:
    return _text(value)[:7]


def _text(value: object) -> str:
    """A table's cell; empty where it holds none."""
    return value if isinstance(value, str) else ""


def _run_label(run: Run) -> str:
    facts = run.facts
    words = (facts.run_id, _commit(facts.git_commit), facts.brief, facts.note, "" if facts.valid else "invalid")
    return label_of(" · ".join(word for word in words if word))


def _line(number: int) -> dict[str, Any]:
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return {"color": COLOURS[number % len(COLOURS)], "dash": dash, "width": 2}


def _thinner(ranks: NDArray[np.int64], curves: int) -> NDArray[np.int64]:
    """Fewer of these ranks where there are many curves, first and last among them."""
    most = max(50, 4 * POINTS // curves)
    return ranks if len(ranks) <= most else ranks[np.linspace(0, len(ranks) - 1, most).round().astype(int)]
