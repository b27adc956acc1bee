"""Weighed: a finding, and how much of a whole run it is about. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from perflib.spec.diagnosis import Finding

_MOST_NAMED = 3


@dataclass(frozen=True)
class Weighed:
    """A finding; `share` of the run's time that its endpoints took."""

    finding: Finding
    share: float

    @property
    def weight(self) -> float:
        return self.finding.effect * self.share


def named(names: Sequence[str]) -> str:
    """A few of them by name.

    >>> named(["GET /a", "GET /b", "GET /c", "GET /d"])
    'GET /a, GET /b, GET /c and 1 more'
    """
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
