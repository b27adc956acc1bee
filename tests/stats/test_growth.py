"""A leak is told from what only looks like one: against known truths, slow oracles and the promised error rates."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from perflib.stats.explanations import Noise, _best_jump, saturations, slopes_beside
from perflib.stats.growth import MEMORY, OPEN_FILES, THREADS, Growth, Tolerance, growth
from perflib.stats.windows import Windows
from tests.benchmarks.leaks import FAMILIES, at_most, curve, found_again, judge, kept, missed, noise_mb

MB = 1e6
Floats = NDArray[np.float64]

DASHBOARD_LEAKING_MB = """
    55.6 70.7 74.3 75.0 76.2 77.4 78.5 79.9 81.1 82.3 83.3 84.6 86.2 87.3 88.7 89.9 90.9 92.3 93.7 94.7 96.0 97.0 98.5
    99.6 101.1 102.3 103.3 105.3 106.8 108.1 109.5 110.8 111.9 113.2 114.5 116.1 117.4 118.8 120.2 121.4 122.8 124.5
    126.1 128.2 130.5"""
"""RSS of the sample dashboard by the second, with a leak of 20 KB a request."""


def seconds(count: float) -> Floats:
    return np.arange(count, dtype=np.float64)


def judged(at_s: Floats, mb: Floats | float, sd_mb: float = 0.5, seed: int = 0) -> Growth:
    """The verdict on 120 MB and this above it, with realistic noise."""
    noise = noise_mb(np.random.default_rng(seed), len(at_s), sd_mb)
    return growth(at_s, (120 + mb + noise) * MB)


def filling(at_s: Floats, mb: float, tau_s: float) -> Floats:
    return np.asarray(mb * -np.expm1(-at_s / tau_s), dtype=np.float64)


def windows_of(level: Floats) -> Windows:
    share = np.linspace(0.1, 1, len(level))
    return Windows(
        start_s=0.0,
        lasts_s=1800.0,
        share=share,
        level=level,
        threshold=10.0,
        matters=8.0,
        floor=8.0,
        least_sd=0.08,
        slow_confidence=0.99,
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_is_found_with_its_rate_inside_the_interval(seed: int) -> None:
    at_s = seconds(1800)
    found = judged(at_s, 40 * at_s / 3600 + filling(at_s, 20, 30), seed=seed)
    assert found.verdict == "LEAK"
    assert found.interval_per_h is not None
    assert found.per_h is not None
    assert found.interval_per_h.low <= 40 * MB <= found.interval_per_h.high
    assert found.interval_per_h.low <= found.per_h <= found.interval_per_h.high
    assert found.settle_s is None


@pytest.mark.parametrize("lasts_s", [30, 45, 60])
@pytest.mark.parametrize("seed", range(4))
def test_a_gross_leak_shows_within_a_minute(lasts_s: int, seed: int) -> None:
    at_s = seconds(lasts_s)
    found = judged(at_s, 10 * at_s, seed=seed)  # 20 KB a request, 500 requests a second
    assert found.verdict == "LEAK"
    assert found.per_h == pytest.approx(36e9, rel=0.1)


def test_the_leak_of_the_sample_dashboard_shows_within_a_minute() -> None:
    mb = np.array(DASHBOARD_LEAKING_MB.split(), dtype=np.float64)
    found = growth(seconds(len(mb)), mb * MB)
    assert found.verdict == "LEAK"
    assert found.per_h == pytest.approx(1.3 * 3600 * MB, rel=0.1)


def test_the_sample_dashboard_without_a_leak_does_not_leak() -> None:
    rng = np.random.default_rng(0)
    for late in (np.linspace(72.0, 72.1, 42), np.repeat([72.0, 72.1], 21), 72 + 0.1 * rng.integers(0, 2, 42)):
        mb = np.concatenate([[56.7, 71.8, 71.6], late])
        assert growth(seconds(len(mb)), mb * MB).verdict in ("OK", "INCONCLUSIVE")


@pytest.mark.parametrize("seed", range(5))
def test_a_short_run_must_grow_by_more_to_leak(seed: int) -> None:
    for lasts_s, mb in ((60, 25), (180, 35), (600, 10)):
        at_s = seconds(lasts_s)
        assert judged(at_s, mb * at_s / lasts_s, 0.1, seed).verdict == "INCONCLUSIVE"
        assert judged(at_s, 2 * mb * at_s / lasts_s, 0.1, seed).verdict == "LEAK"


@pytest.mark.parametrize("jumped_mb", [3.0, 6.0])
def test_a_jump_faster_than_the_threshold_is_not_ok_until_a_longer_run_shows_it_does_not_come_again(
    jumped_mb: float,
) -> None:
    found = judged(seconds(600), jumped_mb * (seconds(600) >= 300), 0.1)
    assert found.verdict == "INCONCLUSIVE"
    assert found.settle_s is not None
    longer = seconds(found.settle_s)
    assert judged(longer, jumped_mb * (longer >= 300), 0.1).verdict == "OK"


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_leak_told_is_larger_where_the_noise_is_less_known(seed: int) -> None:
    residuals = np.random.default_rng(seed).normal(0, 1, 200)
    few, many = Noise.of(residuals[:12], 3, 0.0), Noise.of(residuals, 3, 0.0)
    assert few.most / few.variance > many.most / many.variance > 1


def test_a_level_that_stays_is_no_leak_and_says_what_it_could_have_seen() -> None:
    found = judged(seconds(1800), 0.0)
    assert found.verdict == "OK"
    assert found.smallest_per_h is not None
    assert 16 * MB < found.smallest_per_h < 40 * MB  # 8 MB in half an hour at least


@pytest.mark.parametrize("seed", range(5))
def test_a_little_warm_up_in_a_short_run_is_never_ten_megabytes_an_hour(seed: int) -> None:
    at_s = seconds(75)
    for mb in (0.2 * at_s / 75, filling(at_s, 0.2, 20), filling(at_s, 7, 20)):
        assert judged(at_s, mb, 0.02, seed).verdict != "LEAK"


def test_a_run_that_is_too_short_to_exclude_a_leak_says_how_long_would_do() -> None:
    found = judged(seconds(30), 0.0)
    assert found.verdict == "INCONCLUSIVE"
    assert found.settle_s is not None
    assert judged(seconds(found.settle_s), 0.0).verdict == "OK"


@pytest.mark.parametrize("tau_min", [10, 20])
def test_a_slow_cache_is_no_leak_and_a_longer_run_settles_it(tau_min: float) -> None:
    short = judged(seconds(60 * tau_min), filling(seconds(60 * tau_min), 60, 60 * tau_min))
    assert short.verdict == "INCONCLUSIVE"
    assert short.settle_s is not None
    long = seconds(short.settle_s)
    assert judged(long, filling(long, 60, 60 * tau_min)).verdict == "OK"


@pytest.mark.parametrize("minute", [4, 15, 26])
def test_one_jump_is_a_step_with_its_height_and_moment(minute: int) -> None:
    at_s = seconds(1800)
    found = judged(at_s, filling(at_s, 20, 30) + 25.0 * (at_s >= 60 * minute))
    assert found.verdict == "STEP"
    assert found.step == pytest.approx(25 * MB, rel=0.1)
    assert found.step_at_s == pytest.approx(60 * minute, abs=60)


def test_a_few_jumps_are_a_step_of_their_sum() -> None:
    at_s = seconds(1800)
    found = judged(at_s, 20.0 * (at_s >= 300) + 10.0 * (at_s >= 800) + 40.0 * (at_s >= 1500))
    assert found.verdict == "STEP"
    assert found.step == pytest.approx(70 * MB, rel=0.05)
    assert found.step_at_s == pytest.approx(1500, abs=60)


def test_a_staircase_of_many_jumps_is_a_leak() -> None:
    at_s = seconds(3600)
    assert judged(at_s, 4 * np.floor(60 * at_s / 3600 / 4)).verdict == "LEAK"


def test_a_jump_within_a_leak_leaves_it_a_leak() -> None:
    at_s = seconds(3600)
    found = judged(at_s, 60 * at_s / 3600 + 50.0 * (at_s >= 1700))
    assert found.verdict == "LEAK"
    assert found.per_h == pytest.approx(60 * MB, rel=0.2)


@pytest.mark.parametrize("lasts_s", [5, 180])
def test_what_goes_back_is_neither_leak_nor_step(lasts_s: int) -> None:
    at_s = seconds(1800)
    assert judged(at_s, 200.0 * ((at_s >= 900) & (at_s < 900 + lasts_s))).verdict == "OK"


@pytest.mark.parametrize("period_s", [5, 33, 120, 240])
def test_garbage_collection_is_no_leak(period_s: int) -> None:
    at_s = seconds(600)
    assert judged(at_s, 40 * (at_s % period_s) / period_s).verdict in ("OK", "INCONCLUSIVE")


def test_a_leak_under_garbage_collection_is_one() -> None:
    at_s = seconds(3600)
    assert judged(at_s, 60 * at_s / 3600 + 30 * (at_s % 60) / 60).verdict == "LEAK"


@pytest.mark.parametrize("minute", [5, 15, 25])
def test_a_restart_amid_the_run_is_no_leak(minute: int) -> None:
    at_s = seconds(1800)
    since_s = np.where(at_s < 60 * minute, at_s, at_s - 60 * minute)
    assert judged(at_s, filling(since_s, 60, 120)).verdict in ("OK", "INCONCLUSIVE")


def test_the_bound_on_growth_rises_with_the_level() -> None:
    at_s = seconds(1800)
    assert judged(at_s, 30 * at_s / 3600).verdict == "LEAK"
    heavy = judged(at_s, 500 + 30 * at_s / 3600)  # 15 MB upon 620 MB
    assert heavy.verdict == "INCONCLUSIVE"
    assert heavy.reason.startswith("It grows, but by too little")


@pytest.mark.parametrize("lasts_s", [30, 60, 600])
def test_one_descriptor_every_fifty_requests_is_a_leak(lasts_s: int) -> None:
    at_s = seconds(lasts_s)
    assert growth(at_s, np.floor(30 + 500 * at_s / 50), OPEN_FILES).verdict == "LEAK"


@pytest.mark.parametrize("tolerance", [OPEN_FILES, THREADS])
def test_a_pool_that_fills_and_stays_is_no_leak(tolerance: Tolerance) -> None:
    at_s, rng = seconds(900), np.random.default_rng(2)
    for pool in (np.full(900, 12.0), 12 + np.minimum(at_s, 40), np.round(10 + filling(at_s, 90, 10))):
        assert growth(at_s, pool, tolerance).verdict == "OK"
    assert growth(at_s, 30.0 + rng.integers(-2, 3, 900), tolerance).verdict == "OK"


@pytest.mark.parametrize("count", [0, 1, 2, 19])
def test_too_few_samples_draw_no_conclusion(count: int) -> None:
    found = growth(seconds(count), np.full(count, 1e8))
    assert found.verdict == "INCONCLUSIVE"
    assert "too few samples" in found.reason
    assert (found.per_h, found.fit) == (None, None)


def test_samples_of_one_moment_draw_no_conclusion() -> None:
    assert growth(np.zeros(100), np.full(100, 1e8)).verdict == "INCONCLUSIVE"


def test_gaps_and_missing_values_do_no_harm() -> None:
    at_s = seconds(3600)
    mb = 120 + 40 * at_s / 3600 + noise_mb(np.random.default_rng(3), 3600, 0.5)
    mb[::7] = np.nan
    kept = (at_s < 500) | (at_s > 1100)
    found = growth(at_s[kept], mb[kept] * MB)
    assert found.verdict == "LEAK"
    assert found.per_h == pytest.approx(40 * MB, rel=0.15)


def test_the_moment_of_the_start_and_the_unit_change_nothing() -> None:
    made = curve(next(family for family in FAMILIES if family.name == "step"), 30, 0.5, 1)
    in_mb = Tolerance(MEMORY.threshold_per_h / MB, MEMORY.least_growth / MB, MEMORY.share)
    one, other = growth(made.at_s, made.rss_bytes), growth(made.at_s + 5000, made.rss_bytes / MB, in_mb)
    assert one.verdict == other.verdict
    assert one.interval_per_h is not None
    assert other.interval_per_h is not None
    assert other.interval_per_h.high == pytest.approx(one.interval_per_h.high / MB, rel=1e-4)
    assert one.step is not None
    assert other.step == pytest.approx(one.step / MB)


def test_the_cut_leaves_out_the_start() -> None:
    at_s = seconds(900)
    mb = np.where(at_s < 200, 30 * at_s, 30 * 200.0)
    found = growth(at_s, (100 + mb) * MB, cut_s=250)
    assert found.verdict == "OK"
    assert found.fit is not None
    assert found.fit.at_s.min() > 250


def test_the_fitted_curve_lies_in_its_band_and_passes_through_the_windows() -> None:
    at_s = seconds(1800)
    fit = judged(at_s, 40 * at_s / 3600 + filling(at_s, 30, 60)).fit
    assert fit is not None
    assert (fit.low < fit.fitted).all()
    assert (fit.fitted < fit.high).all()
    assert np.std(fit.level - fit.fitted) < 1 * MB
    assert abs(np.mean(fit.level - fit.fitted)) < 1


@pytest.mark.parametrize("seed", range(3))
def test_the_ends_of_the_interval_are_where_a_constrained_fit_is_just_refuted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    run = windows_of(20 * np.linspace(0.1, 1, 40) + filling(np.linspace(0.1, 1, 40), 10, 0.1) + rng.normal(0, 0.5, 40))
    slopes = slopes_beside(run, [])
    curves = saturations(run.share)

    def least_rss(slope: float) -> float:
        fits = [
            lsq_linear(np.column_stack([np.ones(40), one]), run.level - slope * run.share, ([-np.inf, 0], np.inf))
            for one in curves[1:]
        ]
        return 2 * min(fit.cost for fit in fits)

    assert least_rss(slopes.high) == pytest.approx(slopes.refuted_rss, rel=1e-3)
    if slopes.low > 0:
        assert least_rss(slopes.low) == pytest.approx(slopes.refuted_rss, rel=1e-3)
    else:
        assert least_rss(0.0) <= slopes.refuted_rss * 1.001


def test_the_best_jump_is_that_of_trying_each_place_and_warm_up() -> None:
    rng = np.random.default_rng(1)
    level = 10.0 * (np.arange(40) >= 17) + 4.0 * (np.arange(40) >= 30) + rng.normal(0, 1, 40)
    run = windows_of(level)
    found = _best_jump(
        run, np.stack([np.column_stack([np.ones(40), one]) for one in saturations(run.share)[10:13]]), []
    )
    rss = {}
    for n in (10, 11, 12):
        for place in range(2, 40):
            columns = np.column_stack([np.ones(40), saturations(run.share)[n], np.arange(40) >= place])
            solved = np.linalg.lstsq(columns, level, rcond=None)[0]
            if solved[2] > 0:
                rss[n, place] = float(((level - columns @ solved) ** 2).sum())
    assert found.index == min(rss, key=lambda key: rss[key])[1]
    assert found.residuals @ found.residuals == pytest.approx(min(rss.values()))


@pytest.mark.parametrize("sd_mb", [0.05, 0.5])
def test_the_bounds_miss_as_seldom_as_promised_beside_a_cache_that_still_fills(sd_mb: float) -> None:
    family = next(family for family in FAMILIES if family.name == "slow cache")
    assert missed(family, sd_mb, range(200)) <= 0.03  # at a rate of 1.5 %, more has a chance of 3 %


@pytest.mark.parametrize("name", ["plateau", "slow cache", "leak 20 MB/h"])
@pytest.mark.parametrize("minutes", [1, 5])
def test_a_run_of_the_length_that_was_advised_settles_it(name: str, minutes: int) -> None:
    settled, advised = kept(next(family for family in FAMILIES if family.name == name), minutes, 0.5, range(30))
    assert settled >= 0.8 * advised > 10


def test_garbage_that_is_collected_within_a_window_scatters_no_level() -> None:
    at_s, rng = seconds(1800), np.random.default_rng(3)
    lengths = np.repeat(rng.uniform(10, 40, 180), 10)  # teeth of ten seconds, each of another height
    fit = judged(at_s, lengths * (at_s % 10) / 10, 0.1).fit
    assert fit is not None
    assert np.std(fit.level - fit.fitted) < 0.5 * MB


def test_noise_alone_leaves_less_in_the_means_of_windows_than_in_their_minima() -> None:
    fit = judged(seconds(1800), 0.0, 2.0).fit
    assert fit is not None
    assert abs(fit.level.mean() - 120 * MB) < 0.5 * MB  # minima would lie two deviations below


@pytest.mark.parametrize("name", ["flat", "plateau", "sawtooth", "step", "spike", "restart", "slow cache"])
@pytest.mark.parametrize("minutes", [0.5, 1, 10, 30])
def test_false_alarms_are_as_rare_as_promised(name: str, minutes: float) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    result = judge(family, minutes, 0.5, range(60))
    assert result.all["LEAK"] <= 2  # at a rate of 1 %, more have a chance of 2 %


@pytest.mark.parametrize(
    ("name", "minutes", "sd_mb"), [("leak 20 MB/h", 30, 0.5), ("leak 40 MB/h", 60, 2.0), ("leak 1 MB/s", 1, 0.5)]
)
def test_leaks_are_found_as_often_as_promised(name: str, minutes: int, sd_mb: float) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    found = judge(family, minutes, sd_mb, range(120)).light
    assert found["LEAK"] >= 0.8 * found.total()


def test_a_leak_in_chunks_is_never_ok() -> None:
    family = next(family for family in FAMILIES if family.name == "leak 40 MB/h in chunks")
    assert judge(family, 10, 0.5, range(60)).all["OK"] <= 1


@pytest.mark.parametrize("minutes", [1, 30])
def test_the_smallest_leak_told_is_found_as_often_as_promised(minutes: float) -> None:
    family = next(family for family in FAMILIES if family.name == "flat")
    assert found_again(family, minutes, 0.5, range(60)) >= 0.83  # at a rate of 90 %, less has a chance of 3 %


def test_the_bound_of_a_share_is_that_of_clopper_and_pearson() -> None:
    assert at_most(0, 10_000) == pytest.approx(1 - 0.05 ** (1 / 10_000))
    assert at_most(10, 10) == 1.0
