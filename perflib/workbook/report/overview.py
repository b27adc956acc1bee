"""The overview of a report: what was measured, each endpoint across the scenarios, and the course of each scenario."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import pandas as pd

from perflib.figures.summary import EndpointSummary, Summary
from perflib.judge.changes import judged
from perflib.show.numbers import NOTHING, limit, ms
from perflib.show.sparkline import height_of, path_of
from perflib.show.table import Cell, Table, numbers, row, words
from perflib.spec.revision import shown
from perflib.text import cells
from perflib.workbook.report.outcome import Outcome

COURSE_PX = (140, 26)
_RUNS, _LEAST = 30, 4


def measured(outcomes: Sequence[Outcome], made_at: str) -> str:
    """The targets with their revisions, and when."""
    facts = [one.run.facts for one in outcomes if one.run]
    told = [f"{one.target.name} at {one.target.base_url}" for one in facts]
    versions = [f"revision {shown(one.version)}" for one in facts if one.version]
    return " · ".join(dict.fromkeys([*told, *versions, made_at]))


def across(outcomes: Sequence[Outcome]) -> Table | None:
    """The p95 of each endpoint, page and journey by scenario; None for a single scenario."""
    known = [(one, {row.endpoint: row for row in one.summary.endpoints}) for one in outcomes if one.summary]
    if len(known) < 2:
        return None
    names = dict.fromkeys(name for _, rows in known for name in rows)
    return Table(
        columns=(*words("p95, ms"), *numbers(*(one.title.partition(":")[0] for one, _ in known), "Limit, ms")),
        rows=tuple(
            row(name, *(_cell(rows.get(name), bool(one.unfit)) for one, rows in known), _limit(name, known))
            for name in names
        ),
        id="across",
    )


def _limit(name: str, known: Sequence[tuple[Outcome, dict[str, EndpointSummary]]]) -> str:
    return next(limit(rows[name]) for _, rows in known if name in rows)


def _cell(of: EndpointSummary | None, unfit: bool) -> Cell:
    if of is None or not of.requests:
        return Cell(NOTHING, "quiet")
    shown = cells.percentile(of, 95)
    if unfit:
        return Cell(f"{shown.text} (not judged)", "quiet")
    return Cell(f"✗ {shown.text}", "bad") if of.meets_target is False else shown


@dataclass(frozen=True)
class Course:
    """The p95 of a scenario's slowest endpoint, run by run, the newest last."""

    endpoint: str
    p95_ms: tuple[float, ...]

    @property
    def path(self) -> str:
        """As an SVG path in a box of `COURSE_PX`."""
        step_px = COURSE_PX[0] / (len(self.p95_ms) - 1)
        return path_of(((step_px * place, value) for place, value in enumerate(self.p95_ms)), *self._scale)

    @property
    def last_y(self) -> float:
        return height_of(self.p95_ms[-1], *self._scale)

    @property
    def _scale(self) -> tuple[float, float]:
        return max(self.p95_ms), COURSE_PX[1]

    @property
    def told(self) -> str:
        """The newest beside the median of those before it."""
        *before, now = self.p95_ms
        usual = median(before)
        runs = f"the {len(before)} runs like it before"
        return f"p95 of {self.endpoint}: {ms(now)} ms; {ms(usual)} ms in {runs} ({now / usual - 1:+.0%})"


def course_of(summary: Summary, like: pd.DataFrame | None) -> Course | None:
    """That of a run among the sound stored runs of its setup; None where there are too few.

    Args:
        like: their figures, columns as in `FigureRow`, the run's own among them, the oldest first.
    """
    timed = [one for one in summary.endpoints if one.p95_ms is not None]
    slowest = max(timed, key=lambda one: one.p95_ms or 0.0, default=None)
    if slowest is None or like is None:
        return None
    sound = judged(like)
    before = sound[(sound["endpoint"] == slowest.endpoint) & (sound["run_id"] != summary.run_id)]["p95_ms"].dropna()
    values = (*before.tail(_RUNS - 1), slowest.p95_ms)
    return Course(slowest.endpoint, values) if len(values) >= _LEAST else None
