"""A made-up diagnosis: one endpoint that blocks the others, and something in every part of it."""

from typing import Any

from perflib.spec.diagnosis import (
    Anatomy,
    Ceiling,
    CodeShare,
    Diagnosis,
    Finding,
    Interference,
    Interval,
    Probe,
    Slow,
    Stack,
    Stall,
    Usl,
    UslPoint,
)

BLOCKS = "GET /patterns"
LONG = "GET /api/v1/customers/{customer_id}/orders/{order_id}/positions"
NAMES = ("GET /health", "GET /snapshot", BLOCKS, LONG)
OWN = "render (dashboard/views.py:88)"
_RUN = "2026-01-01T00-00-00-000000Z-light_load-0a1b2c3d"


def make_diagnosis(**given: Any) -> Diagnosis:
    """A live diagnosis in which a crowd on `BLOCKS` holds up all others; `given` replaces parts of it."""
    parts: dict[str, Any] = {
        "diagnosis_id": "2026-01-01T00-00-00-000000Z-why-0a1b2c3d",
        "target": "dashboard",
        "run_ids": (_RUN,),
        "live": True,
        "budget_s": 90.0,
        "findings": (_finding(),),
        "endpoints": tuple(_anatomy(name, 4.0 + 9 * place) for place, name in enumerate(NAMES)),
        "interference": tuple(
            _interference(victim, beside) for victim in NAMES for beside in NAMES if victim != beside
        ),
        "ceiling": _ceiling(),
        "code": (
            CodeShare(endpoint=BLOCKS, function="render", file="dashboard/views.py", line=88, share=0.9),
            CodeShare(endpoint=BLOCKS, function="route", file="dashboard/app.py", line=20, share=0.1),
        ),
        "stacks": tuple(_stack(number) for number in range(6)),
        "stalls": tuple(Stall(at_s=3.0 + 1.7 * n, lasted_s=0.25) for n in range(8)),
        "span_s": 20.0,
        "slowest": tuple(_slow(name, place) for place, name in enumerate(NAMES)),
    }
    return Diagnosis(**parts | given)


def _finding() -> Finding:
    says = f"{BLOCKS} blocks the server: while it runs, all else waits (GET /health 4 ms → 87 ms)."
    more = {"others": NAMES[:2], "where": "views.py:88 render", "next": "Look at render (views.py:88)."}
    return Finding(kind="blocks", endpoint=BLOCKS, effect=0.83, confidence=0.99, says=says, **more)


def _anatomy(endpoint: str, ms: float) -> Anatomy:
    alone = {"cpu_ms": 0.3 * ms, "waiting_ms": 0.5 * ms, "queue_ms": 0.1 * ms, "receiving_ms": 0.1 * ms}
    crowd = {"crowd_cpu_ms": 0.3 * ms, "crowd_waiting_ms": 3.5 * ms, "crowd_receiving_ms": 0.2 * ms}
    return Anatomy(
        endpoint=endpoint,
        alone_p50_ms=ms,
        alone_interval_ms=Interval(low=0.9 * ms, high=1.1 * ms),
        users=8,
        crowd_p50_ms=4 * ms,
        at_once=2.0,
        cores_used=0.4,
        requests=900,
        **alone,
        **crowd,
    )


def _interference(victim: str, aggressor: str) -> Interference:
    ratio = 21.7 if aggressor == BLOCKS else 1.05
    return Interference(
        victim=victim, aggressor=aggressor, ratio=ratio, interval=(0.8 * ratio, 1.2 * ratio), added_ms=10 * (ratio - 1)
    )


def _ceiling() -> Ceiling:
    rates = (50.0, 100.0, 200.0, 150.0, 140.0, 148.0)
    probes = tuple(Probe(rate_per_s=rate, met=rate < 145, worst=0.3 / (1 - rate / 210), duration_s=6) for rate in rates)
    users = (1, 2, 4, 8, 16)
    points = tuple(
        UslPoint(users=n, throughput_per_s=40 * n / (1 + 0.1 * (n - 1) + 0.005 * n * (n - 1))) for n in users
    )
    usl = Usl(rate_per_s=40.0, contention=0.1, coherency=0.005, peak_users=13.4, points=points)
    known = {"limited_by": "blocks", "cpu_bound_per_s": 190.0}
    return Ceiling(rate_per_s=145.0, interval=(138.0, 151.0), probes=probes, usl=usl, **known)


def _stack(number: int) -> Stack:
    outer = [f"run (uvicorn/main.py:{line})" for line in range(3)] + [
        f"__call__ (starlette/middleware.py:{line})" for line in range(25)
    ]
    inner = (f"encode (json/encoder.py:{200 + number})", f"iterencode (json/encoder.py:{number})")
    return Stack(endpoint=BLOCKS, frames=(*outer, "route (dashboard/app.py:20)", OWN, *inner), samples=10 + 20 * number)


def _slow(endpoint: str, place: int) -> Slow:
    took = {"ms": 900.0 - 50 * place, "waiting_ms": 700.0 - 50 * place, "receiving_ms": 150.0, "connect_ms": 20.0}
    beside = {} if place == 1 else {BLOCKS: 6, "GET /health": 1}
    return Slow(endpoint=endpoint, run_id=_RUN, at_s=3.0 + place, under_way=beside, **took)
