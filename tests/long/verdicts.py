"""Do neighbours on the machine change the verdicts? Short runs of the sample dashboard, a third of them beside busy
loops that begin at random; prints Markdown tables.

    python -m tests.long.verdicts --keep FOLDER --runs 120

A run takes about 6 s, and FOLDER keeps them: told again, it measures what is missing. `--runs 0` only prints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

import perflib
from perflib.judge.fresh import ALL, CPU
from perflib.judge.samples import CPU_SLOPE_SD
from perflib.session.sample import sample_dashboard
from perflib.stats.band import BASELINE_RUNS, Change, Sample, changes, judge
from perflib.stats.explained import Waits
from perflib.store.folders import Workbook
from tests.benchmarks.peers import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from perflib.stats import Floats

SEED = 40_000
PLANTED = "GET /patterns"
PLANTS = {
    "": (),
    "+30 %": ("--slow", f"{PLANTED}=+30%"),
    "CPU": ("--cpu", f"{PLANTED}=2ms"),
    "sleep": ("--wait", f"{PLANTED}=2ms"),
    "lock": ("--lock", f"{PLANTED},GET /signals=2ms"),
}
FIGURES = ("p50", "p95")
LOOP = "import sys, time\ntime.sleep(float(sys.argv[1]))\nwhile True: pass"


@dataclass(frozen=True)
class Kept:
    """The figures of a run. `ms`: shape (endpoints, figures)."""

    plant: str
    loops: int
    ms: Floats
    waited: float
    cpu_ms: float

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Kept:
        """Of a run's rows in the history."""
        planted = json.loads(rows["note"].iloc[0])
        own = rows[["p50_ms", "p95_ms"]].to_numpy(np.float64)
        return cls(**planted, ms=own, waited=rows["waited_per_ran"].iloc[0], cpu_ms=rows["cpu_ms_per_request"].iloc[0])


