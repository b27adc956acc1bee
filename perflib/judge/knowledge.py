"""What is known of a setup before a run is judged: a recorded baseline, else the like runs stored before it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from perflib.judge.baseline import baseline_of, baseline_of_rows, unfit
from perflib.judge.changes import changes, judged
from perflib.spec import Facts, InputError, Run
from perflib.spec.baselines import Baseline, Baselines
from perflib.spec.run import setup_of
from perflib.spec.setup import differences
from perflib.stats.band import BASELINE_RUNS

Kind = Literal["baseline", "history", "run"]
KINDS: tuple[Kind, ...] = ("baseline", "history")
"""Those that need no name."""
MOST_RUNS = 30
"""So many like runs at the most: older ones say less of today."""


@dataclass(frozen=True)
class Beside:
    """What is stored beside runs, and which of it they are to be held against.

    like: the figures of stored runs of their setups, columns as in `FigureRow`, the oldest first; None: not looked for.
    against: "baseline", "history", or the id of a run, which is `run`; empty: the baseline that fits, else the history.
    required: whether it is a finding where there is none of it; of an empty `against` the baseline is.
    """

    like: pd.DataFrame | None = None
    against: str = ""
    run: Run | None = None
    required: bool = False


ALONE = Beside()


@dataclass(frozen=True)
class Known:
    """What runs are held against: the level of `baseline`, and how much runs differ by those of `noise`.

    kind: None where there is nothing. noise: None where too few runs are known to tell. why_not: why it is not what was
    looked for first.
    asked: False for a history that stands in for a baseline: what it finds is told, and fails no check.
    """

    kind: Kind | None = None
    baseline: Baseline | None = None
    noise: Baseline | None = None
    why_not: str = ""
    asked: bool = True

    @property
    def name(self) -> str:
        """What a figure is so many times of."""
        return self.baseline.runs[0] if self.kind == "run" and self.baseline else self.kind or "baseline"

    @property
    def in_words(self) -> str:
        """What it is."""
        if self.baseline is None:
            return "nothing"
        return {
            "baseline": f"the baseline of {self.baseline.recorded_at[:10]}",
            "history": f"the history ({len(self.baseline.runs)} sound runs like it)",
            "run": f"run {self.name}",
        }[self.kind or "baseline"]

    @property
    def recorded_at(self) -> str | None:
        """When its baseline was recorded; None for anything else."""
        return self.baseline.recorded_at if self.kind == "baseline" and self.baseline else None

    @property
    def lacking(self) -> str:
        """Why an endpoint is compared with nothing."""
        return self.why_not if self.noise is None else f"its {self.name} lacks this endpoint"

    def notes(self, runs: Sequence[Run]) -> list[str]:
        """What to know of it, as these runs are judged by it."""
        said = [self.why_not] if self.why_not else []
        if self.kind != "baseline" or self.baseline is None:
            return said
        if unknown := self.baseline.known_setup.unknown:
            said.append(
                f"the baseline was recorded before setups were: {', '.join(unknown)} cannot be compared with it"
            )
        before = [run.facts.run_id for run in runs if run.facts.setup is None]
        said += [f"{one} was recorded before setups were: its cores are all those of its machine" for one in before]
        own = [run.facts.run_id for run in runs if run.facts.run_id in self.baseline.runs]
        return said + [f"{one} is a run of the baseline itself, and differs less from it than a new one" for one in own]

    def as_json(self) -> dict[str, Any] | None:
        """Its object in what `perflib check --format json` prints."""
        return {"kind": self.kind, "runs": list(self.baseline.runs)} if self.baseline else None


def known(first: Facts, baselines: Baselines, beside: Beside = ALONE) -> Known:
    """What the first of some runs of one setup is held against: what was asked for, else the baseline, else history."""
    if beside.run is not None:
        return _one_run(beside.run, first, baselines, beside.like)
    recorded = fitting(first, baselines)
    if beside.against == "baseline" or beside.like is None or (recorded.baseline and not beside.against):
        return recorded
    history = history_of(first, beside.like)
    if beside.against:
        return history
    if history.baseline:
        return replace(history, asked=False, why_not=recorded.why_not)
    return Known(why_not=f"{recorded.why_not}; {history.why_not}")


def baseline_ms(runs: Sequence[Run], baselines: Baselines, percentile: str = "p95_ms") -> dict[str, float]:
    """The values by endpoint of the baseline that fits the last of these runs; empty where none does.

    Args:
        percentile: "p50_ms", "p95_ms" or "p99_ms".

    >>> import perflib
    >>> perflib.baseline_ms([perflib.load_run("sample-28-release-1.4")], perflib.stored_baselines())
    {}
    """
    found = match(runs[-1], baselines).baseline if runs else None
    rows = {} if found is None else {name: getattr(row, percentile) for name, row in found.endpoints.items()}
    return {name: value_ms for name, value_ms in rows.items() if value_ms is not None}


def match(run: Run, baselines: Baselines) -> Known:
    """The recorded baseline of the run's setup; see `perflib.spec.setup`."""
    return fitting(run.facts, baselines)


