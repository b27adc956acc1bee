"""Comparison: A against B, as two stored runs or as restarts of both measured by turns. Pure."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from perflib.figures.spent import Effort, efforts_of
from perflib.figures.summary import series_of
from perflib.judge.baseline import unfit
from perflib.judge.knowledge import Known, noise_beside
from perflib.judge.matters import least_that_matters
from perflib.show.numbers import ms
from perflib.show.table import Row, Table, numbers, row, words
from perflib.spec import Environment, Run, Scenario, Spec
from perflib.spec.baselines import Baseline, Baselines
from perflib.spec.exits import ExitStatus
from perflib.spec.run import setup_of
from perflib.spec.setup import differences
from perflib.stats import Floats, Interval
from perflib.stats.band import BASELINE_RUNS, Change, Insufficient, Least, Sample, changes, verdicts_of
from perflib.stats.bootstrap import DECILES, Series, Shift, shift
from perflib.stats.explained import Waits
from perflib.stats.paired import Plan, decide, plan, restart_log_ratio
from perflib.stats.percentile import at_least, percentile
from perflib.stats.verdict import Verdict, worst

_COLUMNS = words("Endpoint", "Figure") + numbers("A, ms", "B, ms") + words("Verdict", "Why")
Side = Literal["a", "b"]
Pair = tuple[str, str]
"""An endpoint, and one of `FIGURES`."""

FIGURES = {"p50": 0.50, "p95": 0.95}
ALPHA = 0.01
"""The chance of any REGRESSION (and, apart, of any IMPROVED) in a comparison of equals."""
NOISE_SD = 0.05
"""How much a restart's log ratio is expected to vary, before any was measured."""
QUANTILES = (*DECILES, 0.95, 0.99)
TOLD_OF_WAIT = 0.05
"""Of a log ratio: where less is taken off, nobody would see it in the times of both sides."""


class Block(Spec):
    """Requests of one side within one short block: percentiles in ms by endpoint; None: too few; failures infinite."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

    side: Side
    p50_ms: dict[str, float | None]
    p95_ms: dict[str, float | None]
    requests: int
    errors: int
    invalid: str = ""
    """Why it says nothing of its side, though it was measured again: its load generator was disturbed."""

    @property
    def is_silent(self) -> bool:
        """Whether no request was answered as it should be."""
        return self.errors >= self.requests


class Restart(Spec):
    """One restart of both sides: their blocks by turns, in the order measured."""

    blocks: tuple[Block, ...]


class Comparison(Spec):
    """Both sides measured by turns; what comparison.json holds."""

    comparison_id: str
    a: str
    b: str
    restarted: bool
    """False: two URLs, which cannot be restarted; each "restart" is then only a group of blocks."""
    scenario: Scenario
    endpoints: tuple[str, ...]
    limits_ms: dict[str, float] = Field(default_factory=dict)
    """Of the endpoints that have one, by name."""
    detect: float
    pairs: int
    """Pairs of blocks in a restart."""
    block_s: float
    seed: int
    started_at: str
    environment: Environment
    state: Literal["running", "finished", "interrupted", "broken"] = "running"
    noise_sd: float = NOISE_SD
    """How much a restart's log ratio is expected to vary: what the plan is made with."""
    broken: str = ""
    """Why it ended before its time, where the user did not end it."""
    restarts: tuple[Restart, ...] = ()

    @property
    def plan(self) -> Plan:
        """When to look, and for how much: alpha is shared by all endpoints and both figures (Bonferroni)."""
        return self.plan_at(self.noise_sd)

    def plan_at(self, noise_sd: float) -> Plan:
        """The plan for restarts that vary by so much. Raises ValueError where it would take more than 1,000."""
        return plan(self.detect, noise_sd, alpha=ALPHA / (len(self.endpoints) * len(FIGURES)))

    def __repr__(self) -> str:
        done = f"{len(self.restarts)} of at most {self.plan.restarts}"
        return f"<Comparison {self.comparison_id}: {self.b} against {self.a}, {done} restarts, {self.state}>"

    def _repr_html_(self) -> str:
        title = f"Comparison {self.comparison_id}: {self.b} against {self.a}"
        return Table(_COLUMNS, tuple(one.row for one in verdicts(self)), title).html()


