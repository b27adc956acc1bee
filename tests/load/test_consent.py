"""Nobody is hurt: load goes to no host that was not named, and a hopeless or endless run is cut.

192.0.2.1 is an address for documentation (RFC 5737); nothing is ever sent to it here.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from perflib.cli.app import main
from perflib.figures.summary import summarize
from perflib.load import consent, worker
from perflib.load.recorder import Outage
from perflib.session import by_turns
from perflib.session import drive as session
from perflib.session.machine import this_machine
from perflib.spec import SCENARIOS, Closed, Facts, InputError, Open, Options, Target
from perflib.text.words import verdict_sentence
from tests.load.test_worker import Driven, facts_of
from tests.servers import answer, answering, closed_port, scripted

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = "http://192.0.2.1"
OK, BROKEN = answer(), answer(status="500 Oops")


@pytest.fixture(autouse=True)
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    monkeypatch.setenv("TOKEN_OF_THE_TESTS", "a-very-secret-token")
    write_target(tmp_path)
    return tmp_path


def write_target(folder: Path, head: str = "", base_url: str = "http://127.0.0.1:1") -> None:
    (folder / "t.toml").write_text(
        f'[target]\nname = "t"\nbase_url = "{base_url}"\n{head}\n[[endpoint]]\npath = "/a"\n[[endpoint]]\npath = "/b"\n'
    )


@pytest.fixture
def no_load(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """The runs that would have been driven; none is."""
    driven: list[Facts] = []

    def drive(facts: Facts, *_: Any, **__: Any) -> None:
        driven.append(facts)

    monkeypatch.setattr(session, "drive", drive)
    monkeypatch.setattr(by_turns, "drive", drive)
    return driven


def target(**said: Any) -> Target:
    return Target.parse({"name": "t", "base_url": ELSEWHERE, "endpoints": [{"path": "/a"}]} | said, "t")


def test_a_host_that_nobody_allowed_gets_nothing_and_the_line_says_what_it_would_get(
    no_load: list[Facts], capsys: pytest.CaptureFixture[str], workbook: Path
) -> None:
    assert (
        main(["run", "light_load", "--profile", "brief", "--target", "t.toml", "--url", ELSEWHERE, "--users", "7"]) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "192.0.2.1 is not this machine" in line
    assert "7 users for 65 s, about 1,000,000 requests at most" in line
    assert "--allow-host 192.0.2.1" in line
    assert not no_load
    assert not list(workbook.glob("data/runs/*"))


@pytest.mark.parametrize(
    "command",
    [
        ["check", "light_load"],
        ["baseline", "record", "light_load"],
        ["report", "light_load"],
        ["compare", "http://127.0.0.1:1", ELSEWHERE],
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_sends_load_asks(
    command: list[str], no_load: list[Facts], capsys: pytest.CaptureFixture[str]
) -> None:
    at = [] if command[0] == "compare" else ["--url", ELSEWHERE]
    assert main([*command, "--target", "t.toml", *at]) == 2
    assert "192.0.2.1 is not this machine" in capsys.readouterr().err
    assert not no_load


@pytest.mark.parametrize("head", ["", 'allow_hosts = ["192.0.2.1"]'], ids=["by option", "by the target file"])
def test_an_allowed_host_is_told_of_before_it_gets_load(
    head: str, no_load: list[Facts], capsys: pytest.CaptureFixture[str], workbook: Path
) -> None:
    write_target(workbook, head)
    allowed = () if head else ("192.0.2.1",)
    session.run("steady_rate", Options(target="t.toml", url=ELSEWHERE, duration=10, warmup=0, allow_hosts=allowed))
    said = capsys.readouterr().err.splitlines()[0]
    assert said == "192.0.2.1 gets 50 requests per second for 10 s, about 500 requests at most"
    assert [facts.target.allow_hosts for facts in no_load] == [("192.0.2.1",)]


def test_the_variables_and_files_that_another_host_gets_are_named(
    no_load: list[Facts], capsys: pytest.CaptureFixture[str], workbook: Path
) -> None:
    (workbook / "c.csv").write_text("id\n1\n", encoding="utf-8")
    write_target(workbook, 'token_env = "TOKEN_OF_THE_TESTS"\nallow_plain_token = true')
    with (workbook / "t.toml").open("a", encoding="utf-8") as file:
        file.write('[data.c]\nfile = "c.csv"\n')
    with pytest.raises(InputError, match=r"at most, with TOKEN_OF_THE_TESTS, c\.csv; if its owner agrees"):
        session.run("light_load", Options(target="t.toml", url=ELSEWHERE))
    assert not no_load


def test_only_the_host_that_was_named_is_allowed(no_load: list[Facts]) -> None:
    with pytest.raises(InputError, match=r"192\.0\.2\.2 is not this machine"):
        session.run("light_load", Options(target="t.toml", url="http://192.0.2.2", allow_hosts=("192.0.2.1",)))
    assert not no_load


@pytest.mark.parametrize("bad", ["*", "http://a.example", "a.example:80", ""])
def test_a_consent_names_a_host_alone(bad: str) -> None:
    with pytest.raises(InputError, match="not a host"):
        Options.parse({"allow_hosts": [bad]}, "run options")


@pytest.mark.parametrize(
    ("addresses", "here"),
    [
        (["127.0.0.1"], True),
        (["127.8.9.10", "::1"], True),
        (["::ffff:127.0.0.1"], True),
        (["127.0.0.1", "192.0.2.1"], False),
        (["0.0.0.0"], False),
        (["::"], False),
        (["10.0.0.1"], False),
    ],
)
def test_this_machine_is_what_has_loopback_addresses_alone(addresses: list[str], here: bool) -> None:
    assert consent.are_loopback(addresses) is here


def test_a_name_is_as_local_as_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    named = target(base_url="http://localhost:9")
    assert consent.check_consent(named, SCENARIOS["spike"]["quick"]) == ""
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)
    with pytest.raises(InputError, match="localhost is not this machine, and would get up to 100 users"):
        consent.check_consent(named, SCENARIOS["spike"]["quick"])


def test_the_worker_asks_again_with_the_addresses_that_it_connects_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may lead elsewhere a moment later."""
    monkeypatch.setattr(consent, "_addresses", lambda _: ("127.0.0.1",))
    with pytest.raises(InputError, match="is not this machine"):
        session.run("light_load", Options(target="t.toml", url=ELSEWHERE, duration=1))


