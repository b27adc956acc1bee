"""The comparison of a report's runs with the runs before them, as a page beside the index."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from perflib.spec import InputError
from perflib.spec.run import setup_of
from perflib.spec.setup import differences
from perflib.store.runs import FACTS, RunFolder, load_run
from perflib.text import tables
from perflib.verdict.baseline import unfit
from perflib.verdict.compare import compare_stored
from perflib.workbook import charts
from perflib.workbook.report.page import chart, document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from perflib.spec import Facts, Run
    from perflib.spec.baselines import Baselines
    from perflib.verdict.compare import FigureVerdict
    from perflib.workbook.report.outcome import Outcome

PAGE = "compare.html"
_TITLE = "Against the runs before"
_HOW = (
    "Each run of this report (B) beside the latest sound run stored before it (A) of the same scenario, target, load "
    "and machine. How much the machine varies from run to run is known only from a baseline; without one there is no "
    "verdict."
)


@dataclass(frozen=True)
class Before:
    """A run of this report, `b`, and the one before it, `a`."""

    outcome: Outcome
    a: Run
    b: Run
    figures: tuple[FigureVerdict, ...]

    @property
    def told(self) -> str:
        return f"{self.outcome.title}: {tables.comparison_sentence(self.figures)}"


@dataclass(frozen=True)
class Compared:
    """The comparable pairs; without one, why there is none, as a sentence."""

    pairs: tuple[Before, ...] = ()
    why_none: str = (
        "Nothing to compare with: no sound earlier run of the same scenario, target, load and machine is stored here."
    )


def compare_with_before(folder: Path, outcomes: Sequence[Outcome], runs: Path, baselines: Baselines) -> Compared:
    """Write `compare.html`, where there is a pair. Whatever fails here is told: no report goes without its index."""
    try:
        pairs = with_runs_before(outcomes, runs, baselines)
        if pairs:
            write_comparison(folder, pairs)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        return Compared(why_none=f"The comparison with the runs before failed: {reason}")
    return Compared(pairs)


def with_runs_before(outcomes: Sequence[Outcome], runs: Path, baselines: Baselines) -> tuple[Before, ...]:
    """The comparable pairs; sound runs only, and none for a scenario that ran here for the first time."""
    found = []
    for outcome in outcomes:
        b = outcome.run
        if b is not None and not outcome.unfit and (a := _before(b, runs)) is not None:
            found.append(Before(outcome, a, b, compare_stored(a, b, baselines)))
    return tuple(found)


def _before(run: Run, runs: Path) -> Run | None:
    """The latest sound run that is a look at the same thing."""
    facts = run.facts
    earlier = [one for one in _readable(runs) if one.scenario == facts.scenario and one.started_at < facts.started_at]
    for one in sorted(earlier, key=lambda one: one.started_at, reverse=True):
        with suppress(InputError):
            other = load_run(runs, one.run_id)
            if not differences(setup_of(other.facts), setup_of(facts)) and not unfit(other):
                return other
    return None


def _readable(runs: Path) -> Iterator[Facts]:
    """The facts of the stored runs; one that cannot be read is no hindrance to a report."""
    for path in runs.glob(f"*/{FACTS}"):
        with suppress(InputError):
            yield RunFolder(path.parent).read_facts()


def write_comparison(folder: Path, pairs: Sequence[Before]) -> None:
    """Write `compare.html`."""
    told = "".join(f'<p class="said">{escape(pair.told)}</p>' for pair in pairs)
    back = '<nav><a href="index.html">All scenarios</a></nav>'
    sections = "".join(_section(pair) for pair in pairs)
    body = f"<main>{back}<h1>{_TITLE}</h1>{told}<p>{escape(_HOW)}</p>{sections}</main>"
    (folder / PAGE).write_text(document(_TITLE, body, charts=True), encoding="utf-8")


def _section(pair: Before) -> str:
    a, b = pair.a.facts, pair.b.facts
    table = tables.comparison(pair.figures).with_id(f"comparison-{b.scenario.name}").html()
    shifts = json.loads(charts.shift(pair.a, pair.b).to_json())
    return (
        f'<section><h2><a href="{escape(pair.outcome.page)}">{escape(pair.outcome.title)}</a></h2>'
        f'<p class="meta">A: {escape(a.run_id)} · B: {escape(b.run_id)}</p>'
        f'<div class="html">{table}</div>{chart(shifts)}</section>'
    )
