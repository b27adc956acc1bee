"""The comparison of a report's runs with the runs before them, as a page beside the index."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from perflib.figures.row import figures_of
from perflib.judge.changes import runs_before
from perflib.judge.compare import FigureVerdict, compare_stored
from perflib.show.table import Table
from perflib.spec import InputError, Run
from perflib.spec.baselines import Baselines
from perflib.spec.run import setup_of
from perflib.store.figures import history
from perflib.store.runs import load_run
from perflib.text import tables
from perflib.workbook import charts
from perflib.workbook.report import html
from perflib.workbook.report.outcome import Outcome

PAGE = "compare.html"


@dataclass(frozen=True)
class Pair:
    """A run of this report, `b`, and the latest one before it, `a`."""

    outcome: Outcome
    a: Run
    b: Run
    figures: tuple[FigureVerdict, ...]

    @property
    def sentence(self) -> str:
        return tables.comparison_sentence(self.figures)

    @property
    def table(self) -> Table:
        shown = tables.comparison(self.figures).with_id(f"comparison-{self.outcome.scenario}")
        return replace(shown, title="")

    @property
    def sides(self) -> tuple[str, ...]:
        return tables.sides(tables.about_runs(self.a.facts, self.b.facts))

    @property
    def charts(self) -> list[Markup]:
        drawn = [charts.distributions(self.a, self.b), charts.shift(self.a, self.b)]
        return [html.chart(json.loads(str(one.to_json()))) for one in drawn]


@dataclass(frozen=True)
class Compared:
    """The comparable pairs; without one, why there is none, as a sentence."""

    pairs: tuple[Pair, ...] = ()
    why_none: str = "There is no previous sound run of the same scenario, target, load and machine to compare with."


def compare_with_before(folder: Path, outcomes: Sequence[Outcome], runs: Path, baselines: Baselines) -> Compared:
    """Write `compare.html`, where there is a pair. A failure here becomes a sentence: every report gets its index."""
    try:
        pairs = with_runs_before(outcomes, runs, baselines)
        if pairs:
            shown = {"title": "Compared with the previous runs", "pairs": pairs, "charts": True}
            html.write(folder / PAGE, "compare.html.j2", shown)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        return Compared(why_none=f"The comparison with the previous runs failed: {reason}")
    return Compared(pairs)


def with_runs_before(outcomes: Sequence[Outcome], runs: Path, baselines: Baselines) -> tuple[Pair, ...]:
    """The comparable pairs; sound runs only, and none for a scenario that ran here for the first time."""
    found = []
    for outcome in outcomes:
        b = outcome.run
        if b is None or outcome.unfit:
            continue
        like = history(runs, figures_of, setups=[setup_of(b.facts).hash])
        if (a := _before(b, like, runs)) is not None:
            found.append(Pair(outcome, a, b, compare_stored(a, b, baselines, like)))
    return tuple(found)


def _before(run: Run, like: pd.DataFrame, runs: Path) -> Run | None:
    """The latest sound run that is a look at the same thing."""
    for run_id in runs_before(like, setup_of(run.facts).hash, run.facts.started_at):
        with suppress(InputError):  # one that cannot be read is no hindrance to a report
            return load_run(runs, run_id)
    return None
