"""Jumps of a level upon a short warm-up."""

from dataclasses import dataclass

import numpy as np

from perflib.stats import Floats
from perflib.stats.minima import Minima
from perflib.stats.saturation import Noise, warm_ups

MOST_JUMPS = 3
"""More may as well be a leak in chunks."""
_STANDS_OUT = 30.0
"""Squared, in standard errors; it is the largest of hundreds of places and shapes."""


@dataclass(frozen=True)
class Jump:
    """Upward, before window `index`; `gain` is what it takes off the residual sum of squares."""

    index: int
    height: float
    gain: float
    residuals: Floats


def _best_jump(minima: Minima, designs: Floats, others: list[Jump]) -> Jump:
    """The best place for one more jump upon the best of the designs, shape (designs, windows, columns)."""
    known = np.stack([minima.after(jump.index) for jump in others], axis=1) if others else designs[0, :, :0]
    design = np.concatenate([designs, np.broadcast_to(known, (len(designs), *known.shape))], axis=2)
    q = np.linalg.qr(design)[0]
    y = minima.level - (q @ (minima.level @ q)[:, :, None])[:, :, 0]
    windows = len(minima.level)
    covered = np.cumsum(y[:, ::-1], axis=1)[:, ::-1]  # the product with a jump is the sum from its place on
    weight = windows - np.arange(windows) - (np.cumsum(q[:, ::-1], axis=1)[:, ::-1] ** 2).sum(axis=2)
    height = np.divide(covered, weight, out=np.zeros_like(covered), where=(weight > 1e-3) & (covered > 0))
    height[:, :2] = 0.0
    gain, rss = height * covered, (y * y).sum(axis=1)
    n, index = (int(place) for place in np.unravel_index(np.argmin(rss[:, None] - gain), gain.shape))
    jump = minima.after(index)
    residuals = y[n] - height[n, index] * (jump - q[n] @ (q[n].T @ jump))
    return Jump(index, float(height[n, index]), float(gain[n, index]), residuals)


def _best_jumps(minima: Minima, *columns: Floats) -> list[Jump]:
    """Upon a constant, the columns and one short warm-up: one after the other; then each again, given the others."""
    before = [np.ones_like(minima.share), *columns]
    designs = np.stack([np.column_stack([*before, warm_up]) for warm_up in warm_ups(minima.share)])
    jumps: list[Jump] = []
    for _ in range(MOST_JUMPS):
        jumps.append(_best_jump(minima, designs, jumps))
    for n in range(MOST_JUMPS):
        jumps[n] = _best_jump(minima, designs, jumps[:n] + jumps[n + 1 :])
    return jumps


def jumps_of(minima: Minima) -> list[Jump]:
    """The jumps that stand out from a line upon a short warm-up."""
    rises = np.diff(minima.level)
    jitter = float(np.median(np.abs(rises - np.median(rises)))) / 0.95
    if rises.max() - np.median(rises) < max(minima.matters / 4, 3 * jitter):
        return []
    found = _best_jumps(minima, minima.share)
    noise = Noise.of(found[-1].residuals, 3 + MOST_JUMPS, minima.least_sd)
    least_gain, least_height = _STANDS_OUT * noise.variance, minima.matters / 8
    return [jump for jump in found if jump.gain >= least_gain and jump.height >= least_height]


def only_jumped(minima: Minima, refuted_rss: float) -> bool:
    """Whether jumps upon a short warm-up fit about as well as a slope: they are not refuted."""
    residuals = _best_jumps(minima)[-1].residuals
    return float(residuals @ residuals) <= refuted_rss
