"""The smallest change that matters: by its share, by the endpoint's limit, and by what the instrument may do. Pure."""

from collections.abc import Sequence
from statistics import fmean

from perflib.judge.validity import LIMIT_SHARE, own_error_ms
from perflib.show.numbers import ms
from perflib.spec.run import Generator
from perflib.stats.band import THRESHOLD, Least


def least_that_matters(
    endpoint: str, figure: str, of_ms: float, limit_ms: float | None, generators: Sequence[Generator]
) -> Least:
    """The largest of 5 %, 1 % of the limit, the load generator's own part, and what it measures of a null server.

    Args:
        figure: "p50" or "p95".
        of_ms: what it was before.
        generators: of the runs that are judged; what is not known of them counts nothing.
    """
    floors_ms = [one.floor_p50_ms for one in generators if one.floor_p50_ms is not None]
    own_ms = [own_error_ms(one.own_errors, endpoint, figure, of_ms, limit_ms) for one in generators]
    sizes_ms = {
        f"{LIMIT_SHARE:.0%} of its limit": LIMIT_SHARE * (limit_ms or 0.0),
        "which may be the load generator's own": fmean(own_ms or [0.0]),
        "which this machine measures of a server that does nothing": fmean(floors_ms or [0.0]),
    }
    what, least_ms = max(sizes_ms.items(), key=lambda size: size[1])
    return Least(least_ms / of_ms, f"{ms(least_ms)} ms, {what}") if least_ms > THRESHOLD * of_ms else Least()
