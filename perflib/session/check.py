"""Judging: scenarios measured anew and stored runs, against what is known of their setups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from perflib.judge.baseline import unfit
from perflib.judge.check import Check
from perflib.judge.check import check as judge_runs
from perflib.judge.knowledge import Known, known
from perflib.judge.samples import smallest_detectable
from perflib.session.drive import Watch, prepare, target_of, unwatched
from perflib.session.sound import SoundRuns
from perflib.session.stored import beside, is_stored, load_run, stored_baselines
from perflib.show.numbers import seconds
from perflib.show.table import Table
from perflib.spec import Facts, InputError, Options, Run
from perflib.spec.baselines import Baselines
from perflib.spec.exits import ExitStatus
from perflib.spec.options import suggested
from perflib.spec.scenario import scenario_names
from perflib.stats.spending import Look
from perflib.store.folders import Workbook
from perflib.text import tables

BUDGET_S = 300.0
"""So long a scenario is measured at the most, until its check is clear."""
_MOST_RUNS = 20

Say = Callable[[str], None]


def check(
    names: Sequence[str],
    options: Options | None = None,
    count: int | None = None,
    most_errors: float = 0.0,
    *,
    budget_s: float = BUDGET_S,
    against: str = "",
    require_baseline: bool = False,
    watch: Watch = unwatched,
    say: Say = lambda _: None,
) -> Check:
    """Judge scenarios, measured anew, and stored runs: against their baselines, else against the history.

    Where a scenario can be compared with its baseline, or with what `against` names, it is measured until the check is
    clear: after each run all are judged together, and every endpoint has changed, or has not by more than the whole
    budget could find, or the budget is out. How many looks there may be is settled before the first; together they err
    no more often than one.

    An interrupted run ends it; what was measured until then is judged where it can be. An invalid one is measured
    again, and a few of several are left out: see `SoundRuns`.

    Args:
        names: scenarios, or ids of stored runs.
        count: measure each scenario exactly so many times, and judge it once.
        most_errors: the share of failed requests above which an endpoint fails.
        budget_s: how long a scenario is measured at the most, warm-up not counted; below two runs of it, one run is
            measured.
        against: "baseline", "history" or a stored run; empty: the baseline that fits, else the history, whose
            REGRESSION then fails no check.
        require_baseline: whether it is a finding that nothing of `against` (empty: no baseline) fits.
        say: called with a line on what is planned, and per run that is left out.

    Raises:
        InputError: for a name that is neither, before anything is measured.
    """
    options = options or Options()
    if count is not None and count < 1:
        raise InputError(f"--runs: {count} is too few; 1 or more")
    stored = [name for name in names if is_stored(name)]
    fresh = [name for name in names if name not in stored]
    _require_scenarios(fresh, options)
    judge = _Judge(stored_baselines(), most_errors, against, require_baseline)
    beside([], judge.baselines, against)  # a name that is none is told before anything is measured
    judged, looks, notes = [load_run(name) for name in stored], dict[str, Look](), list[str]()
    for name in fresh:
        plan = _plan(name, options, budget_s, judge) if count is None else _Plan(count)
        measured = _Measured(SoundRuns(name, options, plan.runs, say, watch), plan, judge)
        for line in plan.told:
            say(f"{name}: {line}")
        interrupted = measured.until_clear(name)
        judged, looks, notes = [*judged, *measured.runs], looks | {name: measured.look}, [*notes, *measured.notes(name)]
        if interrupted:
            return replace(judge.of(judged, looks), exit_status=ExitStatus.INTERRUPTED)
    found = judge.of(judged, looks)
    return replace(found, notes=(*found.notes, *notes))


@dataclass(frozen=True)
class _Judge:
    """By what runs are judged."""

    baselines: Baselines
    most_errors: float = 0.0
    against: str = ""
    required: bool = False

    def of(self, runs: Sequence[Run], looks: Mapping[str, Look]) -> Check:
        stored = beside([run.facts for run in runs], self.baselines, self.against, self.required)
        return judge_runs(runs, self.baselines, self.most_errors, looks, stored)

    def known(self, facts: Facts) -> Known:
        """What a run that is about to be measured will be held against."""
        return known(facts, self.baselines, beside([facts], self.baselines, self.against))


@dataclass(frozen=True)
class _Plan:
    """How many runs of a scenario at the most; `looks`: after each of them it is judged whether more are needed."""

    runs: int
    looks: bool = False
    told: tuple[str, ...] = ()


def _plan(name: str, options: Options, budget_s: float, judge: _Judge) -> _Plan:
    """What the budget has room for, where there is a baseline, or what was asked for, to compare with."""
    facts = prepare(name, options, Workbook.find())
    against = judge.known(facts)
    parts = facts.scenario.parts(facts.target)
    run_s = sum(facts.scenario.part_s(number) for number, _ in enumerate(parts))
    runs = min(_MOST_RUNS, int(budget_s / run_s))
    least = smallest_detectable(facts, against, max(runs, 1)) if against.asked and not options.run_id else None
    if runs < 2 or least is None:
        return _Plan(1)
    in_all = f"{runs * run_s / 60:.2g} min" if runs * run_s > 60 else seconds(runs * run_s)
    told = f"measures on until it is clear, at most {in_all} ({runs} runs of {seconds(run_s)})"
    return _Plan(runs, True, (f"{told}, which find a rise of p95 by {least:.0%} in 9 of 10 cases",))


class _Measured:
    """The fresh runs of a scenario, measured as planned."""

    def __init__(self, sound: SoundRuns, plan: _Plan, judge: _Judge) -> None:
        self._sound, self._plan, self._judge = sound, plan, judge
        self._is_clear = False
        self.runs: list[Run] = []

    def until_clear(self, name: str) -> bool:
        """Whether it was interrupted."""
        for _ in range(self._plan.runs):
            self.runs.append(self._sound.measure())
            if self.runs[-1].facts.interrupted:
                return True
            if self._plan.looks:
                if unfit(self.runs[-1]):
                    break
                self._is_clear = self._judge.of(self.runs, {name: self.look}).is_clear(name)
                if self._is_clear:
                    break
        self.runs = self._sound.without_unfit(self.runs)
        return False

    @property
    def look(self) -> Look:
        """Which look it is by now: unsound runs are none."""
        return Look(max(self._sound_runs, 1), self._plan.runs) if self._plan.looks else Look()

    @property
    def _sound_runs(self) -> int:
        return sum(not unfit(one) for one in self.runs)

    def notes(self, name: str) -> list[str]:
        """What a reader should know of how long it was measured."""
        told = self._sound.left_out
        if not self._plan.looks:
            return told
        runs, most = self._sound_runs, self._plan.runs
        more = "; a longer --budget finds smaller changes" if runs == most else ", as the next one was not sound"
        how, more = ("clear", "") if self._is_clear else ("not clear yet", more)
        return [*told, f"{name}: {how} after {runs} of at most {most} runs{more}"]


def _require_scenarios(names: Sequence[str], options: Options) -> None:
    known = scenario_names(target_of(options, Workbook.find()).scenarios) if names else []
    for name in names:
        if name not in known:
            mend = f"{suggested(name, known)}; `perflib history` lists the stored runs"
            raise InputError(f"{name!r}: neither a scenario nor a stored run; {mend}")


def verdict(run: Run, *, phases: bool = False) -> Table:
    """The whole answer on a run: its result in one sentence, then the table that it comes from.

    Args:
        phases: whether the table tells waiting, receiving and the size of answers apart.

    >>> import perflib
    >>> print(perflib.verdict(perflib.load_run("sample-28-release-1.4")).title)
    All 4 limits met under 2 users, each pausing 0.01 s: slowest at p95 was GET /signals with 41.0 ms of 200 ms.
    """
    return tables.verdict(run, against=_Judge(stored_baselines()).of([run], {}), phases=phases)
