"""The limits of this machine: prevented where they can be, and never the target's failure."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perflib.load import limits
from perflib.load.limits import most_connections, raise_open_files, require_room
from perflib.spec import SCENARIOS, Endpoint, InputError, Page, Scenario, Target
from tests.servers import answer, answering

OK = answer()
ROOT = Path(__file__).parents[2]
HOT = tuple(Endpoint(path=f"/{letter}", hot=True) for letter in "abcdefgh")
PAGE = Page(name="home", loads=tuple(one.name for one in HOT), hot=True)
TARGET = Target(name="t", base_url="http://127.0.0.1:1", endpoints=HOT, pages=(PAGE,))


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> int:
    """That a process may open, as far as `limits` knows."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 256))
    return 256


def of_users(users: int) -> Scenario:
    return SCENARIOS["light_load"]["quick"].replaced(workload={"kind": "closed", "users": users})


def test_users_and_their_pages_are_counted_as_connections(files: int) -> None:
    with pytest.raises(InputError) as refused:
        require_room(of_users(400), TARGET, 1, "--users 400")
    assert str(refused.value) == (
        "--users 400 may open 2,400 connections, this machine lets a process open 256 files; "
        "raise `ulimit -n` or lower --users"
    )
    require_room(of_users(36), TARGET, 1, "--users 36")
    require_room(of_users(200), TARGET.replaced(pages=()), 1, "--users 200")


def test_each_worker_has_files_of_its_own(files: int) -> None:
    require_room(of_users(72), TARGET, 2, "--users 72")
    with pytest.raises(InputError):
        require_room(of_users(72), TARGET, 1, "--users 72")


def test_the_peak_of_a_ramp_and_the_connections_of_an_open_load_count(files: int) -> None:
    with pytest.raises(InputError, match=r"--stages may open 600 connections.*lower --stages"):
        require_room(SCENARIOS["spike"]["quick"], TARGET, 1, "--stages")
    rate = SCENARIOS["steady_rate"]["quick"].replaced(max_connections=300)
    with pytest.raises(InputError, match=r"--max-connections 300 may open 300 connections.*lower --max-connections"):
        require_room(rate, TARGET, 1, "--max-connections 300")


def test_local_ports_are_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, resource.RLIM_INFINITY))
    (tmp_path / "ports").write_text("32768\t33767\n")
    monkeypatch.setattr(limits, "_PORT_RANGE", tmp_path / "ports")
    assert most_connections() == 1000
    with pytest.raises(InputError, match=r"1,200 connections.* 1,000 local ports .*net.ipv4.ip_local_port_range"):
        require_room(of_users(200), TARGET, 4, "--users 200")


def test_the_soft_limit_of_open_files_becomes_the_hard_one() -> None:
    script = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard));"
        "from perflib.load.limits import raise_open_files; raise_open_files();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) > 64
    raise_open_files()


def perflib_limited(limit: str, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`perflib` after this `ulimit`."""
    command = ["sh", "-c", f'{limit} && exec "$@"', "sh", sys.executable, "-m", "perflib", *words]
    environment = {"PERFLIB_DATA": str(data), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=data, env=environment, capture_output=True, text=True, timeout=120, check=False)


def target_file(folder: Path, url: str) -> str:
    path = folder / "t.toml"
    path.write_text(f'[target]\nname = "t"\nbase_url = "{url}"\n[[endpoint]]\npath = "/"\nhot = true\n')
    return str(path)


SHORT = ("--duration", "1s", "--warmup", "0s", "--json")


def test_a_soft_limit_below_the_users_is_no_limit(tmp_path: Path) -> None:
    with answering(OK) as server:
        file = target_file(tmp_path, server.url)
        done = perflib_limited(
            "ulimit -Sn 64", tmp_path, "run", "light_load", "--target", file, "--users", "100", *SHORT
        )
    run: dict[str, Any] = json.loads(done.stdout)
    assert (run["requests"]["failed"], run["generator"]["refusals"]) == (0, 0)
    assert server.connections >= 100


def test_users_that_cannot_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    with answering(OK) as server:
        file = target_file(tmp_path, server.url)
        for words in (("light_load", "--users", "200"), ("steady_rate", "--max-connections", "200")):
            done = perflib_limited("ulimit -n 100", tmp_path, "run", *words, "--target", file, *SHORT)
            assert (done.returncode, done.stdout) == (2, "")
            assert len(done.stderr.splitlines()) == 1
            assert f"{words[1]} 200 may open 200 connections" in done.stderr
    assert not server.requests


def test_a_number_of_the_target_file_is_named_by_its_key(tmp_path: Path) -> None:
    file = target_file(tmp_path, "http://127.0.0.1:1")
    with Path(file).open("a", encoding="utf-8") as more:
        more.write("[scenario.rush]\nusers = 200\n")
    done = perflib_limited("ulimit -n 100", tmp_path, "run", "rush", "--target", file, *SHORT)
    assert done.returncode == 2
    assert f"{file}: scenario.rush.users 200 may open 200 connections" in done.stderr


def test_the_default_of_max_connections_is_cut_to_what_fits(tmp_path: Path) -> None:
    with answering(lambda _: (0.9, OK)) as server:
        file = target_file(tmp_path, server.url)
        words = ("run", "steady_rate", "--target", file, "--rate", "300", *SHORT)
        run = json.loads(perflib_limited("ulimit -n 100", tmp_path, *words).stdout)
    assert run["requests"]["dropped"] > 0
    assert run["requests"]["failed"] == 0
    assert server.connections <= 100


def test_a_connection_that_this_machine_refuses_makes_the_run_invalid_and_is_no_error_of_the_target(
    tmp_path: Path,
) -> None:
    with answering(lambda _: (0.05, OK)) as server:
        file = target_file(tmp_path, server.url)
        done = perflib_limited("ulimit -n 50", tmp_path, "check", "medium_load", "--target", file, *SHORT[:4])
        run = json.loads(
            perflib_limited("ulimit -n 50", tmp_path, "run", "medium_load", "--target", file, *SHORT).stdout
        )
    assert done.returncode == 3
    [endpoint] = run["endpoints"]
    assert not run["valid"]
    assert set(endpoint["errors_by_kind"]) == {"generator"}
    reason = run["invalid_reasons"][0]
    assert reason.startswith(f"this machine refused the load generator {endpoint['errors']:,} connections: ")
    assert "raise `ulimit -n`" in reason
    assert run["requests"]["completed"] > 0
