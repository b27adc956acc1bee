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
    """What to know of the answers of runs of one scenario, a sentence each: from a cache, the same again and again.

    A cache that the target file names (`cold`) is known.
    """
    target = runs[0].facts.target
    known = {endpoint.name for endpoint in target.endpoints if endpoint.cold}
    varied = {endpoint.name for endpoint in target.endpoints if endpoint.patterns(in_text=target.has_values)}
    told = Generator.of_all([run.facts.generator for run in runs]).repeats
    asked = [one for one in told if one.endpoint not in known]
    cached = [one for one in asked if one.answers >= _LEAST_CACHED and one.cached >= _MOSTLY * one.answers]
    groups = (
        ([one for one in cached if one.endpoint not in varied], _of_a_cache, _MEND),
        ([one for one in cached if one.endpoint in varied], _of_a_cache, "ask with more values than it holds."),
        ([one for one in asked if _is_data(one) and one not in cached and one.endpoint not in varied], _alike, _MEND),
    )
    return [f"{_names(some)}: {said(some)}, {mend}" for some, said, mend in groups if some]


def _is_data(one: Repeats) -> bool:
    return one.answers >= _LEAST_SAME and one.same >= _MOSTLY * one.answers and one.body_bytes >= _DATA_BYTES


def _of_a_cache(some: Sequence[Repeats]) -> str:
    part = share(sum(one.cached for one in some) / sum(one.answers for one in some))
    headers = ", ".join(dict.fromkeys(one.cache for one in some))
    return f"{part} of the answers came from a cache ({headers}): these are its times; to measure what is behind it"


def _alike(some: Sequence[Repeats]) -> str:
    part = share(sum(one.same for one in some) / sum(one.answers for one in some))
    same = "of the answers to the same request were the same bytes again, as from a cache"
    return f"{part} {same}; where users ask for different things"


def _names(some: Sequence[Repeats]) -> str:
    more = len(some) - _NAMED
    return ", ".join(one.endpoint for one in some[:_NAMED]) + (f" and {more} more" if more > 0 else "")
