"""When each virtual user of a closed workload is at work. Seconds from the measured start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from perflib.spec.stages import Stage
from perflib.spec.workload import Closed, Ramp

PAUSE_AFTER_CONNECT_ERROR_NS = 100_000_000
"""A user that found no connection waits so long."""


@dataclass(frozen=True)
class Span:
    """A virtual user sends requests from `start_s` until `end_s`."""

    user: int
    start_s: float
    end_s: float


def spans(workload: Closed | Ramp, warmup_s: float, duration_s: float) -> list[Span]:
    """When each virtual user is at work: user k (from 0) whenever the level is above k.

    Those at work at the start begin with the warm-up, `warmup_s` before it.
    """
    if isinstance(workload, Closed):
        return [Span(user, -warmup_s, duration_s) for user in range(workload.users)]
    return [span for user in range(workload.most_users) for span in _spans_of(user, workload, warmup_s)]


def _spans_of(user: int, workload: Ramp, warmup_s: float) -> Iterator[Span]:
    begun_s = -warmup_s if workload.stages[0].start > user else None
    for turn in _turns(workload.stages, user):
        if turn.above and begun_s is None:
            begun_s = turn.at_s
        elif not turn.above and begun_s is not None:
            yield Span(user, begun_s, turn.at_s)
            begun_s = None


@dataclass(frozen=True)
class _Turn:
    """The moment from which a level is above another one, or is not."""

    at_s: float
    above: bool


def _turns(stages: Sequence[Stage], level: int) -> Iterator[_Turn]:
    """Where stages begin, where they go through a level, and the end of them all, which is no level any more."""
    at_s = 0.0
    for stage in stages:
        yield _Turn(at_s, stage.start > level)
        if (stage.start > level) != (stage.end > level):
            crossed_s = stage.duration_s * (level - stage.start) / (stage.end - stage.start)
            yield _Turn(at_s + crossed_s, stage.end > level)
        at_s += stage.duration_s
    yield _Turn(at_s, above=False)