@contextlib.contextmanager
def neighbours(begin_s: Sequence[float]) -> Iterator[None]:
    """Busy loops, each beginning after so many seconds."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP, str(one)]) for one in begin_s]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def measure(plant: str, loops: int, seconds: float, rng: np.random.Generator) -> None:
    """One run of a dashboard started for it."""
    with sample_dashboard(Workbook.find(), PLANTS[plant]) as dashboard:
        note = json.dumps({"plant": plant, "loops": loops})
        options = perflib.Options(url=dashboard.url, pid=dashboard.pid, users=3, duration=seconds, note=note)
        with neighbours(rng.uniform(0, seconds / 2, loops).tolist()):
            run = perflib.run("light_load", options, report=lambda _: None)
    if run.facts.interrupted:
        raise KeyboardInterrupt


def measure_all(runs: int, share_planted: float, seconds: float) -> None:
    """So many runs more, in an order of its own; every third one on average beside 1 to 3 busy loops."""
    done = len(perflib.runs()["run_id"].unique())
    for number in range(done, done + runs):
        rng = np.random.default_rng([SEED, number])
        plant = str(rng.choice(list(PLANTS)[1:])) if rng.random() < share_planted else ""
        loops = int(rng.integers(1, 4)) if rng.random() < 1 / 3 else 0
        measure(plant, loops, seconds, rng)
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} run {number}: {plant or 'sound'}, {loops} loops\n")


def samples(names: Sequence[str], before: Sequence[Kept], new: Kept, *, adjusted: bool = True) -> list[Sample]:
    """A check of `new` by a baseline of the others, as `perflib check` makes it."""
    waits = Waits(np.array([one.waited for one in before]) if adjusted else None, np.array([new.waited]))
    percentiles = [
        Sample(name, figure, np.array([one.ms[i, j] for one in before]), new.ms[i, j : j + 1], waits=waits)
        for i, name in enumerate(names)
        for j, figure in enumerate(FIGURES)
    ]
    cpu_waits = replace(waits, slope=0.0, slope_sd=CPU_SLOPE_SD)
    return [
        *percentiles,
        Sample(ALL, CPU, np.array([one.cpu_ms for one in before]), np.array([new.cpu_ms]), waits=cpu_waits),
    ]


def left_out(names: Sequence[str], runs: Sequence[Kept], *, adjusted: bool) -> dict[tuple[str, str], Floats]:
    """By endpoint and figure the log ratio of each run to all the others."""
    found: dict[tuple[str, str], list[float]] = {}
    for place, one in enumerate(runs):
        for change in changes(samples(names, [*runs[:place], *runs[place + 1 :]], one, adjusted=adjusted)):
            if isinstance(change, Change):
                found.setdefault((change.endpoint, change.figure), []).append(float(np.log(change.ratio)))
    return {key: np.array(values) for key, values in found.items()}


def noise(names: Sequence[str], sound: Sequence[Kept]) -> str:
    """How much sound runs differ: as measured, less what their wait explains, and without neighbours."""
    quiet = [one for one in sound if not one.loops]
    raw, less = (left_out(names, sound, adjusted=how) for how in (False, True))
    alone = left_out(names, quiet, adjusted=False)
    rows = [
        [*key, *(f"{some[key].std(ddof=1):.3f}" if key in some else "–" for some in (raw, less, alone))] for key in raw
    ]
    waits = [f"{np.median([one.waited for one in some]):.2f}" for some in (quiet, [one for one in sound if one.loops])]
    told = f"{len(sound)} sound runs, {len(quiet)} of them without neighbours; waited per second of work (medians): "
    head = ["endpoint", "figure", "sd of the log, raw", "less the wait (leave one out)", "quiet runs alone"]
    return f"{told}{waits[0]} s without, {waits[1]} s with neighbours.\n\n{markdown(head, rows)}"


def plants(names: Sequence[str], sound: Sequence[Kept], planted: Sequence[Kept]) -> str:
    """Planted runs against all sound ones: how much slower they are told to be, with and without neighbours."""
    rows = []
    for plant in PLANTS:
        for beside in (False, True):
            some = [one for one in planted if one.plant == plant and bool(one.loops) == beside]
            before = [one for one in sound if bool(one.loops) == beside]
            if len(some) < 2 or len(before) < BASELINE_RUNS:
                continue
            cells = [f"{plant}, {len(some)} runs", "with" if beside else "without"]
            for adjusted in (False, True):
                logs = [_logs(samples(names, sound if adjusted else before, one, adjusted=adjusted)) for one in some]
                for key in ((PLANTED, "p50"), (PLANTED, "p95"), (ALL, CPU)):
                    own = np.array([each[key] for each in logs if key in each] or [np.nan])
                    cells.append(f"{np.expm1(own.mean()):+.1%} (± {own.std(ddof=1) / len(own) ** 0.5:.1%})")
            rows.append(cells)
    of = [f"{figure} {how}" for how in ("raw", "adjusted") for figure in ("p50", "p95", "CPU")]
    return markdown(["planted", "neighbours", *of], rows)


def _logs(some: list[Sample]) -> dict[tuple[str, str], float]:
    return {(one.endpoint, one.figure): float(np.log(one.ratio)) for one in changes(some) if isinstance(one, Change)}


def resampled(names: Sequence[str], sound: Sequence[Kept], planted: Sequence[Kept], count: int) -> str:
    """Checks by baselines drawn at random: how many alarm where nothing changed, and which endpoint is blamed."""
    rng, rows = np.random.default_rng([SEED, 1]), []
    groups = {"nothing": sound} | {
        f"{plant} of {PLANTED}": [one for one in planted if one.plant == plant] for plant in PLANTS
    }
    for told, some in groups.items():
        if not some:
            continue
        for adjusted in (False, True):
            hits = np.zeros(4, int)
            for number in range(count):
                new = some[number % len(some)]
                others = [one for one in sound if one is not new]
                before = [others[place] for place in rng.choice(len(others), BASELINE_RUNS, replace=False)]
                worse = {
                    one.endpoint
                    for one in judge(samples(names, before, new, adjusted=adjusted))
                    if one.verdict == "REGRESSION"
                }
                near = {PLANTED, ALL, *(name for name in names if name.startswith("Dashboard home"))}
                hits += [bool(worse), PLANTED in worse, ALL in worse, bool(worse - near)]
            shares = [_share(int(hit), count, len(some)) for hit in hits]
            rows.append([told, f"{len(some)} runs, {count} checks", "yes" if adjusted else "no", *shares])
    head = ["planted", "runs", "wait as covariate", "any REGRESSION", PLANTED, CPU, "another endpoint blamed"]
    return markdown(head, rows)


def _share(hits: int, count: int, runs: int) -> str:
    """A share with its 95 % interval (Clopper & Pearson), as if each run had been checked once."""
    seen = hits / count * runs
    low, high = (
        beta.ppf(0.025, seen, runs - seen + 1) if hits else 0.0,
        beta.ppf(0.975, seen + 1, max(runs - seen, 1e-9)),
    )
    return f"{hits / count:.1%} ({low:.1%} to {high:.1%})"


def main() -> int:
    """Make the runs that are missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--runs", type=int, default=120, help="so many more")
    parser.add_argument("--planted", type=float, default=0.3, help="the share of them with a fault")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a run, warm-up apart")
    parser.add_argument("--checks", type=int, default=2000, help="of each kind, by resampling")
    given = parser.parse_args()
    os.environ["PERFLIB_DATA"] = str(given.keep)
    with contextlib.suppress(KeyboardInterrupt):
        measure_all(given.runs, given.planted, given.seconds)
    frame = perflib.runs()
    frame = frame[frame["valid"] & (frame["errors"].groupby(frame["run_id"]).transform("sum") == 0)]
    names = frame["endpoint"].drop_duplicates().tolist()
    kept = [Kept.of(rows) for _, rows in frame.groupby("run_id", sort=True)]
    sound, planted = [one for one in kept if not one.plant], [one for one in kept if one.plant]
    sys.stdout.write(f"{len(kept)} valid runs of {perflib.runs()['run_id'].nunique()}.\n")
    sys.stdout.write(f"\n{noise(names, sound)}\n")
    sys.stdout.write(f"\n{plants(names, sound, planted)}\n")
    sys.stdout.flush()
    sys.stdout.write(f"\n{resampled(names, sound, planted, given.checks)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
