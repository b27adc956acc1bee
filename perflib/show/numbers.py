"""How a number is written, and the words for one that is missing."""

import math
from collections.abc import Callable
from typing import Protocol

INSUFFICIENT, NOTHING = "too few", "–"


def ms(value: float | None, missing: str = INSUFFICIENT) -> str:
    """Milliseconds to three digits; None: the sample cannot support the figure.

    >>> [ms(value) for value in (0.1234, 4.567, 45.67, 456.7, 4567.8, None)]
    ['0.12', '4.57', '45.7', '457', '4,568', 'too few']
    """
    if value is None:
        return missing
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def no_less(bound_ms: float | None) -> str:
    """A time that is only known to be no shorter; empty where nothing is known, or failures reach it.

    >>> no_less(128.4)
    '≥ 128'
    """
    return "" if bound_ms is None or bound_ms == math.inf else f"≥ {ms(bound_ms)}"


def share(share: float, digits: int = 3) -> str:
    """A share in percent that never rounds a failure away.

    >>> [share(value) for value in (0, 0.00001, 0.0125, 0.99999, 1)]
    ['0 %', '< 0.01 %', '1.25 %', '> 99.99 %', '100 %']
    """
    if 0 < share < 0.0001:
        return "< 0.01 %"
    if 0.9999 < share < 1:
        return "> 99.99 %"
    return f"{100 * share:.{4 if share > 0.99 else digits}g} %"


def seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def size(value_bytes: float) -> str:
    """A size in units of 1,000.

    >>> [size(value) for value in (512, 2_345, 5_200_000)]
    ['512 B', '2.35 kB', '5.2 MB']
    """
    factor, unit = next((f, u) for f, u in ((1e6, "MB"), (1e3, "kB"), (1, "B")) if value_bytes >= f or f == 1)
    return f"{value_bytes / factor:,.3g} {unit}"


def scaled(value: float | None, factor: float, unit: str) -> str:
    return "not measured" if value is None else f"{value * factor:,.3g} {unit}"


def three_digits(value: float) -> str:
    """A number that may be negative or large.

    >>> [three_digits(value) for value in (-6.62, 0.04567, 4889.2, 1e-13)]
    ['-6.62', '0.0457', '4,889', '0']
    """
    if abs(value) < 1e-6:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def amount_of(name: str) -> Callable[[float | None], str]:
    """How an amount of something that may leak is written: memory in MB, open files and threads by number."""
    if name == "memory":
        return lambda value: NOTHING if value is None else f"{three_digits(value / 1e6)} MB"
    return lambda value: NOTHING if value is None else three_digits(value)


def rate_of(name: str) -> Callable[[float | None], str]:
    """The same per hour."""
    amount = amount_of(name)
    return lambda value: amount(value) if value is None else f"{amount(value)}/h"


class Limited(Protocol):
    """What may have limits: an endpoint or page, or what is known of one."""

    @property
    def target_ms(self) -> float | None: ...
    @property
    def target_p99_ms(self) -> float | None: ...
    @property
    def max_errors(self) -> float | None: ...


def limit(of: Limited) -> str:
    """The bounds that its p95 and p99 have to stay below, and the share of its requests that may fail."""
    bounds = (
        below(of.target_ms) if of.target_ms is not None else "",
        f"p99 {below(of.target_p99_ms)}" if of.target_p99_ms is not None else "",
        f"failed ≤ {share(of.max_errors)}" if of.max_errors is not None else "",
    )
    return ", ".join(filter(None, bounds)) or NOTHING


def below(value_ms: float | None) -> str:
    """The bound that a response time has to stay below."""
    return NOTHING if value_ms is None else f"< {value_ms:,g}"