@dataclass(frozen=True)
class Seen:
    """A figure of one side.

    ms: None: too few requests; infinite: more of them failed than it allows. at_least_ms: where ms is None, what it is
    not below, with 95 % confidence. requests: what it is of; None where blocks tell them all together only.
    """

    ms: float | None = None
    at_least_ms: float | None = None
    requests: int | None = None


_UNSEEN = Seen()


@dataclass(frozen=True)
class FigureVerdict:
    """A figure of an endpoint, B over A; `verdict` None while it is not clear and more restarts are planned.

    refused: the two sides are not alike, or one is not sound; `reason` says how.
    """

    endpoint: str
    figure: str
    verdict: Verdict | None
    ratio: float | None
    interval: Interval | None
    mde: float | None
    reason: str
    a: Seen = _UNSEEN
    b: Seen = _UNSEEN
    refused: bool = False
    lacks_requests: bool = False
    """It cannot be told; where the endpoint's other figure can, that one judges alone."""
    silent: bool = False
    """One of the sides answered nothing; `reason` says which."""

    @property
    def row(self) -> Row:
        """Its row of a table."""
        times = (ms(self.a.ms), ms(self.b.ms))
        return row(self.endpoint, self.figure, *times, self.verdict or "not clear yet", self.reason)

    def __repr__(self) -> str:
        return f"<{self.verdict or 'Not clear yet'}, {self.figure} of {self.endpoint}: {self.reason}>"

    def _repr_html_(self) -> str:
        return Table(_COLUMNS, (self.row,), f"{self.figure} of {self.endpoint}, B over A").html()


def log_ratios(comparison: Comparison, endpoint: str, figure: str) -> Floats:
    """log(B / A) by restart, shape (restarts,); NaN where less than half of its pairs of blocks told the figure."""
    return np.array([_log_ratio(restart, endpoint, figure) for restart in comparison.restarts])


def _log_ratio(restart: Restart, endpoint: str, figure: str) -> float:
    a, b = (
        [_told_ms(block, endpoint, figure) for block in restart.blocks if block.side == side] for side in get_args(Side)
    )
    pairs = np.array([a, b])
    told = pairs[:, ~np.isnan(pairs).any(axis=0)]
    return math.nan if 2 * told.shape[1] < len(a) else restart_log_ratio(*told)


def _told_ms(block: Block, endpoint: str, figure: str) -> float:
    ms = None if block.invalid else getattr(block, f"{figure}_ms").get(endpoint)
    return math.nan if ms is None else float(ms)


def verdicts(comparison: Comparison) -> tuple[FigureVerdict, ...]:
    """Every figure as its first decisive look found it, else as the last look did.

    >>> import perflib
    >>> found = perflib.compare("http://127.0.0.1:8420", "http://127.0.0.1:8421")  # doctest: +SKIP
    >>> perflib.verdicts(found)  # doctest: +SKIP
    """
    return tuple(
        replace(
            _verdict(comparison, endpoint, figure),
            a=_seen_in_blocks(comparison, "a", endpoint, figure),
            b=_seen_in_blocks(comparison, "b", endpoint, figure),
        )
        for endpoint in comparison.endpoints
        for figure in FIGURES
    )


def _seen_in_blocks(comparison: Comparison, side: Side, endpoint: str, figure: str) -> Seen:
    """The median over the sound blocks of a side."""
    blocks = [block for restart in comparison.restarts for block in restart.blocks if block.side == side]
    told = [value for block in blocks if not math.isnan(value := _told_ms(block, endpoint, figure))]
    return Seen(float(np.median(told)) if told else None)


