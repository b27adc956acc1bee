"""Validity of real runs: a load that was not offered is none, and a busy machine is no reason."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import perflib
import perflib.session.validity
from tests.servers import answer, answering
from tests.session.test_death import Driven, driven
from tests.session.test_workloads import target_file


def stop_and_go(running: Driven) -> None:
    """Let the load generator run for a third of the time, in turns far too short for a standstill."""
    with suppress(psutil.NoSuchProcess):
        workers = running.until_spooled().workers
        while running.process.poll() is None:
            for how, for_s in (("suspend", 0.06), ("resume", 0.03)):
                for worker in workers:
                    getattr(worker, how)()
                time.sleep(for_s)


def test_users_that_a_slow_generator_keeps_waiting_make_the_run_invalid_and_it_says_what_they_offered(
    tmp_path: Path,
) -> None:
    with driven(tmp_path, "run", "light_load", "--json", "--duration", "2s") as running:
        stop_and_go(running)
        status, said, errors = running.end()
    told = json.loads(said)
    assert (status, told["valid"]) == (3, False), errors
    if told["generator"]["clock"] == "kernel":
        [reason] = [one for one in told["invalid_reasons"] if "sent late" in one]
        assert "4 users offered the load of " in reason
        assert f"of {told['generator']['cores_used']['of']} core" in reason
        assert 1 < told["generator"]["lost_users"] < 4


def test_a_busy_machine_is_no_reason_where_the_kernel_dates_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        with answering(lambda _: (0.1, answer())) as server:
            target = target_file(tmp_path, server.url)
            run = perflib.run("light_load", target=target, users=4, duration="2s", warmup="0s")
    finally:
        for one in busy:
            one.kill()
            one.wait()
    generator = run.facts.generator
    assert generator.cores_used is not None
    assert generator.cores_used.others is None or generator.cores_used.others > 0.5
    if generator.clock == "kernel":
        assert run.facts.valid, run.facts.invalid_reasons
        assert generator.lost_share is not None
        assert 0 <= generator.lost_share < 0.1


def test_where_its_validity_cannot_be_told_a_run_is_invalid_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    monkeypatch.setattr(perflib.session.validity, "gaps_of", lambda *_: 1 / 0)
    with answering(lambda _: (0.01, answer())) as server:
        run = perflib.run("light_load", target=target_file(tmp_path, server.url), users=2, duration="1s", warmup="0s")
        asked = len(server.requests)
    [reason] = run.facts.invalid_reasons
    assert reason.startswith("its validity could not be determined: ZeroDivisionError: division by zero")
    assert len(run.requests) == asked > 0
    assert run.facts.state == "finished"
