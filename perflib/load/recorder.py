"""The recorder: what became of each request, judged, counted and written to the spool."""

import collections
from dataclasses import dataclass, field
from time import perf_counter_ns

from perflib.load.answer import Judge
from perflib.load.evidence import Evidence
from perflib.load.exchange import Exchange
from perflib.load.repeats import Counter
from perflib.load.saving import save
from perflib.spec import ERROR_KINDS, Target
from perflib.spec.run import EXCUSED, Repeats
from perflib.stats.histogram import LogHistogram
from perflib.store.spool import COLD, COUNTED, RETRIED, WARMUP, Spool

_ERROR_CODES = {kind: code for code, kind in enumerate(ERROR_KINDS)} | {None: -1}


class Outage:
    """How many seconds in a row held errors and not one success; a second without an answer ends the row."""

    def __init__(self) -> None:
        self.seconds = self._successes = self._errors = 0

    def add(self, *, failed: bool) -> None:
        if failed:
            self._errors += 1
        else:
            self._successes += 1

    def end_second(self) -> None:
        self.seconds = self.seconds + 1 if self._errors and not self._successes else 0
        self._successes = self._errors = 0


@dataclass
class Phase:
    """The part under way. `at_work`: its virtual users at work, or its connections in use."""

    items: tuple[int, ...]
    measured_from_ns: int
    until_ns: int
    successes: int = 0
    warm: collections.Counter[int] = field(default_factory=collections.Counter)
    """Successes of percentiles, by endpoint, page and journey: those that are not cold."""
    at_work: int = 0
    outage: Outage = field(default_factory=Outage)


class LagHistogram(LogHistogram):
    """How late the instrument itself was, in ms."""

    def __init__(self) -> None:
        super().__init__()
        self._worst = 0.0

    def add(self, value: float) -> None:
        super().add(value)
        self._worst = max(self._worst, value)

    def take_worst(self) -> float:
        """The largest since the last call."""
        worst, self._worst = self._worst, 0.0
        return worst


class Recorder:
    """Keeps the requests of a run. Times in the spool count from `origin_ns`."""

    def __init__(self, target: Target, spool: Spool, evidence: Evidence | None = None) -> None:
        self._saves = [endpoint.save for endpoint in target.endpoints]
        self._judges = [Judge(target.with_defaults(endpoint)) for endpoint in target.endpoints]
        self._counters = [Counter() for _ in target.endpoints]
        self._names = [endpoint.name for endpoint in target.endpoints]
        self._unchecked: set[tuple[int, str]] = set()
        self._spool = spool
        self.evidence = evidence or Evidence(target)
        self.origin_ns = 0
        self.phase = Phase((), 0, 0)
        self.recorded = self.retries = self.sent = self.dropped_ones = 0
        self.failed = 0
        """After warm-up, of requests on the wire; dropped ones too."""
        self.refusals, self.refusal = 0, ""
        """Connections that this machine refused the load generator, and why the last one."""
        self.loop_lag_ms, self.schedule_lag_ms = LagHistogram(), LagHistogram()
        asked = target.revision.header if target.revision else None
        self._revision_header = asked.lower().encode() if asked else b""
        self.revision = ""
        """Of the target, by the first answer that tells it."""

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What was not judged: an endpoint each, in the target's order, with the reason."""
        return tuple(f"{self._names[index]}: {reason}" for index, reason in sorted(self._unchecked))

    @property
    def repeats(self) -> tuple[Repeats, ...]:
        """What the answers of each endpoint had in common."""
        return tuple(counter.of(name) for counter, name in zip(self._counters, self._names, strict=True))

    def answered(self, exchange: Exchange, index: int, page: int, user: int, intended_ns: int | None) -> None:
        """Judge an endpoint's answer, or the want of one, and keep it."""
        judge = self._judges[index]
        exchange.error, exchange.cold = judge.error_of(exchange), judge.is_cold(exchange)
        if page >= 0 and self._saves[index] and exchange.error is None:
            save(exchange, self._saves[index])
        self.sent += 1 + exchange.retried
        if self._revision_header and (told := exchange.header(self._revision_header)):
            self._revision_header, self.revision = b"", self.evidence.told(told)
        failed = exchange.error is not None
        self.phase.outage.add(failed=failed)
        if failed:
            self._failed(exchange, index, exchange.start_ns if intended_ns is None else intended_ns)
        else:
            self._counters[index].add(exchange)
            if exchange.reason:
                self._unchecked.add((index, exchange.reason))
        self.keep(exchange, index, page, user, intended_ns)

    def _failed(self, exchange: Exchange, index: int, intended_ns: int) -> None:
        if exchange.error == "generator":
            self.refusals += 1
            self.refusal = exchange.reason
        if exchange.error != "in_flight" and exchange.error not in EXCUSED:
            self.failed += intended_ns >= self.phase.measured_from_ns
        self.evidence.add(exchange, index, max(exchange.end_ns, intended_ns) - self.origin_ns)

    def dropped(self, index: int, intended_ns: int) -> None:
        """Keep an arrival that found no connection."""
        exchange = Exchange(-1, error="dropped")
        self.dropped_ones += 1
        self._failed(exchange, index, intended_ns)
        self.keep(exchange, index, -1, -1, intended_ns)

    def keep(self, exchange: Exchange, index: int, page: int, user: int, intended_ns: int | None) -> None:
        """Keep a request, or a whole page. `intended_ns` None: it was due when it was sent."""
        origin_ns, start_ns = self.origin_ns, exchange.start_ns
        if intended_ns is None:
            intended_ns = start_ns
        elif start_ns >= 0:
            self.schedule_lag_ms.add((start_ns - intended_ns) / 1e6)
        flags = (WARMUP if intended_ns < self.phase.measured_from_ns else 0) | (COLD if exchange.cold else 0)
        if flags & WARMUP and exchange.error is not None and start_ns >= 0:
            over_ns = exchange.end_ns if exchange.end_ns >= 0 else perf_counter_ns()
            flags |= COUNTED if over_ns >= self.phase.measured_from_ns else 0
        if exchange.retried:
            flags |= RETRIED
            self.retries += 1
        self._spool.append(
            intended_ns - origin_ns,
            start_ns - origin_ns if start_ns >= 0 else -1,
            exchange.first_byte_ns - origin_ns if exchange.first_byte_ns >= 0 else -1,
            exchange.end_ns - origin_ns if exchange.end_ns >= 0 else -1,
            exchange.received,
            exchange.connect_ns,
            exchange.tls_ns,
            exchange.read_late_ns,
            exchange.send_ns,
            user,
            exchange.row,
            index,
            page,
            exchange.status,
            _ERROR_CODES[exchange.error],
            flags,
        )
        self.recorded += 1
        if exchange.error is None and page < 0 and not flags & WARMUP:
            self.phase.successes += 1
            if not exchange.cold:
                self.phase.warm[index] += 1
