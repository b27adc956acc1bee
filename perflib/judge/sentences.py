"""Sentences: a cause in words, with its figures and what to look at next. Each claims what its experiment showed."""

from collections.abc import Sequence

import numpy as np

from perflib.figures.picture import Alone, Picture
from perflib.judge.causes import Cause, added_ms
from perflib.judge.weighed import Weighed, named
from perflib.show.numbers import ms
from perflib.spec.diagnosis import Finding, Stall
from perflib.stats.period import period_s


class Sentences:
    """The causes that a picture shows, in words."""

    def __init__(self, picture: Picture) -> None:
        self._picture, self._added = picture, added_ms(picture)

    def of(self, cause: Cause, confidence: float) -> Weighed:
        """The finding of a cause; it weighs the milliseconds that it costs a request, each endpoint asked as often."""
        alone = self._picture.alone[cause.endpoint]
        part_ms = {
            "cpu": alone.cpu_ms,
            "transfer": alone.receiving_ms,
            "connect": alone.connect_ms,
        }.get(cause.kind, alone.waiting_ms)
        says, look = getattr(self, f"_{cause.kind}")(cause, alone)
        finding = Finding(
            kind=cause.kind,
            endpoint=cause.endpoint,
            others=tuple(sorted(cause.others)),
            effect=min(1.0, part_ms / alone.p50_ms),
            confidence=confidence,
            says=says,
            next=look,
        )
        return Weighed(finding, part_ms * (1 + len(cause.others)) / max(1, len(self._picture.alone)))

    def of_stalls(self, stalls: Sequence[Stall], measured_s: float) -> Weighed:
        """The finding of stretches in which nothing was answered at any endpoint."""
        lasted_ms = 1e3 * float(np.median([one.lasted_s for one in stalls]))
        share = min(1.0, sum(one.lasted_s for one in stalls) / measured_s)
        every_s = period_s(np.array([one.at_s for one in stalls]))
        often = f"about every {every_s:.1f} s" if every_s else f"{len(stalls)} times in {measured_s:.0f} s"
        finding = Finding(
            kind="stall",
            endpoint=None,
            effect=share,
            confidence=1 - 0.5 ** len(stalls),
            says=f"The server stops {often}: for {ms(lasted_ms)} ms nothing is answered, whatever is asked, and its "
            "processes do not compute meanwhile",
            next="what runs on a timer in the server, or stops it from outside: a garbage collection, a checkpoint of "
            "the database, a scheduled task on the event loop, a CPU quota",
        )
        return Weighed(finding, share * lasted_ms / 2)

    def of_failures(self, name: str, failed: int, limited: int, sent: int) -> Weighed:
        """The finding of failed answers."""
        whole = self._picture.alone[name].p50_ms if name in self._picture.alone else 0.0
        is_limited = 2 * limited > failed
        says = f"{name} fails: {failed:,} of {sent:,} requests"
        look = "the samples of failed answers, and the server's log"
        if is_limited:
            says = f"A rate limit refuses {name}: {limited:,} of {sent:,} requests were answered with 429"
            look = "ask below the limit, or lift it for the measurement"
        finding = Finding(
            kind="rate_limited" if is_limited else "errors",
            endpoint=name,
            effect=failed / sent,
            confidence=1.0,
            says=says,
            next=look,
        )
        return Weighed(finding, whole * failed / sent)

    def _blocks(self, cause: Cause, alone: Alone) -> tuple[str, str]:
        worst = self._worst_victim(cause)
        return (
            f"{cause.endpoint} blocks the server: while it runs, all else waits ({worst}). "
            f"{_idle(alone)}: synchronous work on an event loop, a global lock, or too few processes",
            "what this endpoint waits for in its handler; move it off the event loop, or make it asynchronous",
        )

    def _lock(self, cause: Cause, alone: Alone) -> tuple[str, str]:
        crowd = self._picture.crowd[cause.endpoint]
        served = f"a crowd of {crowd.users} gets {crowd.throughput_per_s:.0f} answers/s, one at a time"
        if not cause.others:
            return (
                f"{cause.endpoint} is served one at a time: {served}. {_idle(alone)}, and no other endpoint waits for "
                "it: a lock of its own",
                "the lock, transaction or queue of one worker that its handler takes",
            )
        return (
            f"{cause.endpoint} and {named(sorted(cause.others))} wait for each other ({self._worst_victim(cause)}), "
            f"other endpoints do not: {served}. {_idle(alone)}: they share a lock, or a resource of one",
            "the lock, row, file or connection that these endpoints share",
        )

    def _limit(self, cause: Cause, alone: Alone) -> tuple[str, str]:
        crowd = self._picture.crowd[cause.endpoint]
        at_once = crowd.at_once(alone.held_ms)
        shared = f", and {named(sorted(cause.others))} wait for the same" if cause.others else ""
        return (
            f"{cause.endpoint} is served {at_once:.1f} at a time, though {crowd.users} ask{shared}. {_idle(alone)}: a "
            f"limit of about {max(2, round(at_once))}, such as a pool, a semaphore or the number of workers",
            "the size of the pool of connections, threads or workers that this endpoint uses",
        )

    def _wait(self, cause: Cause, alone: Alone) -> tuple[str, str]:
        return (
            f"{cause.endpoint} waits {ms(alone.waiting_ms)} of its {ms(alone.p50_ms)} ms, already with one user "
            f"({ms(alone.cpu_ms)} ms are CPU): a database, another service, or a sleep",
            "what its handler waits for: queries, calls to other services, their number and time",
        )

    def _cpu(self, cause: Cause, alone: Alone) -> tuple[str, str]:
        return (
            f"{cause.endpoint} computes {_of_its(alone.cpu_ms, alone.p50_ms)} ms: one core serves at most "
            f"{1e3 / alone.cpu_ms:.0f} such requests/s",
            "the function that most of its samples were in, and how often a request calls it; a Python process of this "
            "machine is sampled with `--attach`",
        )

    def _transfer(self, cause: Cause, alone: Alone) -> tuple[str, str]:
        return (
            f"{cause.endpoint} takes {ms(alone.receiving_ms)} of its {ms(alone.p50_ms)} ms to hand over its body, "
            f"after the first byte at {ms(alone.p50_ms - alone.receiving_ms)} ms",
            "how the body is made and sent: streamed in pieces, large without compression, or its head and body in "
            "two packets (about 40 ms: Nagle's algorithm and delayed acknowledgement; set TCP_NODELAY)",
        )

    def _connect(self, cause: Cause, alone: Alone) -> tuple[str, str]:
        return (
            f"{cause.endpoint} spends {ms(alone.connect_ms)} of its {ms(alone.p50_ms)} ms on opening a connection, as "
            "the server keeps none",
            "keep-alive of the server, or of the proxy before it",
        )

    def _worst_victim(self, cause: Cause) -> str:
        victim = max(cause.others, key=lambda name: self._added.get((name, cause.endpoint), 0.0))
        beside_ms = self._picture.beside_ms.get((victim, cause.endpoint), np.nan)
        return f"{victim} {ms(self._picture.alone[victim].p50_ms)} → {ms(beside_ms)} ms"


def _of_its(part_ms: float, whole_ms: float) -> str:
    """A part that was measured apart may come out above the whole."""
    return f"{ms(part_ms)} of its {ms(whole_ms)}" if part_ms < whole_ms else f"all of its {ms(whole_ms)}"


def _idle(alone: Alone) -> str:
    return f"It waits, it does not compute ({ms(alone.cpu_ms)} of {ms(alone.p50_ms)} ms are CPU)"
