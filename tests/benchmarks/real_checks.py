"""How often are verdicts on real runs wrong, and what do they find? Short runs of the sample dashboard, as it is and
with `GET /clients` slowed, in random order, each of a server started anew; prints Markdown tables.

    python -m tests.benchmarks.real_checks

About 15 minutes, or 3 with --quick. All runs are of one session: baselines are drawn from before and after the run
they judge, so the tables tell of noise from run to run, not of drift from day to day.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import perflib
from perflib.figures.summary import summarize
from perflib.judge.baseline import baseline_of, unfit
from perflib.judge.check import BACKSTOP, check
from perflib.session.sample import sample_dashboard
from perflib.spec import Options
from perflib.spec.baselines import Baselines
from perflib.stats.band import ALPHA, BASELINE_RUNS
from perflib.stats.verdict import Verdict
from perflib.store.folders import Workbook
from tests.benchmarks.leaks import at_least
from tests.benchmarks.peers import markdown
from tests.benchmarks.verdicts import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perflib.judge.check import Check, EndpointVerdict
    from perflib.spec import Run
    from perflib.stats.band import Change

SEED = 30_000
SLOWED, BY = "GET /clients", "+60%"
HOT = ("GET /health", "GET /snapshot", SLOWED, "GET /signals")
IN_A_BASELINE = BASELINE_RUNS
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Taken:
    """The runs that were made; `left_out` counts, by reason, those that no verdict is asked of."""

    sound: tuple[Run, ...]
    slowed: tuple[Run, ...]
    left_out: Counter[str]


@dataclass(frozen=True)
class Checked:
    """A run judged against a baseline of others."""

    run_id: str
    found: Check

    @property
    def of_slowed(self) -> EndpointVerdict:
        """The verdict on the endpoint that slowed runs slow."""
        return next(row for row in self.found.endpoints if row.endpoint == SLOWED)


def measure(switches: tuple[str, ...], duration_s: float) -> Run:
    """One run of a dashboard started for it, with 2 users of the hot endpoints."""
    with sample_dashboard(Workbook.find(), switches) as dashboard:
        options = Options(
            url=dashboard.url,
            pid=dashboard.pid,
            users=2,
            think_time=0.005,
            duration=duration_s,
            warmup=0.2 * duration_s,
            endpoints=HOT,
        )
        run = perflib.run("light_load", options, report=lambda _: None)
    if run.facts.interrupted:
        raise KeyboardInterrupt
    return run


def flaw(run: Run) -> str:
    """Why a run is left out; empty for one that a baseline may be made of."""
    if unfit(run):
        return "invalid"
    rows = summarize(run).endpoints
    if any(row.errors for row in rows):
        return "with errors"
    return "with too few requests for p95" if any(row.p95_ms is None for row in rows) else ""


def take(sound: int, slowed: int, duration_s: float) -> Taken:
    """Make the runs, in random order."""
    order = np.random.default_rng([SEED, 0]).permutation(np.repeat([False, True], [sound, slowed]))
    kept: dict[bool, list[Run]] = {False: [], True: []}
    left_out = Counter[str]()
    for number, slow in enumerate(order.tolist(), 1):
        run = measure(("--slow", f"{SLOWED}={BY}") if slow else (), duration_s)
        why, name = flaw(run), "slowed" if slow else "sound"
        if why:
            left_out[f"{name}, {why}"] += 1
        else:
            kept[slow].append(run)
        print(f"{time.strftime('%H:%M:%S')} {number} of {len(order)}: {name} {why}", file=sys.stderr, flush=True)
    return Taken(tuple(kept[False]), tuple(kept[True]), left_out)


def judge_by_random_baseline(rng: np.random.Generator, run: Run, sound: Sequence[Run]) -> Checked:
    """The verdict on a run against a baseline of sound runs other than it."""
    others = [one for one in sound if one is not run]
    drawn = rng.choice(len(others), IN_A_BASELINE, replace=False)
    entry = baseline_of([others[place] for place in drawn])
    return Checked(run.facts.run_id, check([run], Baselines(baselines=(entry,))))


def noise(sound: Sequence[Run]) -> str:
    """What sound runs measure, and how much they differ."""
    rows = []
    for looks in zip(*(summarize(run).endpoints for run in sound), strict=True):
        counts = [row.requests for row in looks]
        cells = [looks[0].endpoint, f"{min(counts)} to {max(counts)}"]
        for values in ([row.p50_ms for row in looks], [row.p95_ms for row in looks]):
            logs = np.log(np.array(values, dtype=np.float64))
            cells += [f"{np.exp(np.median(logs)):.2f} ms", f"{np.std(logs, ddof=1):.1%}"]
        rows.append(cells)
    head = ["endpoint", "requests a run", "p50", "sd of log p50", "p95", "sd of log p95"]
    return f"Noise from run to run, {len(sound)} sound runs (medians over runs).\n\n" + markdown(head, rows)


def any_is(verdict: str) -> Callable[[Checked], bool]:
    """Whether a check has this verdict on any endpoint."""
    return lambda one: any(row.verdict == verdict for row in one.found.endpoints)


def doubled(row: EndpointVerdict) -> bool:
    """The brief's rule."""
    p95_ms, before_ms = row.p95_at_least_ms, row.baseline_p95_ms
    return p95_ms is not None and before_ms is not None and p95_ms > BACKSTOP * before_ms


