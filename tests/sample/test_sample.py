"""The sample dashboard, asked over loopback as the generator asks it, in processes started and ended here."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client import ProcessCollector, generate_latest

from perflib.sample import app as demo_app
from perflib.sample import database
from perflib.sample.__main__ import main
from perflib.sample.answers import Answer, Leakage, SingleFlightCache
from perflib.sample.faults import ENDPOINTS

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-tests"
PATHS = [name.removeprefix("GET ") for name in ENDPOINTS]


@dataclass(frozen=True)
class Server:
    """A running dashboard: `lines` is what it has printed so far."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    def client(self, token: str = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def metric(self, name: str) -> float:
        with self.client() as client:
            match = re.search(rf"^{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
        assert match, name
        return float(match[1])


def demo(*arguments: object, token: str = TOKEN) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "perflib.sample", *map(str, arguments)]
    environment = os.environ | {"PERF_API_TOKEN": token}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def serving(path: Path, *switches: object, token: str = TOKEN) -> Iterator[Server]:
    with demo("--port", 0, "--database", path, *switches, token=token) as process:
        try:
            assert process.stdout
            count = 1 if token else 2
            lines = [process.stdout.readline() for _ in range(count)]
            match = re.fullmatch(r"perflib demo: serving on (http://127\.0\.0\.1:\d+)\n", lines[0])
            assert match, process.communicate()
            yield Server(process, match[1], lines)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("demo") / "dashboard.sqlite"
    database.prepare(result)
    return result


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[Server]:
    with serving(path) as result:
        yield result


@pytest.fixture(scope="module")
def faulty(path: Path) -> Iterator[Server]:
    slow = ("--slow", "GET /clients=+300%", "--slow", "GET /health=+15ms")
    wrong = ("--errors", "GET /signals=10%", "--error-body", "GET /patterns")
    with serving(path, *slow, *wrong, "--fallback-html", "--cold-cache") as result:
        yield result


def timings_ms(response: httpx.Response) -> dict[str, float]:
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", response.headers["Server-Timing"])}


# --- what it answers


@pytest.mark.parametrize(
    ("path_", "kilobytes", "kind"),
    [
        ("/clients", (50, 70), list),
        ("/signals", (65, 85), list),
        ("/patterns", (4, 8), dict),
        ("/snapshot", (300, 500), dict),
        ("/cost-to-serve", (15, 40), list),
    ],
)
def test_an_answer_has_the_promised_shape_and_size(
    server: Server, path_: str, kilobytes: tuple[int, int], kind: type
) -> None:
    with server.client() as client:
        response = client.get(path_)
    body = response.json()
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert kilobytes[0] < len(response.content) / 1000 < kilobytes[1]
    assert body["status"] == "ok"
    assert {"as_of", "generated_at", "data"} <= body.keys()
    assert isinstance(body["data"], kind)


def test_the_rows_describe_the_same_agency_wherever_they_appear(server: Server) -> None:
    with server.client() as client:
        data = {path: client.get(path).json()["data"] for path in PATHS if path != "/health"}
    ids = {row["id"] for row in data["/clients"]}
    assert len(ids) == database.CLIENTS
    assert {row["client_id"] for row in data["/cost-to-serve"]} == ids
    assert {row["client_id"] for row in data["/signals"]} <= ids
    assert len({row["kind"] for row in data["/signals"]}) == 6
    assert sum(row["messages"] for row in data["/cost-to-serve"]) == database.COMMUNICATIONS
    assert sum(n for _, _, n in data["/patterns"]["messages_by_weekday_and_hour"]) == database.COMMUNICATIONS
    assert data["/snapshot"]["clients"] == data["/clients"]
    assert data["/snapshot"]["patterns"] == data["/patterns"]


def test_health_metrics_and_the_description_are_public(server: Server) -> None:
    for path in ("/health", "/metrics", "/openapi.json", "/docs"):
        assert httpx.get(server.url + path, trust_env=False).status_code == 200
    assert httpx.get(f"{server.url}/health", trust_env=False).json() == {"status": "ok"}


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer", "Bearer \xe9"])
@pytest.mark.parametrize("path_", [path for path in PATHS if path != "/health"])
def test_without_the_token_the_answer_is_401(server: Server, path_: str, header: str | None) -> None:
    headers = httpx.Headers({"Authorization": header} if header else {}, encoding="latin-1")
    response = httpx.get(server.url + path_, headers=headers, trust_env=False)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json()["status"] == "error"