def test_a_token_goes_to_another_host_in_the_open_only_where_that_was_accepted(no_load: list[Facts]) -> None:
    known = target(token_env="TOKEN_OF_THE_TESTS", allow_hosts=["192.0.2.1"])
    light = SCENARIOS["light_load"]["quick"]
    with pytest.raises(InputError, match=r"TOKEN_OF_THE_TESTS would go to 192\.0\.2\.1 unencrypted"):
        consent.check_consent(known, light)
    assert consent.check_consent(known.model_copy(update={"allow_plain_token": True}), light)
    assert consent.check_consent(known.model_copy(update={"base_url": "https://192.0.2.1"}), light)
    secret = target(allow_hosts=["192.0.2.1"], endpoints=[{"path": "/", "params": {"key": {"env": "API_KEY"}}}])
    with pytest.raises(InputError, match="API_KEY would go to"):
        consent.check_consent(secret, light)


def test_a_redirect_takes_neither_load_nor_token_elsewhere() -> None:
    with scripted([(OK,)]) as other:
        away = answer(b"", f"Location: {other.url}/a", status="307 Temporary Redirect")
        with answering(away) as server:
            run = session.run("light_load", Options(target="t.toml", url=server.url, duration=0.3, warmup=0))
    assert set(run.requests["error"]) == {"status"}
    assert other.connections == 0


# The budgets


def test_a_run_ends_at_its_budget_of_requests_and_says_so() -> None:
    with answering(lambda _: (0.005, OK)) as server:
        options = Options(target="t.toml", url=server.url, duration=30, warmup=0, users=4, workers=2, max_requests=200)
        run = session.run("light_load", options)
        assert 200 <= len(server.requests) <= 230
    assert run.facts.state == "broken"
    assert not run.facts.valid
    assert "budget of requests was used up" in verdict_sentence(run, summarize(run))


def test_another_host_has_a_budget_and_this_machine_has_none_unless_said() -> None:
    assert consent.request_budget(target(), ["192.0.2.1"]) == consent.MAX_REQUESTS
    assert consent.request_budget(target(), ["127.0.0.1"]) is None
    assert consent.request_budget(target(max_requests=5), ["127.0.0.1"]) == 5


