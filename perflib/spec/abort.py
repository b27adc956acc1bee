"""The rule that ends a run early: ``errors>5%``."""

import re
from typing import Annotated

from perflib.spec.values import must

_RULE = re.compile(r"\s*errors\s*>\s*([0-9]{1,2}(?:\.[0-9]+)?)\s*%\s*")

AbortOn = Annotated[
    str, must(_RULE.fullmatch, "no rule that ends a run; write errors>5%, the share from 0 % to below 100 %")
]
"""Refuses what is no such rule."""


def share_of(rule: str) -> float:
    """The share of failed requests above which a run ends.

    >>> share_of("errors > 5%")
    0.05
    """
    found = _RULE.fullmatch(rule)
    assert found is not None
    return float(found[1]) / 100
