"""Live: a run shown while it is measured, and picked up again. `run` is `perflib.run`."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from perflib.judge.check import Check
from perflib.session import check as checking
from perflib.session import drive
from perflib.spec import InputError, Options, Run
from perflib.spec.options import Said, options_of
from perflib.store.folders import Workbook
from perflib.store.owner import Fate
from perflib.store.runs import FACTS, RunFolder, load_run, stored_folder
from perflib.workbook.live.follow import Progress
from perflib.workbook.live.views import View, view_of

__all__ = ["View", "attach", "check", "run", "view_of"]

_POLL_S = 1.0


def run(
    scenario: str,
    options: Options | None = None,
    *,
    report: Callable[[Progress], None] | None = None,
    **said: Unpack[Said],
) -> Run:
    """Measure: drive `scenario` at the target, store the run, show it meanwhile, return it.

    Works in notebooks and plain scripts alike. A stored run named `run_id` is shown again, one that is under way is
    followed. Ctrl-C or the stop button ends the run gracefully: what was measured is kept and marked interrupted.
    Without `target` and `url` it measures the sample dashboard.

    Args:
        scenario: a scenario of the brief, such as "light_load", or one that the target file defines.
        options: run options as one value, in place of the keywords.
        report: called about once per second; default: a panel in a notebook, a line on a terminal, else plain lines.
        said: run options, as on the command line: users=20, duration="30s". Empty ones stay as they are by default.

    Raises:
        InputError: in one line, what is wrong and its mend.
    """
    asked = options or options_of(said)
    if asked.run_id and is_under_way(Workbook.find().runs, asked.run_id):
        return attach(asked.run_id)
    return drive.run(scenario, asked, watch=partial(view_of, report=report))


def check(
    names: Sequence[str],
    options: Options | None = None,
    count: int | None = None,
    most_errors: float = 0.0,
    *,
    budget_s: float = checking.BUDGET_S,
    against: str = "",
) -> Check:
    """Judge scenarios, measured anew and shown meanwhile, and stored runs: see `perflib.session.check.check`."""
    return checking.check(names, options, count, most_errors, budget_s=budget_s, against=against, watch=view_of)


def attach(run_id: str = "") -> Run:
    """Pick up a run again, as after a page reload or a dead kernel: show it until it ends, and return it.

    A run whose process died ends as interrupted, with all that was spooled. Stopping here (Ctrl-C, the stop button)
    ends the watching, not a run that another process drives: that is returned as far as it has come.

    Args:
        run_id: of a stored run of this workbook; empty: the one under way, or else the last.

    Raises:
        InputError: where there is no such run.

    >>> import perflib
    >>> perflib.attach("sample-28-release-1.4")
    <Run sample-28-release-1.4: 512 rows in 6 s>
    """
    runs = Workbook.find().runs
    folder = stored_folder(runs, run_id or _latest(runs))
    with view_of(folder) as view:
        try:
            _watch(folder, view)
        except KeyboardInterrupt:
            return view.ended(folder.load())
        return view.ended(load_run(runs, folder.path.name))


def _watch(folder: RunFolder, view: View) -> None:
    """Until the run is sealed, by all who drive it or because none of them lives."""
    while folder.read_facts().state == "running":
        view.look()
        folder.recover()
        time.sleep(_POLL_S)


def is_under_way(runs: Path, run_id: str) -> bool:
    """Whether somebody drives a run of this name, here or elsewhere."""
    return RunFolder(runs / run_id).fate() in (Fate.HERE, Fate.ELSEWHERE)


def _latest(runs: Path) -> str:
    """The run that is under way on this machine, or else the one that began last."""
    found = [RunFolder(path.parent) for path in runs.glob(f"*/{FACTS}")]
    if not found:
        raise InputError(f"{runs}: no stored run yet; perflib.run makes one")
    under_way = [folder for folder in found if folder.fate() == Fate.HERE]
    return max(under_way or found, key=RunFolder.began).path.name
