"""Sound runs: an invalid run costs a run, never the whole check or baseline."""

import json
import time
from pathlib import Path

from perflib.session.drive import unwatched
from perflib.session.sound import SoundRuns
from perflib.spec import Options, Run
from tests.session.test_death import driven
from tests.synthetic import make_run, make_target


def eight(invalid: int) -> list[Run]:
    reasons = [("overloaded",)] * invalid + [()] * (8 - invalid)
    return [
        make_run(make_target("GET /a"), run_id=f"run-{number}", invalid_reasons=reason)
        for number, reason in enumerate(reasons)
    ]


def test_one_invalid_run_of_eight_costs_one_run() -> None:
    said: list[str] = []
    sound = SoundRuns("light_load", Options(), 8, said.append, unwatched)
    assert [run.facts.run_id for run in sound.without_unfit(eight(1))] == [f"run-{number}" for number in range(1, 8)]
    assert said == sound.left_out == ["light_load: run run-0 is left out: overloaded"]


def test_where_most_runs_are_invalid_none_is_left_out_in_silence() -> None:
    sound = SoundRuns("light_load", Options(), 8, print, unwatched)
    assert len(sound.without_unfit(eight(5))) == 8
    assert len(SoundRuns("light_load", Options(), 1, print, unwatched).without_unfit(eight(8)[:1])) == 1
    assert sound.left_out == []


def test_a_check_measures_an_invalid_run_again_and_judges_the_new_one(tmp_path: Path) -> None:
    with driven(tmp_path, "check", "light_load", "--format", "json", "--duration", "4s") as running:
        worker = running.until_spooled().workers[0]
        worker.suspend()
        time.sleep(1)
        worker.resume()
        _, said, errors = running.end()
    found = json.loads(said)
    assert "stood still for" in errors, found
    assert "light_load: once more" in errors
    first = min(path.parent.name for path in tmp_path.glob("data/runs/*/run.json"))
    assert first not in found["runs"]
    assert any(f"run {first} is left out" in note for note in found["notes"])
