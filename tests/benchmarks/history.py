"""History: how often a stable one alarms, how soon a step of 10 % is found, how long 2,000 stored runs take to load.

    python -m tests.benchmarks.history

The seeds here were not used to tune the rule. Intervals are Clopper-Pearson's, 95 %.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.signal import lfilter
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parents[2]))

from perflib.figures.row import figures_of
from perflib.stats.change_points import _scans, change_points
from perflib.store.figures import history, write_figures
from perflib.store.runs import FACTS, REQUESTS, TABLE, load_run
from perflib.store.table import TABLE_NAME
from tests.benchmarks.peers import markdown
from tests.synthetic import make_run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from perflib.stats.change_points import ChangePoint

    Floats = NDArray[np.float64]

RUNS, FAMILY, STEP = 60, 14, 1.10
NOISES = (0.02, 0.05, 0.15)
FAMILY_SEED, SINGLE_SEED, LOOKS_SEED, DELAY_SEED, CORRELATED_SEED, SIDES_SEED, PLACE_SEED, LONG_SEED = range(
    970_001, 970_009
)
WITHIN = 4
"""A change point so near to the true one, and in its direction, has found it."""


@dataclass(frozen=True)
class Rate:
    """A share with its interval."""

    hits: int
    tries: int

    def __str__(self) -> str:
        interval = binomtest(self.hits, self.tries).proportion_ci()
        return f"{self.hits / self.tries:.2%} ({interval.low:.2%} to {interval.high:.2%})"


def noisy(seed: int, shape: tuple[int, ...], noise: float, correlation: float = 0.0) -> Floats:
    """Log-normal run-to-run noise of this standard deviation; `correlation` of neighbouring runs (AR(1))."""
    white = np.random.default_rng((seed, round(1000 * noise))).normal(0, 1, (*shape[:-1], shape[-1] + 100))
    drifting = lfilter([np.sqrt(1 - correlation**2)], [1, -correlation], white)[..., 100:]
    return np.asarray(100 * np.exp(noise * drifting))


def single_alarms(count: int) -> str:
    rows = []
    for noise in NOISES:
        series = noisy(SINGLE_SEED, (count, RUNS), noise)
        significant = [values for values in series if change_points(values, least_ratio=1.0)]
        shown = _alarms(significant)
        rows.append([f"{noise:.0%}", str(Rate(shown, count)), str(Rate(len(significant), count))])
    head = ["run-to-run noise", "alarms", "without the 5 % threshold"]
    return f"False alarms, one stable series of {RUNS} runs, {count:,} series.\n\n" + markdown(head, rows)


def _alarms(series: Iterable[Floats]) -> int:
    return sum(bool(change_points(values)) for values in series)


def family_alarms(count: int) -> str:
    rows = []
    for noise in NOISES:
        families = noisy(FAMILY_SEED, (count, FAMILY, RUNS), noise)
        alarms = sum(any(change_points(values, family=FAMILY) for values in family) for family in families)
        rows.append([f"{noise:.0%}", str(Rate(alarms, count))])
    title = f"False alarms, any in a family of {FAMILY} stable series of {RUNS} runs, {count:,} families."
    return f"{title}\n\n" + markdown(["run-to-run noise", "families that alarm"], rows)


def long_and_wide(spend_s: float) -> str:
    """As many families as so many CPU seconds a cell bear, without the 5 % threshold."""
    rows = []
    for runs in (60, 1000, 10_000):
        for family in (14, 84, 274):
            _scans.cache_clear()
            rng, begun_s, alarms, families = np.random.default_rng((LONG_SEED, runs, family)), time.process_time(), 0, 0
            while time.process_time() - begun_s < spend_s:
                each = (rng.lognormal(0, 0.05, runs) for _ in range(family))
                alarms += sum(bool(change_points(values, family=family, least_ratio=1.0)) for values in each) > 0
                families += 1
            spent_s = time.process_time() - begun_s
            rows.append([f"{runs:,}", str(family), str(Rate(alarms, families)), f"{families:,}"])
            rows[-1] += [f"{spent_s / families:.2f}", f"{_peak_mb():.0f}"]
    head = ["runs", "family", "families that alarm", "families", "CPU seconds each", "peak MB of the process so far"]
    return f"False alarms in long histories and wide families, without the 5 % threshold.\n\n{markdown(head, rows)}"


def long_changes() -> str:
    """+30 % at run 5,000 and -20 % at run 7,000 of 10,000, in every series."""
    rows = []
    for family in (1, 14, 84):
        _scans.cache_clear()
        shape = np.where(np.arange(10_000) < 5000, 1.0, np.where(np.arange(10_000) < 7000, 1.3, 1.04))
        series = noisy(LONG_SEED, (family, 10_000), 0.05) * shape
        begun_s = time.process_time()
        found = [[change.index for change in change_points(values, family=family)] for values in series]
        spent_s = time.process_time() - begun_s
        both = sum(len(one) == 2 and max(abs(one[0] - 5000), abs(one[1] - 7000)) <= 2 for one in found)
        rows.append([str(family), f"{both} of {family}", f"{spent_s:.1f}", f"{_peak_mb():.0f}"])
    head = ["family", "both within 2 runs, nothing else", "CPU seconds", "peak MB of the process"]
    return f"Two changes in 10,000 runs with 5 % of noise.\n\n{markdown(head, rows)}"


def correlated_alarms(count: int) -> str:
    rows = []
    for correlation in (0.1, 0.3, 0.6, 0.9):
        alarms = [_alarms(noisy(CORRELATED_SEED, (count, RUNS), noise, correlation)) for noise in NOISES]
        rows.append([f"{correlation:g}", *(str(Rate(some, count)) for some in alarms)])
    head = ["correlation of neighbouring runs", *(f"noise {noise:.0%}" for noise in NOISES)]
    title = f"A limit: false alarms where runs drift (AR(1)), one series of {RUNS} runs, {count:,} series."
    return f"{title}\n\n" + markdown(head, rows)


def alarms_of_many_looks(count: int) -> str:
    rows = []
    for noise in NOISES:
        series = noisy(LOOKS_SEED, (count, RUNS), noise)
        some = sum(any(change_points(values[:end]) for end in range(8, RUNS + 1)) for values in series)
        rows.append([f"{noise:.0%}", str(Rate(some, count))])
    title = f"A limit: series that alarm at any of the looks after run 8, 9, ... {RUNS}; {count:,} series."
    return f"{title}\n\n" + markdown(["run-to-run noise", "alarm at some look"], rows)


def alarms_beside_a_change(count: int) -> str:
    rows = []
    for noise in NOISES:
        series = noisy(SIDES_SEED, (count, RUNS), noise) * np.repeat([1.0, 1.5], RUNS // 2)
        extra = sum(len(change_points(values)) > 1 for values in series)
        rows.append([f"{noise:.0%}", str(Rate(extra, count))])
    title = f"False alarms beside a true step of 50 % in the middle of {RUNS} runs, {count:,} series."
    return f"{title}\n\n" + markdown(["run-to-run noise", "more than one change"], rows)


def delays(count: int, longest: int = 30) -> str:
    rows = []
    for before in (12, 30):
        for noise in NOISES:
            series = noisy(DELAY_SEED, (count, before + longest), noise)
            series[:, before:] *= STEP
            for family in (1, FAMILY):
                found = np.array([_delay(values, before, longest, family) for values in series])
                share = str(Rate(int((found <= longest).sum()), count))
                rows.append([str(before), f"{noise:.0%}", str(family), _runs(found, 0.5), _runs(found, 0.9), share])
    head = ["runs before", "run-to-run noise", "family", "median delay", "90 % within", f"found within {longest} runs"]
    title = f"Delay: runs after a step of +{STEP - 1:.0%} until it is found (within {WITHIN} runs), {count:,} series."
    return f"{title}\n\n" + markdown(head, rows)


def _delay(values: Floats, at: int, longest: int, family: int) -> float:
    """Runs from the change until it is first found, looking after every run; infinite if it is not."""
    for runs in range(1, longest + 1):
        if any(_is_it(change, at) for change in change_points(values[: at + runs], family=family)):
            return runs
    return np.inf


def _is_it(change: ChangePoint, at: int) -> bool:
    return abs(change.index - at) <= WITHIN and change.ratio > 1


def _runs(found: Floats, q: float) -> str:
    value = np.quantile(found, q, method="inverted_cdf")
    return f"{value:.0f}" if np.isfinite(value) else "not found"


def places(count: int) -> str:
    rows = []
    for noise, step in ((0.02, 1.1), (0.05, 1.1), (0.05, 1.25), (0.15, 1.5)):
        series = noisy(PLACE_SEED, (count, RUNS), noise)
        series[:, 40:] *= step
        off = [min((abs(change.index - 40) for change in change_points(values)), default=99) for values in series]
        shares = [str(Rate(sum(one <= most for one in off), count)) for most in (0, 1, WITHIN)]
        rows.append([f"{noise:.0%}", f"+{step - 1:.0%}", *shares])
    head = ["run-to-run noise", "step", "at the very run", "within 1 run", f"within {WITHIN} runs"]
    return f"Which run is blamed: a step at run 40 of {RUNS}, {count:,} series.\n\n" + markdown(head, rows)


def seconds_of_a_chart() -> str:
    rows = []
    for runs in (60, 333):
        series = noisy(PLACE_SEED, (FAMILY, runs), 0.05)
        shapes = {"stable": np.ones(runs), "a step": np.repeat([1.0, 1.2], [runs // 2, runs - runs // 2])}
        shapes["up and back"] = np.where((np.arange(runs) // (runs // 3)) == 1, 1.2, 1.0)
        for name, shape in shapes.items():
            _scans.cache_clear()
            begun_s = time.process_time()
            for values in series * shape:
                change_points(values, family=FAMILY)
            rows.append([str(runs), name, f"{time.process_time() - begun_s:.2f}"])
    title = f"CPU seconds for the change points of {FAMILY} series, no permutation drawn before."
    return f"{title}\n\n" + markdown(["runs", "series", "CPU seconds"], rows)


def load_times(count: int) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows_a_run = fill(folder, count)
        before_mb = _peak_mb()
        rows = [
            ["first build, no run has figures.parquet", *_timed(folder)],
            ["warm table", *_timed(folder)],
            ["warm table, again", *_timed(folder)],
        ]
        peak = f"{_peak_mb() - before_mb:.0f} MB more than before"
        newest = folder / f"run-{count - 1:05}" / FACTS
        newest.write_text(newest.read_text().replace('"note": ""', '"note": "changed"'))
        rows.append(["one run changed", *_timed(folder)])
        size_mb = (folder / TABLE_NAME).stat().st_size / 2**20
        rows.append(["figures.parquet of a run written and put into the table, each", *_sealed(folder)])
        (folder / TABLE_NAME).unlink()
        rows.append(["the table lost, all runs have figures.parquet", *_timed(folder)])
        title = f"Loading {count:,} stored runs of {rows_a_run:,} rows; table {size_mb:.1f} MB; peak memory: {peak}."
        return f"{title}\n\n" + markdown(["step", "seconds", "CPU seconds", "rows"], rows)


def fill(folder: Path, count: int) -> int:
    """So many stored runs of the same requests."""
    run = make_run(per_s=10, seconds=60.0)  # long enough for intervals
    for number in range(count):
        path = folder / f"run-{number:05}"
        path.mkdir()
        started_at = f"2026-{1 + number // 1000:02}-{1 + number // 40 % 25:02}T{number % 24:02}:00:00+00:00"
        facts = run.facts.model_copy(update={"run_id": path.name, "started_at": started_at})
        (path / FACTS).write_text(facts.model_dump_json(indent=1) + "\n")
        table = pa.Table.from_pandas(run.requests.assign(run_id=path.name), REQUESTS, preserve_index=False)
        pq.write_table(table, path / TABLE, compression="zstd")
    return len(run.requests)


def _timed(folder: Path) -> list[str]:
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    frame = history(folder, figures_of)
    took = time.perf_counter() - begun_s, time.process_time() - cpu_s
    return [*(f"{seconds:.2f}" for seconds in took), f"{len(frame):,}"]


def _sealed(folder: Path) -> list[str]:
    """Every run's figures written as if it were sealed now; the seconds of one."""
    spent_s, cpu_s, runs = 0.0, 0.0, sorted(folder.glob(f"*/{FACTS}"))
    for path in runs:
        rows = figures_of(load_run(folder, path.parent.name))
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        write_figures(path.parent, rows)
        spent_s, cpu_s = spent_s + time.perf_counter() - begun_s, cpu_s + time.process_time() - begun_cpu_s
    return [f"{spent_s / len(runs):.4f}", f"{cpu_s / len(runs):.4f}", f"{len(rows):,}"]


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> int:
    """Measure all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    less = 10 if parser.parse_args().quick else 1
    print(f"{seconds_of_a_chart()}\n", flush=True)
    print(f"{long_changes()}\n", flush=True)
    print(f"{long_and_wide(120 / less)}\n", flush=True)
    print(f"{single_alarms(10_000 // less)}\n", flush=True)
    print(f"{family_alarms(10_000 // less)}\n", flush=True)
    print(f"{delays(200 // less)}\n", flush=True)
    print(f"{alarms_beside_a_change(1000 // less)}\n", flush=True)
    print(f"{places(500 // less)}\n", flush=True)
    print(f"{correlated_alarms(500 // less)}\n", flush=True)
    print(f"{alarms_of_many_looks(300 // less)}\n", flush=True)
    print(load_times(2000 // less), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
