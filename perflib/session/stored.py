"""Stored runs of this workbook: loaded, listed, compared."""

from collections.abc import Sequence

import pandas as pd

from perflib.figures.row import figures_of
from perflib.judge import compare
from perflib.judge.compare import FigureVerdict
from perflib.judge.knowledge import KINDS, Beside, fitting
from perflib.spec import Facts, InputError, Run
from perflib.spec.baselines import Baselines
from perflib.spec.extras import require_extra
from perflib.spec.run import setup_of
from perflib.store.baselines import load_baselines
from perflib.store.figures import history
from perflib.store.folders import Workbook
from perflib.store.runs import load_run as load_stored_run
from perflib.store.runs import stored_folder


def is_stored(name: str) -> bool:
    """Whether this is the id of a stored run."""
    return bool(name) and "/" not in name and (Workbook.find().runs / name).is_dir()


def compare_runs(a: str, b: str, *, although_different: bool = False) -> tuple[FigureVerdict, ...]:
    """Two stored runs by their ids: see `compare_stored`."""
    return compare_stored(load_run(a), load_run(b), although_different=although_different)


def compare_stored(
    a: Run, b: Run, baselines: Baselines | None = None, *, although_different: bool = False
) -> tuple[FigureVerdict, ...]:
    """The verdicts on two runs, B over A: by how much runs differ as A's baseline knows it, else the runs beside A.

    Args:
        baselines: None: the stored ones of this workbook.
        although_different: compare runs of different setups, and runs that are not sound, all the same.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> sorted({one.verdict.value for one in perflib.compare_stored(a, b)})
    ['INCONCLUSIVE']
    """
    known = stored_baselines() if baselines is None else baselines
    like = None if fitting(a.facts, known).baseline else like_runs([a.facts])
    return compare.compare_stored(a, b, known, like, although_different=although_different)


def like_runs(runs: Sequence[Facts]) -> pd.DataFrame:
    """The figures of the stored runs of these runs' setups."""
    setups = sorted({setup_of(facts).hash for facts in runs})
    return history(Workbook.find().runs, figures_of, setups=setups)


def beside(runs: Sequence[Facts], baselines: Baselines, against: str = "", required: bool = False) -> Beside:
    """What is stored beside runs that are to be judged; the history is read only where it may serve.

    Raises:
        InputError: for an `against` that is neither a kind of knowledge nor a stored run.
    """
    one = None if against in ("", *KINDS) else _named_against(against)
    others = [one.facts] if one else runs if against == "history" else []
    if not against:
        others = [facts for facts in runs if fitting(facts, baselines).baseline is None]
    return Beside(like_runs(others) if others else None, against, one, required)


def _named_against(against: str) -> Run:
    if is_stored(against):
        return load_run(against)
    raise InputError(f"--against {against!r}: neither baseline, nor history, nor a stored run (`perflib runs`)")


def facts_of(run_id: str) -> Facts:
    """What a stored run says of itself."""
    return stored_folder(Workbook.find().runs, run_id).read_facts()


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


def sql(statement: str) -> pd.DataFrame:
    """What one SELECT statement, in DuckDB's SQL, finds in the stored runs of this workbook.

    The views are `runs`, `figures`, `requests`, `memory`, `failures`: see `perflib.store.query`.

    Raises:
        InputError: for anything but one SELECT, one that DuckDB refuses, one that needs too much memory, and where the
            query extra is not installed.

    >>> import perflib
    >>> perflib.sql("SELECT count(*) AS runs FROM runs WHERE run_id LIKE 'sample-%'").to_dict("records")
    [{'runs': 28}]
    """
    require_extra("query", "perflib query")
    from perflib.store.query import query

    return query(Workbook.find().runs, figures_of, statement)
