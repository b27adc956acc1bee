"""How often are the verdicts wrong, and what do they find? Simulated runs of known truth; prints Markdown tables.

    python -m tests.benchmarks.verdicts --quick

False alarms come with their upper 95 % bound (Clopper & Pearson 1934, Biometrika 26(4)). The seeds are none of those
that the rules were tuned with.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats
from scipy.signal import lfilter

sys.path.insert(0, str(Path(__file__).parents[2]))

from perflib.stats.band import Change, Judgement, Sample, is_clear, judge
from perflib.stats.bootstrap import Series, intervals, shift
from perflib.stats.paired import decide, plan
from perflib.stats.spending import Look
from tests.benchmarks.peers import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEED = 20_000
SIGMA = 0.5
"""Standard deviation of the log latency within a run."""
REQUESTS = 3000
"""Of an endpoint in a run."""
EFFECTS = (1.05, 1.10, 1.25, 2.00)


@dataclass(frozen=True)
class Design:
    """A check: run-to-run noise of `drift` (standard deviation of the log), `share` of its variance machine-wide.

    unequal: standard deviation of the log of the endpoints' own noise levels. tails: degrees of freedom of Student's
    t for run effects, infinity: normal. back_to_back: correlation of one run's effect with the next one's, the new
    run coming long after the baseline.
    """

    runs: int
    endpoints: int
    drift: float
    share: float = 0.0
    unequal: float = 0.0
    tails: float = math.inf
    back_to_back: float = 0.0

    def name(self) -> list[str]:
        """Cells of a table."""
        kinds = {0.0: "each endpoint's own", 1.0: "machine-wide"}
        noise = kinds.get(self.share, f"{self.share:.0%} machine-wide")
        noise += ", unequal" * bool(self.unequal) + f", t{self.tails:.0f} tails" * (self.tails < math.inf)
        noise += f", correlation {self.back_to_back:.1f} from run to run" * bool(self.back_to_back)
        return [str(self.runs), str(self.endpoints), f"{self.drift:.0%}", noise]


NAMES = ["baseline runs", "endpoints", "noise", "noise is"]


def percentiles(rng: np.random.Generator, shape: tuple[int, ...], requests: int) -> Floats:
    """Log p50 and log p95 of so many independent log-normal requests, exactly: order statistics are beta draws."""
    at_50, at_95 = math.ceil(0.50 * requests), math.ceil(0.95 * requests)
    low = rng.beta(at_50, requests + 1 - at_50, shape)
    high = low + (1 - low) * rng.beta(at_95 - at_50, requests + 1 - at_95, shape)
    return np.asarray(SIGMA * special.ndtri(np.stack([low, high], axis=-1)))


def effects(rng: np.random.Generator, shape: tuple[int, ...], design: Design) -> Floats:
    """Run effects of unit variance, shape (..., runs); the last run is the new one."""
    drawn = rng.standard_normal(shape)
    if design.tails < math.inf:
        drawn = rng.standard_t(design.tails, shape) * math.sqrt(1 - 2 / design.tails)
    if design.back_to_back:
        rho, baseline = design.back_to_back, drawn[..., :-1]
        moves = np.concatenate([baseline[..., :1], baseline[..., 1:] * math.sqrt(1 - rho**2)], axis=-1)
        drawn = np.concatenate([lfilter([1], [1, -rho], moves), drawn[..., -1:]], axis=-1)
    return drawn


def checks(rng: np.random.Generator, design: Design, count: int, new: int = 1) -> Iterator[Floats]:
    """Log percentiles of `count` checks, each of shape (endpoints, runs + new, 2)."""
    for _ in range(count):
        shape = (design.endpoints, design.runs + new)
        level = np.exp(design.unequal * rng.standard_normal((design.endpoints, 1)))
        own = effects(rng, shape, design) * level * math.sqrt(1 - design.share)
        run = design.drift * (own + math.sqrt(design.share) * effects(rng, shape[1:], design))
        yield run[:, :, np.newaxis] + percentiles(rng, shape, REQUESTS)


def samples(logs: Floats) -> list[Sample]:
    values = np.exp(logs)
    return [
        Sample(f"GET /{i}", figure, values[i, :-1, j], values[i, -1:, j])
        for i in range(len(values))
        for j, figure in enumerate(("p50", "p95"))
    ]


def briefs_rule(logs: Floats) -> NDArray[np.bool_]:
    """By endpoint: p95 above twice the baseline's median."""
    return np.asarray(np.exp(logs[:, -1, 1] - np.median(logs[:, :-1, 1], axis=1)) > 2)


