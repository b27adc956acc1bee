"""Judging: scenarios measured anew and stored runs, against what is known of their setups."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from perflib.judge.check import Check
from perflib.judge.check import check as judge_runs
from perflib.session.drive import Watch, target_of, unwatched
from perflib.session.sound import SoundRuns
from perflib.session.stored import beside, is_stored, load_run, stored_baselines
from perflib.show.table import Table
from perflib.spec import InputError, Options, Run
from perflib.spec.baselines import Baselines
from perflib.spec.exits import ExitStatus
from perflib.spec.options import suggested
from perflib.spec.scenario import scenario_names
from perflib.store.folders import Workbook
from perflib.text import tables


def check(
    names: Sequence[str],
    options: Options | None = None,
    count: int = 1,
    most_errors: float = 0.0,
    *,
    against: str = "",
    require_baseline: bool = False,
    watch: Watch = unwatched,
    say: Callable[[str], None] = lambda _: None,
) -> Check:
    """Judge scenarios, each measured `count` times anew, and stored runs: against their baselines, else the history.

    An interrupted run ends it; what was measured until then is judged where it can be. An invalid one is measured
    again, and a few of several are left out: see `SoundRuns`.

    Args:
        names: scenarios, or ids of stored runs.
        most_errors: the share of failed requests above which an endpoint fails.
        against: "baseline", "history" or a stored run; empty: the baseline that fits, else the history, whose
            REGRESSION then fails no check.
        require_baseline: whether it is a finding that nothing of `against` (empty: no baseline) fits.
        say: called with a line per run that is left out.

    Raises:
        InputError: for a name that is neither, before anything is measured.
    """
    options = options or Options()
    if count < 1:
        raise InputError(f"--runs: {count} is too few; 1 or more")
    stored = [name for name in names if is_stored(name)]
    fresh = [name for name in names if name not in stored]
    _require_scenarios(fresh, options)
    baselines = stored_baselines()
    beside([], baselines, against)  # a name that is none is told before anything is measured
    judged, left_out = [load_run(name) for name in stored], list[str]()
    for name in fresh:
        sound = SoundRuns(name, options, count, say, watch)
        measured: list[Run] = []
        for _ in range(count):
            measured.append(sound.measure())
            if measured[-1].facts.interrupted:
                found = _judged([*judged, *measured], baselines, most_errors, against, require_baseline)
                return replace(found, exit_status=ExitStatus.INTERRUPTED)
        judged += sound.without_unfit(measured)
        left_out += sound.left_out
    found = _judged(judged, baselines, most_errors, against, require_baseline)
    return replace(found, notes=(*found.notes, *left_out))


def _judged(runs: list[Run], baselines: Baselines, most_errors: float, against: str, required: bool) -> Check:
    return judge_runs(runs, baselines, most_errors, beside(runs, baselines, against, required))


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
    return tables.verdict(run, against=_judged([run], stored_baselines(), 0.0, "", False), phases=phases)
