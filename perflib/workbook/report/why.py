"""The page that says why: the notebook `09_why`, on the worst run of a report or live on its last scenario."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perflib.spec import Options
from perflib.store.folders import Workbook
from perflib.workbook.report.engine import NotebookFailed
from perflib.workbook.report.notebook import execute, parameters_of
from perflib.workbook.report.outcome import Outcome
from perflib.workbook.report.page import write_page

NOTEBOOK, PAGE, TITLE = "09_why.ipynb", "why.html", "Why is it slow?"


@dataclass(frozen=True)
class Explained:
    """What became of the page that says why."""

    page: str = ""
    """Its file name; empty: there is none."""
    failure: str = ""
    """In one line, why its notebook did not run to its end."""


def explain(
    outcomes: Sequence[Outcome], options: Options, workbook: Workbook, folder: Path, progress: Callable[[str], None]
) -> Explained:
    """Write `why.html`: in the brief profile by experiments on the last scenario, else by the worst run alone.

    A failure here becomes a sentence: every report gets its index.
    """
    notebook, worst = workbook.notebooks / NOTEBOOK, _worst(outcomes)
    if not notebook.exists() or worst is None:
        return Explained()
    run_id, said = worst, Options()
    if options.profile == "brief":
        run_id, said = "", options
    executed, failure = folder / "why.ipynb", ""
    try:
        execute(notebook, executed, _parameters(notebook, outcomes[-1].scenario, said, run_id), progress, workbook)
    except NotebookFailed as error:
        failure = str(error)
        progress(f"{notebook.stem}: {failure}")
    write_page(executed, folder / PAGE, TITLE, failure)
    return Explained(PAGE, failure)


def _parameters(notebook: Path, scenario: str, options: Options, run_id: str) -> dict[str, object]:
    return parameters_of(notebook, options, run_id) | {"scenario": scenario}


def _worst(outcomes: Sequence[Outcome]) -> str | None:
    """The id of the sound run that is nearest to its limits, or furthest beyond them; None: there is no sound run."""
    sound = [one for one in outcomes if one.run is not None and not one.unfit]
    runs = {one.run.facts.run_id: _share_of_limits(one) for one in sound if one.run is not None}
    return max(runs, key=lambda run_id: runs[run_id], default=None)


def _share_of_limits(outcome: Outcome) -> float:
    """The largest of what was judged over its limit; 0 where there is no limit."""
    rows = outcome.summary.endpoints if outcome.summary else ()
    limits = [one for row in rows for one in row.limits if one.of != "failed"]
    missed = [math.inf for row in rows if row.unanswered and row.limits]
    return max([*missed, *(one.found / one.bound for one in limits if one.found is not None)], default=0.0)
