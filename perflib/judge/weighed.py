"""Weighed: a finding, and how much it counts among others. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from perflib.spec.diagnosis import Finding

_MOST_NAMED = 3


@dataclass(frozen=True)
class Weighed:
    """A finding, and its weight: of what takes most from all requests together it is the largest."""

    finding: Finding
    weight: float

    @classmethod
    def by_share(cls, finding: Finding, share: float) -> Self:
        """Where its endpoints took a share of the time of all."""
        return cls(finding, finding.effect * share)


def named(names: Sequence[str]) -> str:
    """A few of them by name.

    >>> named(["GET /a", "GET /b", "GET /c", "GET /d"])
    'GET /a, GET /b, GET /c and 1 more'
    """
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
