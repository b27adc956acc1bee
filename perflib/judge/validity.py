"""Validity: whether a run measured its target rather than its load generator, why not, and what to do. Pure."""

import math
from collections.abc import Iterable, Sequence

from perflib.show.numbers import ms
from perflib.spec import Closed, Open, Workload
from perflib.spec.run import LONG_STANDSTILL_S, MAX_LAG_MS, CoresUsed, Generator, OwnError

MAX_LOST_SHARE, MIN_LOST_USERS = 0.1, 1.0
"""A closed load was not offered where users lost more than this share of their time, and it makes this many users.

A single user at a server that answers at once always loses some, which falsifies nothing.
"""
OWN_WORK_MS, LONG_WAIT_MS = 0.1, 1.0
"""And only where they waited longer than this on average; the first where the generator used its whole core.

Less than that is the generator's own work on a request, of which a server that answers at once makes a large share.
"""
MAX_LATE_SHARE = 0.01
"""An open load was not offered where more than this share of its arrivals went out more than `MAX_LAG_MS` late."""
ERROR_SHARE, LIMIT_SHARE, LEAST_ERROR_MS = 0.05, 0.01, 0.3
"""Own error is borne up to the largest of these: of the percentile, of its limit, and an interrupted send."""
JUDGED = ("p50", "p95")
"""What limits, checks and baselines judge; what is wrong with p99 is told."""
MAX_CPU_SHARE = 0.9
"""By the read clock a generator beyond this, or one that is `MAX_LAG_MS` late at p99, makes its run invalid."""
MAX_TOUCHED_SHARE = 0.01
"""So do short standstills that touched more than this share of the requests."""
_IDLE_CORES, _MUCH = 0.5, 0.2


def worst_of_each(errors: Iterable[OwnError]) -> tuple[OwnError, ...]:
    """Of each percentile the error that is the worst by what is borne of it."""
    worst: dict[str, OwnError] = {}
    for error in errors:
        so_far = worst.get(error.percentile)
        if so_far is None or error.ms / _borne_ms(error) > so_far.ms / _borne_ms(so_far):
            worst[error.percentile] = error
    return tuple(worst.values())


def own_error_ms(
    errors: Sequence[OwnError], endpoint: str, percentile: str, of_ms: float, limit_ms: float | None
) -> float:
    """How much of a percentile of `of_ms` may be the load generator's own, at the most.

    Args:
        errors: the worst of each percentile. It bounds what that of the other endpoints is.
    """
    worst = next((one for one in errors if one.percentile == percentile), None)
    if worst is None or worst.endpoint == endpoint:
        return worst.ms if worst else 0.0
    return worst.ms / _borne_ms(worst) * _borne_of_ms(of_ms, limit_ms)


def _borne_ms(error: OwnError) -> float:
    return _borne_of_ms(error.of_ms, error.limit_ms)


def _borne_of_ms(of_ms: float, limit_ms: float | None) -> float:
    return max(ERROR_SHARE * of_ms, LIMIT_SHARE * (limit_ms or 0.0), LEAST_ERROR_MS)


def invalid_reasons(generator: Generator, workload: Workload, workers: int = 1) -> tuple[str, ...]:
    """Why a run measured its load generator rather than its target; empty for a valid one.

    The last of those that a quieter machine, or another load, would mend says who used the cores and what to do.
    """
    refused = [f"this machine refused the load generator {generator.refusals:,} connections: {generator.refusal}"]
    by_kernel = generator.clock == "kernel"
    overloaded = [*_not_offered(generator, workload), *_own_errors(generator)] if by_kernel else _by_read(generator)
    if overloaded:
        overloaded[-1] += f". {_cores(generator.cores_used)}{_mend(generator, workload, workers)}"
    return (*(refused if generator.refusals else ()), *overloaded, *_stood_still(generator))


def may_pass(generator: Generator) -> bool:
    """Whether another try may be valid: what this machine refuses, it refuses again."""
    return not generator.refusals


def doubtful(generator: Generator) -> tuple[str, ...]:
    """Of percentiles that are shown, and not judged: what of them may be the load generator's own."""
    return tuple(_own_error(one) for one in generator.own_errors if one.percentile not in JUDGED and _is_much(one))


