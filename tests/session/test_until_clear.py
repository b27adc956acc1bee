"""A check that measures on until it is clear: how long, what it says before and after, and what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import perflib.session.check as checking
import perflib.session.sound as sounding
from perflib.judge.baseline import baseline_of
from perflib.spec import Options
from perflib.spec.baselines import Baselines
from tests.synthetic import make_run, make_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from perflib.judge.check import Check
    from perflib.spec import Run

TARGET = make_target("GET /a", "GET /b", target_ms=60)
RUN_S = 4.0


def run_of(seed: int, times: float = 1.0, noise: float = 0.02, **others: Any) -> Run:
    """A run named by its seed, so many times slower than usual."""
    slower = times * float(np.exp(noise * np.random.default_rng(seed).standard_normal()))
    values = {"target": TARGET, "seconds": RUN_S, "per_s": 150.0, "run_id": f"run-{seed}"} | others
    return make_run(seed=seed, slowdown=lambda at_s: np.full_like(at_s, slower), **values)


class Measuring:
    """Takes the place of a target: the next run is the next one of a list of what it does to its answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, noise: float) -> None:
        self.noise, self.measured, self.said = noise, list[str](), list[str]()
        self.next: Callable[[int], Run] = lambda seed: run_of(seed, noise=noise)
        baselines = Baselines(baselines=(baseline_of([run_of(seed, noise=noise) for seed in range(1, 9)]),))
        monkeypatch.setattr(checking, "stored_baselines", lambda: baselines)
        monkeypatch.setattr(checking, "prepare", lambda *_: run_of(1).facts)
        monkeypatch.setattr(sounding, "run", self._run)

    def _run(self, *_: object, **__: object) -> Run:
        self.measured.append("run")
        return self.next(100 + len(self.measured))

    def check(self, count: int | None = None, runs: float = 5) -> Check:
        return checking.check(["light_load"], Options(), count, budget_s=runs * RUN_S, say=self.said.append)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    return Measuring(monkeypatch, noise=0.05)


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    return Measuring(monkeypatch, noise=0.3)


def test_it_says_ahead_how_long_it_may_take_and_what_it_will_find(quiet: Measuring) -> None:
    quiet.check()
    assert quiet.said[0].startswith("light_load: measures on until it is clear, at most 20 s (5 runs of 4")
    assert "which find a rise of p95 by " in quiet.said[0]


def test_a_large_change_ends_it_at_once_and_is_a_regression(quiet: Measuring) -> None:
    quiet.next = lambda seed: run_of(seed, times=3.0)
    found = quiet.check()
    assert {row.verdict for row in found.endpoints} == {"REGRESSION"}
    assert (found.exit_status, len(quiet.measured)) == (1, 1)
    assert "light_load: clear after 1 of at most 5 runs" in found.notes


def test_where_nothing_changed_it_ends_before_its_budget_and_judges_all_its_runs(quiet: Measuring) -> None:
    found = quiet.check(runs=20)
    assert {row.verdict for row in found.endpoints} == {"SAME"}
    assert len(quiet.measured) < 20
    assert len(found.runs) == len(quiet.measured)


def test_noise_takes_the_whole_budget_and_stays_inconclusive(noisy: Measuring) -> None:
    found = noisy.check()
    assert len(noisy.measured) == 5
    assert "INCONCLUSIVE" in {row.verdict for row in found.endpoints}
    assert found.exit_status == 0
    told = "light_load: not clear yet after 5 of at most 5 runs; a longer --budget finds smaller changes"
    assert told in found.notes


@pytest.mark.parametrize(("count", "runs", "measured"), [(3, 5, 3), (None, 0, 1), (None, 1.5, 1)])
def test_a_number_of_runs_or_a_budget_for_one_is_one_look(
    noisy: Measuring, count: int | None, runs: float, measured: int
) -> None:
    found = noisy.check(count, runs)
    assert (len(noisy.measured), len(found.runs), noisy.said) == (measured, measured, [])
    assert not any("of at most" in note for note in found.notes)


def test_without_a_baseline_one_run_is_measured(quiet: Measuring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "stored_baselines", Baselines)
    quiet.check()
    assert len(quiet.measured) == 1


def test_an_interrupted_check_judges_what_was_measured(noisy: Measuring) -> None:
    noisy.next = lambda seed: run_of(seed, times=4.0, state="interrupted" if seed == 102 else "finished", noise=0.3)
    found = noisy.check()
    assert (found.exit_status, len(found.runs)) == (130, 2)
    assert all(row.requests < 1.1 * RUN_S * 150 for row in found.endpoints)


def test_a_run_that_its_target_cut_ends_it_and_is_not_passed_over(quiet: Measuring) -> None:
    quiet.next = lambda seed: run_of(seed, state="broken", invalid_reasons=("stopped early: every request failed",))
    found = quiet.check()
    assert (found.exit_status, len(quiet.measured)) == (3, 1)


def test_a_target_that_dies_after_a_sound_run_is_not_passed_over(noisy: Measuring) -> None:
    died: dict[str, Any] = {"state": "broken", "invalid_reasons": ("stopped early: every request failed",)}
    noisy.next = lambda seed: run_of(seed, noise=0.3, **(died if seed == 102 else {}))
    found = noisy.check()
    assert (found.exit_status, len(noisy.measured)) == (3, 2)
    assert "light_load: not clear yet after 1 of at most 5 runs, as the next one was not sound" in found.notes


def test_the_smallest_change_that_it_names_is_that_of_the_whole_budget(noisy: Measuring) -> None:
    long, short = noisy.check(runs=20), noisy.check(count=1)
    assert max(long.mdes) < max(short.mdes)
