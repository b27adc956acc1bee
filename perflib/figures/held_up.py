"""Held up: how much longer an endpoint takes with each request of another under way. Of open loads only. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflib.figures.silences import Silence
from perflib.figures.summary import counted
from perflib.figures.under_way import UnderWay, on_the_wire
from perflib.spec import Open, Run
from perflib.stats import Floats
from perflib.stats.added_time import Added, added_time

_MOST_ENDPOINTS = 8
_LEAST_ROWS, _MOST_ROWS = 48, 1_500
_SHIFTS, _SEED = 99, 11
_Z = 1.96


@dataclass(frozen=True)
class HeldUp:
    """What each request of the aggressor under way, when one of the victim began, went with. Milliseconds."""

    victim: str
    aggressor: str
    victim_ms: float
    """Median of the victim with none of the aggressor under way."""
    aggressor_ms: float
    """What the aggressor takes at its fastest: 10th percentile."""
    added_ms: float
    low_ms: float
    high_ms: float
    p_value: float
    """Adjusted for all the pairs."""
    all_p_value: float
    """That the aggressor holds up none of the others, by all of them together; adjusted for all aggressors."""
    met: float
    """Of the aggressor's, a request of the victim met so many on average."""


@dataclass(frozen=True)
class _Chance:
    """The largest scores that shifts of the run have. Shape (shifts,)."""

    of_a_pair: Floats
    together: Floats


def held_up(run: Run, silences: Sequence[Silence] = ()) -> tuple[HeldUp, ...]:
    """All pairs of the endpoints that take most of the time; none of a load that is not open, or of too few rows.

    Under a number of users the counts depend on each other, and on the times: least squares tells nothing there.
    Chance is what remains when each request meets those of another moment of the run: 99 shifts, the largest score of
    all pairs, and of all aggressors, each (Westfall and Young 1993). Rows that touch a silence are left out.
    """
    if not isinstance(run.facts.scenario.workload, Open):
        return ()
    sent = on_the_wire(run)
    good = sent[counted(sent) & sent["error"].isna() & ~sent["cold"] & ~_touches(sent, silences)]
    took = (good["end_ns"] - good["start_ns"]).groupby(good["endpoint"], observed=True)
    names = [str(name) for name in took.sum().nlargest(_MOST_ENDPOINTS).index]
    sizes = took.size()
    victims = {name: _sample(good, name) for name in names if sizes[name] >= _LEAST_ROWS}
    return _pairs(victims, names, UnderWay.of(sent), run) if victims else ()


def _touches(sent: pd.DataFrame, silences: Sequence[Silence]) -> NDArray[np.bool_]:
    start_ns, over_ns = sent["start_ns"].to_numpy(), sent["over_ns"].to_numpy()
    touched = np.zeros(len(sent), bool)
    for one in silences:
        touched |= (start_ns < one.at_ns + one.lasted_ns) & (over_ns > one.at_ns)
    return touched


def _sample(good: pd.DataFrame, name: str) -> pd.DataFrame:
    """Of an endpoint: the first ones."""
    return good[good["endpoint"] == name].iloc[:_MOST_ROWS]


def _pairs(victims: dict[str, pd.DataFrame], names: Sequence[str], under_way: UnderWay, run: Run) -> tuple[HeldUp, ...]:
    fits = _fits(victims, names, under_way, 0, run)
    own = np.array([[victim == name for name in names] for victim in victims])
    drawn = [_scores(_fits(victims, names, under_way, shift_ns, run)) for shift_ns in _shifts(run)]
    chance = _Chance(np.array([some.max() for some in drawn]), np.array([_together(some, own).max() for some in drawn]))
    together = _together(_scores(fits), own)
    fastest = {name: float(np.quantile(_took_ms(rows), 0.1)) for name, rows in victims.items()}
    return tuple(
        one
        for victim, (fit, met) in fits.items()
        for one in _of_victim(victim, _took_ms(victims[victim]), fit, met, names, fastest, chance, together)
    )


def _of_victim(
    victim: str,
    took_ms: Floats,
    fit: Added,
    met: Floats,
    names: Sequence[str],
    fastest: dict[str, float],
    chance: _Chance,
    together: Floats,
) -> Iterator[HeldUp]:
    for place, aggressor in enumerate(names):
        if aggressor in fastest and np.isfinite(fit.error[place]):
            value, wide = float(fit.value[place]), _Z * float(fit.error[place])
            clear = took_ms[met[:, place] == 0]
            yield HeldUp(
                victim=victim,
                aggressor=aggressor,
                victim_ms=float(np.median(clear if len(clear) else took_ms)),
                aggressor_ms=fastest[aggressor],
                added_ms=value,
                low_ms=value - wide,
                high_ms=value + wide,
                p_value=_p_value(chance.of_a_pair, fit.score[place]),
                all_p_value=_p_value(chance.together, together[place]),
                met=float(met[:, place].mean()),
            )


def _fits(
    victims: dict[str, pd.DataFrame], names: Sequence[str], under_way: UnderWay, shift_ns: int, run: Run
) -> dict[str, tuple[Added, Floats]]:
    """By victim, with how many of each endpoint its requests met; of a moment `shift_ns` later, the run as a ring."""
    from_ns, to_ns = run.facts.parts[0].measured_from_ns, run.facts.parts[-1].measured_to_ns
    found = {}
    for victim, rows in victims.items():
        at_ns = rows["start_ns"].to_numpy()
        shifted_ns = at_ns if not shift_ns else from_ns + (at_ns - from_ns + shift_ns) % (to_ns - from_ns)
        met = np.column_stack([under_way.at(shifted_ns, name) for name in names]).astype(np.float64)
        found[victim] = added_time(_took_ms(rows), met), met
    return found


def _shifts(run: Run) -> list[int]:
    """Each at least a tenth of the run, so that nothing meets its own moment."""
    whole_ns = run.facts.parts[-1].measured_to_ns - run.facts.parts[0].measured_from_ns
    return [int(shift) for shift in np.random.default_rng(_SEED).uniform(0.1, 0.9, _SHIFTS) * whole_ns]


def _scores(fits: dict[str, tuple[Added, Floats]]) -> Floats:
    """Shape (victims, aggressors)."""
    return np.array([fit.score for fit, _ in fits.values()])


def _together(scores: Floats, own: NDArray[np.bool_]) -> Floats:
    """The mean score of each aggressor's victims, itself left out. Shape (aggressors,)."""
    return np.asarray(np.where(own, 0.0, scores).sum(axis=0) / np.maximum(1, (~own).sum(axis=0)))


def _p_value(chance: Floats, score: float) -> float:
    return float((1 + (chance >= score).sum()) / (1 + len(chance)))


def _took_ms(rows: pd.DataFrame) -> Floats:
    return np.asarray((rows["end_ns"] - rows["start_ns"]) / 1e6, dtype=np.float64)
