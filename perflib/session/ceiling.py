"""The ceiling, live: short open loads on the target, until the highest rate at which every limit holds is known."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from perflib.figures.summary import EndpointSummary, summarize
from perflib.load.consent import check_consent
from perflib.load.engine import drive
from perflib.session.validity import with_validity
from perflib.show.numbers import three_digits
from perflib.spec import Closed, Endpoint, Facts, InputError, Open, Run, Scenario
from perflib.spec.diagnosis import Ceiling, Limit, Probe, Usl, UslPoint
from perflib.spec.endpoint import SAFE
from perflib.spec.run import OwnError
from perflib.spec.setup import is_here
from perflib.spec.workload import Workload
from perflib.stats.ceiling import PAUSE_S, SCOUT_S, Estimate, Search, Seen, Try
from perflib.stats.percentile import required_count
from perflib.stats.usl import MIN_POINTS, scalability
from perflib.store.runs import RunFolder
from perflib.watch.sampler import Sampler

Say = Callable[[str], None]

TIMES_ALONE, LEAST_LIMIT_MS = 5.0, 10.0
"""The limit of an endpoint without one: so many times its median alone, and no less than this, which noise reaches."""
MOST_TIMES = 16.0
"""The search goes no further than so many times what is known to get through."""
MOST_ERRORS, MOST_OWN_ERROR = 0.01, 0.05
"""Of the requests; and of a limit, what may be the load generator's own."""
_BEGIN, _WARMUP_S = 0.7, 1.0
_RARE = 0.05
"""Endpoints of less than this share of the mix do not make probes longer: they are judged where they can be."""
_MOST_CONNECTIONS = 1000
_LAW_USERS, _LAW_S, _LAW_WARMUP_S, _LAW_BUDGET_S = (1, 2, 4, 8), 1.0, 0.2, 60.0
"""How the scalability law is measured where the budget is this or more."""
_COUNT = required_count(0.95)
_WIDE = 1.5


def find_ceiling(
    facts: Facts,
    names: Sequence[str],
    *,
    about_per_s: float,
    budget_s: float,
    alone_p50_ms: Mapping[str, float],
    points: Sequence[UslPoint] = (),
    limited_by: Limit = "unknown",
    cpu_bound_per_s: float | None = None,
    include_writes: bool = False,
    elsewhere: bool = False,
    say: Say = lambda _: None,
) -> Ceiling | None:
    """Look for the highest rate of the mix at which the p95 of every endpoint is below its limit.

    The limits are the endpoints' `target_ms`; where none has one, see `TIMES_ALONE`. The search ends at the first
    answer of 5xx or 429, and at 1 % of errors. Nothing of it is stored.

    Args:
        facts: whose target and seed are used, and whose scenario's time-out.
        names: the endpoints of the mix, by their weights.
        about_per_s: what is known to get through, such as a crowd's throughput.
        budget_s: how long the search may take, what is under way at the end aside.
        alone_p50_ms: of endpoints without a limit.
        points: of the scalability law; where there are none, a budget of a minute or more measures them.
        include_writes: whether other methods than GET, HEAD and OPTIONS are sent.
        elsewhere: whether the target may be another machine.
        say: called with a line per probe.

    Returns:
        None where no probe was valid; `say` has told why.

    Raises:
        InputError: where there is nothing to send or to hold it against, or the target is not to be driven.
        KeyboardInterrupt: where it was interrupted.
    """
    mix = _Mix.of(facts, names, alone_p50_ms, include_writes=include_writes)
    if not (facts.target.unix_socket or is_here(facts.target.base_url) or elsewhere):
        raise InputError(f"{facts.target.base_url}: is not this machine; drive it to its ceiling with --find-ceiling")
    bound = most_requests(about_per_s, budget_s)
    bound = min(bound, facts.target.max_requests or bound)
    load = Open(rate_per_s=MOST_TIMES * about_per_s)
    if told := check_consent(facts.target.replaced(max_requests=bound), mix.scenario(facts, load, budget_s, 0.0)):
        say(told)
    hunt = _Hunt(facts, mix, bound, time.monotonic() + budget_s, say)
    if not points and budget_s >= _LAW_BUDGET_S:
        points = hunt.points()
    search = Search(_BEGIN * about_per_s, MOST_TIMES * about_per_s, mix.least_requests)
    hunt.run(search)
    if not hunt.probes and not hunt.broke_at_per_s:
        say("no ceiling was found" if hunt.told else "no ceiling: no time for a probe; give a longer --budget")
        return None
    estimate = search.estimate()
    return Ceiling(
        rate_per_s=estimate.rate_per_s,
        interval=(estimate.interval.low, estimate.interval.high),
        limited_by=limited_by,
        probes=tuple(hunt.probes),
        usl=law_of(points),
        cpu_bound_per_s=cpu_bound_per_s,
        told="; ".join([*mix.told, *hunt.told, *_unsure(hunt.probes, estimate)]),
    )