def _not_offered(generator: Generator, workload: Workload) -> list[str]:
    late, share, users = generator.late_share, generator.lost_share, generator.lost_users
    if late is not None and late > MAX_LATE_SHARE:
        return [f"the load generator sent late: {late:.1%} of the requests went out over {MAX_LAG_MS:g} ms late"]
    if share is None or users is None or share <= MAX_LOST_SHARE or users < MIN_LOST_USERS:
        return []
    if (generator.lost_ms or 0.0) <= (OWN_WORK_MS if generator.busiest_share > MAX_CPU_SHARE else LONG_WAIT_MS):
        return []
    asked = workload.users if isinstance(workload, Closed) else users / share
    said = f"{asked:.3g} users{'' if isinstance(workload, Closed) else ' on average'}"
    offered = f"{said} offered the load of {asked * (1 - share):.3g}"
    waited = f"each waited {ms(generator.lost_ms)} ms on average for it to send its next request"
    return [f"the load generator sent late: {offered}, as {waited}"]


def _own_errors(generator: Generator) -> list[str]:
    return [_own_error(one) for one in generator.own_errors if one.percentile in JUDGED and _is_much(one)]


def _is_much(error: OwnError) -> bool:
    return error.ms > _borne_ms(error)


def _own_error(error: OwnError) -> str:
    figure = f"{error.percentile} of {error.endpoint} is {ms(error.of_ms)} ms"
    return f"{figure}, of which up to {ms(error.ms)} ms may be the load generator's own"


def _by_read(generator: Generator) -> list[str]:
    share = generator.busiest_share
    lags = {"its event loop": generator.loop_lag_p99_ms, "its schedule": generator.schedule_lag_p99_ms}
    late = [f"{what} was {lag:.0f} ms late at p99" for what, lag in lags.items() if lag and lag > MAX_LAG_MS]
    saturated = [f"it used {share:.0%} of its core"] if share > MAX_CPU_SHARE else []
    return [f"the load generator was overloaded: {reason}" for reason in saturated + late]


def _stood_still(generator: Generator) -> tuple[str, ...]:
    touching = [one for one in generator.standstills if one.touched]
    worst = max(touching, key=lambda one: one.lasted_s, default=None)
    touched = sum(one.touched for one in touching)
    if worst is None or (worst.lasted_s < LONG_STANDSTILL_S and touched <= MAX_TOUCHED_SHARE * generator.requests):
        return ()
    others = f", and {len(touching) - 1} times more" if len(touching) > 1 else ""
    when = f"worker {worst.worker + 1} stood still for {worst.lasted_s:.1f} s at {worst.at_s:.1f} s{others}"
    return (f"load generator: {when}: {touched:,} request{'s' if touched != 1 else ''} due or under way",)


def cores_in_words(cores: CoresUsed) -> str:
    """Who used them; who is not known is left out.

    >>> cores_in_words(CoresUsed(target=0.9, generator=0.7, others=None, of=2))
    'target 0.9, load generator 0.7 of 2 cores'
    """
    shares = {"target": cores.target, "load generator": cores.generator, "others": cores.others}
    used = ", ".join(f"{who} {share:.1f}" for who, share in shares.items() if share is not None)
    return f"{used} of {cores.of} core{'s' if cores.of != 1 else ''}"


def _cores(cores: CoresUsed | None) -> str:
    return "" if cores is None else f"Used meanwhile: {cores_in_words(cores)}. "


def _mend(generator: Generator, workload: Workload, workers: int) -> str:
    """What to do about an overloaded generator: what it lacks, then what it may do without."""
    cores, advice = generator.cores_used, []
    if cores is not None:
        free = cores.of - sum(share or 0.0 for share in (cores.target, cores.generator, cores.others))
        if generator.busiest_share > MAX_CPU_SHARE and free >= _IDLE_CORES and cores.others is not None:
            advice.append(f"drive it from one process more (--workers {workers + 1})")
        elif (cores.others or 0.0) >= _MUCH:
            advice.append("stop the other work on this machine")
        if cores.target is not None and free < _IDLE_CORES:
            advice.append("run the target on another machine")
    if generator.busiest_share >= _MUCH or not advice:  # one that is idle is late for want of a core
        advice.append(f"send less ({_less(generator, workload)})")
    told = f"{', '.join(advice[:-1])} or {advice[-1]}" if advice[1:] else advice[0]
    return told[0].upper() + told[1:]


def _less(generator: Generator, workload: Workload) -> str:
    """The option that asks for a smaller load."""
    if isinstance(workload, Open):
        return "a lower rate" if workload.stages else f"--rate {workload.rate_per_s / 2:.3g}"
    if not isinstance(workload, Closed):
        return "fewer users"
    return f"--users {max(1, math.floor(workload.users * (1 - (generator.lost_share or 0.5))))}"
