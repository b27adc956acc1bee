"""An interval of an estimate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, in the unit of the estimate it belongs to."""

    low: float
    high: float
