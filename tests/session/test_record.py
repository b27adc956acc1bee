"""Recording a baseline: sound runs are kept, others are replaced within a bound, and nothing sound is thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import perflib.session.record as recording
from perflib.session.record import record_baselines
from perflib.spec import InputError, Options
from perflib.store.baselines import load_baselines
from perflib.store.folders import Workbook
from tests.synthetic import make_run, make_target

if TYPE_CHECKING:
    from pathlib import Path

    from perflib.spec import Run

TARGET = make_target("GET /a", target_ms=1000)
SOUND: dict[str, Any] = {}
INVALID = {"invalid_reasons": ("the load generator was late",)}
FAILING = {"failures": 0.1}


class Recording:
    """Takes the place of a target: its runs are as a list says, the last of it for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[dict[str, Any]] = [SOUND]
        self.measured, self.said = 0, list[str]()
        monkeypatch.setattr(recording, "run", self._run)

    def _run(self, *_: object, **__: object) -> Run:
        kind = self.runs[min(self.measured, len(self.runs) - 1)]
        self.measured += 1
        values: dict[str, Any] = {"target": TARGET, "seed": self.measured, "asked": {"target": "mine.toml", "users": 3}}
        return make_run(run_id=f"run-{self.measured}", **(values | kind))

    def record(self, count: int = 8) -> list[str]:
        return list(record_baselines(["light_load"], Options(), count, (), self.said.append))

    @property
    def stored(self) -> list[str]:
        return [run for entry in load_baselines(Workbook.find().baselines).baselines for run in entry.runs]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    (tmp_path / "performance_baselines.json").write_text('{"schema_version": 2, "baselines": []}')
    monkeypatch.chdir(tmp_path)
    return Recording(monkeypatch)


@pytest.mark.parametrize("bad", [INVALID, FAILING])
def test_a_run_that_is_not_sound_costs_one_run_more_and_the_baseline_says_which(
    recorded: Recording, bad: dict[str, Any]
) -> None:
    recorded.runs = [SOUND, bad, SOUND]
    [line] = recorded.record()
    assert any("7 more runs like it take " in said for said in recorded.said)
    assert recorded.stored == ["run-1", *(f"run-{number}" for number in range(3, 10))]
    assert line.startswith("recorded light_load of made-up: 8 runs, 1 endpoints and pages\n  left out: run run-2: ")


def test_it_ends_with_the_third_unsound_run_in_a_row_and_names_the_command_that_keeps_the_others(
    recorded: Recording,
) -> None:
    recorded.runs = [SOUND, SOUND, SOUND, INVALID]
    with pytest.raises(InputError) as refused:
        recorded.record()
    assert recorded.measured == 6
    assert recorded.stored == []
    said = str(refused.value)
    assert "light_load: 3 of 8 runs are sound, nothing is recorded; the last one left out is run run-6: " in said
    command = "perflib baseline record --from run-1 run-2 run-3 --target mine.toml --users 3"
    assert f"To record the sound ones: `{command}`" in said


def test_what_can_no_longer_succeed_is_not_measured_to_its_bound(recorded: Recording) -> None:
    recorded.runs = [SOUND, INVALID, INVALID] * 10
    with pytest.raises(InputError, match="4 of 8 runs are sound"):
        recorded.record()
    assert recorded.measured == 11


def test_an_interrupt_tells_what_can_be_kept(recorded: Recording) -> None:
    recorded.runs = [SOUND, SOUND, {"state": "interrupted"}]
    with pytest.raises(KeyboardInterrupt):
        recorded.record()
    assert "--from run-1 run-2 " in recorded.said[-1]


def test_of_two_scenarios_the_one_that_is_sound_is_recorded(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, *_: object, **__: object) -> Run:
        recorded.measured += 1
        bad = INVALID if name == "steady_rate" else SOUND
        return make_run(scenario=name, target=TARGET, run_id=f"run-{recorded.measured}", **bad)

    monkeypatch.setattr(recording, "run", run)
    told = record_baselines(["steady_rate", "light_load"], Options(), 8, (), recorded.said.append)
    assert next(told).startswith("recorded light_load of made-up: 8 runs")
    with pytest.raises(InputError, match="steady_rate: 0 of 8 runs are sound"):
        next(told)
