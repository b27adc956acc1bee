"""`perflib run`: from words to run options. `perflib runs` and `show`: from stored runs to lines."""

import re
import shutil
from pathlib import Path

import pytest

import perflib.session.check
import perflib.workbook.live
from perflib.cli.app import main
from perflib.spec import InputError, Options

ROOT = Path(__file__).parents[2]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The options that `run` and `check` were called with; nothing is measured."""
    seen: list[Options] = []

    def called(_: object, options: Options, *others: object, **watching: object) -> None:
        seen.append(options)
        raise InputError("nothing is measured")

    monkeypatch.setattr(perflib.workbook.live, "run", called)
    monkeypatch.setattr(perflib.session.check, "check", called)
    return seen


def test_options_are_read_as_text_flags_and_repeated_names(given: list[Options]) -> None:
    words = "--users 20 --duration 2min --stages 5-100:10s,100-100:5s --keep-going --seed 7 --arrivals constant"
    named = ["--endpoint", "GET /a", "--endpoint", "[b]", "--allow-host", "api.internal", "--note=-x {y}"]
    assert main(["run", "light_load", *words.split(), *named]) == 2
    [options] = given
    assert options == Options(
        users=20,
        duration=120.0,
        stages="5-100:10s,100-100:5s",
        keep_going=True,
        seed=7,
        arrivals="constant",
        endpoints=("GET /a", "[b]"),
        allow_hosts=("api.internal",),
        note="-x {y}",
        profile="quick",
    )


def test_of_an_option_given_twice_the_last_one_counts(given: list[Options]) -> None:
    main(["run", "light_load", "--users", "3", "--profile", "quick", "--keep-going", "--keep-going", "--users", "4"])
    assert (given[0].users, given[0].keep_going) == (4, True)


def test_what_was_not_given_stays_open(given: list[Options]) -> None:
    main(["run", "light_load", "--users", "3"])
    assert given[0].model_fields_set == {"users", "profile"}


def test_a_run_is_quick_unless_the_brief_profile_is_asked_for(given: list[Options]) -> None:
    main(["run", "light_load"])
    main(["run", "light_load", "--profile", "brief"])
    assert [one.profile for one in given] == ["quick", "brief"]


def test_a_check_is_of_the_brief_profile_unless_a_quick_one_is_asked_for(given: list[Options]) -> None:
    main(["check", "light_load"])
    main(["check", "light_load", "--profile", "quick"])
    assert [one.profile for one in given] == ["brief", "quick"]


def test_a_stored_run_is_shown_with_its_phases_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "sample-28-release-1.4", "--phases"]) == 0
    assert "Waiting p50, ms  Receiving p50, ms  Size p50" in capsys.readouterr().out
    assert main(["show", "sample-28-release-1.4"]) == 0
    assert "Waiting" not in capsys.readouterr().out


def test_the_newest_runs_are_a_line_each_the_newest_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (ROOT / "data/runs").glob("sample-2*"):
        shutil.copytree(folder, tmp_path / "runs" / folder.name)
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    assert main(["runs", "--last", "3"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("Run ")
    assert [re.match(r"sample-(\d+)", line)[1] for line in lines] == ["28", "27", "26"]


def test_a_stored_run_is_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "sample-28-release-1.4"]) == 0
    said = capsys.readouterr().out
    assert "GET /clients" in said
    assert said.rstrip().endswith("Run sample-28-release-1.4, brief profile")