def most_requests(about_per_s: float, budget_s: float) -> int:
    """What a search sends at most: as if no rate were missed, each probe faster than the one before."""
    search, sent, left_s = Search(_BEGIN * about_per_s, MOST_TIMES * about_per_s), 0.0, budget_s
    longest = Try(MOST_TIMES * about_per_s, budget_s)
    while probe := search.next(left_s):
        search.told(probe.rate_per_s, {"": Seen(0.0, 1)})
        sent += probe.rate_per_s * (probe.duration_s + _WARMUP_S)
        left_s -= probe.duration_s + PAUSE_S
        longest = Try(probe.rate_per_s, max(0.0, left_s))
    sent += longest.rate_per_s * longest.duration_s  # the last ones missed, and measured for longer
    return math.ceil(sent + 5 * math.sqrt(sent))


def touches(error: OwnError, limits_ms: Mapping[str, float]) -> bool:
    """Whether an own error may put a p95 on the other side of its limit: a p50, or one without a limit, has none."""
    limit_ms = limits_ms.get(error.endpoint)
    return error.percentile == "p95" and limit_ms is not None and error.ms > MOST_OWN_ERROR * limit_ms


def law_of(points: Sequence[UslPoint]) -> Usl | None:
    """The scalability law of these points; None: they are too few."""
    able = [point for point in points if point.throughput_per_s > 0]
    if len({point.users for point in able}) < MIN_POINTS:
        return None
    law = scalability(np.array([one.users for one in able]), np.array([one.throughput_per_s for one in able]))
    return Usl(
        rate_per_s=law.rate_per_s,
        contention=law.contention,
        coherency=law.coherency,
        peak_users=law.peak_users,
        points=tuple(points),
    )


def _unsure(probes: Sequence[Probe], estimate: Estimate) -> list[str]:
    if estimate.open_above:
        least = three_digits(estimate.rate_per_s)
        return [f"every limit held at all rates that were tried: the ceiling is at least {least}"]
    if not any(probe.met for probe in probes):
        return ["no rate was found at which every limit holds"]
    if estimate.interval.high > _WIDE * estimate.interval.low:
        return ["its interval is wide, as p95 grows slowly with the rate, or requests are few: --budget gives more"]
    return []


@dataclass(frozen=True)
class _Mix:
    """What is sent, and the limits of p95 by endpoint."""

    names: tuple[str, ...]
    limits_ms: Mapping[str, float]
    least_requests: float
    """In a probe, for the percentile of each endpoint that is not rare."""
    told: tuple[str, ...]

    @classmethod
    def of(
        cls, facts: Facts, names: Sequence[str], alone_p50_ms: Mapping[str, float], *, include_writes: bool
    ) -> "_Mix":
        taken = [one for one in facts.target.endpoints if one.name in names and one.weight]
        sent = [one for one in taken if include_writes or one.method in SAFE]
        if not sent:
            raise InputError(f"the ceiling: {facts.target.name} has no GET, HEAD or OPTIONS; allow --include-writes")
        told = [] if len(sent) == len(taken) else ["endpoints that write were left out"]
        limits_ms = {one.name: one.target_ms for one in sent if one.target_ms is not None}
        if not limits_ms:
            limits_ms = {
                one.name: max(LEAST_LIMIT_MS, TIMES_ALONE * alone_p50_ms[one.name])
                for one in sent
                if one.name in alone_p50_ms
            }
            told.append(f"no endpoint has a target_ms: its limit is {TIMES_ALONE:g} times its p50 alone")
        if not limits_ms:
            raise InputError(f"the ceiling: no endpoint of {facts.target.name} has a limit; give one a target_ms")
        return cls(tuple(one.name for one in sent), limits_ms, _least_requests(sent, limits_ms), tuple(told))

    def scenario(self, facts: Facts, workload: Workload, duration_s: float, warmup_s: float) -> Scenario:
        connections = math.ceil(10 * workload.rate_per_s) if isinstance(workload, Open) else 0
        return Scenario(
            name="ceiling",
            title="Ceiling",
            workload=workload,
            duration_s=duration_s,
            warmup_s=warmup_s,
            timeout_s=facts.scenario.timeout_s,
            pages=False,
            endpoints=self.names,
            max_connections=min(_MOST_CONNECTIONS, max(100, connections)) if connections else None,
        )


def _least_requests(sent: Sequence[Endpoint], limits_ms: Mapping[str, float]) -> float:
    whole = sum(one.weight for one in sent)
    shares = [one.weight / whole for one in sent if one.name in limits_ms]
    return 1.3 * _COUNT / min([share for share in shares if share >= _RARE], default=max(shares))


