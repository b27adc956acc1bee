"""Fault switches: what the dashboard does wrong on purpose, so that every detector can be shown working."""

import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf

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
class Lock:
    """These endpoints share a lock; an answer of each holds it for `held_s`."""

    endpoints: tuple[str, ...]
    held_s: float


@dataclass(frozen=True)
class Limit:
    """No more than `at_once` answers are under way, each for `wait_s`; the others queue."""

    at_once: int
    wait_s: float


@dataclass(frozen=True)
class Faults:
    """Everything the dashboard shall do wrong; by endpoint name ("GET /clients") where it has one."""

    slow: Mapping[str, Delay] = field(default_factory=dict)
    errors: Mapping[str, Fraction] = field(default_factory=dict)
    block_s: Mapping[str, float] = field(default_factory=dict)
    """Works on the event loop, and sleeps there for so long."""
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    wait_s: Mapping[str, float] = field(default_factory=dict)
    locks: tuple[Lock, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    drip_s: Mapping[str, float] = field(default_factory=dict)
    queries: Mapping[str, int] = field(default_factory=dict)
    """So many small queries, one after another."""
    error_body: frozenset[str] = frozenset()
    leak: Leak = Leak()
    stall: Stall | None = None
    fallback_html: bool = False
    cold_cache: bool = False
    rate_limit_per_s: float = inf


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


def duration(text: str) -> tuple[str, float]:
    """`GET /clients=12ms`, in seconds."""
    name, amount = _split(text, "GET /clients=12ms")
    return name, _duration(text, amount, "GET /clients=12ms")


def block(text: str) -> tuple[str, float]:
    """`GET /patterns`, or `GET /patterns=20ms` in seconds."""
    return duration(text) if "=" in text else (endpoint(text), 0.0)


def lock(text: str) -> Lock:
    """`GET /signals,GET /patterns=10ms`."""
    example = "GET /signals,GET /patterns=10ms"
    names, amount = _halves(text, example)
    return Lock(tuple(map(endpoint, names.split(","))), _duration(text, amount, example))


def limit(text: str) -> tuple[str, Limit]:
    """`GET /clients=2`, or `GET /clients=2x10ms`."""
    name, amount = _split(text, "GET /clients=2x10ms")
    at_once, times, wait = amount.partition("x")
    if not at_once.isdecimal() or int(at_once) == 0:
        raise ArgumentTypeError(
            f"{text!r} names no number above 0; write it like GET /clients=2 or GET /clients=2x10ms"
        )
    return name, Limit(int(at_once), _duration(text, wait if times else "10ms", "GET /clients=2x10ms"))


def queries(text: str) -> tuple[str, int]:
    """`GET /clients=150`."""
    name, count = _split(text, "GET /clients=150")
    if not count.isdecimal() or int(count) == 0:
        raise ArgumentTypeError(f"{text!r} names no number above 0; write it like GET /clients=150")
    return name, int(count)


def rate_limit(text: str) -> float:
    """`50/s`."""
    match = re.fullmatch(rf"{NUMBER}/s", text)
    if not match or float(match[1]) == 0:
        raise ArgumentTypeError(f"{text!r} is no rate above 0; write it like 50/s")
    return float(match[1])


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
    name, amount = _halves(text, example)
    return endpoint(name), amount


def _halves(text: str, example: str) -> tuple[str, str]:
    left, equals, right = text.rpartition("=")
    if not equals:
        raise ArgumentTypeError(f'{text!r} has no "="; write it, in quotes, like "{example}"')
    return left, right


def _duration(text: str, amount: str, example: str) -> float:
    match = re.fullmatch(rf"{NUMBER}(ms|s)", amount)
    if not match or float(match[1]) == 0:
        raise ArgumentTypeError(f"{text!r} names no time above 0; write it like {example}")
    return _seconds(match[1], match[2])


def _seconds(number: str, unit: str) -> float:
    return float(Fraction(number) * SECONDS[unit])
