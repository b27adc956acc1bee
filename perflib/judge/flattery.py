"""Flattery: where a workload makes a target look faster than its users will find it. Pure."""

from collections.abc import Sequence

from perflib.show.numbers import share
from perflib.spec import Run
from perflib.spec.run import Generator, Repeats

_MOSTLY = 0.9
_LEAST_CACHED, _LEAST_SAME, _DATA_BYTES = 10, 100, 256
"""So many answers tell it; a body below so many bytes may well be a state of health."""
_NAMED = 3
_MEND = "ask with different values: [data.NAME] in the target file."


def flattered(runs: Sequence[Run]) -> list[str]:
    """What to know of the answers of runs of one scenario, a sentence each: from a cache, always the same.

    A cache that the target file names (`cold`) is known.
    """
    target = runs[0].facts.target
    known = {endpoint.name for endpoint in target.endpoints if endpoint.cold}
    asked = Generator.of_all([run.facts.generator for run in runs]).repeats
    cached = [one for one in asked if one.answers >= _LEAST_CACHED and one.cached >= _MOSTLY * one.answers]
    same = [one for one in asked if _is_data(one) and one.endpoint not in known and one not in cached]
    told = [one for one in cached if one.endpoint not in known]
    return [*([_of_a_cache(told)] if told else []), *([_of_the_same(same)] if same else [])]


def _is_data(one: Repeats) -> bool:
    return one.answers >= _LEAST_SAME and one.same >= _MOSTLY * one.answers and one.body_bytes >= _DATA_BYTES


def _of_a_cache(some: Sequence[Repeats]) -> str:
    part = share(sum(one.cached for one in some) / sum(one.answers for one in some))
    headers = ", ".join(dict.fromkeys(one.cache for one in some))
    told = f"{part} of the answers came from a cache ({headers}): these are its times"
    return f"{_names(some)}: {told}; to measure what is behind it, {_MEND}"


def _of_the_same(some: Sequence[Repeats]) -> str:
    part = share(sum(one.same for one in some) / sum(one.answers for one in some))
    told = f"{part} of the answers to the same request were the same bytes again, as from a cache"
    return f"{_names(some)}: {told}; where users ask for different things, {_MEND}"


def _names(some: Sequence[Repeats]) -> str:
    more = len(some) - _NAMED
    return ", ".join(one.endpoint for one in some[:_NAMED]) + (f" and {more} more" if more > 0 else "")