@dataclass
class _Hunt:
    """A search under way."""

    facts: Facts
    mix: _Mix
    left: int
    """So many requests may yet be sent."""
    until_s: float
    """By `time.monotonic`."""
    say: Say
    probes: list[Probe] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    broke_at_per_s: float | None = None

    def __post_init__(self) -> None:
        self._draw, self._is_over = random.Random(self.facts.seed), False

    def run(self, search: Search) -> None:
        """Probe until the search is over, or the target breaks."""
        while (probe := search.next(self.until_s - time.monotonic())) and not self._is_over:
            run = self._valid(probe)
            if run is None:
                search.unreachable(probe.rate_per_s)
                continue
            if broke := _broken(run):
                search.bounded(probe.rate_per_s)
                self.broke_at_per_s, self._is_over = probe.rate_per_s, True
                self._tell(f"the search stopped at {three_digits(probe.rate_per_s)} per second: {broke}")
            if seen := self._seen(run):
                offered = Try(_offered_per_s(run), probe.duration_s)
                self._learn(search, offered, seen, broke=bool(broke))
            elif not broke:
                self._tell(f"no endpoint got {_COUNT} requests at {three_digits(probe.rate_per_s)} per second")
                return

    def points(self) -> tuple[UslPoint, ...]:
        """What so many users get through."""
        found = []
        for users in _LAW_USERS:
            run = self._drive(Closed(users=users), _LAW_S, _LAW_WARMUP_S)
            if run is not None and run.facts.valid:
                found.append(UslPoint(users=users, throughput_per_s=summarize(run).throughput_per_s))
        return tuple(found)

    def _learn(self, search: Search, probe: Try, seen: Mapping[str, Seen], *, broke: bool) -> None:
        worst = max(seen, key=lambda name: seen[name].ratio)
        ratio, met = seen[worst].ratio, seen[worst].ratio < 1 and not broke
        self.probes.append(
            Probe(rate_per_s=probe.rate_per_s, met=met, worst=min(ratio, 1e3), duration_s=probe.duration_s)
        )
        if not broke:
            search.told(probe.rate_per_s, seen)
        held = "every limit holds" if met else "a limit is missed"
        self.say(
            f"{three_digits(probe.rate_per_s)} requests per second: {held}; p95 of {worst} is {ratio:.2f} of its limit"
        )

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.say(what)

    def _valid(self, probe: Try) -> Run | None:
        """Measured again once where the load generator was disturbed; None: it cannot send so much."""
        why = ""
        for _ in range(2):
            run = self._drive(Open(rate_per_s=probe.rate_per_s), probe.duration_s, _WARMUP_S)
            if run is None:
                return None
            if run.facts.valid or _broken(run):
                return run
            why = "; ".join(run.facts.invalid_reasons)
            if self.until_s - time.monotonic() < SCOUT_S + PAUSE_S:
                break
        self._tell(f"{three_digits(probe.rate_per_s)} per second could not be measured: {why}")
        return None

    def _drive(self, workload: Workload, duration_s: float, warmup_s: float) -> Run | None:
        """A short run in a folder of its own, which is gone afterwards; None where it did not come to its end."""
        target = self.facts.target.replaced(max_requests=max(1, self.left), keep_going=True)
        scenario = self.mix.scenario(self.facts, workload, duration_s, warmup_s)
        seed = self._draw.randrange(2**31)
        facts = self.facts.replaced(scenario=scenario, target=target, seed=seed, setup=None)
        with TemporaryDirectory() as scratch, RunFolder.create(Path(scratch), facts) as folder:
            sampling = Sampler(None, folder.path)
            outcome = drive(facts, folder.path, begun=sampling.begin)
            if outcome.stopped:
                raise KeyboardInterrupt
            self.left -= outcome.generator.requests
            if outcome.broken or outcome.cut:
                self._is_over = True
                self._tell(outcome.broken or outcome.cut)
                return None
            ended = facts.replaced(state="finished", parts=outcome.parts, generator=outcome.generator)
            folder.seal(with_validity(ended, folder, sampling, partial(touches, limits_ms=self.mix.limits_ms)))
            return folder.load()

    def _seen(self, run: Run) -> dict[str, Seen]:
        rows = [row for row in summarize(run).endpoints if row.endpoint in self.mix.limits_ms]
        ratios = {row.endpoint: (self._ratio(row), row.requests) for row in rows}
        return {name: Seen(ratio, count) for name, (ratio, count) in ratios.items() if ratio is not None}

    def _ratio(self, row: EndpointSummary) -> float | None:
        if row.unanswered:
            return math.inf
        return None if row.judged_p95_ms is None else row.judged_p95_ms / self.mix.limits_ms[row.endpoint]


def _offered_per_s(run: Run) -> float:
    """The rate that was sent, by chance a little beside the one that was asked for."""
    due = run.requests[(run.requests["kind"] == "request") & ~run.requests["warmup"]]
    return len(due) / run.facts.duration_s


def _broken(run: Run) -> str:
    """How the target broke under a probe; empty: it did not."""
    wire = run.requests[run.requests["kind"] == "request"]
    refused = wire[(wire["status"] >= 500) | (wire["status"] == 429)]
    if len(refused):
        first = refused.iloc[0]
        return f"{first['endpoint']} answered {first['status']}"
    rows = summarize(run).endpoints
    failed = sum(row.judged_errors - row.errors_by_kind.get("dropped", 0) for row in rows)
    asked = sum(row.requests for row in rows)
    return f"{failed:,} of {asked:,} requests failed" if asked and failed >= MOST_ERRORS * asked else ""