def false_alarms(sound: Sequence[Run], count: int) -> str:
    """Sound runs, in turn, against sound runs: any alarm counts."""
    rng = np.random.default_rng([SEED, 1])
    checked = [judge_by_random_baseline(rng, sound[number % len(sound)], sound) for number in range(count)]
    alarms: dict[str, Callable[[Checked], bool]] = {
        "REGRESSION of any endpoint": any_is("REGRESSION"),
        "IMPROVED of any endpoint": any_is("IMPROVED"),
        f"p95 > {BACKSTOP:g} × baseline of any endpoint": lambda one: any(map(doubled, one.found.endpoints)),
        "`perflib check` exits with 1, for whatever reason": lambda one: one.found.exit_status == 1,
    }
    rows = []
    for name, alarmed in alarms.items():
        runs = [one.run_id for one in checked if alarmed(one)]
        shares = [bound(len(runs), count), bound(len(set(runs)), len({one.run_id for one in checked}))]
        rows.append([name, f"{len(runs)} of {count}", shares[0], str(len(set(runs))), shares[1]])
    told = (
        f"Sound against sound: {count} checks of {len(sound)} runs, each against {IN_A_BASELINE} others at random. "
        f"Promised: REGRESSION in at most {ALPHA:.0%} of checks, IMPROVED in as many. The checks share runs, "
        "so the true interval is wider than the binomial one behind the bound shown; runs that alarm in any of "
        f"their checks ({count / len(sound):.1f} on average) are counted once beside it."
    )
    head = ["alarm", "checks", "share (≤ 95 % bound)", "distinct runs", "share of runs (≤ 95 % bound)"]
    return f"{told}\n\n{markdown(head, rows)}"


def power(taken: Taken) -> str:
    """Slowed runs against sound runs: what is found of the slowed endpoint."""
    rng = np.random.default_rng([SEED, 2])
    checked = [judge_by_random_baseline(rng, run, taken.sound) for run in taken.slowed]
    total = len(checked)
    verdicts = Counter(one.of_slowed.verdict for one in checked)
    found = {f"{verdict} of {SLOWED}": verdicts[verdict] for verdict in VERDICTS}
    found[f"p95 > {BACKSTOP:g} × baseline of {SLOWED} alone"] = sum(doubled(one.of_slowed) for one in checked)
    found["REGRESSION of another endpoint"] = sum(
        any(map(slower_though_left_alone, one.found.endpoints)) for one in checked
    )
    p50, p95 = ([one.of_slowed.change_of(figure) for one in checked] for figure in ("p50", "p95"))
    told = (
        f"Slowed against sound: {total} runs with {SLOWED} slowed by {BY} of its computing time, each judged "
        f"once against {IN_A_BASELINE} sound ones at random. Its p50 rose by {median(p50, 'ratio') - 1:.0%}, its p95 "
        f"by {median(p95, 'ratio') - 1:.0%}; printed mde {median(p50, 'mde'):.0%} and {median(p95, 'mde'):.0%} "
        "(medians). Under one closed load other endpoints may truly change with it."
    )
    rows = [
        [name, f"{hits} of {total}", f"{hits / total:.0%} (≥ {at_least(hits, total):.0%})"]
        for name, hits in found.items()
    ]
    return f"{told}\n\n{markdown(['found', 'runs', 'share (≥ 95 % bound)'], rows)}"


def slower_though_left_alone(row: EndpointVerdict) -> bool:
    """Whether an endpoint is found slower that nothing was done to."""
    return row.verdict == "REGRESSION" and row.endpoint != SLOWED


def median(changes: Sequence[Change | None], what: Literal["ratio", "mde"]) -> float:
    """Over those that could be judged."""
    return float(np.median([getattr(one, what) for one in changes if one is not None]))


def main() -> int:
    """Make the runs, judge them, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sound", type=int, default=60, help="runs of the dashboard as it is")
    parser.add_argument("--slowed", type=int, default=30, help=f"runs with {SLOWED} slowed")
    parser.add_argument("--checks", type=int, default=200, help="of sound runs against sound runs")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a run, warm-up apart")
    parser.add_argument("--quick", action="store_true", help="12 sound runs, 3 slowed ones")
    given = parser.parse_args()
    sound, slowed = (12, 3) if given.quick else (given.sound, given.slowed)
    with TemporaryDirectory() as data:
        os.environ["PERFLIB_DATA"] = data
        print(f"Machine: {os.cpu_count()} shared cores; load before: {os.getloadavg()[0]:.1f}.\n", flush=True)
        taken = take(sound, slowed, given.seconds)
    without = ", ".join(f"{count} {why}" for why, count in taken.left_out.items()) or "none"
    print(f"{sound + slowed} runs of {given.seconds:g} s; left out: {without}.\n", flush=True)
    if len(taken.sound) <= IN_A_BASELINE:
        print(f"{len(taken.sound)} sound runs are too few: a check takes {IN_A_BASELINE + 1}.")
        return 1
    print(noise(taken.sound), flush=True)
    print(f"\n{false_alarms(taken.sound, given.checks)}", flush=True)
    if taken.slowed:
        print(f"\n{power(taken)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
