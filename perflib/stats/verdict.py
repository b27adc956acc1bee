"""The verdict: what a judgement comes to, in one word, the same words for all of them."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """The worst first, so that the smallest of several is the verdict on all of them: see `worst`."""

    REGRESSION = "REGRESSION"
    """Significantly slower, and by more than matters."""
    LEAK = "LEAK"
    """It grows without an end."""
    STEP = "STEP"
    """It jumped, and did not grow on."""
    IMPROVED = "IMPROVED"
    """Significantly faster, and by more than matters."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """What was measured cannot tell."""
    NO_BASELINE = "NO_BASELINE"
    """There is nothing to compare with."""
    NOT_SAMPLED = "NOT_SAMPLED"
    """It was not watched."""
    SAME = "SAME"
    """Neither slower nor faster by more than matters."""
    OK = "OK"
    """It does not grow by more than matters."""


_ORDER = list(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on several things together."""
    return min(verdicts, key=_ORDER.index)
