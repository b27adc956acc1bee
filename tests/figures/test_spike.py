"""A spike is told from its requests: how much slower by active users, and when it was over; against a known truth."""

from dataclasses import replace

import numpy as np
import pytest

from perflib.figures.spike import TOLERANCE, degradation, recovery, users_at
from perflib.spec import ERROR_KINDS, Ramp, Run
from perflib.spec.stages import Stage, scaled
from tests.synthetic import make_run, make_spike, make_target, without_rows, without_successes


def ramp_of(run: Run) -> Ramp:
    assert isinstance(run.facts.scenario.workload, Ramp)
    return run.facts.scenario.workload


def failing_after(run: Run, at_s: float, share: float) -> Run:
    """The same run, with this share of the requests failing fast from a moment after warm-up."""
    rows = run.requests
    late = rows["intended_ns"] / 1e9 - run.facts.scenario.warmup_s >= at_s
    chosen = late & (np.random.default_rng(3).random(len(rows)) < share)
    error = rows["error"].astype(object).where(~chosen, "status")
    return replace(run, requests=rows.assign(error=error.astype("category").cat.set_categories(list(ERROR_KINDS))))


def test_many_moments_at_once_give_what_the_ramp_gives_for_each() -> None:
    ramp = ramp_of(make_spike(0.0))
    at_s = np.linspace(0, ramp.duration_s + 1, 500)
    assert users_at(ramp, at_s).tolist() == pytest.approx([ramp.users_at(moment) for moment in at_s])


def test_degradation_follows_the_users_and_leaves_out_what_comes_after_the_load_went_back() -> None:
    run = make_spike(99.0, slow=1000.0, sigma=0.05, target=make_target("GET /a"), per_s=400)
    bands = degradation(run)
    assert [(band.users_from, band.users_to) for band in bands] == [
        (5, 5),
        (6, 10),
        (11, 20),
        (21, 40),
        (41, 60),
        (61, 80),
        (81, 100),
    ]
    for band in bands:  # a response takes 2 ms a five users
        assert band.p95_ms is not None
        assert 0.9 * 2 * band.users_from / 5 <= band.p95_ms <= 1.12 * 2 * band.users_to / 5
    before_back = (~run.requests["warmup"] & (run.requests["intended_ns"] < 21e9)).sum()
    assert sum(band.requests for band in bands) == before_back


def test_the_p95_of_a_band_is_the_exact_one_of_its_successes() -> None:
    run = make_spike(5.0, failures=0.1, target=make_target("GET /a", "GET /b"))
    rows = run.requests[~run.requests["warmup"]]
    at_s = rows["intended_ns"] / 1e9 - 1.0
    level = np.array([np.ceil(ramp_of(run).users_at(moment)) for moment in at_s])
    own = rows[(at_s < 20) & (level > 20) & (level <= 40)]
    good = own[own["error"].isna()]
    ms = (good["end_ns"] - good["intended_ns"]) / 1e6
    band = degradation(run)[3]
    assert (band.requests, band.errors) == (len(own), len(own) - len(good))
    assert band.p95_ms == np.quantile(ms, 0.95, method="inverted_cdf")


def test_bands_fit_other_peaks_too() -> None:
    run = make_spike(0.0)
    for peak, expected in ((6, [5, 6]), (20, [5, 10, 12, 16, 20]), (500, [5, 10, 100, 200, 300, 400, 500])):
        ramp = Ramp(stages=scaled(ramp_of(run).stages, peak, None))
        facts = run.facts.model_copy(
            update={
                "scenario": run.facts.scenario.model_copy(update={"workload": ramp}),
            }
        )
        assert [band.users_to for band in degradation(Run(facts, run.requests))] == expected


@pytest.mark.parametrize("truth_s", [0.0, 1.2, 4.3, 11.0])
def test_the_time_of_recovery_is_true_to_about_a_window(truth_s: float) -> None:
    errors = []
    for seed in range(8):
        found = recovery(make_spike(truth_s, seed=seed, slow=2.5))
        assert found.recovered is True
        assert found.after_s is not None
        errors.append(found.after_s - truth_s)
    width_s = found.windows[0].end_s - found.windows[0].start_s
    assert width_s <= 0.5
    assert -width_s < np.median(errors) <= width_s
    assert max(np.abs(errors)) < 4 * width_s


def test_the_band_is_the_range_before_the_spike_with_its_tolerance() -> None:
    found = recovery(make_spike(2.0))
    before = [window.p95_ms for window in found.windows if window.phase == "before"]
    assert found.band_ms == (min(before), TOLERANCE * max(before))
    assert found.back_s == 20.0


def test_windows_never_mix_two_levels_of_load() -> None:
    found = recovery(make_spike(2.0, per_s=5))
    ends = {phase: [w for w in found.windows if w.phase == phase] for phase in ("before", "spike", "after")}
    assert ends["before"][-1].end_s == ends["spike"][0].start_s == 10.0
    assert ends["spike"][-1].end_s <= 20.0
    assert ends["after"][0].start_s == 20.0


def test_a_system_that_stays_slow_has_not_recovered() -> None:
    found = recovery(make_spike(99.0))
    assert found.recovered is False
    assert found.after_s is None


def test_failing_fast_is_no_recovery() -> None:
    run = make_spike(2.0)
    assert recovery(run).recovered is True
    assert recovery(failing_after(run, 20.0, 0.2)).recovered is False
    assert recovery(failing_after(run, 20.0, 0.01)).recovered is True


@pytest.mark.parametrize(
    "stages_s", [(10.0, 5.0, 5.0, 1.0), (0.9, 5.0, 5.0, 20.0)], ids=["short after it", "short before it"]
)
def test_too_few_windows_cannot_tell(stages_s: tuple[float, float, float, float]) -> None:
    found = recovery(make_spike(0.2, stages_s=stages_s))
    assert found.recovered is None
    assert found.after_s is None


def test_a_run_that_ends_on_its_way_back_cannot_tell() -> None:
    found = recovery(make_spike(4.0, stages_s=(10.0, 5.0, 5.0, 5.2)))
    assert [window.phase for window in found.windows].count("after") > 3
    assert found.recovered is None


def test_too_few_requests_cannot_tell() -> None:
    found = recovery(make_spike(2.0, per_s=1))
    assert (found.recovered, found.band_ms) == (None, None)


def test_a_ramp_that_never_goes_back_cannot_tell() -> None:
    up = Ramp(stages=(Stage(start=5, end=5, duration_s=10), Stage(start=5, end=50, duration_s=10)))
    found = recovery(make_run(scenario="spike", seconds=20, workload=up))
    assert (found.recovered, found.back_s) == (None, None)
    assert found.band_ms is not None


@pytest.mark.parametrize("empty", [without_rows, without_successes])
def test_an_empty_spike_draws_no_conclusion(empty: type) -> None:
    run = empty(make_spike(2.0))
    assert recovery(run).recovered is None
    assert all(band.p95_ms is None for band in degradation(run))


def test_a_run_without_a_ramp_has_no_spike() -> None:
    assert degradation(make_run()) == ()
    assert recovery(make_run()).windows == ()
