"""Stored runs of this workbook: loaded, listed, compared."""

import pandas as pd

from perflib.figures.row import figures_of
from perflib.judge.compare import FigureVerdict, compare_stored
from perflib.spec import Run
from perflib.spec.baselines import Baselines
from perflib.store.baselines import load_baselines
from perflib.store.figures import history
from perflib.store.folders import Workbook
from perflib.store.runs import load_run as load_stored_run
from perflib.store.runs import stored_folder


def is_stored(name: str) -> bool:
    """Whether this is the id of a stored run."""
    return bool(name) and "/" not in name and (Workbook.find().runs / name).is_dir()


def compare_runs(a: str, b: str, *, although_different: bool = False) -> tuple[FigureVerdict, ...]:
    """Two stored runs by their ids: B over A with verdicts, as far as A's baseline knows the run-to-run noise."""
    return compare_stored(load_run(a), load_run(b), stored_baselines(), although_different=although_different)


def named(run_id: str) -> str:
    """A stored run by its id and the version that it measured."""
    return stored_folder(Workbook.find().runs, run_id).read_facts().named


def stored_baselines() -> Baselines:
    """The baselines of this workbook."""
    return load_baselines(Workbook.find().baselines)


def load_run(run_id: str) -> Run:
    """A stored run of this workbook. Raises InputError where there is none."""
    return load_stored_run(Workbook.find().runs, run_id)


def runs(
    scenario: str = "",
    endpoint: str = "",
    environment: str = "",
    since: str = "",
    until: str = "",
    target: str = "",
) -> pd.DataFrame:
    """All stored runs of this workbook, oldest first: a row per run and endpoint, metadata and figures.

    Args:
        scenario: only runs of this scenario.
        endpoint: only this endpoint or page.
        environment: only machines whose description contains this text, such as "x86_64".
        since, until: only runs started between these dates, such as "2026-03-01", UTC, both included.
        target: only runs of the target of this name.

    Raises:
        InputError: for a date that is none.
    """
    named = {"scenario": scenario, "endpoint": endpoint, "target": target}
    where = {"environment": environment, "since": since, "until": until}
    return history(Workbook.find().runs, figures_of, **named, **where)
