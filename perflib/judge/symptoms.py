"""Symptoms: the rules by which a stored run names what took the time of its endpoints. Pure."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from perflib.figures.failures import Failure, failures
from perflib.figures.level import level_change
from perflib.figures.phases import Why, slow_receiving
from perflib.figures.rate_limit import rate_limit
from perflib.figures.silences import Silence
from perflib.figures.spent import Spent, is_full
from perflib.figures.summary import Phase
from perflib.judge.holding import Holding
from perflib.judge.views import Times, View
from perflib.judge.weighed import Weighed
from perflib.show.numbers import ms, share, size
from perflib.spec.diagnosis import Finding, Kind
from perflib.spec.run import EXCUSED, failure_in_words

_SURE = 0.9
_FAILING = 0.01
_LEAST_MS, _CONNECT_SHARE = 5.0, 0.2
_LEAST_CONNECT_MS = 1.0
_LATE_SHARE, _IDEAL, _HELD_SHARE, _HELD_MS = 0.2, 0.01, 0.9, 10.0
_FEWEST_COLD, _COLD_TIMES, _COLD_SHARE = 3, 2.0, 0.1
_AT_ITS_BOUND, _MOST_SECONDS, _ONE = 0.9, 0.6, 1.15
_ALONE, _IDLE, _LEAST_WAIT_MS = 1.5, 0.2, 10.0
_WHY: dict[Why, tuple[str, str]] = {
    "delayed acknowledgement": (
        "head and body in two packets: Nagle's algorithm and delayed acknowledgement",
        "set TCP_NODELAY on the server's sockets, or write head and body at once",
    ),
    "large": ("a large answer", "compress the answer, or ask for less of it"),
    "in pieces": (
        "the server had begun its answer and was still at work on the rest",
        "what the handler does after its first byte",
    ),
}


class Symptoms:
    """The findings of a view of a run."""

    def __init__(self, view: View) -> None:
        self._view, self._run = view, view.run
        self._again = view.run.facts.again("why")
        self._holding = Holding(view)

    @property
    def stalls(self) -> tuple[Silence, ...]:
        """Stretches without an answer that neither an endpoint nor a lack of CPU explains."""
        return () if self._saturated else self._holding.stalls

    def findings(self) -> tuple[Finding, ...]:
        """All of them, those that account for most of the run's time first."""
        rules = (
            *(self._failing, self._transfer, self._connect, self._cold, self._late, self._held),
            *(self._bound, self._waits, self._level),
        )
        some = [one for rule in rules for one in rule()]
        some += [] if self._saturated else self._holding.findings()
        return tuple(one.finding for one in sorted(some, key=lambda one: -one.weight))

    def _of(self, kind: Kind, times: Times, effect: float, confidence: float, says: str, look: str) -> Weighed:
        finding = Finding(
            kind=kind, endpoint=times.endpoint, effect=min(1.0, effect), confidence=confidence, says=says, next=look
        )
        return Weighed.by_share(finding, self._view.share_of(times.endpoint))

    def _failing(self) -> Iterable[Weighed]:
        limit, sent = rate_limit(self._run), {one.endpoint: one.requests for one in self._view.times}
        by_endpoint: dict[str, list[Failure]] = {}
        for one in failures(self._run):
            if one.kind not in EXCUSED:
                by_endpoint.setdefault(one.endpoint, []).append(one)
        for name, some in by_endpoint.items():
            failed, most = sum(one.share for one in some), some[0]
            limited = limit is not None and most.status == limit.status
            if failed < _FAILING:
                continue
            what = failure_in_words(most.kind, most.status)
            because = f", “{most.reason}”" if most.reason else ""
            rate = f"; ask at most {limit.advised_per_s:g}/s" if limited and limit and limit.advised_per_s else ""
            finding = Finding(
                kind="rate_limited" if limited else "errors",
                endpoint=name,
                effect=min(1.0, failed),
                confidence=1.0,
                says=f"{share(failed)} of the requests of {name} failed: {most.count:,} × {what}{because}, "
                f"from second {most.first_s:.1f} to {most.last_s:.1f}",
                next=f"the limit on requests, or a lower --rate{rate}"
                if limited
                else "the server's log at that time, "
                f"and the answers that were kept: `perflib show {self._run.facts.run_id} --bodies`",
            )
            yield Weighed.by_share(finding, sent.get(name, 0) / max(1, sum(sent.values())))

    def _transfer(self) -> Iterable[Weighed]:
        slow = {one.endpoint: one for one in slow_receiving(self._run)}
        for times in self._view.times:
            sure = times.agreeing(lambda one: _part(one, "receiving") >= 0.5 and _ms(one, "receiving") >= _LEAST_MS)
            if sure < _SURE or times.endpoint not in slow:
                continue
            found = slow[times.endpoint]
            why, look = _WHY[found.why]
            says = (
                f"{times.endpoint} took {ms(found.receiving_ms)} of its {ms(times.p50_ms)} ms from first to last byte "
                f"({size(found.size_bytes)}): {why}"
            )
            yield self._of("transfer", times, _part(times, "receiving"), sure, says, look)

    def _connect(self) -> Iterable[Weighed]:
        for times in self._view.times:
            sure = times.agreeing(
                lambda one: _part(one, "connecting") >= _CONNECT_SHARE and _ms(one, "connecting") >= _LEAST_CONNECT_MS
            )
            if sure >= _SURE:
                opened = float(np.mean(times.phases["connecting"] > 0))
                says = (
                    f"{times.endpoint} took {ms(_ms(times, 'connecting'))} of its {ms(times.p50_ms)} ms to connect: "
                    f"{share(opened)} of its requests opened a connection"
                )
                look = "keep-alive of the server, or of the proxy before it: does it close after each answer?"
                yield self._of("connect", times, _part(times, "connecting"), sure, says, look)

    def _cold(self) -> Iterable[Weighed]:
        for times in self._view.times:
            cold, count = times.cold, len(times.cold)
            if count < _FEWEST_COLD:
                continue
            cold_ms, warm_ms = float(np.median(cold)), times.p50_ms or 0.0
            effect = (cold.sum() - count * warm_ms) / max(1e-9, times.total_ms)
            if cold_ms >= _COLD_TIMES * warm_ms and effect >= _COLD_SHARE:
                beside = f"; the others took {ms(warm_ms)} ms" if len(times.whole) else ""
                says = (
                    f"{count:,} of {times.requests:,} answers of {times.endpoint} were cold and took {ms(cold_ms)} ms"
                    f"{beside}"
                )
                yield self._of("cold", times, effect, 1.0, says, "how long the cache keeps an answer, and its key")

    def _late(self) -> Iterable[Weighed]:
        for times in self._view.times:
            sure = times.agreeing(lambda one: _part(one, "late") >= _LATE_SHARE and _ms(one, "late") >= _LEAST_MS)
            if sure >= _SURE:
                says = (
                    f"Requests of {times.endpoint} waited {ms(_ms(times, 'late'))} of {ms(times.p50_ms)} ms before "
                    "they were sent, as all connections were busy: the server answers more slowly than it is asked"
                )
                look = f"what bounds the server; {self._again} looks for it, a lower --rate shows its times below it"
                yield self._of("queue", times, _part(times, "late"), sure, says, look)

    def _held(self) -> Iterable[Weighed]:
        """The fastest requests tell what an endpoint needs itself; of one user nothing else is to be told."""
        for times in self._view.times:
            sure = times.agreeing(_is_held)
            shared = self._view.users_of(times.endpoint) != 1 and times.slow_together
            if sure >= _SURE and shared and _part(times, "late") < _LATE_SHARE:
                least, whole = float(np.quantile(times.whole, _IDEAL)), float(np.median(times.whole))
                says = (
                    f"{times.endpoint} took {ms(least)} ms at its fastest (1st percentile) and {ms(whole)} ms in the "
                    f"middle: {share(1 - least / whole, 2)} of that it waited, and its requests were slow together"
                )
                look = f"what it waits for under this load; {self._again} asks it alone and in a crowd"
                yield self._of("queue", times, 1 - least / whole, sure, says, look)

    @cached_property
    def _saturated(self) -> tuple[str, float] | None:
        """What the target's CPU is bound by, and in how many of the samples; None: by nothing, or not known.

        Where it is, requests wait for each other and for long, whoever asks: nobody blocks them.
        """
        spent, cores = self._view.spent, self._run.facts.environment.cores
        if spent is None or self._run.facts.memory.kind != "process" or spent.at_once < _ALONE:
            return None
        all_of_them = float(np.mean(spent.shares >= _AT_ITS_BOUND * cores))
        one = float(np.mean((spent.shares >= _AT_ITS_BOUND) & (spent.shares <= _ONE)))
        if all_of_them >= _MOST_SECONDS:
            return (f"all {cores} cores" if cores > 1 else "the one core"), all_of_them
        return ("one core", one) if one >= _MOST_SECONDS and spent.processes == 1 else None

    def _bound(self) -> Iterable[Weighed]:
        if self._saturated is None or self._view.spent is None:
            return
        bound, often = self._saturated
        waits = [(_waiting(one), one.total_ms) for one in self._view.times if len(one.whole)]
        effect = sum(part * total for part, total in waits) / max(1e-9, sum(total for _, total in waits))
        one_core = ", which bounds a process that computes in one thread at a time" if bound == "one core" else ""
        finding = Finding(
            kind="saturated",
            endpoint=None,
            effect=min(1.0, effect),
            confidence=min(0.99, often),
            says=f"The target used {bound} in {share(often, 2)} of the seconds (median "
            f"{float(np.median(self._view.spent.shares)):.2f} cores, {ms(self._view.spent.per_request_ms)} ms of CPU "
            f"per request){one_core}: its CPU is the bound",
            next=f"which endpoint computes most, and in which function; {self._again} measures that, and --attach "
            "samples a Python process",
        )
        yield Weighed.by_share(finding, 1.0)

    def _waits(self) -> Iterable[Weighed]:
        """Of endpoints that had the target for themselves, else of the whole mix where few were under way."""
        if is_full(self._run):
            return
        for times in self._view.times:
            alone = self._view.spent_by(times.endpoint)
            if alone is not None and alone.at_once < _ALONE and times.p50_ms and self._idles(alone, times.p50_ms):
                yield self._of("wait", times, 1 - alone.per_request_ms / times.p50_ms, _SURE, *self._wait(times, alone))
        spent = self._view.spent
        if spent is None or len(self._run.facts.parts) != 1 or spent.at_once >= _ALONE:
            return
        each_ms = self._view.total_ms / max(1, sum(one.requests for one in self._view.times))
        if len(self._view.times) > 1 and self._idles(spent, each_ms):
            finding = Finding(
                kind="wait",
                endpoint=None,
                effect=1 - spent.per_request_ms / each_ms,
                confidence=_SURE,
                says=f"{ms(spent.per_request_ms)} of {ms(each_ms)} ms of a mean request are CPU: the target waited",
                next=f"what its handlers wait for: queries, other services; {self._again} measures it by endpoint",
            )
            yield Weighed.by_share(finding, 1.0)

    def _idles(self, spent: Spent, each_ms: float) -> bool:
        return spent.per_request_ms <= _IDLE * each_ms and each_ms - spent.per_request_ms >= _LEAST_WAIT_MS

    def _wait(self, times: Times, spent: Spent) -> tuple[str, str]:
        return (
            f"{times.endpoint} computed {ms(spent.per_request_ms)} of its {ms(times.p50_ms)} ms: it waited for a "
            "database, another service, or a sleep",
            f"what its handler waits for: queries, calls to other services; {self._again} shows whether it is shared",
        )

    def _level(self) -> Iterable[Weighed]:
        found = level_change(self._run)
        if found is not None and not is_full(self._run):
            times, pace = max(found.ratio, 1 / found.ratio), "slow" if found.ratio > 1 else "fast"
            finding = Finding(
                kind="level_change",
                endpoint=None,
                effect=min(1.0, max(0.0, found.effect)),
                confidence=1 - found.p_value,
                says=f"From second {found.at_s:.1f} on all endpoints together were {times:.1f} times as {pace}",
                next="what began or ended then: a job, a deployment, a neighbour on the machine, the server's log",
            )
            yield Weighed.by_share(finding, 1.0)


def _ms(times: Times, phase: Phase) -> float:
    return times.median_ms(phase) or 0.0


def _part(times: Times, phase: Phase) -> float:
    """Of the median request: how large a share a phase is by its median."""
    return _ms(times, phase) / times.p50_ms if times.p50_ms else 0.0


def _waiting(times: Times) -> float:
    return 1 - float(np.quantile(times.whole, _IDEAL)) / float(np.median(times.whole))


def _is_held(times: Times) -> bool:
    return _waiting(times) >= _HELD_SHARE and (times.p50_ms or 0.0) * _waiting(times) >= _HELD_MS
