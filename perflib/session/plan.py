"""The plan of an experiment: which blocks, how long, in which order. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perflib.spec.workload import Block, Crew

WARMUP_S = 0.15
"""Before each block, unmeasured."""
IDLE_S, MIX_S = 0.4, 0.6
MIX_USERS = (1, 2, 4, 8)
_SHORTEST_S, _ANSWERS = 0.5, 6
_BESIDE_S, _PROBES = 1.0, 2
_LONG_S = 2.0
"""A block that would be longer has half as many answers."""
_SLOW_S, _MIX_WITHIN_S = 0.2, 18.0
"""Where an endpoint is slower, or less time is planned, none is left for the mix."""
_AGGRESSORS = 4
_ROUNDS = (3, 6)
_SHRINKS, _ABOUT = 0.6, 1.05
"""Blocks are made shorter to make room for three rounds, but no shorter than so: slow endpoints have fewer rounds."""


@dataclass(frozen=True)
class Plan:
    """Rounds of blocks, and what had no room, a sentence each."""

    rounds: tuple[tuple[Block, ...], ...]
    left_out: tuple[str, ...] = ()


def pilot(names: Sequence[str], lasts_s: float = 0.4) -> tuple[Block, ...]:
    """Each endpoint alone for a moment: how long it takes decides how long its blocks are."""
    return tuple(_alone(name, lasts_s) for name in names)


def plan(p50_s: Mapping[str, float], users: int, within_s: float, seed: int) -> Plan:
    """Rounds of blocks that last about `within_s` at most: with crowds on the slowest endpoints that it has room for.

    Args:
        p50_s: of each endpoint, alone.
        users: of a crowd.
    """
    names = sorted(p50_s, key=lambda name: -p50_s[name])
    mixes = _mixes(names, p50_s, users) if within_s >= _MIX_WITHIN_S else []
    within_s -= _lasts_s(mixes)
    room_s, crowded = within_s / _ROUNDS[0] / _SHRINKS - _lasts_s(_fixed(names, p50_s)), list[str]()
    for name in names:
        if _lasts_s(_crowds([*crowded, name], names, p50_s, users)) <= room_s:
            crowded.append(name)
    blocks = [*_fixed(names, p50_s), *_crowds(crowded, names, p50_s, users)]
    shrunk = min(1.0, max(_SHRINKS, within_s / _ROUNDS[0] / _lasts_s(blocks)))
    blocks = [block.replaced(duration_s=shrunk * block.duration_s) for block in blocks]
    count = int(min(_ROUNDS[1], max(1, _ABOUT * within_s // _lasts_s(blocks))))
    order = random.Random(seed)
    rounds = tuple(tuple(order.sample(blocks, len(blocks))) for _ in range(count))
    return Plan(
        (*rounds, *([tuple(mixes)] if mixes else [])),
        _left_out([name for name in names if name not in crowded], within_s),
    )


def without(name: str, names: Sequence[str], users: int, seed: int) -> tuple[Block, ...]:
    """The mix with and without one endpoint, by turns in random order."""
    order, rest = random.Random(seed), tuple(one for one in names if one != name)
    both = [Block(crews=(Crew(users=users, items=some),), duration_s=2 * MIX_S) for some in (tuple(names), rest)]
    return tuple(block for _ in range(3) for block in order.sample(both, 2))


def crowd(name: str, users: int, lasts_s: float) -> Block:
    """Users on one endpoint."""
    return Block(crews=(Crew(users=users, items=(name,)),), duration_s=lasts_s)


def _left_out(names: Sequence[str], within_s: float) -> tuple[str, ...]:
    if not names:
        return ()
    told = f"no crowd was put on {', '.join(names)}: {within_s:.0f} s have no room for it"
    return (f"{told}; give more time with --budget, or choose with --endpoint",)


def _mixes(names: Sequence[str], p50_s: Mapping[str, float], users: int) -> list[Block]:
    """All endpoints together under more and more users, for the scalability law; none where one of them is slow."""
    slowest_s = max(p50_s.values(), default=0.0)
    if len(names) < 2 or slowest_s > _SLOW_S:
        return []
    lasts_s = max(MIX_S, _ANSWERS * slowest_s)
    crews = (Crew(users=count, items=tuple(names)) for count in MIX_USERS if count <= users)
    return [Block(crews=(crew,), duration_s=lasts_s) for crew in crews]


def _fixed(names: Sequence[str], p50_s: Mapping[str, float]) -> list[Block]:
    """The target idle, and each endpoint alone."""
    alone = (_alone(name, _long_enough_s(_ANSWERS * p50_s[name])) for name in names)
    return [Block(crews=(), duration_s=IDLE_S), *alone]


def _crowds(crowded: Sequence[str], names: Sequence[str], p50_s: Mapping[str, float], users: int) -> list[Block]:
    """Of each of these endpoints: a crowd on it, and a smaller one beside users who probe the others."""
    found = []
    for name in crowded:
        found.append(crowd(name, users, _long_enough_s(_ANSWERS * p50_s[name])))
        others = tuple(other for other in names if other != name)
        if others:
            probe_s = _PROBES * sum(p50_s[other] + p50_s[name] for other in others)
            crews = (Crew(users=min(_AGGRESSORS, users), items=(name,)), Crew(users=1, items=others))
            found.append(Block(crews=crews, duration_s=_long_enough_s(probe_s, _BESIDE_S)))
    return found


def _alone(name: str, lasts_s: float) -> Block:
    return Block(crews=(Crew(users=1, items=(name,)),), duration_s=lasts_s)


def _long_enough_s(wanted_s: float, least_s: float = _SHORTEST_S) -> float:
    return max(least_s, min(wanted_s, max(_LONG_S, wanted_s / 2)))


def _lasts_s(blocks: Sequence[Block]) -> float:
    return sum(block.duration_s + WARMUP_S for block in blocks)