def silence(comparison: Comparison) -> tuple[str, Verdict] | None:
    """What is to be said where a side answered no request as it should, and the verdict; None where both did."""
    blocks = [block for restart in comparison.restarts for block in restart.blocks]
    silent = [side for side in get_args(Side) if all(one.is_silent for one in blocks if one.side == side)]
    if not (blocks and silent):
        return None
    told = []
    for side in sorted(get_args(Side), key=lambda one: one not in silent):
        asked = sum(block.requests for block in blocks if block.side == side)
        failed = sum(block.errors for block in blocks if block.side == side)
        told.append(
            f"{side.upper()} answered {f'{asked - failed:,}' if asked > failed else 'none'} of {asked:,} requests"
        )
    return "; ".join(told), Verdict.REGRESSION if silent == ["b"] else Verdict.INCONCLUSIVE


def _verdict(comparison: Comparison, endpoint: str, figure: str) -> FigureVerdict:
    if found := silence(comparison):
        reason, verdict = found
        return FigureVerdict(endpoint, figure, verdict, None, None, None, reason, silent=True)
    ratios, planned = log_ratios(comparison, endpoint, figure), comparison.plan
    if np.isnan(ratios).any():
        why = f"too few requests for {figure}{' in sound blocks' if _invalid(comparison) else ''}"
        return FigureVerdict(endpoint, figure, Verdict.INCONCLUSIVE, None, None, None, why, lacks_requests=True)
    least = _least(comparison, endpoint, figure)
    looks = [
        decide(ratios[: look.restarts], planned, least.relative if least.told else 0.0)
        for look in planned.looks
        if len(ratios) >= look.restarts
    ]
    if not looks:
        reason = f"{len(ratios)} restarts; the first look is after {planned.looks[0].restarts}"
        return FigureVerdict(endpoint, figure, None, None, None, None, reason)
    decision = next((one for one in looks if one.verdict), looks[-1])
    change = decision.change
    told = f"{figure} {change.ratio:.2f} x A ({change.interval:.2f})"
    told += "" if decision.verdict in (Verdict.REGRESSION, Verdict.IMPROVED) else f"; detectable: {decision.mde:+.0%}"
    told += f"; what matters is {least.told}" if least.told and decision.verdict == Verdict.SAME else ""
    return FigureVerdict(endpoint, figure, decision.verdict, change.ratio, change.interval, decision.mde, told)


def noise_seen(comparison: Comparison) -> float | None:
    """The largest standard deviation of a restart's log ratio among what stayed unclear; None where none is known."""
    unclear = [one for one in verdicts(comparison) if one.verdict in (None, Verdict.INCONCLUSIVE)]
    ratios = [log_ratios(comparison, one.endpoint, one.figure) for one in unclear]
    seen = [float(np.std(some, ddof=1)) for some in ratios if len(some) > 1 and not np.isnan(some).any()]
    return max(seen, default=None)


def _least(comparison: Comparison, endpoint: str, figure: str) -> Least:
    """The smallest change of a figure that matters, by what it is of A."""
    told_ms = [
        _told_ms(block, endpoint, figure) for one in comparison.restarts for block in one.blocks if block.side == "a"
    ]
    known = [value for value in told_ms if math.isfinite(value)]
    limit_ms = comparison.limits_ms.get(endpoint)
    return least_that_matters(endpoint, figure, median(known), limit_ms, ()) if known else Least()


def as_json(figures: Sequence[FigureVerdict], notes: Sequence[str]) -> dict[str, Any]:
    """The object that `perflib compare --format json` prints."""
    rows = [_figure_as_json(one) for one in figures]
    return {"exit": int(exit_status(figures)), "endpoints": by_endpoint(figures), "figures": rows, "notes": list(notes)}


