"""The Universal Scalability Law against curves whose parameters are known."""

import numpy as np
import pytest

from perflib.stats.usl import Scalability, scalability

USERS = np.array([1.0, 2, 4, 8, 16, 32])


@pytest.mark.parametrize(("contention", "coherency"), [(0.05, 0.001), (0.3, 0.01), (0.9, 0.0), (0.02, 0.02)])
def test_a_known_curve_gives_its_parameters_back(contention: float, coherency: float) -> None:
    truth = Scalability(40.0, contention, coherency)
    found = scalability(USERS, truth.throughput_per_s(USERS))
    assert found.rate_per_s == pytest.approx(40.0, rel=1e-3)
    assert found.contention == pytest.approx(contention, abs=1e-3)
    assert found.coherency == pytest.approx(coherency, abs=1e-4)


def test_throughput_is_highest_at_the_peak_of_its_curve() -> None:
    law = scalability(USERS, Scalability(40.0, 0.05, 0.01).throughput_per_s(USERS))
    assert law.peak_users is not None
    around = law.throughput_per_s(law.peak_users * np.array([0.9, 1.0, 1.1]))
    assert around.argmax() == 1


def test_a_server_that_scales_has_no_contention_and_no_peak() -> None:
    law = scalability(USERS, 25.0 * USERS)
    assert law.contention < 1e-4
    assert law.peak_users is None


def test_noise_of_five_percent_leaves_the_contention_near_its_truth() -> None:
    draw = np.random.default_rng(1)
    truth = Scalability(40.0, 0.2, 0.002).throughput_per_s(USERS)
    found = [scalability(USERS, truth * draw.lognormal(0, 0.05, len(USERS))).contention for _ in range(50)]
    assert abs(float(np.median(found)) - 0.2) < 0.05


def test_two_numbers_of_users_are_too_few() -> None:
    with pytest.raises(ValueError, match="3 different"):
        scalability(np.array([1.0, 2, 2]), np.array([1.0, 2, 2]))