def test_every_answer_carries_its_own_id_and_its_timing(server: Server) -> None:
    with server.client() as client, server.client("wrong") as stranger:
        responses = [*map(client.get, [*PATHS, "/metrics", "/unknown"]), stranger.get("/clients")]
    assert len({response.headers["X-Request-Id"] for response in responses}) == len(responses)
    assert all(timings_ms(response)["total"] > 0 for response in responses)
    assert timings_ms(responses[PATHS.index("/patterns")])["db"] > 0


def test_openapi_lists_the_gets_with_the_keys_they_require(server: Server) -> None:
    document = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()
    assert set(document["paths"]) == set(PATHS)
    for path, operations in document["paths"].items():
        schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        model = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert model["required"] == (["status"] if path == "/health" else ["status", "data"])
        assert not [p for p in operations["get"].get("parameters", []) if p["required"]]


def test_metrics_tell_the_resident_memory(server: Server) -> None:
    assert 10e6 < server.metric("process_resident_memory_bytes") < 1e9


def test_metrics_tell_the_resident_memory_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_app, "ProcessCollector", partial(ProcessCollector, proc="/nonexistent"))
    text = generate_latest(demo_app._registry(Leakage())).decode()
    assert re.search(r"^process_resident_memory_bytes [1-9]", text, re.MULTILINE)


# --- the snapshot's cache


def test_concurrent_cold_snapshots_are_computed_once_and_the_next_is_a_hit(path: Path) -> None:
    with serving(path) as server, server.client() as client, ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(client.get, ["/snapshot"] * 6))
        after = client.get("/snapshot")
        assert server.metric("demo_snapshot_computations_total") == 1
    assert "MISS" in {response.headers["X-Cache"] for response in responses}
    assert len({response.json()["generated_at"] for response in [*responses, after]}) == 1
    assert after.headers["X-Cache"] == "HIT"


def test_whoever_waited_for_the_computation_is_a_miss() -> None:
    computed = []

    async def compute() -> Answer:
        await asyncio.sleep(0.01)
        computed.append(1)
        return Answer(b"{}", computing_s=0.01)

    async def ask() -> list[str]:
        cache = SingleFlightCache(compute, keep_s=60)
        together = await asyncio.gather(cache.answer(), cache.answer(), cache.answer())
        return [answer.headers["X-Cache"] for answer in [*together, await cache.answer()]]

    assert asyncio.run(ask()) == ["MISS", "MISS", "MISS", "HIT"]
    assert len(computed) == 1


def test_a_failed_computation_is_not_kept() -> None:
    outcomes: Iterator[Exception | Answer] = iter([RuntimeError("no"), Answer(b"{}")])

    async def compute() -> Answer:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def ask() -> str:
        cache = SingleFlightCache(compute, keep_s=60)
        with pytest.raises(RuntimeError):
            await cache.answer()
        return (await cache.answer()).headers["X-Cache"]

    assert asyncio.run(ask()) == "MISS"


def test_a_cold_cache_computes_every_snapshot(faulty: Server) -> None:
    with faulty.client() as client:
        responses = [client.get("/snapshot") for _ in range(3)]
    assert [response.headers["X-Cache"] for response in responses] == ["MISS"] * 3
    assert len({response.json()["generated_at"] for response in responses}) == 3


# --- the database


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_two_builds_hold_the_same_content(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.sqlite"
    database.prepare(again)
    assert content(again) == content(path)


def test_two_servers_starting_at_once_share_one_new_database(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dashboard.sqlite"
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: clients_of_a_new_server(path), range(2)))
    assert answers[0] == answers[1]
    assert len(answers[0]) == database.CLIENTS
    assert not [file for file in path.parent.iterdir() if file.name.startswith(".")]


def clients_of_a_new_server(path: Path) -> list[object]:
    with serving(path) as server, server.client() as client:
        data: list[object] = client.get("/clients").json()["data"]
        return data


