"""Recording baselines: fresh runs by turns, or stored ones."""

import time
from collections.abc import Callable, Iterator, Sequence

from perflib.judge.baseline import baseline_of
from perflib.session.drive import Watch, unwatched
from perflib.session.sound import SoundRuns
from perflib.session.stored import load_run
from perflib.spec import InputError, Options, Run
from perflib.store.baselines import load_baselines, store_baseline
from perflib.store.folders import Workbook


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
    take turns, and a pause of minutes makes a baseline that alarms less falsely. A few invalid ones are left out.

    Raises:
        InputError: where a run does not fit a baseline; nothing is recorded of its scenario then.
    """
    if bool(scenarios) == bool(stored):
        raise InputError("baseline record: name scenarios to measure, or stored runs with --from")
    if count < 1:
        raise InputError(f"--runs: {count} is too few; 8 or more make a baseline that verdicts can lean on")
    load_baselines(Workbook.find().baselines)  # a damaged file is told before anything is measured
    by_scenario: dict[str, list[Run]] = {}
    for loaded in map(load_run, stored):
        by_scenario.setdefault(loaded.facts.scenario.name, []).append(loaded)
    fresh = {name: SoundRuns(name, options, count, say, watch) for name in scenarios}
    for number in range(0 if stored else count):
        for name, sound in fresh.items():
            if by_scenario and pause_s:
                say(f"{pause_s:g} s of pause")
                time.sleep(pause_s)
            say(f"{name}: run {number + 1} of {count}")
            by_scenario.setdefault(name, []).append(sound.measure())
            if by_scenario[name][-1].facts.interrupted:
                raise KeyboardInterrupt
    for name, some in by_scenario.items():
        entry = baseline_of(fresh[name].without_unfit(some) if name in fresh else some)
        store_baseline(Workbook.find().baselines, entry)
        yield f"recorded {name} of {entry.target}: {len(entry.runs)} runs, {len(entry.endpoints)} endpoints and pages"