def bound(hits: int, count: int) -> str:
    """A share, and its one-sided upper 95 % bound."""
    upper = stats.beta.ppf(0.95, hits + 1, count - hits) if hits < count else 1.0
    return f"{hits / count:.2%} (≤ {upper:.2%})"


def false_alarms(designs: list[Design], count: int, seed: int) -> str:
    """Checks where nothing changed: any alarm counts."""
    rows: list[list[str]] = []
    for design in designs:
        rng = np.random.default_rng([SEED, seed, len(rows)])
        hits, same, mde = np.zeros(3, int), 0.0, []
        for logs in checks(rng, design, count):
            judged = judge(samples(logs))
            verdicts = [each.verdict for each in judged]
            hits += ["REGRESSION" in verdicts, "IMPROVED" in verdicts, briefs_rule(logs).any()]
            same += verdicts.count("SAME") / len(verdicts) / count
            mde += [each.mde for each in judged[0].figures if isinstance(each, Change) and each.figure == "p95"]
        cells = [bound(int(hit), count) for hit in hits]
        rows.append([*design.name(), *cells, f"{same:.0%}", f"{np.median(mde):.0%}"])
        told(rows[-1])
    head = [*NAMES, "REGRESSION", "IMPROVED", "p95 > 2 × baseline alone", "SAME of endpoints", "printed mde"]
    return f"Check, nothing changed: share of {count:,} checks with any alarm.\n\n" + markdown(head, rows)


def power(designs: list[Design], count: int) -> str:
    """Checks where one endpoint is slower: it alone counts. The last column multiplies it by its own printed mde."""
    rows: list[list[str]] = []
    for design in designs:
        rng = np.random.default_rng([SEED, 2, len(rows)])
        ruled, brief = np.zeros(len(EFFECTS) + 1), np.zeros(len(EFFECTS))
        for logs in checks(rng, design, count):
            figure = judge(samples(logs))[0].figures[1]
            assert isinstance(figure, Change)
            for i, effect in enumerate((*EFFECTS, 1 + figure.mde)):
                slow = logs.copy()
                slow[0, -1] += math.log(effect)
                ruled[i] += judge(samples(slow))[0].verdict == "REGRESSION"
                if i < len(EFFECTS):
                    brief[i] += briefs_rule(slow)[0]
        found = [f"{a / count:.0%} ({b / count:.0%})" for a, b in zip(ruled, brief, strict=False)]
        rows.append([*design.name(), *found, f"{ruled[-1] / count:.0%}"])
        told(rows[-1])
    head = [*NAMES, *(f"{effect - 1:+.0%}" for effect in EFFECTS), "its mde"]
    return f"Check, one endpoint slower: found of {count:,} (by p95 > 2 × baseline alone).\n\n" + markdown(head, rows)


@dataclass(frozen=True)
class Ended:
    """A check that measured on until it was clear, or its budget was out."""

    judged: tuple[Judgement, ...]
    runs: int


def until_clear(logs: Floats, runs: int, most: int) -> Ended:
    """Judge after each new run; the first `runs` of shape (endpoints, runs + most, 2) are the baseline."""
    values = np.exp(logs)
    for number in range(1, most + 1):
        some = [
            Sample(f"GET /{i}", figure, values[i, :runs, j], values[i, runs : runs + number, j])
            for i in range(len(values))
            for j, figure in enumerate(("p50", "p95"))
        ]
        judged = judge(some, Look(number, most))
        if all(is_clear(one.verdict, one.figures) for one in judged):
            break
    return Ended(judged, number)