def test_a_database_of_another_schema_version_is_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {database.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    database.prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (database.SCHEMA_VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (database.TASKS,)


def test_a_current_database_is_left_alone(path: Path) -> None:
    before = path.stat()
    database.prepare(path)
    assert path.stat() == before


# --- the fault switches


def test_a_slow_answer_waits_its_share_of_its_own_computing_time(faulty: Server) -> None:
    with faulty.client() as client:
        slow = [timings_ms(client.get("/clients")) for _ in range(15)]
        plain = [timings_ms(client.get("/cost-to-serve")) for _ in range(15)]
    assert all(answer["total"] >= 3.99 * answer["db"] for answer in slow)
    assert statistics.median(answer["total"] / answer["db"] for answer in plain) < 3


def test_a_slow_answer_waits_a_fixed_time(faulty: Server) -> None:
    with faulty.client() as client:
        assert all(timings_ms(client.get("/health"))["total"] >= 15 for _ in range(5))


def test_the_share_of_errors_is_exact_and_only_where_asked_for(faulty: Server) -> None:
    with faulty.client() as client:
        signals = [client.get("/signals").status_code for _ in range(100)]
        others = {client.get(path).status_code for path in PATHS if path != "/signals"}
    assert (signals.count(500), signals.count(200)) == (10, 90)
    assert others == {200}


def test_an_error_body_hides_in_a_200(faulty: Server) -> None:
    with faulty.client() as client:
        response = client.get("/patterns")
    assert response.status_code == 200
    assert response.json()["status"] == "error"
    assert "data" not in response.json()


def test_an_unknown_path_is_404_or_the_fallback_page(server: Server, faulty: Server) -> None:
    with server.client() as client, faulty.client() as fallen:
        plain, page = client.get("/no/such"), fallen.get("/no/such")
    assert (plain.status_code, plain.json()["status"]) == (404, "error")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")


def test_a_leak_by_request_shows_in_resident_memory(path: Path) -> None:
    with serving(path, "--leak", "500KB/request") as server, server.client() as client:
        client.get("/health")
        leaked, resident = server.metric("demo_leaked_bytes"), server.metric("process_resident_memory_bytes")
        for _ in range(100):
            client.get("/health")
        leaked = server.metric("demo_leaked_bytes") - leaked
        resident = server.metric("process_resident_memory_bytes") - resident
    assert leaked == (100 + 2) * 500_000  # the two requests for metrics leak, too
    assert 0.8 * leaked < resident < 1.3 * leaked


def test_a_leak_by_time_grows_without_requests(path: Path) -> None:
    with serving(path, "--leak", "1.2GB/min") as server:
        before = server.metric("process_resident_memory_bytes")
        time.sleep(1.5)
        leaked = server.metric("demo_leaked_bytes")
        assert leaked >= 20e6
        assert server.metric("process_resident_memory_bytes") - before > 0.5 * leaked


def test_a_stall_stops_the_whole_server_again_and_again(path: Path) -> None:
    with serving(path, "--stall", "300ms/800ms") as server, server.client() as client:
        started, waits = time.monotonic(), []
        while time.monotonic() < started + 3:
            asked = time.monotonic()
            client.get("/health")
            waits.append(time.monotonic() - asked)
    assert sum(wait > 0.2 for wait in waits) >= 2


def healths_during_a_snapshot(server: Server) -> int:
    with server.client() as client, server.client() as other:
        client.get("/health")
        thread = threading.Thread(target=other.get, args=["/snapshot"])
        thread.start()
        count = 0
        while thread.is_alive():
            client.get("/health")
            count += 1
        thread.join()
    return count


def test_a_blocked_endpoint_holds_up_the_event_loop(path: Path) -> None:
    with (
        serving(path, "--cold-cache") as plain,
        serving(path, "--cold-cache", "--block", "GET /snapshot") as held,
    ):
        free = sum(healths_during_a_snapshot(plain) for _ in range(3))
        blocked = sum(healths_during_a_snapshot(held) for _ in range(3))
    assert free > 2 * blocked


@dataclass(frozen=True)
class Asked:
    """How long it took to answer, and how much computing."""

    wall_s: float
    cpu_s: float


def asked(server: Server, *paths: str, times: int = 5) -> Asked:
    """These paths together, `times` after one another: of the time the median, of computing the mean."""
    process = psutil.Process(server.process.pid)
    with server.client() as client, ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(client.get, paths))
        walls_s, before = [], process.cpu_times()
        for _ in range(times):
            begun_s = time.perf_counter()
            assert all(answer.status_code == 200 for answer in pool.map(client.get, paths))
            walls_s.append(time.perf_counter() - begun_s)
        after = process.cpu_times()
    spent_s = after.user + after.system - before.user - before.system
    return Asked(statistics.median(walls_s), spent_s / times)


@pytest.fixture(scope="module")
def slow(path: Path) -> Iterator[Server]:
    causes = {
        "--cpu": "GET /clients=80ms",
        "--wait": "GET /health=80ms",
        "--lock": "GET /signals,GET /patterns=80ms",
        "--limit": "GET /snapshot=2x80ms",
        "--drip": "GET /cost-to-serve=80ms",
    }
    with serving(path, *chain.from_iterable(causes.items())) as result:
        yield result


def test_cpu_computes_and_wait_does_not(slow: Server) -> None:
    computing, waiting = asked(slow, "/clients"), asked(slow, "/health")
    assert computing.cpu_s > 0.06
    assert waiting.wall_s > 0.08
    assert waiting.cpu_s < 0.5 * computing.cpu_s


def test_waiting_holds_nobody_up_however_many_wait(slow: Server) -> None:
    assert asked(slow, *["/health"] * 8).wall_s < 4 * 0.08


def test_a_lock_is_held_by_one_at_a_time_of_both_endpoints_and_by_nobody_else(slow: Server) -> None:
    assert asked(slow, "/signals", "/patterns").wall_s > 2 * 0.08
    assert asked(slow, *["/patterns"] * 6).wall_s > 6 * 0.08
    assert asked(slow, *["/patterns"] * 2, "/cost-to-serve", "/health").wall_s < 4 * 0.08


def test_a_limit_lets_so_many_through_at_once(slow: Server) -> None:
    assert 3 * 0.08 < asked(slow, *["/snapshot"] * 6).wall_s < 6 * 0.08


def test_a_dripped_body_comes_whole_long_after_its_head(slow: Server) -> None:
    with slow.client() as client, client.stream("GET", "/cost-to-serve") as response:
        head_s = time.perf_counter()
        body = b"".join(response.iter_bytes())
    assert time.perf_counter() - head_s > 0.07
    assert len(json.loads(body)["data"]) == database.CLIENTS


def test_a_time_to_block_is_slept_on_the_event_loop(path: Path) -> None:
    with serving(path, "--block", "GET /patterns=80ms") as server:
        assert asked(server, *["/patterns"] * 4).wall_s > 4 * 0.08
        assert asked(server, "/patterns").cpu_s < 0.08


def test_many_small_queries_cost_more_than_the_one_that_replaces_them(path: Path) -> None:
    with serving(path, "--n-plus-one", "GET /clients=1500") as server:
        slow, plain = asked(server, "/clients", times=20), asked(server, "/cost-to-serve", times=20)
    assert slow.cpu_s > 1.5 * plain.cpu_s


def test_above_the_rate_limit_the_answer_is_429_and_says_when_to_come_again(path: Path) -> None:
    with serving(path, "--rate-limit", "20/s") as server, server.client() as client:
        answers = [client.get("/health") for _ in range(60)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 0 < len(refused) <= 40
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        time.sleep(1.1)
        assert client.get("/health").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace is Linux's")
def test_a_process_of_the_same_user_may_attach_to_it(server: Server) -> None:
    attach = (
        "import ctypes, os, sys; pid = int(sys.argv[1]); ptrace = ctypes.CDLL(None, use_errno=True).ptrace;"
        "seized = ptrace(0x4206, pid, 0, 0); sys.exit(ctypes.get_errno() if seized else 0)"
    )  # PTRACE_SEIZE: nothing stops, and the end of this process lets go
    assert subprocess.run([sys.executable, "-c", attach, str(server.process.pid)], check=False).returncode == 0


# --- starting and ending


@pytest.mark.parametrize(
    ("switch", "value", "mend"),
    [
        ("--slow", "GET /clients=60%", "+60%"),
        ("--slow", "GET /client=+60%", "GET /clients"),
        ("--slow", "GET", "GET /clients=+60%"),
        ("--leak", "20/request", "20KB/request"),
        ("--leak", "20KB/hour", "2MB/min"),
        ("--errors", "GET /signals=0%", "GET /signals=1%"),
        ("--errors", "GET /signals=101%", "GET /signals=1%"),
        ("--stall", "30s/2s", "2s/30s"),
        ("--stall", "2", "2s/30s"),
        ("--block", "/patterns", "GET /patterns"),
        ("--block", "GET /patterns=20", "GET /clients=12ms"),
        ("--cpu", "GET /clients", "GET /clients=12ms"),
        ("--cpu", "GET /client=12ms", "GET /clients"),
        ("--wait", "GET /clients=0ms", "GET /clients=12ms"),
        ("--drip", "GET /clients=32", "GET /clients=12ms"),
        ("--lock", "GET /signals,GET /patterns", "GET /signals,GET /patterns=10ms"),
        ("--lock", "GET /signals,GET /patterns=10", "GET /signals,GET /patterns=10ms"),
        ("--limit", "GET /clients=0", "GET /clients=2x10ms"),
        ("--limit", "GET /clients=2x", "GET /clients=2x10ms"),
        ("--n-plus-one", "GET /clients=many", "GET /clients=150"),
        ("--rate-limit", "50", "50/s"),
        ("--rate-limit", "0/s", "50/s"),
        ("--error-body", "POST /patterns", "GET /patterns"),
        ("--port", "70000", "65535"),
    ],
)
def test_a_bad_switch_is_refused_in_one_line_that_names_it_and_its_mend(
    capsys: pytest.CaptureFixture[str], switch: str, value: str, mend: str
) -> None:
    with pytest.raises(SystemExit) as refusal:
        main([switch, value])
    out, err = capsys.readouterr()
    assert refusal.value.code == 2
    assert (out, err.count("\n")) == ("", 1)
    assert switch in err
    assert repr(value) in err or repr(value.partition("=")[0]) in err
    assert mend in err


def refusal_of(*arguments: object) -> str:
    with demo(*arguments) as process:
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err.count("\n")) == (2, "", 1), err
    return err


def test_a_port_in_use_is_refused_in_one_line(server: Server, path: Path) -> None:
    port = server.url.rpartition(":")[2]
    assert f"--port {port}" in refusal_of("--port", port, "--database", path)


def test_a_file_that_is_no_dashboard_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    assert str(path) in refusal_of("--port", 0, "--database", path)
    assert path.read_text() == "my notes"


def test_a_token_of_the_environment_is_never_printed(path: Path) -> None:
    with serving(path) as server:
        server.process.terminate()
        out, err = server.process.communicate(timeout=60)
    assert TOKEN not in "".join([*server.lines, out, err])


def test_a_random_token_is_printed_once_and_opens_the_door(path: Path) -> None:
    with serving(path, token="") as server:
        name, _, token = server.lines[1].strip().partition("=")
        with server.client(token) as client, server.client("wrong") as stranger:
            assert (client.get("/clients").status_code, stranger.get("/clients").status_code) == (200, 401)
        server.process.terminate()
        out, err = server.process.communicate(timeout=60)
    assert name == "PERF_API_TOKEN"
    assert len(token) >= 20
    assert token not in out + err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_cleanly_when_told_to(path: Path, number: signal.Signals, status: int) -> None:
    with serving(path) as server, server.client() as client:
        client.get("/clients")
        server.process.send_signal(number)
        out, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, out, err) == (status, "", "")


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.1, 0.3])
def test_sigterm_ends_it_cleanly_however_early_it_comes(tmp_path: Path, after_s: float) -> None:
    command = [sys.executable, "-m", "perflib.sample", "--port", "0", "--database", str(tmp_path / "d.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert "serving on" in started.stdout.readline()
        time.sleep(after_s)
        started.terminate()
        assert started.communicate(timeout=30)[1] == ""
        assert started.returncode == 0


def test_the_dashboard_of_a_dead_starter_ends_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "perflib.sample", "--port", "0", "--database", str(tmp_path / "d.sqlite")]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "--end-with-stdin"], stdin=pipe, stdout=pipe, text=True) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        assert "serving on" in started.stdout.readline()
        started.stdin.close()
        assert started.wait(timeout=30) == 0
