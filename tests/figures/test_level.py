"""A change of level inside a run is told with both levels and the machine's part; a latency that wanders is not one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from perflib.figures.level import level_change
from perflib.spec import Run
from perflib.spec.run import CoresUsed
from perflib.text import tables
from perflib.text.notices import level_lines
from tests.synthetic import Floats, make_run, make_target

TARGET = make_target("GET /a", "GET /b")


def stepped(factor: float, at_s: float = 4.0, **others: float) -> Run:
    return make_run(TARGET, slowdown=lambda s: np.where(s < at_s, 1.0, factor), **others)


def wandering(seed: int, spread: float, lasting_s: float, seconds: float = 20.0) -> Run:
    """Latencies whose logarithm is autoregressive, by tenths of a second."""
    kept = np.exp(-0.1 / lasting_s)
    noise = np.random.default_rng(seed).normal(size=1000 + int(10 * seconds))
    logs = spread * lfilter([np.sqrt(1 - kept**2)], [1, -kept], noise)[1000:]

    def factors(s: Floats) -> Floats:
        return np.asarray(np.exp(logs[(10 * s).astype(int).clip(0, len(logs) - 1)]))

    return make_run(TARGET, slowdown=factors, seconds=seconds, seed=seed)


def with_waits(run: Run, before: float, after: float, at_s: float = 5.0) -> Run:
    """Samples by second in which the target waited so long for a core per second of work."""
    second = np.arange(12)
    waited_s = np.where(second < at_s, before, after).cumsum() * 0.5
    counts = {"ran_ns": (second + 1) * 500_000_000, "waited_ns": (waited_s * 1e9).astype(int)}
    return replace(run, memory=pd.DataFrame({"t_ns": second * 1_000_000_000, **counts}))


def test_both_levels_and_the_moment_are_told() -> None:
    run = stepped(3.0)
    found = level_change(run)
    assert found is not None
    assert found.at_s == pytest.approx(5.0, abs=0.5)  # a second of warm-up before
    assert found.after.p95_ms / found.before.p95_ms == pytest.approx(3.0, rel=0.15)
    assert found.before.per_s == pytest.approx(100, rel=0.15)
    [line] = level_lines(run)
    assert line.startswith(f"At {found.at_s:.1f} s the level changed: p95 ")
    assert "the figures mix both." in line
    assert line in tables.verdict(run).notes


@pytest.mark.parametrize("factor", [3.0, 1 / 3.0])
def test_the_machine_is_named_where_the_target_waited_for_it_and_cleared_where_it_did_not(factor: float) -> None:
    run, (fast, slow) = stepped(factor), (0.05, 1.2)
    before, after = (fast, slow) if factor > 1 else (slow, fast)
    assert "Other processes held the cores" in level_lines(with_waits(run, before, after))[0]
    assert "It was not the machine's cores" in level_lines(with_waits(run, fast, fast))[0]
    unknown = with_waits(run, fast, slow)
    assert unknown.memory is not None
    assert level_lines(replace(run, memory=unknown.memory.assign(waited_ns=-1))) == level_lines(run)


@pytest.mark.parametrize("lasting_s", [1.0, 5.0])
@pytest.mark.parametrize("spread", [0.1, 0.2])
def test_a_latency_that_wanders_is_no_change_of_level(spread: float, lasting_s: float) -> None:
    assert sum(bool(level_lines(wandering(seed, spread, lasting_s))) for seed in range(25)) <= 1


def test_a_change_too_small_to_mix_two_levels_is_not_told() -> None:
    assert level_lines(stepped(1.3)) == []


def test_what_a_target_waits_for_itself_is_not_laid_to_others() -> None:
    run = with_waits(stepped(3.0), 0.05, 1.2)
    alone = CoresUsed(target=0.5, generator=0.1, others=0.0, of=2)
    generator = run.facts.generator.replaced(cores_used=alone)
    [line] = level_lines(replace(run, facts=run.facts.replaced(generator=generator)))
    assert "Other processes held the cores" not in line
