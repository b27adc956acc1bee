"""The Universal Scalability Law: what more users bring, and when they bring less. Pure."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from perflib.stats import Floats

MIN_POINTS = 3
_NONE = 1e-6
"""Less coherency than this is none."""


@dataclass(frozen=True)
class Scalability:
    """X(N) = rate N / (1 + contention (N - 1) + coherency N (N - 1))."""

    rate_per_s: float
    """Of one user."""
    contention: float
    coherency: float

    @property
    def peak_users(self) -> float | None:
        """Where throughput is highest; None: it never falls."""
        if self.coherency < _NONE:
            return None
        return math.sqrt(max(0.0, 1 - self.contention) / self.coherency)

    def throughput_per_s(self, users: Floats) -> Floats:
        """What so many users get through. Shape as `users`."""
        return self.rate_per_s * users / _slowed(users, self.contention, self.coherency)


def scalability(users: Floats, throughput_per_s: Floats) -> Scalability:
    """The law fitted by least squares of log throughput, contention in [0, 1] and coherency not negative.

    Source: Gunther 2007, Guerrilla Capacity Planning, chapter 4; in logs, as throughput is off by a share of itself.

    Args:
        users: 1 or more each, `MIN_POINTS` different ones or more; shape (n,).
        throughput_per_s: above 0; shape (n,).

    Raises:
        ValueError: for too few points.
    """
    if len(np.unique(users)) < MIN_POINTS:
        raise ValueError(f"scalability: {MIN_POINTS} different numbers of users are needed")
    rate_per_user = np.log(throughput_per_s / users)

    def off(law: Floats) -> Floats:
        return np.asarray(law[0] - np.log(_slowed(users, law[1], law[2])) - rate_per_user)

    begin, bounds = [float(rate_per_user.max()), 0.1, 0.001], ([-np.inf, 0, 0], [np.inf, 1, np.inf])
    log_rate, contention, coherency = least_squares(off, begin, bounds=bounds, x_scale=[1, 0.1, 0.01], xtol=1e-12).x
    return Scalability(math.exp(log_rate), float(contention), float(coherency))


def _slowed(users: Floats, contention: float, coherency: float) -> Floats:
    return np.asarray(1 + contention * (users - 1) + coherency * users * (users - 1))
