"""The validity of a run that is over: what its load generator did to it, and whether it counts."""

from collections.abc import Callable

from perflib.figures.lateness import gaps_of, late_share, own_errors
from perflib.judge.validity import invalid_reasons, worst_of_each
from perflib.load.worker import in_a_line
from perflib.spec import Facts, Open
from perflib.spec.run import OwnError
from perflib.spec.setup import is_here
from perflib.store.runs import RunFolder
from perflib.store.spool import COLD, WARMUP
from perflib.watch.sampler import Sampler

_LEFT_OUT = WARMUP | COLD


def with_validity(
    facts: Facts, folder: RunFolder, sampling: Sampler, matters: Callable[[OwnError], bool] = lambda _: True
) -> Facts:
    """The facts of a run that is over, its rows spooled still; a fault in here makes it invalid, and loses nothing.

    Args:
        matters: whether an own error is of a figure that the run is for.
    """
    generator, scenario = facts.generator, facts.scenario
    try:
        target_is_here = bool(facts.target.unix_socket) or is_here(facts.target.base_url)
        cores_used = sampling.cores_used(generator, target_is_here)
        generator = generator.replaced(cores_used=cores_used, **_lateness(facts, folder, matters))
        reasons = invalid_reasons(generator, scenario.workload, facts.workers)
    except Exception as error:
        reasons = (f"its validity could not be determined: {in_a_line(error)}",)
    return facts.replaced(generator=generator, invalid_reasons=(*reasons, *facts.invalid_reasons))


def _lateness(facts: Facts, folder: RunFolder, matters: Callable[[OwnError], bool]) -> dict[str, object]:
    """The values of `Generator` that its rows tell, by the kernel's clock."""
    generator, workers = facts.generator, folder.spooled()
    if generator.clock != "kernel" or not facts.parts:
        return {}
    errors = own_errors(workers, facts, generator.loop_lag_p99_ms or 0.0, _LEFT_OUT)
    told: dict[str, object] = {"own_errors": worst_of_each(filter(matters, errors))}
    if isinstance(facts.scenario.workload, Open):
        return told | {"late_share": late_share(workers, _LEFT_OUT)}
    gaps = gaps_of(workers, facts)
    return told | {"lost_share": gaps.share, "lost_users": gaps.users, "lost_ms": gaps.mean_ms}
