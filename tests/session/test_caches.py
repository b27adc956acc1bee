"""A real cache before a real server: a run of one fixed request says that it measures the cache; others say nothing."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from perflib.cli.app import main
from tests.benchmarks.cost import nginx
from tests.servers import answer, answering

has_nginx = pytest.mark.skipif(not (shutil.which("nginx") or os.environ.get("CI")), reason="no nginx on the path")
CACHE = "proxy_cache_path {folder}/cache keys_zone=k:1m; proxy_cache k; proxy_cache_valid 200 60s;"
COUNT = itertools.count()
MEND = "ask with different values: [data.NAME] in the target file."


def order(_: str) -> bytes:
    """An order of 500 bytes, each time another one."""
    return answer(json.dumps({"data": {"id": 5, "lines": ["a line"] * 50}, "asked": next(COUNT)}).encode())


def told_of(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """The notices of a short run, and the text of its check."""
    target = folder / "t.toml"
    target.write_text(f'[target]\nname = "t"\nbase_url = "{url}"\n[[endpoint]]\npath = "/orders/5"\n')
    short = ["--target", str(target), "--users", "2", "--duration", "0.5s", "--warmup", "0.1s"]
    main(["run", "light_load", *short, "--json"])
    run = json.loads(capsys.readouterr().out)
    main(["check", run["run_id"]])
    return [one for one in run["notices"] if one.startswith("GET /orders/5")], capsys.readouterr().out


@has_nginx
@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("add_header X-Cache $upstream_cache_status;", "% of the answers came from a cache (X-Cache: HIT)"),
        ("", "% of the answers to the same request were the same bytes again, as from a cache"),
    ],
    ids=["one that says so", "one that does not"],
)
def test_a_cache_before_the_target_is_told_with_what_to_do(
    header: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    with answering(order) as server, nginx(f"proxy_pass {server.url}; {header}", CACHE) as url:
        [notice], checked = told_of(url, tmp_path, capsys)
    assert says in notice
    assert notice.endswith(MEND)
    assert checked.count(says) == checked.count(MEND) == 1
    assert len(server.requests) < 10


def test_answers_that_are_computed_each_time_are_told_nothing_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    with answering(order) as server:
        notices, checked = told_of(server.url, tmp_path, capsys)
    assert notices == []
    assert "cache" not in checked.replace("cache misses", "")
