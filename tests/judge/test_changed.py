"""Changed: what differs between two diagnoses, and what is only noise."""

import numpy as np
import pytest

from perflib.judge.changed import changed
from perflib.spec.diagnosis import Anatomy, CodeShare, Diagnosis, Interference, Interval
from perflib.stats.bootstrap import expanded


def found(cpu_ms: float = 2.0, waiting_ms: float = 1.0, **more: object) -> Diagnosis:
    one = Anatomy(endpoint="GET /a", alone_p50_ms=cpu_ms + waiting_ms, cpu_ms=cpu_ms, waiting_ms=waiting_ms)
    given = {"diagnosis_id": "d", "target": "t", "run_ids": (), "live": True, "budget_s": 60.0, "endpoints": (one,)}
    return Diagnosis.model_validate(given | more)


def test_equal_sides_have_no_change() -> None:
    assert changed(found(), found(cpu_ms=2.2)) == ()


@pytest.mark.parametrize(("after", "what"), [(found(cpu_ms=6), "cpu_ms"), (found(waiting_ms=20), "waiting_ms")])
def test_the_part_that_grew_is_named(after: Diagnosis, what: str) -> None:
    changes = changed(found(), after)
    assert {one.what for one in changes} == {"p50_ms", what}
    assert all(one.says.startswith("GET /a: ") for one in changes)


def test_what_is_not_known_of_one_side_is_no_change() -> None:
    unknown = found(endpoints=(Anatomy(endpoint="GET /a", alone_p50_ms=3.0),))
    assert changed(unknown, found()) == ()


def measured(draw: np.random.Generator, cpu_ms: float, noise: float) -> Diagnosis:
    """What three blocks say of an endpoint."""
    blocks_ms = cpu_ms * draw.lognormal(0, noise, 3)
    mean_ms = float(blocks_ms.mean())
    ends = expanded(draw.choice(blocks_ms, (100, 3)).mean(axis=1), mean_ms, 3)
    spans = {"cpu_ms": {"low": max(0.0, ends.low), "high": ends.high}}
    return found(endpoints=({"endpoint": "GET /a", "alone_p50_ms": 20.0, "cpu_ms": mean_ms, "intervals": spans},))


def test_noise_is_hardly_ever_a_change_and_twice_the_time_nearly_always_is() -> None:
    draw = np.random.default_rng(1)
    alike = [changed(measured(draw, 5, 0.3), measured(draw, 5, 0.3)) for _ in range(200)]
    twice = [changed(measured(draw, 5, 0.1), measured(draw, 10, 0.1)) for _ in range(200)]
    assert sum(map(bool, alike)) <= 10
    assert sum(map(bool, twice)) >= 180


def test_a_change_is_told_with_the_interval_of_its_difference() -> None:
    draw = np.random.default_rng(1)
    (one,) = changed(measured(draw, 5, 0.02), measured(draw, 10, 0.02))
    assert one.interval is not None
    assert one.interval[0] < 5 < one.interval[1]
    assert one.says.endswith("ms more)")


def test_a_function_that_has_more_of_the_samples_is_named_wherever_its_line_moved() -> None:
    def code(line: int, share: float) -> tuple[CodeShare, ...]:
        return (CodeShare(endpoint="GET /a", function="render", file="app/views.py", line=line, share=share),)

    (one,) = changed(found(code=code(10, 0.2)), found(code=code(14, 0.7)))
    assert (one.what, one.before, one.after) == ("code", 0.2, 0.7)
    assert "render (app/views.py)" in one.says
    assert changed(found(), found(code=code(14, 0.7))) == ()


def test_interference_has_changed_where_the_intervals_lie_apart() -> None:
    def beside(ratio: float, low: float, high: float) -> tuple[Interference, ...]:
        span, added_ms = (low, high), 5 * (ratio - 1)
        return (Interference(victim="GET /a", aggressor="GET /b", ratio=ratio, interval=span, added_ms=added_ms),)

    before = found(interference=beside(1.2, 0.9, 1.6))
    assert [one.what for one in changed(before, found(interference=beside(6.0, 5.0, 7.0)))] == ["interference"]
    assert changed(before, found(interference=beside(3.0, 1.5, 7.0))) == ()


def test_a_crowd_that_is_served_fewer_at_once_is_named() -> None:
    def crowd(at_once: float) -> tuple[Anatomy, ...]:
        span = Interval(low=at_once - 0.2, high=at_once + 0.2)
        return (Anatomy(endpoint="GET /a", alone_p50_ms=3.0, users=8, at_once=at_once, at_once_interval=span),)

    (one,) = changed(found(endpoints=crowd(7.0)), found(endpoints=crowd(1.0)))
    assert one.says == "GET /a: of 8 users 7.0 → 1.0 are served at once"