def adaptive(designs: list[Design], most: int, times: float, count: int) -> str:
    """Checks that measure on, p95 of one endpoint so many times slower."""
    rows: list[list[str]] = []
    for design in designs:
        rng, found, blamed, same = np.random.default_rng([SEED, 7, most, len(rows)]), 0, 0, 0
        lengths, mde = [], []
        for logs in checks(rng, design, count, most):
            logs[0, design.runs :, 1] += math.log(times)
            ended = until_clear(logs, design.runs, most)
            slower = [one.verdict == "REGRESSION" for one in ended.judged]
            found, blamed = found + (slower[0] and times > 1), blamed + any(slower[times > 1 :])
            same += ended.judged[0].verdict == "SAME"
            lengths.append(ended.runs)
            mde += [one.mde for one in ended.judged[0].figures if isinstance(one, Change) and one.figure == "p95"]
        shown = [f"{found / count:.1%}"] if times > 1 else []
        cells = [
            *shown,
            bound(blamed, count),
            f"{same / count:.1%}",
            f"{np.mean(lengths):.1f}",
            f"{np.median(mde):.0%}",
        ]
        rows.append([*design.name(), *cells])
        told([f"at most {most} runs", f"{times - 1:+.0%}", *rows[-1]])
    what = f"p95 of one endpoint {times - 1:+.0%}" if times > 1 else "nothing changed"
    head = [*NAMES, *(["found"] if times > 1 else []), "REGRESSION of another" if times > 1 else "any REGRESSION"]
    head += ["SAME of the first", "runs, mean", "planned mde"]
    return f"Check of at most {most} runs, {what}: share of {count:,}.\n\n" + markdown(head, rows)


def wrong_same(designs: list[Design], count: int) -> str:
    """Checks where one endpoint is 25 % slower: SAME would be wrong."""
    rows: list[list[str]] = []
    for design in designs:
        rng = np.random.default_rng([SEED, 3, len(rows)])
        hits = 0
        for logs in checks(rng, design, count):
            logs[0, -1] += math.log(1.25)
            hits += judge(samples(logs))[0].verdict == "SAME"
        rows.append([*design.name(), bound(hits, count)])
        told(rows[-1])
    return "Check, one endpoint 25 % slower: SAME all the same.\n\n" + markdown([*NAMES, "SAME"], rows)


@dataclass(frozen=True)
class Weather:
    """Inside a run: log latency moves by `sd` with correlation time `tau_s` (Ornstein & Uhlenbeck 1930)."""

    sd: float
    tau_s: float

    def name(self) -> str:
        return f"±{self.sd:.0%}, {self.tau_s:.0f} s" if self.sd else "none"


WEATHERS = (Weather(0.0, 0.0), Weather(0.15, 1.0), Weather(0.15, 5.0), Weather(0.15, 15.0))


def simulated(rng: np.random.Generator, duration_s: float, rate_per_s: float, weather: Weather) -> Series:
    """One run of Poisson arrivals."""
    at_s, step_s = np.sort(rng.random(rng.poisson(duration_s * rate_per_s)) * duration_s), 0.2
    mood = np.zeros(int(duration_s / step_s) + 1)
    if weather.sd:
        rho = math.exp(-step_s / weather.tau_s)
        moves = rng.standard_normal(len(mood)) * math.sqrt(1 - rho**2)
        moves[0] /= math.sqrt(1 - rho**2)
        mood = weather.sd * lfilter([1], [1, -rho], moves)
    logs = mood[(at_s / step_s).astype(int)] + SIGMA * rng.standard_normal(len(at_s))
    return Series(at_s, np.exp(logs), duration_s)


