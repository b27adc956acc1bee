"""Why it is slow, of a real server with one planted cause, and of stored runs."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import perflib
from perflib.load.engine import Outcome, drive
from perflib.session.drive import prepare
from perflib.session.investigation import _left_out
from perflib.session.sample import sample_dashboard
from perflib.spec import Facts, InputError, Options
from perflib.spec.diagnosis import Diagnosis
from perflib.store.folders import Workbook
from tests.queues import Exponential, serving
from tests.servers import answer, answering
from tests.workbooks import entered

WITH_A_WRITE = (("GET", "/a"), ("GET", "/b"), ("POST", "/orders"))
THREE = ("GET /health", "GET /signals", "GET /patterns")


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Diagnosis, list[str], Path]:
    """A diagnosis of the dashboard whose patterns wait on the event loop, what was said meanwhile, and the workbook."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        book = entered(tmp_path_factory.mktemp("book"), patch, "")
        (book / "t.toml").unlink()
        workbook = Workbook.find()
        with sample_dashboard(workbook, ("--block", "GET /patterns=25ms")) as sample:
            how = {"url": sample.url, "endpoints": THREE}
            return perflib.why("light_load", budget="30s", say=said.append, **how), said, book


def test_who_blocks_the_server_is_the_first_finding_with_its_victims_and_its_function(
    blocked: tuple[Diagnosis, list[str], Path],
) -> None:
    first = blocked[0].findings[0]
    assert (first.kind, first.endpoint) == ("blocks", "GET /patterns")
    assert set(first.others) == {"GET /health", "GET /signals"}
    assert "sleep_on_the_event_loop" in (first.where or "")


def test_what_is_sent_is_bounded_and_said_before_it_begins(blocked: tuple[Diagnosis, list[str], Path]) -> None:
    assert blocked[1][0].startswith("experiments on 3 endpoints of dashboard for up to 30 s, at most 8 users at a time")
    assert any("requests were sent in" in note for note in blocked[0].notes)


def test_the_anatomy_tells_computing_from_waiting(blocked: tuple[Diagnosis, list[str], Path]) -> None:
    of = {one.endpoint: one for one in blocked[0].endpoints}
    slow, fast = of["GET /patterns"], of["GET /health"]
    assert (slow.waiting_ms or 0) > (slow.cpu_ms or 0)
    assert (slow.alone_p50_ms or 0) > 25 > 5 * (fast.alone_p50_ms or 0)


def test_the_slowest_requests_of_the_experiments_name_who_was_under_way_beside_them(
    blocked: tuple[Diagnosis, list[str], Path],
) -> None:
    found = blocked[0].slowest
    assert [one.ms for one in found] == sorted((one.ms for one in found), reverse=True)
    assert all(0 <= one.at_s <= blocked[0].span_s for one in found)
    victims = [one for one in found if one.endpoint != "GET /patterns"]
    assert victims
    assert sum("GET /patterns" in one.under_way for one in victims) > len(victims) / 2