def test_the_time_budget_of_a_run_covers_all_that_it_may_wait_for() -> None:
    loads = [{"path": f"/{number}"} for number in range(9)]
    page = {"name": "Wide", "loads": [f"GET /{number}" for number in range(9)]}
    scenario = SCENARIOS["baseline"]["quick"]
    facts = Facts(
        run_id="r",
        scenario=scenario,
        profile="quick",
        target=target(endpoints=loads, pages=[page]),
        seed=1,
        started_at="2026-01-01T00:00:00+00:00",
        environment=this_machine(),
    )
    longest_s = worker._longest_s(facts)
    assert longest_s > 10 * (scenario.warmup_s + scenario.duration_s + 2 * scenario.timeout_s)
    assert longest_s < 11 * (scenario.warmup_s + scenario.duration_s + 2 * scenario.timeout_s)


# Every request fails


def test_seconds_of_nothing_but_errors_count_in_a_row() -> None:
    def seconds(*said: str) -> int:
        outage = Outage()
        for second in said:
            for one in second:
                outage.add(failed=one == "x")
            outage.end_second()
        return outage.seconds

    assert seconds("x", "xx", "x") == 3
    assert seconds("x", "x.x", "x") == 1
    assert seconds("x", "", "x") == 1
    assert seconds("x", "x", "") == 0
    assert seconds() == 0


def test_nothing_but_errors_ends_a_run_which_is_kept_and_says_why() -> None:
    run = session.run("light_load", Options(target="t.toml", url=closed_port(), duration=60, warmup=0))
    assert run.facts.state == "broken"
    assert 4 <= run.facts.duration_s <= 9
    assert len(run.requests) > 50
    told = (
        r"Invalid run, do not trust its figures: stopped early: every request failed for 5 s \(--keep-going goes on\), "
        r"most of them no connection from GET /[ab] .*\."
    )
    assert re.fullmatch(told, verdict_sentence(run, summarize(run)))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_HOPELESS_S", 1)


@pytest.mark.usefixtures("impatient")
def test_arrivals_end_with_it_too(tmp_path: Path) -> None:
    facts = facts_of(closed_port(), workload=Open(rate_per_s=50), duration_s=15)
    driven = Driven(tmp_path, facts)
    assert driven.outcome.cut.startswith("every request failed for 1 s (--keep-going goes on), ")
    assert "most of them no connection from GET /" in driven.outcome.cut
    assert driven.outcome.parts[0].duration_s < 5


@pytest.mark.usefixtures("impatient")
def test_a_run_goes_on_where_it_was_told_to(tmp_path: Path) -> None:
    facts = facts_of(closed_port(), duration_s=2.5)
    forgiving = facts.target.model_copy(update={"keep_going": True})
    driven = Driven(tmp_path, facts.model_copy(update={"target": forgiving}))
    assert (driven.outcome.stopped, driven.outcome.cut) == (False, "")
    assert driven.outcome.parts[0].duration_s == pytest.approx(2.5, abs=1e-6)


@pytest.mark.usefixtures("impatient")
def test_a_stall_without_an_answer_ends_nothing(tmp_path: Path) -> None:
    with answering(lambda _: (2.5, OK)) as server:
        driven = Driven(tmp_path, facts_of(server.url, duration_s=2.0))
    assert driven.outcome.cut == ""
    assert driven.rows["error"].isna().all()


@pytest.mark.usefixtures("impatient")
def test_where_each_endpoint_is_alone_a_broken_one_ends_only_its_own_part(tmp_path: Path) -> None:
    with answering(lambda path: (0.01, OK if path == "/c" else BROKEN)) as server:
        alone = {"isolated": True, "workload": Closed(users=1), "duration_s": 3.0}
        driven = Driven(tmp_path, facts_of(server.url, **alone))
    first, second, fine = driven.outcome.parts
    assert 0.5 < first.duration_s < 2.9
    assert 0.5 < second.duration_s < 2.9
    assert fine.duration_s == pytest.approx(3, abs=1e-6)
    assert (driven.outcome.stopped, driven.outcome.cut) == (False, "")