def _figure_as_json(one: FigureVerdict) -> dict[str, Any]:
    """A figure's object; null: not known, or infinite, as more failed than it allows."""
    plain = {name: getattr(one, name) for name in ("endpoint", "figure", "verdict", "ratio", "mde", "reason")}
    sides = {f"{side}_{name}": value for side in get_args(Side) for name, value in vars(getattr(one, side)).items()}
    finite = {name: value if value is not None and math.isfinite(value) else None for name, value in sides.items()}
    return plain | {"interval": one.interval and [one.interval.low, one.interval.high]} | finite


def notes(comparison: Comparison) -> tuple[str, ...]:
    """What a reader should know of how it was measured."""
    done, most = len(comparison.restarts), comparison.plan.restarts
    errors = {side: sum(b.errors for r in comparison.restarts for b in r.blocks if b.side == side) for side in "ab"}
    told = [
        f"{done} of at most {most} {'restarts' if comparison.restarted else 'groups of blocks'}, "
        f"{comparison.pairs} blocks of {comparison.block_s:g} s per side in each, by turns in random order",
        f"planned to detect {comparison.detect:+.0%} in 9 of 10 cases; a false REGRESSION in "
        f"{ALPHA:.0%} of comparisons",
    ]
    if not comparison.restarted:
        told.append("blocks, not restarts: luck that a start brings (memory layout, caches) may pass for a change")
    if comparison.state in ("interrupted", "broken"):
        told.append(f"{comparison.broken or 'interrupted'}: measuring ended before every figure was clear")
    if invalid := _invalid(comparison):
        told.append(f"blocks left out: {len(invalid)}, the last one as {invalid[-1]}")
    failed = ((side.upper(), count) for side, count in errors.items() if count)
    told += [f"{count:,} requests to {side} failed; they count as infinitely slow" for side, count in failed]
    return (*told, f"`perflib show {comparison.comparison_id}` shows this again")


def _invalid(comparison: Comparison) -> list[str]:
    """Why, of each block that is left out."""
    return [block.invalid for restart in comparison.restarts for block in restart.blocks if block.invalid]


def is_clear(comparison: Comparison) -> bool:
    """Whether every figure has its verdict: nothing more is to be measured."""
    return all(one.verdict is not None for one in verdicts(comparison))


def by_endpoint(figures: Sequence[FigureVerdict]) -> dict[str, Verdict]:
    """An endpoint's verdict: REGRESSION if any figure regressed, then IMPROVED; SAME only if all are.

    One that lacks requests has no say where another has not: then p50 judges alone.
    """
    found: dict[str, list[FigureVerdict]] = {}
    for one in figures:
        found.setdefault(one.endpoint, []).append(one)
    judging = {name: [one for one in some if not one.lacks_requests] or some for name, some in found.items()}
    return {name: worst(one.verdict or Verdict.INCONCLUSIVE for one in some) for name, some in judging.items()}


def exit_status(figures: Sequence[FigureVerdict]) -> ExitStatus:
    """1 for a regression, 3 where something stayed inconclusive, else 0."""
    found = by_endpoint(figures).values()
    if Verdict.REGRESSION in found:
        return ExitStatus.FOUND
    return ExitStatus.NOT_JUDGED if Verdict.INCONCLUSIVE in found or not found else ExitStatus.OK


@dataclass(frozen=True)
class EndpointShift:
    """How two stored runs differ at one endpoint, quantile by quantile."""

    endpoint: str
    shifts: tuple[Shift, ...]


def shifts(a: Run, b: Run, drift_sd: float = 0.0) -> tuple[EndpointShift, ...]:
    """B over A of every endpoint and page that both drove; see `stats.bootstrap.shift`.

    >>> import perflib
    >>> a, b = map(perflib.load_run, ("sample-12-release-1.2", "sample-13-release-1.3"))
    >>> [one.endpoint for one in perflib.shifts(a, b)]
    ['GET /health', 'GET /snapshot', 'GET /clients', 'GET /signals']
    """
    of_a, of_b = _series(a), _series(b)
    return tuple(
        EndpointShift(name, shift(series, of_b[name], QUANTILES, drift_sd=drift_sd))
        for name, series in of_a.items()
        if name in of_b
    )


