"""The planted servers have the cause that they are said to have, where they are said to have it."""

from __future__ import annotations

import os
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from perflib.spec import Target
from tests.planted import KINDS, SERVERS, Plant, Site, planted

if TYPE_CHECKING:
    from pathlib import Path

SIZE_S = 0.08


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


def together_s(site: Site, *numbers: int) -> float:
    """How long these endpoints take, asked at once; each connection has been used before."""
    headers = {"Authorization": f"Bearer {os.environ.get('PERF_API_TOKEN', 'none')}"}
    with httpx.Client(base_url=site.url, headers=headers, timeout=30, trust_env=False) as client:
        paths = [site.paths[number] for number in numbers]
        with ThreadPoolExecutor(len(paths)) as pool:
            list(pool.map(client.get, paths))
            begun_s = time.perf_counter()
            answers = list(pool.map(client.get, paths))
            took_s = time.perf_counter() - begun_s
    assert {answer.status_code for answer in answers} == {200}
    return took_s


@pytest.mark.parametrize("server", SERVERS)
def test_its_target_file_names_four_endpoints_that_answer(server: str, folder: Path) -> None:
    with planted(server, Plant(), folder) as site:
        target = Target.from_document(tomllib.loads(site.target), "t.toml")
        assert [one.path for one in target.endpoints] == [*site.paths]
        together_s(site, 0, 1, 2, 3)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "stall"])
def test_what_is_planted_makes_its_endpoint_slow_and_none_other(server: str, kind: str, folder: Path) -> None:
    plant = Plant(kind, at=(1, 2) if kind == "lock" else (1,), size_s=SIZE_S, at_once=2)
    with planted(server, plant, folder) as site:
        assert min(together_s(site, 1) for _ in range(3)) >= SIZE_S * 0.98
        assert min(together_s(site, 3) for _ in range(3)) < SIZE_S


@pytest.mark.parametrize("server", ["sample", "workers", "node"])
def test_a_planted_lock_is_one_for_both_of_its_endpoints(server: str, folder: Path) -> None:
    with planted(server, Plant("lock", at=(1, 2), size_s=SIZE_S), folder) as site:
        assert together_s(site, 1, 2) >= 2 * SIZE_S * 0.98


@pytest.mark.parametrize("server", SERVERS)
def test_a_planted_stall_is_felt_by_the_cheapest_endpoint(server: str, folder: Path) -> None:
    with planted(server, Plant("stall", size_s=0.2, period_s=0.6), folder) as site:
        until_s = time.monotonic() + 2.5
        took_s: list[float] = []
        while time.monotonic() < until_s:
            begun_s = time.monotonic()
            together_s(site, 0)
            took_s.append(time.monotonic() - begun_s)
    assert sum(one_s > 0.1 for one_s in took_s) >= 2
