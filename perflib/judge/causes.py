"""Causes: the rules by which a picture of a target names what holds its endpoints up. Pure.

The laws are operational (Denning and Buzen 1978): by Little's law a crowd's throughput times the time that a request
waits is how many wait for the same thing at once, and by the utilization law what computes is bound by its cores.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from perflib.figures.picture import Alone, Crowd, Picture
from perflib.spec.diagnosis import Kind

LEAST_MS = 3.0
"""Of a request: what is shorter is nobody's cause."""
_LEAST_CPU_MS = 5.0
_WAIT_SHARE, _MOST_SHARE = 0.35, 0.5
_OF_ITS_LOAD, _ONE_CORE = 0.87, (0.9, 1.1)
"""A crowd may wait for the target's computing alone where it makes the target compute this share or more of what it
would if nothing else made the crowd wait in turn; and where it fills one core, as an interpreter lock does."""
_ALONE_AT_ONCE = 1.4
"""Up to so many at once are one at a time, measured."""
_SCALES = 0.7
"""From this share of the crowd on it scales."""
_HELD_UP = 0.6
"""A victim waits so many of the aggressor's own waits, or longer, where it is held up by them."""
_NEARLY_ALL = 0.75
_STANDS_OUT = 1.5


WAITING: tuple[Kind, ...] = ("wait", "lock", "limit", "blocks")
"""Causes of an endpoint that waits."""


@dataclass(frozen=True)
class Cause:
    """What holds an endpoint up; `others` are held up by it, or share what it waits for."""

    kind: Kind
    endpoint: str
    others: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[Kind, frozenset[str]]:
        """Equal for a lock seen from either side."""
        shared = self.others if self.kind == "lock" else frozenset[str]()
        return self.kind, frozenset({self.endpoint}) | shared


def causes_of(picture: Picture, processes: int) -> tuple[Cause, ...]:
    """What the picture shows, an endpoint's causes each; one lock between two endpoints is one cause.

    Args:
        processes: of the target that compute: so many requests block nobody else, one in each.
    """
    found: dict[object, Cause] = {}
    for name in picture.alone:
        for cause in _of(picture, name, processes):
            found.setdefault(cause.key, cause)
    blocking = {one.endpoint for one in found.values() if one.kind == "blocks"}
    return tuple(one for one in found.values() if not _is_followed(one, blocking))


def waiting(picture: Picture) -> set[str]:
    """The endpoints that wait, for whatever it is."""
    return {name for name, alone in picture.alone.items() if _waits(alone)}


def _is_followed(cause: Cause, blocking: set[str]) -> bool:
    """Whether another cause explains it: who blocks all shares a lock with nobody."""
    return cause.kind == "lock" and bool(blocking & cause.others)


def _of(picture: Picture, name: str, processes: int) -> Iterable[Cause]:
    alone, crowd = picture.alone[name], picture.crowd.get(name)
    if alone.receiving_ms >= max(LEAST_MS, _MOST_SHARE * alone.p50_ms):
        yield Cause("transfer", name)
    if alone.connect_ms >= max(LEAST_MS, _WAIT_SHARE * alone.p50_ms):
        yield Cause("connect", name)
    if _waits(alone):
        yield _waiting(picture, name, alone, crowd, processes)
    elif alone.cpu_ms >= max(_LEAST_CPU_MS, _MOST_SHARE * alone.p50_ms) and _stands_out(picture, name):
        yield Cause("cpu", name)


def _waits(alone: Alone) -> bool:
    return bool(alone.waiting_ms >= max(LEAST_MS, _WAIT_SHARE * alone.p50_ms))


def _stands_out(picture: Picture, name: str) -> bool:
    """Whether its CPU is much more than that of the endpoints in the middle."""
    others = [one.cpu_ms for other, one in picture.alone.items() if other != name]
    return not others or picture.alone[name].cpu_ms >= _STANDS_OUT * float(np.median(others))


def _waiting(picture: Picture, name: str, alone: Alone, crowd: Crowd | None, processes: int) -> Cause:
    """What an endpoint waits for, as far as a crowd on it tells."""
    if crowd is None or _computes_alone(picture, name):
        return Cause("wait", name)
    at_once, held_up = crowd.at_once(alone.held_ms), _held_up(picture, name)
    victims = [victim for victim, aggressor in picture.beside_ms if aggressor == name]
    if victims and len(held_up) >= _NEARLY_ALL * len(victims) and at_once <= _ALONE_AT_ONCE * processes:
        return Cause("blocks", name, frozenset(held_up))
    if at_once <= _ALONE_AT_ONCE:
        return Cause("lock", name, frozenset(held_up))
    if at_once <= _SCALES * crowd.users:
        return Cause("limit", name, frozenset(held_up))
    return Cause("wait", name)


def _computes_alone(picture: Picture, name: str) -> bool:
    """Whether computing may be all that a crowd on it waits for in turn; so it is where its CPU is not known."""
    crowd, held_ms = picture.crowd[name], picture.alone[name].held_ms
    if not math.isfinite(crowd.cores_used):
        return True
    filled = max((other.cores_used for other_name, other in picture.crowd.items() if other_name != name), default=0.0)
    cores = filled if filled > 1 else 1 / (1 + _queued_per_ran(picture))
    fills_one = _ONE_CORE[0] <= crowd.cores_used <= _ONE_CORE[1]
    return fills_one or crowd.cores_used >= _OF_ITS_LOAD * _load(crowd, held_ms, cores)


def _queued_per_ran(picture: Picture) -> float:
    """How long the target stood without a core per second of work, one user at a time: what its neighbours take."""
    told = [alone.queue_ms / alone.cpu_ms for alone in picture.alone.values() if alone.cpu_ms > LEAST_MS / 2]
    return float(np.median(told)) if told else 0.0


def _load(crowd: Crowd, held_ms: float, cores: float) -> float:
    """How many of its cores a crowd keeps busy that waits for nothing else in turn, by mean value analysis (Reiser and
    Lavenberg 1980, Journal of the ACM 27(2))."""
    served_ms, queued, per_ms = crowd.cpu_ms / cores, 0.0, 0.0
    for users in range(1, crowd.users + 1):
        spent_ms = served_ms * (1 + queued)
        per_ms = users / (spent_ms + held_ms)
        queued = per_ms * spent_ms
    return per_ms * crowd.cpu_ms


def _held_up(picture: Picture, aggressor: str) -> list[str]:
    """Endpoints that wait beside it as long as it waits itself."""
    least_ms = _HELD_UP * picture.alone[aggressor].waiting_ms
    added = added_ms(picture)
    return [victim for (victim, other), more_ms in added.items() if other == aggressor and more_ms >= least_ms]


def added_ms(picture: Picture) -> dict[tuple[str, str], float]:
    """How much longer a victim's p50 is beside an aggressor than alone, by the two."""
    alone = picture.alone
    return {pair: ms - alone[pair[0]].p50_ms for pair, ms in picture.beside_ms.items() if pair[0] in alone}


def agreeing(
    causes: Sequence[Cause], draws: Iterable[Picture], rule: Callable[[Picture], Sequence[Cause]]
) -> dict[Cause, float]:
    """How large a share of resampled pictures shows each cause too."""
    keys = [{cause.key for cause in rule(picture)} for picture in draws]
    return {cause: sum(cause.key in some for some in keys) / max(1, len(keys)) for cause in causes}
