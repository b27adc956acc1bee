"""Fault switches: what the dashboard does wrong on purpose, so that every detector can be shown working."""

import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

ENDPOINTS = (
    "GET /health",
    "GET /snapshot",
    "GET /clients",
    "GET /signals",
    "GET /patterns",
    "GET /cost-to-serve",
)
BYTES = {"KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60)}
NUMBER = r"(\d+(?:\.\d+)?)"


@dataclass(frozen=True)
class Delay:
    """An extra wait: a share of the answer's own computing time, or a fixed time."""

    share: float = 0.0
    fixed_s: float = 0.0

    def wait_s(self, computing_s: float) -> float:
        return self.share * computing_s + self.fixed_s


@dataclass(frozen=True)
class Leak:
    """Memory retained for good, by request or by time."""

    bytes_per_request: int = 0
    bytes_per_s: float = 0.0


@dataclass(frozen=True)
class Stall:
    """The whole server stops for `stall_s` in every `period_s`."""

    stall_s: float
    period_s: float


@dataclass(frozen=True)
class Faults:
    """Everything the dashboard shall do wrong; by endpoint name ("GET /clients") where it has one."""

    slow: Mapping[str, Delay] = field(default_factory=dict)
    errors: Mapping[str, Fraction] = field(default_factory=dict)
    block: frozenset[str] = frozenset()
    error_body: frozenset[str] = frozenset()
    leak: Leak = Leak()
    stall: Stall | None = None
    fallback_html: bool = False
    cold_cache: bool = False


def endpoint(text: str) -> str:
    """The name of an endpoint, if there is one of that name."""
    if text not in ENDPOINTS:
        raise ArgumentTypeError(f"{text!r} is no endpoint; use one of {', '.join(ENDPOINTS)}")
    return text


def slow(text: str) -> tuple[str, Delay]:
    """`GET /clients=+60%` or `GET /clients=+15ms`."""
    name, amount = _split(text, "GET /clients=+60% or GET /clients=+15ms")
    if match := re.fullmatch(rf"\+{NUMBER}%", amount):
        return name, Delay(share=float(match[1]) / 100)
    if match := re.fullmatch(rf"\+{NUMBER}(ms|s)", amount):
        return name, Delay(fixed_s=_seconds(match[1], match[2]))
    raise ArgumentTypeError(f"{text!r} names no delay; write it like GET /clients=+60% or GET /clients=+15ms")


def errors(text: str) -> tuple[str, Fraction]:
    """`GET /signals=1%`, as an exact share."""
    name, amount = _split(text, "GET /signals=1%")
    match = re.fullmatch(rf"{NUMBER}%", amount)
    if not match or not 0 < Fraction(match[1]) <= 100:
        raise ArgumentTypeError(f"{text!r} names no share above 0 and up to 100 %; write it like GET /signals=1%")
    return name, Fraction(match[1]) / 100


def leak(text: str) -> Leak:
    """`20KB/request` or `2MB/min`."""
    match = re.fullmatch(rf"{NUMBER}(KB|MB|GB)/(request|min)", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is no leak; write it like 20KB/request or 2MB/min")
    size = Fraction(match[1]) * BYTES[match[2]]
    return Leak(bytes_per_request=int(size)) if match[3] == "request" else Leak(bytes_per_s=float(size / 60))


def stall(text: str) -> Stall:
    """`2s/30s`: stopped for 2 s in every 30 s."""
    match = re.fullmatch(rf"{NUMBER}(ms|s)/{NUMBER}(ms|s|min)", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is no stall; write it like 2s/30s")
    result = Stall(_seconds(match[1], match[2]), _seconds(match[3], match[4]))
    if not 0 < result.stall_s < result.period_s:
        raise ArgumentTypeError(f"{text!r} does not stop for a part of its period; write it like 2s/30s")
    return result


def _split(text: str, example: str) -> tuple[str, str]:
    name, equals, amount = text.rpartition("=")
    if not equals:
        raise ArgumentTypeError(f'{text!r} has no "="; write it, in quotes, like "{example}"')
    return endpoint(name), amount


def _seconds(number: str, unit: str) -> float:
    return float(Fraction(number) * SECONDS[unit])