def compare_stored(
    a: Run, b: Run, baselines: Baselines, like: pd.DataFrame | None = None, *, although_different: bool = False
) -> tuple[FigureVerdict, ...]:
    """The verdicts on two stored runs, by how much runs differ: A's baseline knows that, else the like runs beside it.

    Without either, INCONCLUSIVE. So are runs of different setups, and runs that are not sound, each with the reason:
    `although_different` compares them all the same. A figure that failures make infinite on one side needs no noise.

    The test is that of `stats.band`, one family of all endpoints and both figures, with A alone as the level. What the
    target's wait for a core explains of them is taken off.

    Args:
        like: the figures of stored runs of A's setup, columns as in `FigureRow`.
    """
    of_a, of_b = _series(a), _series(b)
    why = "" if although_different else _not_alike(a, b)
    pairs = [(name, figure) for name in of_a if name in of_b for figure in FIGURES]
    times = {pair: _Times(*(percentile(of[pair[0]].values, FIGURES[pair[1]]) for of in (of_a, of_b))) for pair in pairs}
    if why:
        figures = tuple(_unknown(pair, of, why) for pair, of in times.items())
    else:
        least = {pair: _least_of(pair, of.a, (a, b)) for pair, of in times.items()}
        efforts = efforts_of(a), efforts_of(b)
        waited = {name: _Waited(*(of.get(name, Effort()).waited_per_ran for of in efforts)) for name in of_a}
        figures = _tested(times, least, waited, noise_beside(a.facts, b.facts, baselines, like))
    return tuple(replace(_shown(one, of_a, of_b), refused=bool(why)) for one in figures)


def _shown(one: FigureVerdict, of_a: Mapping[str, Series], of_b: Mapping[str, Series]) -> FigureVerdict:
    """The same, with what each side took."""
    q = FIGURES[one.figure]
    return replace(one, a=_seen(of_a[one.endpoint], q), b=_seen(of_b[one.endpoint], q))


def _seen(series: Series, q: float) -> Seen:
    found = percentile(series.values, q)
    bound = at_least(series.values, q) if found is None else None
    return Seen(found, bound, len(series.values))


def _not_alike(a: Run, b: Run) -> str:
    """Why two runs do not compare, and the command that compares them all the same; empty where they do."""
    judged = (a,) if b.facts.state == "broken" and _failed_wholly(b) else (a, b)
    unsound = [f"{run.facts.run_id} is not sound: {'; '.join(unfit(run))}" for run in judged if unfit(run)]
    differs = differences(setup_of(b.facts), setup_of(a.facts))
    other = [f"the runs are not alike: {'; '.join(differs)}"] if differs else []
    command = shlex.join([a.facts.run_id, b.facts.run_id, "--although-different"])
    way_out = [f"`perflib compare {command}` compares them all the same"]
    return "; ".join([*unsound, *other, *way_out]) if unsound or other else ""


def _failed_wholly(run: Run) -> bool:
    """Whether no request succeeded: what cut the run short was its target."""
    found = _series(run).values()
    return bool(found) and all(np.isinf(one.values).all() for one in found)


@dataclass(frozen=True)
class _Times:
    """A figure of both sides in ms. None: too few requests; infinite: more of them failed than it allows."""

    a: float | None
    b: float | None

    @property
    def infinite(self) -> str:
        """Which side is, where it is one of them."""
        found = [side for side, ms in (("A", self.a), ("B", self.b)) if ms == math.inf]
        return found[0] if len(found) == 1 and None not in (self.a, self.b) else ""

    @property
    def ratio(self) -> float | None:
        known = self.a and self.b and math.isfinite(self.a) and math.isfinite(self.b)
        return self.b / self.a if known and self.a and self.b else None


