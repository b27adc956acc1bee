"""The engine: what drives a run can be brought by another package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

import perflib
from perflib.load import engine
from perflib.load.worker import Outcome
from perflib.spec import InputError
from perflib.spec.run import Generator, Part, setup_of
from perflib.store.spool import GENERATOR_ROW, Spool, generator_spool, requests_spool
from tests.servers import answer, answering

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from perflib.spec import Facts

TARGET = '[target]\nname = "t"\nbase_url = "{url}"\n[[endpoint]]\npath = "/a"\n'


class Made:
    """An engine that sends nothing: ten answers of a millisecond each, one after the other."""

    def drive(self, facts: Facts, folder: Path, begun: Callable[[int], None], look: Callable[[], None]) -> Outcome:
        begun(0)
        with Spool(requests_spool(folder)) as spool, Spool(generator_spool(folder), GENERATOR_ROW):
            for number in range(10):
                at_ns = number * 1_000_000
                spool.append(at_ns, at_ns, at_ns + 500_000, at_ns + 1_000_000, 10, 0, 0, 0, 0, 0, -1, 0, -1, 200, -1, 0)
        look()
        return Outcome((Part(items=("GET /a",), measured_from_ns=0, measured_to_ns=10**7),), Generator(), stopped=False)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    brought = EntryPoint("made", "tests.load.test_engine:Made", "perflib.engine")
    monkeypatch.setattr(engine, "entry_points", lambda group: [brought] if group == "perflib.engine" else [])
    return tmp_path


def test_an_engine_of_another_package_drives_a_run_that_is_kept_and_shown_as_any_other(data: Path) -> None:
    with answering(answer()) as server:
        (data / "t.toml").write_text(TARGET.format(url=server.url))
        run = perflib.run("light_load", target=str(data / "t.toml"), engine="made", profile="quick")
        sent = len(server.requests)
    assert sent == 0
    assert (run.facts.engine, run.facts.state, len(run.requests)) == ("made", "finished", 10)
    assert setup_of(run.facts).engine == "made"
    assert perflib.summarize(run).endpoints[0].p50_ms == 1.0


def test_an_engine_that_cannot_be_loaded_is_named_and_leaves_no_run(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = EntryPoint("made", "tests.load.test_engine:Nothing", "perflib.engine")
    monkeypatch.setattr(engine, "entry_points", lambda group: [broken])
    (data / "t.toml").write_text(TARGET.format(url="http://127.0.0.1:1"))
    with pytest.raises(InputError, match=r"--engine 'made': .*:Nothing cannot be loaded"):
        perflib.run("light_load", target=str(data / "t.toml"), engine="made")
    assert not list(data.glob("runs/*/run.json"))


def test_an_engine_that_is_not_installed_is_refused_and_the_others_are_named(data: Path) -> None:
    (data / "t.toml").write_text(TARGET.format(url="http://127.0.0.1:1"))
    with pytest.raises(InputError, match="--engine 'swarm': no such engine is installed; there are made, processes"):
        perflib.run("light_load", target=str(data / "t.toml"), engine="swarm")
    assert not list(data.glob("runs/*/requests.parquet"))
