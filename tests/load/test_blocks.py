"""Blocks: users on some endpoints, then others on others, in one run."""

import numpy as np
import pandas as pd
import pytest

from perflib.figures.blocks import Measured, measured_blocks
from perflib.load.engine import drive
from perflib.session.machine import this_machine
from perflib.spec import Blocks, Endpoint, Facts, Scenario, Target
from perflib.spec.run import Run
from perflib.spec.ticks import Ticks
from perflib.spec.workload import Block, Crew
from perflib.store.runs import RunFolder
from tests.servers import answer, answering

ABC = tuple(Endpoint(path=f"/{letter}") for letter in "abc")
PLAN = (
    Block(crews=(), duration_s=0.2),
    Block(crews=(Crew(users=1, items=("GET /a",)),), duration_s=0.3),
    Block(crews=(Crew(users=4, items=("GET /b",)),), duration_s=0.3),
    Block(crews=(Crew(users=2, items=("GET /a",)), Crew(users=1, items=("GET /b", "GET /c"))), duration_s=0.4),
    Block(crews=(Crew(users=2, items=("GET /a", "GET /b", "GET /c")),), duration_s=0.3),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    with answering(lambda _: (0.005, answer())) as server:
        workload = Blocks(blocks=PLAN)
        facts = Facts(
            run_id="r",
            scenario=Scenario(
                name="s", title="s", workload=workload, duration_s=workload.duration_s, warmup_s=0.1, timeout_s=5
            ),
            profile="quick",
            target=Target(name="t", base_url=server.url, endpoints=ABC),
            seed=1,
            started_at="2026-01-01T00:00:00+00:00",
            environment=this_machine(),
        )
        with RunFolder.create(folder, facts) as kept:
            outcome = drive(facts, kept.path)
            kept.seal(facts.replaced(state="finished", parts=outcome.parts, generator=outcome.generator))
            return kept.load()


@pytest.fixture(scope="module")
def blocks(run: Run) -> tuple[Measured, ...]:
    return measured_blocks(run, Ticks.none())


def of_part(run: Run, number: int) -> pd.DataFrame:
    part, rows = run.facts.parts[number], run.requests
    return rows[rows["start_ns"].between(part.measured_from_ns, part.measured_to_ns)]


def test_every_block_is_a_part_of_the_run_for_its_own_time(run: Run) -> None:
    lasted_s = [part.duration_s for part in run.facts.parts]
    assert lasted_s == pytest.approx([block.duration_s for block in PLAN], abs=0.01)
    assert [part.items for part in run.facts.parts] == [block.items for block in PLAN]


def test_each_crew_asks_for_its_own_endpoints_alone(run: Run) -> None:
    beside = of_part(run, 3)
    assert set(beside[beside["user"] < 2]["endpoint"]) == {"GET /a"}
    assert set(beside[beside["user"] == 2]["endpoint"]) == {"GET /b", "GET /c"}


def test_nothing_is_sent_while_nobody_is_at_work(run: Run) -> None:
    assert of_part(run, 0).empty


def test_blocks_are_told_apart_by_what_they_are_for(blocks: tuple[Measured, ...]) -> None:
    assert [block.role for block in blocks] == ["idle", "alone", "crowd", "beside", "mix"]
    assert [block.endpoint for block in blocks] == ["", "GET /a", "GET /b", "GET /a", ""]


def test_a_block_counts_what_its_first_crew_got_through(blocks: tuple[Measured, ...]) -> None:
    alone, crowd = blocks[1], blocks[2]
    assert crowd.throughput_per_s / alone.throughput_per_s == pytest.approx(4, rel=0.4)
    assert all(block.is_valid for block in blocks)


def test_cpu_is_not_known_without_ticks(blocks: tuple[Measured, ...]) -> None:
    assert np.isnan(blocks[1].cpu_s)


def test_a_run_that_was_stopped_leaves_out_the_block_under_way(run: Run) -> None:
    stopped = run.facts.replaced(state="interrupted", parts=run.facts.parts[:3])
    assert len(measured_blocks(Run(stopped, run.requests), Ticks.none())) == 2


def test_between_ticks_time_is_shared_out_evenly() -> None:
    ticks = Ticks(np.array([0.0, 1e9, 2e9]), np.array([0.0, 1.0, 1.5]), np.array([0.0, 0.0, 0.2]))
    spent = ticks.between(0.5e9, 1.5e9)
    assert (spent.cpu_s, spent.waited_s) == pytest.approx((0.75, 0.1))


def test_a_request_that_takes_longer_than_its_block_is_no_failure(run: Run) -> None:
    """It began in the warm-up of the block, and nothing began after it."""
    part, rows = run.facts.parts[1], run.requests
    mine = rows[(rows["endpoint"] == "GET /a") & (rows["user"] == 0)]
    first = mine[mine["start_ns"] < part.measured_from_ns].iloc[:1]
    slow = first.assign(end_ns=part.measured_to_ns + 1_000_000_000)
    block = measured_blocks(Run(run.facts, slow), Ticks.none())[1]
    assert len(block.answers["GET /a"].whole_ms) == 1
    assert block.failed == {}


def test_a_probe_that_waits_longer_than_the_block_is_counted_with_its_endpoint(run: Run) -> None:
    """Its request began with the crowd, and none to its endpoint after that."""
    part, rows = run.facts.parts[3], run.requests
    begun_ns = part.measured_from_ns - 100_000_000
    own = rows["start_ns"].between(begun_ns, part.measured_to_ns) & (rows["endpoint"] == "GET /c")
    early = rows[own].iloc[:1].assign(start_ns=part.measured_from_ns - 50_000_000)
    block = measured_blocks(Run(run.facts, pd.concat([rows[~own], early])), Ticks.none())[3]
    assert len(block.answers["GET /c"].whole_ms) == 1