def single_run_coverage(count: int) -> str:
    """Block bootstrap intervals of one run against the true quantiles."""
    rows: list[list[str]] = []
    qs = (0.50, 0.95, 0.99)
    for duration_s, rate_per_s, share in ((60.0, 50.0, 1.0), (300.0, 30.0, 1.0), (1800.0, 10.0, 0.5)):
        for weather in WEATHERS:
            rng, runs = np.random.default_rng([SEED, 4, len(rows)]), max(1, int(count * share))
            truth = np.exp(math.hypot(SIGMA, weather.sd) * special.ndtri(qs))
            hits, wide = np.zeros(3), 0.0
            for _ in range(runs):
                given = [each.interval for each in intervals(simulated(rng, duration_s, rate_per_s, weather), qs)]
                hits += [
                    each is not None and each.low <= at <= each.high for each, at in zip(given, truth, strict=True)
                ]
                wide += math.log(given[1].high / given[1].low) / 2 / runs if given[1] else math.nan
            cells = [f"{hit / runs:.1%}" for hit in hits]
            rows.append([f"{duration_s:.0f} s", weather.name(), str(runs), *cells, f"±{wide:.1%}"])
            told(rows[-1])
    head = ["run", "latency moves by, for about", "runs", "p50", "p95", "p99", "p95's half width"]
    return "Single run: coverage of 95 % intervals.\n\n" + markdown(head, rows)


def shift_coverage(count: int) -> str:
    """Intervals of quantile ratios of two runs of 300 s, B 10 % slower."""
    rows: list[list[str]] = []
    qs = (0.10, 0.50, 0.90, 0.95, 0.99)
    for weather, drift, drift_sd in (
        (WEATHERS[0], 0.0, 0.0),
        (WEATHERS[1], 0.0, 0.0),
        (WEATHERS[2], 0.0, 0.0),
        (WEATHERS[2], 0.05, 0.0),
        (WEATHERS[2], 0.05, 0.05),
    ):
        rng, hits = np.random.default_rng([SEED, 5, len(rows)]), np.zeros(len(qs))
        for _ in range(count):
            a, b = (simulated(rng, 300.0, 30.0, weather) for _ in range(2))
            b = replace(b, values=b.values * 1.1 * math.exp(rng.normal(0, math.sqrt(2) * drift)))
            given = [each.interval for each in shift(a, b, qs, drift_sd=drift_sd)]
            hits += [each is not None and each.low <= 1.1 <= each.high for each in given]
        known = f"{drift_sd:.0%}" if drift_sd else "no"
        rows.append([weather.name(), f"{drift:.0%}", known, *(f"{hit / count:.1%}" for hit in hits)])
        told(rows[-1])
    head = ["latency moves by, for about", "noise from run to run", "told of it", *(f"q{q * 100:.0f}" for q in qs)]
    return f"Two stored runs: coverage of 95 % intervals of quantile ratios, {count:,} pairs.\n\n" + markdown(
        head, rows
    )


def log_ratios(rng: np.random.Generator, drift: float, effect: float, count: int, restarts: int) -> Floats:
    """log(p95 of B / of A) by restart: 12 pairs of 5-s blocks of 250 requests in random order, medians.

    The machine drifts by `drift` with a correlation time of 60 s, anew in each restart; each side of a restart has
    luck of its own, ±2 %. Shape (count, restarts).
    """
    pairs, rho = 12, math.exp(-5 / 60)
    moves = rng.standard_normal((count, restarts, 2 * pairs)) * math.sqrt(1 - rho**2)
    moves[..., 0] /= math.sqrt(1 - rho**2)
    mood = drift * lfilter([1], [1, -rho], moves).reshape(count, restarts, pairs, 2)
    blocks = percentiles(rng, mood.shape, 250)[..., 1] + mood
    order = rng.choice([-1.0, 1.0], (count, restarts, pairs))
    luck = rng.normal(0, 0.02 * math.sqrt(2), (count, restarts))
    return np.asarray(np.median(order * (blocks[..., 1] - blocks[..., 0]), axis=-1) + luck + math.log(effect))


