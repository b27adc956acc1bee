"""The target as it exports itself: real answers over loopback, sound and odd ones."""

import gzip
import math
import time
from pathlib import Path

import pytest

from perflib.spec import Endpoint, Target
from perflib.watch.prometheus import PrometheusText
from perflib.watch.reading import Reading
from perflib.watch.sampler import Sampler, find
from tests.servers import Action, Do, answer, scripted

TEXT = "Content-Type: text/plain; version=0.0.4"
METRICS = b"""# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes{worker="1"} 1.5e+08
process_resident_memory_bytes{worker="a \\"} 2"} 0.5e+08 1700000000000
process_open_fds 12
process_cpu_seconds_total 3.5
process_start_time_seconds 1.7e+09
process_resident_memory_bytes_max 9e9
"""
OPEN_METRICS = b"""# TYPE process_cpu_seconds counter
process_cpu_seconds_total 7.5 # {trace_id="a b"} 0.25 1.7e9
process_cpu_seconds_created 1.7e9
# TYPE process_resident_memory_bytes gauge
# UNIT process_resident_memory_bytes bytes
process_resident_memory_bytes 2e8
half a line {
# EOF
"""


def asked(*actions: Action) -> tuple[Reading | None, str]:
    """The reading of this answer, and why there is none."""
    with scripted([[*actions]]) as server:
        source = PrometheusText(f"{server.url}/metrics")
        reading = source.read()
        source.close()
    return reading, source.why_not


def reading_of(*actions: Action) -> Reading:
    reading, why_not = asked(*actions)
    assert reading is not None, why_not
    return reading


def test_a_server_may_export_the_memory_of_all_its_processes_in_one_answer() -> None:
    reading = reading_of(answer(METRICS, TEXT))
    assert (reading.rss_bytes, reading.processes) == (200_000_000, 2)
    assert (reading.open_files, reading.threads, reading.cpu_s, reading.started_s) == (12, -1, 3.5, 1.7e9)


@pytest.mark.parametrize(
    "told",
    [
        answer(OPEN_METRICS, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        answer(gzip.compress(OPEN_METRICS), TEXT, "Content-Encoding: gzip"),
        answer(OPEN_METRICS, "Content-Type: image/png"),
        answer(OPEN_METRICS.replace(b"\n", b"\r\n"), "Content-Type: text/plain; charset=no-such-one"),
        answer(b"caf\xe9 1\n\xff\xfe 2\n" + OPEN_METRICS, TEXT),
    ],
    ids=["OpenMetrics with exemplars", "gzip", "another content type", "an unknown charset", "not UTF-8"],
)
def test_the_forms_in_which_metrics_come_tell_the_same(told: bytes) -> None:
    reading = reading_of(told)
    assert (reading.rss_bytes, reading.cpu_s, reading.processes) == (200_000_000, 7.5, 1)


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "-1", "1e300", "-Inf", "many", "9.3e18"])
def test_a_memory_that_can_be_none_is_no_reading_and_other_odd_values_are_not_known(odd: str) -> None:
    assert asked(answer(f"process_resident_memory_bytes {odd}\n".encode(), TEXT))[0] is None
    both = f'process_resident_memory_bytes{{a="1"}} {odd}\nprocess_resident_memory_bytes{{a="2"}} 5e6\n'
    assert asked(answer(both.encode(), TEXT))[0] is None, "the sum of the others is not the target's"
    names = ("process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds")
    rest = "".join(f"{name} {odd}\n" for name in names)
    reading = reading_of(answer(f"process_resident_memory_bytes 5e6\n{rest}".encode(), TEXT))
    assert reading.rss_bytes == 5_000_000
    assert (reading.open_files, reading.started_s) == (-1, 0.0)
    assert math.isnan(reading.cpu_s)


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ([answer(b"up 1\n", TEXT)], "has no process_resident_memory_bytes; mend metrics_url"),
        ([answer(b"", TEXT, status="500 Internal Server Error")], "500 Internal Server Error"),
        ([answer(b"", TEXT, "Location: /elsewhere", status="302 Found")], "302 Found"),
        ([answer(b"not gzip", TEXT, "Content-Encoding: gzip")], "was not read"),
        ([Do.CLOSE], "was not read"),
        ([b"nonsense\r\n\r\n", Do.CLOSE], "was not read"),
        ([1.5, answer(METRICS, TEXT)], "timed out"),
        ([b"HTTP/1.1 200 OK\r\n\r\n", *[b"x 1\n", 0.3] * 6, Do.CLOSE], "did not end within 1 s"),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"x 1\n" * 5_000_000, Do.CLOSE], "did not end within 1 s and 16 MB"),
    ],
    ids=["other metrics", "500", "redirect", "not gzip", "closed", "not HTTP", "slow", "in drops", "huge"],
)
def test_what_is_no_reading_says_why(actions: list[Action], why: str) -> None:
    reading, why_not = asked(*actions)
    assert reading is None
    assert why in why_not
    assert "\n" not in why_not


def target_of(url: str) -> Target:
    return Target(name="t", base_url="http://192.0.2.1", metrics_url=url, endpoints=[Endpoint(path="/")])


def test_a_server_that_fails_for_a_moment_is_asked_again_before_it_is_given_up() -> None:
    broken, sound = [[answer(b"", TEXT, status="503 Not Yet")]], [[answer(METRICS, TEXT)]]
    with scripted(broken, sound) as server:
        found = find(target_of(server.url), None)
    assert found.source is not None
    assert found.about.kind == "prometheus"
    found.source.close()
    with scripted(broken) as server:
        found = find(target_of(server.url), None)
    assert found.source is None
    assert "503 Not Yet" in found.about.told


def test_each_sample_opens_a_connection_of_its_own_so_that_no_worker_is_asked_for_ever() -> None:
    with scripted([[answer(METRICS, TEXT)]]) as server:
        source = PrometheusText(server.url)
        assert source.read() is not None
        assert source.read() is not None
        source.close()
    assert server.connections == 2


def test_metrics_are_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    assert reading_of(answer(METRICS, TEXT)).rss_bytes == 200_000_000


@pytest.mark.parametrize("host", ["999.1.1.1", "xn--0.b", "[::1%251]:1"])
def test_metrics_of_a_host_that_cannot_be_asked_are_not_sampled(host: str) -> None:
    found = find(target_of(f"http://{host}/metrics"), None)
    assert found.source is None
    assert f"http://{host}/metrics was not read" in found.about.told


def test_an_answer_that_never_ends_does_not_hold_up_the_end_of_a_run(tmp_path: Path) -> None:
    dripping = [b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n", 0.4] * 30]
    with scripted([dripping]) as server:
        with Sampler(None, tmp_path) as sampler:
            sampler._source = PrometheusText(server.url)
            sampler.begin(time.perf_counter_ns())
            while not server.connections:
                time.sleep(0.05)
            begun_s = time.monotonic()
        assert time.monotonic() - begun_s < 8, "its head would go on for 12 s"
