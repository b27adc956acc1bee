"""Recording baselines: fresh runs by turns, or stored ones."""

import time
from collections.abc import Callable, Iterator, Sequence

from perflib.judge.baseline import baseline_of, unfit
from perflib.session.drive import Watch, run, unwatched
from perflib.session.stored import load_run
from perflib.spec import InputError, Options, Run
from perflib.store.baselines import store_baseline
from perflib.store.folders import Workbook

_TRIES = 3


def record_baselines(
    scenarios: Sequence[str],
    options: Options,
    count: int,
    stored: Sequence[str],
    say: Callable[[str], None],
    pause_s: float = 0.0,
    watch: Watch = unwatched,
) -> Iterator[str]:
    """Record a baseline of each scenario: of `count` fresh runs, or of the `stored` ones. Yields a line on each.

    The sample dashboard is started anew for every run. Runs back to back vary less than a later run will: scenarios
    take turns, and a pause of minutes makes a baseline that alarms less falsely.

    Raises:
        InputError: where a run does not fit a baseline; nothing is recorded of its scenario then.
    """
    if bool(scenarios) == bool(stored):
        raise InputError("baseline record: name scenarios to measure, or stored runs with --from")
    if count < 1:
        raise InputError(f"--runs: {count} is too few; 8 or more make a baseline that verdicts can lean on")
    by_scenario: dict[str, list[Run]] = {}
    for loaded in map(load_run, stored):
        by_scenario.setdefault(loaded.facts.scenario.name, []).append(loaded)
    for number in range(0 if stored else count):
        for name in dict.fromkeys(scenarios):
            if by_scenario and pause_s:
                say(f"{pause_s:g} s of pause")
                time.sleep(pause_s)
            say(f"{name}: run {number + 1} of {count}")
            by_scenario.setdefault(name, []).append(_sound_run(name, options, say, watch))
    for name, some in by_scenario.items():
        entry = baseline_of(some)
        store_baseline(Workbook.find().baselines, entry)
        yield f"recorded {name} of {entry.target}: {len(entry.runs)} runs, {len(entry.endpoints)} endpoints and pages"


def _sound_run(name: str, options: Options, say: Callable[[str], None], watch: Watch) -> Run:
    """A fresh run for a baseline; one that is invalid is measured again, some times."""
    for _ in range(_TRIES):
        measured = run(name, options, watch=watch)
        if measured.facts.interrupted:
            raise KeyboardInterrupt
        if not unfit(measured):
            break
        say(f"{name}: run {measured.facts.run_id} is left out ({'; '.join(unfit(measured))}); once more")
    return measured
