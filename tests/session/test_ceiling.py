"""The ceiling of real servers: an M/M/2 whose ceiling is computed, one that breaks, one that bears everything."""

from pathlib import Path
from typing import Literal

import pytest

from perflib.session.ceiling import find_ceiling, law_of, most_requests, touches
from perflib.session.drive import prepare
from perflib.spec import Facts, InputError, Options
from perflib.spec.diagnosis import UslPoint
from perflib.spec.run import OwnError
from perflib.store.folders import Workbook
from tests.queues import Exponential, serving

SERVER, LIMIT_S = Exponential(places=2, service_per_s=100), 0.060
TRUTH_PER_S = SERVER.ceiling_per_s(LIMIT_S)
ENDPOINTS = """
[[endpoint]]
path = "/a"
target_ms = 60
[[endpoint]]
method = "POST"
path = "/b"
target_ms = 1
"""


def facts_of(url: str, folder: Path, endpoints: str = ENDPOINTS) -> Facts:
    path = folder / "target.toml"
    path.write_text(f'[target]\nname = "t"\nbase_url = "{url}"\n{endpoints}')
    return prepare("light_load", Options(target=str(path)), Workbook.find(folder))


def test_the_ceiling_of_a_server_of_known_capacity_is_found_without_writes(tmp_path: Path) -> None:
    said: list[str] = []
    with serving(SERVER) as url:
        facts = facts_of(url, tmp_path)
        names = [one.name for one in facts.target.endpoints]
        found = find_ceiling(facts, names, about_per_s=200, budget_s=22, alone_p50_ms={}, say=said.append)
    assert found is not None
    assert abs(found.rate_per_s / TRUTH_PER_S - 1) < 0.25
    assert found.interval[0] < TRUTH_PER_S * 1.1
    assert found.interval[1] > TRUTH_PER_S * 0.9
    assert {True, False} == {probe.met for probe in found.probes}
    assert len(said) >= len(found.probes)
    assert "endpoints that write were left out" in found.told


def test_the_search_stops_at_the_first_5xx_and_the_ceiling_is_below(tmp_path: Path) -> None:
    with serving(SERVER, "--broken-above", "90") as url:
        facts = facts_of(url, tmp_path)
        found = find_ceiling(facts, ["GET /a"], about_per_s=80, budget_s=15, alone_p50_ms={})
    assert found is not None
    assert "GET /a answered 503" in found.told
    assert found.interval[1] <= max(probe.rate_per_s for probe in found.probes)
    assert [probe.met for probe in found.probes][-1] is False
    assert all(probe.met for probe in found.probes[:-1])


def test_a_server_that_bears_everything_has_a_ceiling_of_at_least_what_was_sent(tmp_path: Path) -> None:
    with serving(Exponential(places=50, service_per_s=100)) as url:
        facts = facts_of(url, tmp_path, '[[endpoint]]\npath = "/a"\n')
        found = find_ceiling(facts, ["GET /a"], about_per_s=40, budget_s=11, alone_p50_ms={"GET /a": 30.0})
    assert found is not None
    assert "at least" in found.told
    assert "5 times its p50 alone" in found.told
    assert sum(probe.rate_per_s * probe.duration_s for probe in found.probes) <= most_requests(40, 11)


@pytest.mark.parametrize(
    ("percentile", "endpoint", "ms", "touched"),
    [
        ("p95", "GET /a", 6.0, True),
        ("p95", "GET /a", 0.5, False),  # more than a fast endpoint takes, and little of its limit
        ("p50", "GET /a", 6.0, False),
        ("p95", "GET /c", 6.0, False),  # it has no limit
    ],
)
def test_only_what_may_put_a_p95_beyond_its_limit_spoils_a_probe(
    percentile: Literal["p50", "p95"], endpoint: str, ms: float, touched: bool
) -> None:
    error = OwnError(endpoint=endpoint, percentile=percentile, ms=ms, of_ms=0.2, limit_ms=None)
    assert touches(error, {"GET /a": 60.0}) is touched


def test_another_machine_is_not_driven_to_its_ceiling_unasked(tmp_path: Path) -> None:
    facts = facts_of("http://192.0.2.1:1", tmp_path)
    with pytest.raises(InputError, match="--find-ceiling"):
        find_ceiling(facts, ["GET /a"], about_per_s=10, budget_s=20, alone_p50_ms={})


def test_writes_alone_are_refused(tmp_path: Path) -> None:
    facts = facts_of("http://127.0.0.1:1", tmp_path)
    with pytest.raises(InputError, match="--include-writes"):
        find_ceiling(facts, ["POST /b"], about_per_s=10, budget_s=20, alone_p50_ms={})


def test_the_law_needs_three_numbers_of_users() -> None:
    points = [UslPoint(users=users, throughput_per_s=10.0 * users) for users in (1, 2, 4)]
    law = law_of(points)
    assert law is not None
    assert law.peak_users is None
    assert law_of(points[:2]) is None
