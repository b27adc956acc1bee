"""Recording baselines: fresh runs by turns, or stored ones."""

import time
from collections.abc import Callable, Iterator, Sequence

from perflib.judge.baseline import baseline_of, most_tries, unsound
from perflib.judge.validity import may_pass
from perflib.session.drive import Watch, run, unwatched
from perflib.session.stored import load_run
from perflib.spec import InputError, Options, Run
from perflib.spec.options import in_words
from perflib.store.baselines import load_baselines, store_baseline
from perflib.store.folders import Workbook

Say = Callable[[str], None]

_HOPELESS = 3
"""So many unsound runs in a row, and the next one will be no better."""


def record_baselines(
    scenarios: Sequence[str],
    options: Options,
    count: int,
    stored: Sequence[str],
    say: Say,
    pause_s: float = 0.0,
    watch: Watch = unwatched,
) -> Iterator[str]:
    """Record a baseline of each scenario: of `count` fresh runs, or of the `stored` ones. Yields a line on each.

    The sample dashboard is started anew for every run. Runs back to back vary less than a later run will: scenarios
    take turns, and a pause of minutes makes a baseline that alarms less falsely. A run that is not sound is left out,
    and another one measured, half as many more at the most, and two.

    Raises:
        InputError: where a stored run does not fit a baseline, or too few fresh ones are sound: nothing is recorded of
            its scenario then, and the message has the command that records the sound ones.
    """
    if bool(scenarios) == bool(stored):
        raise InputError("baseline record: name scenarios to measure, or stored runs with --from")
    if count < 1:
        raise InputError(f"--runs: {count} is too few; 8 or more make a baseline that verdicts can lean on")
    load_baselines(Workbook.find().baselines)  # a damaged file is told before anything is measured
    if stored:
        yield from map(_recorded, _by_scenario(map(load_run, stored)).values())
        return
    making = [_Making(name, options, count, say, watch) for name in dict.fromkeys(scenarios)]
    _by_turns(making, say, pause_s)
    for one in making:
        if one.is_done:
            yield _recorded(one.sound) + "".join(f"\n  left out: {line}" for line in one.left_out)
    if failed := [one.failed for one in making if not one.is_done]:
        raise InputError("; ".join(failed))


def _recorded(runs: Sequence[Run]) -> str:
    entry = baseline_of(runs)
    store_baseline(Workbook.find().baselines, entry)
    counts = f"{len(entry.runs)} runs, {len(entry.endpoints)} endpoints and pages"
    return f"recorded {entry.scenario} of {entry.target}: {counts}"


def _by_scenario(runs: Iterator[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for one in runs:
        found.setdefault(one.facts.scenario.name, []).append(one)
    return found


def _by_turns(making: Sequence["_Making"], say: Say, pause_s: float) -> None:
    """Measure until each has its sound runs, or cannot have them. An interrupt tells what can be kept."""
    begun = False
    try:
        while under_way := [one for one in making if one.goes_on]:
            for one in under_way:
                if begun and pause_s:
                    say(f"{pause_s:g} s of pause")
                    time.sleep(pause_s)
                begun = True
                one.measure()
    except KeyboardInterrupt:
        for one in making:
            if one.sound:
                say(one.failed)
        raise


class _Making:
    """The runs of a baseline in the making; each is sound, or left out, as soon as it is over."""

    def __init__(self, name: str, options: Options, count: int, say: Say, watch: Watch) -> None:
        self._name, self._options, self._count, self._say, self._watch = name, options, count, say, watch
        self.sound: list[Run] = []
        self.left_out: list[str] = []
        self._in_a_row = 0

    @property
    def is_done(self) -> bool:
        return len(self.sound) >= self._count

    @property
    def goes_on(self) -> bool:
        """Whether more runs are needed, and may yet be had."""
        tries = most_tries(self._count) - len(self.left_out)
        return not self.is_done and tries >= self._count and self._in_a_row < _HOPELESS

    def measure(self) -> None:
        self._say(f"{self._name}: run {len(self.sound) + 1} of {self._count}")
        begun_s = time.monotonic()
        measured = run(self._name, self._options, watch=self._watch)
        if not self.sound and self._count > 1:
            took_min = (time.monotonic() - begun_s) * (self._count - 1) / 60
            self._say(f"{self._name}: {self._count - 1} more runs like it take {took_min:.0f} min, besides pauses")
        if measured.facts.interrupted:
            raise KeyboardInterrupt
        if not (why := unsound(measured, self.sound)):
            self.sound.append(measured)
            self._in_a_row = 0
            return
        self.left_out.append(f"run {measured.facts.run_id}: {'; '.join(why)}")
        self._in_a_row = self._in_a_row + 1 if may_pass(measured.facts.generator) else _HOPELESS
        self._say(f"{self._name}: left out: {self.left_out[-1]}")

    @property
    def failed(self) -> str:
        """Why there is no baseline, and how to make one of what there is."""
        why = f"; the last one left out is {self.left_out[-1]}" if self.left_out else ""
        told = f"{self._name}: {len(self.sound)} of {self._count} runs are sound, nothing is recorded{why}"
        return f"{told}. {_keep(self.sound)}" if self.sound else told


def _keep(sound: Sequence[Run]) -> str:
    """The command that makes a baseline of these runs."""
    ids = " ".join(one.facts.run_id for one in sound)
    said = in_words(sound[0].facts.asked or {})
    return f"To record the sound ones: `perflib baseline record --from {ids}{f' {said}' if said else ''}`"