@dataclass(frozen=True)
class _Waited:
    """How long the target waited for a core beside an endpoint, per second of work. None: not known."""

    a: float | None
    b: float | None

    def waits(self, noise: Baseline, name: str) -> Waits:
        usual = noise.endpoints[name].per_run.waited_per_ran
        base = None if usual is None else np.array(usual, np.float64)
        return Waits(base, np.array([self.b], np.float64), np.array([self.a], np.float64))


def _least_of(pair: Pair, was_ms: float | None, runs: Sequence[Run]) -> Least:
    limits_ms = {item.name: item.target_ms for item in runs[0].facts.target.items}
    generators = [run.facts.generator for run in runs]
    return least_that_matters(*pair, was_ms, limits_ms.get(pair[0]), generators) if was_ms else Least()


def _tested(
    times: dict[Pair, _Times], least: dict[Pair, Least], waited: dict[str, _Waited], known: Known
) -> tuple[FigureVerdict, ...]:
    samples = [] if known.noise is None else _samples(times, least, waited, known.noise)
    found = {(one.endpoint, one.figure): (one, verdict) for one, verdict in verdicts_of(changes(samples)).items()}
    chance = f"one run per side is not enough, as runs differ by chance; {known.lacking}"
    return tuple(
        _failed(pair, of)
        if of.infinite
        else _told(*found[pair], known)
        if pair in found
        else _unknown(pair, of, f"too few requests for {pair[1]}" if of.ratio is None else chance)
        for pair, of in times.items()
    )


def _samples(
    times: dict[Pair, _Times], least: dict[Pair, Least], waited: dict[str, _Waited], noise: Baseline
) -> list[Sample]:
    """Of each figure that both sides have, and the runs beside them."""
    return [
        Sample(
            *pair,
            np.array(usual, np.float64),
            np.array([of.b]),
            least[pair],
            np.array([of.a]),
            "A",
            waited[pair[0]].waits(noise, pair[0]),
        )
        for pair, of in times.items()
        if of.ratio is not None and pair[0] in noise.endpoints
        for usual in [getattr(noise.endpoints[pair[0]].per_run, f"{pair[1]}_ms")]
    ]


def _told(found: Change | Insufficient, verdict: Verdict, known: Known) -> FigureVerdict:
    if isinstance(found, Insufficient):
        few = f"too few runs in {known.in_words} to tell how much runs differ; {BASELINE_RUNS} are needed"
        return FigureVerdict(found.endpoint, found.figure, verdict, None, None, None, few)
    told = f"{found.figure} {found.ratio:.2f} x A ({found.interval:.2f}); detectable: {found.mde:+.0%}"
    if abs(math.log(found.by_wait)) >= TOLD_OF_WAIT:
        told += f"; the target's wait for a core, which makes it {found.by_wait:.2f} x, is taken off"
    told += f"; judged by how much runs differ in {known.in_words}"
    told += f"; what matters is {found.least.told}" if found.least.told and verdict == Verdict.SAME else ""
    return FigureVerdict(found.endpoint, found.figure, verdict, found.ratio, found.interval, found.mde, told)


def _failed(pair: Pair, of: _Times) -> FigureVerdict:
    """A figure that failures make infinite on one side; they count as infinitely slow."""
    reason = f"{pair[1]} of {of.infinite} is infinite: more requests failed than it allows"
    verdict = Verdict.REGRESSION if of.infinite == "B" else Verdict.IMPROVED
    return FigureVerdict(*pair, verdict, None, None, None, reason)


def _unknown(pair: Pair, of: _Times, reason: str) -> FigureVerdict:
    return FigureVerdict(*pair, Verdict.INCONCLUSIVE, of.ratio, None, None, reason)


def _series(run: Run) -> dict[str, Series]:
    """The judged times of every endpoint and page that was driven."""
    names = [item.name for item in run.facts.scenario.takes(run.facts.target)]
    found = {name: series_of(run, name) for name in names}
    return {name: series for name, series in found.items() if series is not None and len(series.values)}