def test_a_diagnosis_is_kept_and_shown_again(
    blocked: tuple[Diagnosis, list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _, book = blocked
    monkeypatch.chdir(book)
    kept = book / "data" / "diagnoses" / found.diagnosis_id / "diagnosis.json"
    assert json.loads(kept.read_text())["findings"][0]["kind"] == "blocks"
    assert perflib.why(found.diagnosis_id) == found
    again = perflib.why(found.diagnosis_id, against=found.diagnosis_id)
    assert again.changes == ()


def test_the_json_has_the_keys_of_the_contract(blocked: tuple[Diagnosis, list[str], Path]) -> None:
    told = json.loads(json.dumps(blocked[0].as_json(), allow_nan=False))
    keys = {"target", "run_ids", "budget_s", "valid", "findings", "endpoints", "interference", "ceiling", "code"}
    assert keys <= {*told}
    assert {"kind", "endpoint", "others", "where", "effect", "confidence", "says", "next"} == {*told["findings"][0]}


@pytest.mark.parametrize(
    ("what", "options", "line"),
    [
        ("no_such", {}, "scenario 'no_such': unknown"),
        ("light_load", {"budget": "3s"}, "--budget 3s: too short for experiments; give 10s or more"),
        ("light_load", {"budget": "soon"}, "budget: 'soon' is not a duration"),
        ("light_load", {"against": "nothing"}, "--against 'nothing': neither a URL, nor a stored run"),
    ],
)
def test_bad_input_is_one_line(
    what: str, options: dict[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    with pytest.raises(InputError) as error:
        perflib.why(what, url="http://127.0.0.1:9/", **options)  # type: ignore[arg-type]
    assert str(error.value).startswith(line)


def test_a_target_that_writes_alone_is_asked_for_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    text = '[target]\nname = "t"\nbase_url = "http://127.0.0.1:9"\n[[endpoint]]\nmethod = "POST"\npath = "/orders"\n'
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(InputError, match=r"sends POST /orders alone; allow that with --include-writes"):
        perflib.why("light_load", target="t.toml")


@pytest.mark.parametrize(
    ("endpoints", "says"),
    [
        ((), ["POST /orders: not experimented on"]),
        (("GET /a",), ["POST /orders: not experimented on", "`perflib why light_load` asks all, without --endpoint"]),
    ],
)
def test_what_is_left_out_of_the_experiments_is_said(
    endpoints: tuple[str, ...], says: list[str], tmp_path: Path
) -> None:
    text = '[target]\nname = "t"\nbase_url = "http://127.0.0.1:9"\n'
    text += "".join(f'[[endpoint]]\nmethod = "{how}"\npath = "{at}"\n' for how, at in WITH_A_WRITE)
    (tmp_path / "t.toml").write_text(text)
    at = Options(target=str(tmp_path / "t.toml"), endpoints=endpoints)
    facts = prepare("light_load", at, Workbook.find(tmp_path))
    names = endpoints or ("GET /a", "GET /b")
    told = _left_out(facts, names)
    assert len(told) == len(says)
    assert all(words in line for words, line in zip(says, told, strict=True))


def test_another_host_gets_nothing_unless_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    with pytest.raises(InputError, match=r"192\.0\.2\.1 is not this machine"):
        perflib.why("light_load", url="http://192.0.2.1/")


def test_a_stored_run_is_only_looked_at() -> None:
    found = perflib.why("sample-28-release-1.4")
    assert not found.live
    assert found.run_ids == ("sample-28-release-1.4",)
    assert "Nothing stands out" in perflib.tables.diagnosis(found).text()


QUEUE = '[target]\nname = "queue"\nbase_url = "{}"\n[[endpoint]]\npath = "/a"\n[[endpoint]]\npath = "/b"\n'


def test_two_versions_are_measured_by_turns_and_what_changed_is_told_with_its_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with answering(lambda _: (0.01, answer())) as fast, answering(lambda _: (0.04, answer())) as slow:
        old, new = fast.url, slow.url
        entered(tmp_path, monkeypatch, QUEUE.format(new))
        how = {"target": "t.toml", "against": old, "endpoints": ("GET /a",)}
        found = perflib.why("light_load", budget="30s", attach=False, say=said.append, **how)
    assert all("by turns with the other version" in line for line in said[:2])
    rounds = [line.split(": round ")[0] for line in said if ": round " in line]
    turns = [set(rounds[place : place + 2]) for place in range(0, len(rounds) - 1, 2)]
    assert turns.count({new, old}) >= 2
    (slower,) = [one for one in found.changes if one.what == "p50_ms"]
    assert slower.interval is not None
    assert 0 < slower.interval[0] < slower.interval[1]
    assert found.against == old


def test_an_interrupt_keeps_the_blocks_that_were_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = itertools.count(1)

    def stopped_in_the_first_round(facts: Facts, folder: Path, **how: Any) -> Outcome:
        return replace(drive(facts, folder, **how), stopped=next(times) == 2)  # the pilot is before it

    monkeypatch.setattr("perflib.session.bench.drive", stopped_in_the_first_round)
    with serving(Exponential(8, 100)) as url:
        entered(tmp_path, monkeypatch, QUEUE.format(url))
        found = perflib.why("light_load", target="t.toml", budget="60s", attach=False)
    assert found.interrupted
    assert any(one.alone_p50_ms for one in found.endpoints)
    assert perflib.why(found.diagnosis_id) == found