def interleaved(count: int, powers: int) -> str:
    """Comparisons of 10 restarts of 2 minutes: 20 minutes, or less where they stop early."""
    rows: list[list[str]] = []
    for drift in (0.02, 0.05, 0.15):
        for early in (False, True):
            planned = plan(0.10, 0.03, early=early)
            cells: list[str] = []
            noise = 0.0
            for effect in (1.0, 1 / 1.1, *EFFECTS):
                rng = np.random.default_rng([SEED, 6, len(rows), len(cells)])
                of = count if effect == 1 else powers
                ratios = log_ratios(rng, drift, effect, of, planned.restarts)
                noise = float(ratios.std())
                ended = [first_verdict(each, early=early) for each in ratios]
                verdicts = [verdict for verdict, _ in ended]
                minutes = f", {2 * np.mean([restarts for _, restarts in ended]):.0f} min" if early else ""
                wanted = "IMPROVED" if effect < 1 else "REGRESSION"
                if effect == 1:
                    cells += [bound(verdicts.count(each), of) for each in ("REGRESSION", "IMPROVED")]
                    cells.append(f"{verdicts.count('SAME') / of:.1%}{minutes}")
                else:
                    cells.append(f"{verdicts.count(wanted) / of:.1%}{minutes}")
            rows.append([f"{drift:.0%}", "may stop early" if early else "20 min", f"{noise:.1%}", *cells])
            told(rows[-1])
    head = ["drift", "length", "restart noise", "A/A: REGRESSION", "A/A: IMPROVED", "A/A: SAME", "-9 %: IMPROVED"]
    head += [f"{effect - 1:+.0%}" for effect in EFFECTS]
    return f"Interleaved, p95, detect 10 %: {count:,} A/A comparisons, {powers:,} of each change.\n\n" + markdown(
        head, rows
    )


def first_verdict(ratios: Floats, *, early: bool) -> tuple[str, int]:
    """The verdict at the first look that gives one, and the restarts that took."""
    planned = plan(0.10, 0.03, early=early)
    for look in planned.looks:
        verdict = decide(ratios[: look.restarts], planned).verdict
        if verdict is not None:
            return verdict, look.restarts
    raise AssertionError("the last look always gives a verdict")


def told(row: list[str]) -> None:
    """Progress of a long study."""
    print(f"{time.strftime('%H:%M:%S')} {' · '.join(row)}", file=sys.stderr, flush=True)


def main() -> int:
    """Run all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="A/A comparisons a design")
    parser.add_argument("--quick", action="store_true", help="2 minutes, not 25")
    given = parser.parse_args()
    count = 500 if given.quick else given.count
    powers, slow = max(50, count // 20), max(20, count // 20)
    grid = [
        Design(runs, endpoints, drift, share)
        for runs in (8, 20)
        for endpoints, share in ((1, 0.0), (7, 0.0), (7, 1.0))
        for drift in (0.02, 0.05, 0.15)
    ]
    unequal = [Design(runs, endpoints, 0.05, 0.5, unequal=0.5) for runs in (8, 20) for endpoints in (3, 7)]
    limits = [
        Design(8, 7, 0.05, 0.5, tails=5.0),
        Design(20, 7, 0.05, 0.5, tails=5.0),
        *(Design(20, 7, 0.05, 1.0, back_to_back=rho) for rho in (0.5, 0.8)),
    ]
    print(interleaved(count, max(200, count // 5)), flush=True)
    print(f"\n{power([*(d for d in grid if d.share == 0)], powers)}", flush=True)
    noises = [Design(8, 7, drift, share) for drift in (0.02, 0.05, 0.15) for share in (0.0, 0.5, 1.0)]
    print(f"\n{adaptive(noises, 5, 1.0, max(count * 2 // 5, 100))}", flush=True)
    for runs, most, times in ((8, 5, 1.2), (20, 5, 1.2), (8, 20, 1.1), (20, 20, 1.1)):
        some = [replace(one, runs=runs) for one in noises]
        print(f"\n{adaptive(some, most, times, max(count // 10, 50))}", flush=True)
    print(f"\n{wrong_same(grid[1:9:3], count // 2)}", flush=True)
    print(f"\n{single_run_coverage(2 * slow)}", flush=True)
    print(f"\n{shift_coverage(slow)}", flush=True)
    print(f"\n{false_alarms(grid + unequal, count, 0)}", flush=True)
    print(f"\nBeyond what the verdict promises. {false_alarms(limits, count // 5, 1)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