def fitting(facts: Facts, baselines: Baselines) -> Known:
    """The same, of a run that may not have begun."""
    setup = setup_of(facts)
    near = [one for one in baselines.baselines if (one.target, one.scenario) == (setup.target, setup.scenario)]
    if not near:
        record = facts.again("baseline record")
        return Known(why_not=f"no baseline of target {setup.target!r} for this scenario; {record} makes one")
    closest = min(near, key=lambda one: (len(differences(setup, one.known_setup)), -len(one.endpoints)))
    if differs := differences(setup, closest.known_setup):
        return Known(why_not=f"the baseline of {closest.recorded_at} is not comparable: {'; '.join(differs)}")
    return Known("baseline", closest, closest)


def noise_beside(a: Facts, b: Facts, baselines: Baselines, like: pd.DataFrame | None) -> Known:
    """What tells how much runs like A differ, where B is held against A: A's baseline, else the like runs beside it.

    Those between A and B may have the change that is looked for, and serve only where too few lie beyond A. None on
    the other side of B ever does, and A itself is left out: it is the level.
    """
    recorded = fitting(a, baselines)
    if recorded.baseline is not None or like is None:
        return recorded
    rows, at, other = _sound(like, a), _moment(a), _moment(b)
    rows = rows[rows["run_id"] != b.run_id]
    begun = rows["started_at"]
    beyond, towards = rows[begun <= at], rows[begun < other]
    if at > other:
        beyond, towards = rows[begun >= at], rows[begun > other]
    history = _history_of(a, beyond if _count(beyond) > BASELINE_RUNS else towards)
    return history if history.baseline else replace(history, why_not=f"{recorded.why_not}; {history.why_not}")


def _one_run(run: Run, first: Facts, baselines: Baselines, like: pd.DataFrame | None) -> Known:
    """A stored run as the level, the runs before it as the noise."""
    if refusal := unfit(run):
        raise InputError(f"--against {run.facts.run_id}: is not sound: {'; '.join(refusal)}; name another run")
    if differs := differences(setup_of(first), setup_of(run.facts)):
        return Known(why_not=f"{run.facts.run_id} is not alike: {'; '.join(differs)}")
    noise = noise_beside(run.facts, first, baselines, like)
    return Known("run", baseline_of([run]), noise.baseline, noise.why_not)


def history_of(facts: Facts, like: pd.DataFrame) -> Known:
    """The last sound runs of the setup of `facts` before it, back to where their level changed last."""
    rows = _sound(like, facts)
    return _history_of(facts, rows[rows["started_at"] < _moment(facts)])


def _history_of(facts: Facts, rows: pd.DataFrame) -> Known:
    """Of these rows the runs nearest to `facts`, of its level."""
    at = _moment(facts)
    distance = (rows.drop_duplicates("run_id").set_index("run_id")["started_at"] - at).abs()
    itself = facts.run_id in distance.index
    nearest = rows[rows["run_id"].isin(distance.nsmallest(MOST_RUNS + itself).index)]
    found, moved = _level(nearest, at)
    found = found[found["run_id"] != facts.run_id]
    if (count := _count(found)) >= BASELINE_RUNS:
        baseline = baseline_of_rows(facts, found)
        return Known("history", baseline, baseline)
    since = f" since its level changed with {moved}" if moved else ""
    return Known(
        why_not=f"the history has {count} sound run{'s' * (count != 1)} like it{since}; it takes {BASELINE_RUNS}"
    )


def _level(rows: pd.DataFrame, at: pd.Timestamp) -> tuple[pd.DataFrame, str]:
    """The rows of the level that holds this moment, and the run that it began with; empty: it is the first."""
    found = changes(rows)
    began, ended = found[found["started_at"] <= at], found[found["started_at"] > at]
    if not began.empty:
        rows = rows[rows["started_at"] >= began["started_at"].iloc[0]]
    if not ended.empty:
        rows = rows[rows["started_at"] < ended["started_at"].iloc[-1]]
    return rows, "" if began.empty else str(began["run_id"].iloc[0])


def _sound(like: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    """The rows of finished, valid runs of this setup in which nothing failed."""
    rows = judged(like[like["setup"] == setup_of(facts).hash])
    failed = rows.loc[(rows["judged_errors"] > 0) | (rows["unanswered"] > 0), "run_id"]
    return rows[~rows["run_id"].isin(failed)]


def _moment(facts: Facts) -> pd.Timestamp:
    return pd.Timestamp(pd.to_datetime(facts.started_at, utc=True))


def _count(rows: pd.DataFrame) -> int:
    return int(rows["run_id"].nunique())
