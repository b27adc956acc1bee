"""What answers cost the target's processes: CPU, and the wait for a core that others caused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from perflib.figures.row import figures_of
from perflib.figures.spent import Effort, effort, efforts_of, spent
from perflib.spec import Run
from perflib.spec.run import CoresUsed
from tests.synthetic import make_run, make_target

TARGET = make_target("GET /a", "GET /b")


def sampled(run: Run, cores: float = 0.5, waits: float = 0.25, others: float | None = 1.0, after_s: float = 1.0) -> Run:
    """The same run, its target sampled once a second: so many cores used, so many seconds waited per second."""
    at_s = np.arange(0.0, run.facts.parts[-1].measured_to_ns / 1e9 + after_s)
    memory = pd.DataFrame({"t_ns": at_s * 1e9, "ran_ns": at_s * cores * 1e9 + 7e9, "waited_ns": at_s * waits * 1e9})
    used = CoresUsed(target=cores, generator=0.1, others=others, of=2)
    facts = run.facts.replaced(generator=run.facts.generator.replaced(cores_used=used))
    return replace(run, facts=facts, memory=memory.astype(np.int64).assign(cpu_share=cores))


def test_cpu_a_request_is_the_cpu_of_the_measured_time_by_the_answers_that_ended_in_it() -> None:
    run = sampled(make_run(TARGET, seconds=10.0, per_s=50.0))
    found = effort(run, run.facts.parts)
    assert found.cpu_ms_per_request == pytest.approx(1e3 * 0.5 / 100, rel=0.03)
    assert found.waited_per_ran == pytest.approx(0.5, rel=0.01)
    assert {row.cpu_ms_per_request for row in figures_of(run)} == {found.cpu_ms_per_request}


def test_samples_that_begin_late_and_end_early_tell_of_the_time_between() -> None:
    run = sampled(make_run(TARGET, seconds=10.0), cores=0.5, after_s=-4.0)
    assert run.memory is not None
    found = effort(replace(run, memory=run.memory.iloc[3:]), run.facts.parts)
    assert found.cpu_ms_per_request == pytest.approx(1e3 * 0.5 / 100, rel=0.1)


def test_an_endpoint_alone_has_its_own_cpu_and_what_lies_between_two_of_them_is_nobody_s() -> None:
    run = make_run(TARGET, scenario="baseline", seconds=4.0, warmup_s=0.5)
    at_s = np.arange(0.0, 10.0)
    ran_s = np.cumsum(np.where(at_s < 5, 0.2, 0.8))
    memory = pd.DataFrame({"t_ns": at_s * 1e9, "ran_ns": ran_s * 1e9, "waited_ns": 0 * at_s}).astype(np.int64)
    found = efforts_of(replace(run, memory=memory.assign(cpu_share=0.5)))
    assert found["GET /a"].cpu_ms_per_request == pytest.approx(1e3 * 0.2 / 50, rel=0.2)
    assert found["GET /b"].cpu_ms_per_request == pytest.approx(1e3 * 0.8 / 50, rel=0.2)
    assert found["GET /a"].waited_per_ran == 0


def test_what_a_target_waits_for_itself_is_not_laid_to_others() -> None:
    run = make_run(TARGET)
    assert effort(sampled(run, waits=0.8, others=0.05), run.facts.parts).waited_per_ran == pytest.approx(0.1, rel=0.01)
    assert effort(sampled(run, waits=0.8, others=None), run.facts.parts).waited_per_ran == pytest.approx(1.6, rel=0.01)


def test_what_is_not_known_is_none() -> None:
    run = sampled(make_run(TARGET))
    assert run.memory is not None
    assert effort(replace(run, memory=None), run.facts.parts) == Effort()
    assert effort(replace(run, memory=run.memory.iloc[:1]), run.facts.parts) == Effort()
    assert effort(replace(run, memory=run.memory.assign(ran_ns=-1)), run.facts.parts) == Effort()
    found = effort(replace(run, memory=run.memory.assign(waited_ns=-1)), run.facts.parts)
    assert found.waited_per_ran is None
    assert found.cpu_ms_per_request is not None


def test_runs_of_before_tell_their_cpu_by_its_share_of_a_core() -> None:
    run = sampled(make_run(TARGET))
    assert run.memory is not None
    before = replace(run, memory=run.memory.drop(columns=["ran_ns", "waited_ns"]).assign(processes=1))
    now, then = effort(run, run.facts.parts), effort(before, run.facts.parts)
    assert then.cpu_ms_per_request == pytest.approx(now.cpu_ms_per_request)
    assert then.waited_per_ran is None
    known = spent(before, before.facts.parts)
    assert known is not None
    assert known.per_request_ms == pytest.approx(then.cpu_ms_per_request, rel=0.1)
