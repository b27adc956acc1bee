"""What the command line tells of failures: status, reason and samples, and an exit status of their own."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from perflib.cli.app import main
from tests.servers import answer, answering, closed_port
from tests.workbooks import entered

if TYPE_CHECKING:
    from pathlib import Path

TARGET = (
    '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n[[endpoint]]\npath = "/a"\nexpect = { keys = ["data"] }\n'
)
RUN = ["run", "light_load", "--target", "t.toml", "--warmup", "0", "--users", "2"]
HTML = answer(b"<h1>\x1b[31mshard 3 is gone</h1>", "Content-Type: text/html", status="500 Oops")


@pytest.fixture(autouse=True)
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return entered(tmp_path, monkeypatch, TARGET)


def stored() -> str:
    from perflib.store.folders import Workbook

    [folder] = Workbook.find().runs.glob("*/")
    return folder.name


def test_the_json_of_a_run_has_its_failures_with_a_sample_and_its_notices(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(HTML) as server:
        assert main([*RUN, "--url", server.url, "--duration", "0.5s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    [failure] = found["failures"]
    assert failure.keys() == {"endpoint", "kind", "status", "count", "first_s", "last_s", "sample"}
    assert (failure["endpoint"], failure["kind"], failure["status"]) == ("GET /a", "status", 500)
    assert failure["count"] == found["requests"]["failed"] > 0
    assert 0 <= failure["first_s"] <= failure["last_s"] < 5
    assert failure["sample"]["headers"]["Content-Type"] == "text/html"
    assert "shard 3 is gone" in failure["sample"]["body"]
    assert of_the_target(found["notices"]) == []


def test_a_run_without_failures_has_empty_lists(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(answer()) as server:
        assert main([*RUN, "--url", server.url, "--duration", "0.5s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["failures"], of_the_target(found["notices"])) == ([], [])


def of_the_target(notices: list[str]) -> list[str]:
    """Without what a busy machine did to the load generator, or to both."""
    of_the_machine = ("load generator", "the level changed", "for a core")
    return [one for one in notices if not any(words in one for words in of_the_machine)]


def test_the_table_has_the_line_and_bodies_are_shown_on_demand_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(HTML) as server:
        assert main([*RUN, "--url", server.url, "--duration", "0.5s"]) == 0
    line = r"- GET /a: 500 × [\d,]+ since 0 s, text/html, '500 Internal Server Error'"
    said = capsys.readouterr().out
    assert re.search(line, said)
    assert main(["show", stored()]) == 0
    assert re.search(line, shown := capsys.readouterr().out)
    assert "shard 3" not in said + shown
    assert main(["show", stored(), "--bodies"]) == 0
    bodies = capsys.readouterr().out
    assert re.search(r"\n1\. GET /a: HTTP 500 at [\d.]+ s\n", bodies)
    assert re.search(r"\nContent-Type +text/html\n", bodies)
    assert bodies.count("shard 3 is gone") == 20
    assert "\x1b" not in bodies
    assert main(["check", stored(), "--format", "markdown"]) == 1
    assert re.search(r"GET /a: 500 × [\d,]+ since", capsys.readouterr().out)


def test_a_run_that_was_cut_says_why_and_exits_3_and_so_does_its_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--url", closed_port(), "--duration", "60s", "--json"]) == 3
    out, error = capsys.readouterr()
    assert json.loads(out)["interrupted"] is False
    assert "interrupted" not in error
    assert main(["check", stored(), "--format", "json"]) == 3
    for said in (out, capsys.readouterr().out):
        assert (
            "stopped early: every request failed for 5 s (--keep-going goes on), most of them no connection from GET /a"
            in said
        )


def test_a_run_cut_in_its_warm_up_shows_what_failed_there(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "light_load", "--target", "t.toml", "--users", "2", "--url", closed_port(), "--warmup", "30s"]
    assert main(words) == 3
    assert re.search(r"- GET /a: connect × \d+", capsys.readouterr().out)


def test_a_target_with_a_rate_limit_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    """50 answers in each second of the clock, else 429."""
    began: dict[int, int] = {}

    def limited(_: str) -> bytes:
        second = int(time.time())
        began[second] = began.get(second, 0) + 1
        return answer() if began[second] <= 50 else answer(b"", "Retry-After: 1", status="429 Too Many Requests")

    with answering(limited) as server:
        assert main([*RUN, "--url", server.url, "--duration", "4s"]) == 0
    said = capsys.readouterr().out
    assert re.match(
        r"[\d,]+ of [\d,]+ requests failed: [\d,]+ × HTTP 429 from GET /a; the target answered at most", said
    )
    assert "answered at most 50/s: 429; try --rate 40 with steady_rate" in said
