"""The kernel's clock: when an answer arrived, whatever this process and the system clock do meanwhile."""

import asyncio
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from time import perf_counter_ns, time_ns

import pytest
import uvloop

from perflib.load import kernel_clock
from perflib.load.connecting import dial
from perflib.load.exchange import Exchange
from perflib.load.kernel_clock import KernelClock
from perflib.load.wire import Connection, resolve
from tests.load.test_connecting import certificate
from tests.load.test_wire import GET, OK, encode, exchange_over, target_of
from tests.servers import Do, answer, scripted

STAMPED = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps what a TCP socket receives")


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def stamp(at_ns: int) -> list[tuple[int, int, bytes]]:
    """What the kernel tells of a packet that arrived then, by the system clock."""
    return [(socket.SOL_SOCKET, 35, struct.pack("qq", *divmod(at_ns, 1_000_000_000)))]


async def ask_busily(url: str, busy_s: float, times: int = 1) -> list[Exchange]:
    """Ask, and do something else while the answer arrives; the first request, which connects, is left out."""
    connection = Connection(await resolve(target_of(url)), 5)
    request, exchanges = encode(target_of(url), GET, None), []
    try:
        await exchange_over(connection, request)
        for _ in range(times):
            asking = asyncio.ensure_future(exchange_over(connection, request))
            await asyncio.sleep(0)
            time.sleep(busy_s)
            exchanges.append(await asking)
    finally:
        connection.close()
    return exchanges


def took_s(exchange: Exchange) -> float:
    return (exchange.end_ns - exchange.start_ns) / 1e9


@STAMPED
def test_what_this_process_does_while_an_answer_arrives_is_not_the_targets_time(loop: asyncio.Runner) -> None:
    with scripted([(OK,)] + [(0.05, OK)] * 3) as server:
        answers = loop.run(ask_busily(server.url, busy_s=0.4, times=3))
    best = min(answers, key=took_s)
    assert 0.05 <= took_s(best) < 0.2
    assert best.read_late_ns / 1e9 > 0.2
    assert took_s(best) + best.read_late_ns / 1e9 >= 0.4


@STAMPED
def test_the_first_byte_and_the_last_have_times_of_their_own(loop: asyncio.Runner) -> None:
    whole = answer(b"x" * 50)
    with scripted([(OK,)] + [(whole[:-10], 0.1, whole[-10:])] * 3) as server:
        answers = loop.run(ask_busily(server.url, busy_s=0.0, times=3))
    assert all((one.end_ns - one.first_byte_ns) / 1e9 > 0.09 for one in answers)
    assert all(one.start_ns <= one.first_byte_ns <= one.end_ns for one in answers)


async def connect_busily(url: str) -> Exchange:
    """Ask once, and do something else at each turn of the event loop, 0.3 s in all."""
    connection = Connection(await resolve(target_of(url)), 5)
    try:
        asking = asyncio.ensure_future(exchange_over(connection, encode(target_of(url), GET, None)))
        for _ in range(12):
            time.sleep(0.025)
            await asyncio.sleep(0)
        return await asking
    finally:
        connection.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    with pytest.MonkeyPatch.context() as patch:
        server = certificate(folder)
        patch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
        yield server


@STAMPED
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_what_this_process_does_while_a_connection_opens_is_not_the_targets_time(
    loop: asyncio.Runner, tls: ssl.SSLContext, secured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted([(OK,)], [(OK,)], [(OK,)], tls=tls if secured else None) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        exchange = min((loop.run(connect_busily(url)) for _ in range(2)), key=took_s)
        monkeypatch.setenv("PERFLIB_CLOCK", "read")
        by_read_clock = loop.run(connect_busily(url))
    assert 0 < exchange.connect_ns < exchange.first_byte_ns - exchange.start_ns
    assert took_s(exchange) < took_s(by_read_clock) / 2


@STAMPED
def test_a_server_too_busy_to_accept_is_not_excused(loop: asyncio.Runner) -> None:
    """Its queue is full: the kernel sends the SYN again, a second later."""

    async def accepted_later(listener: socket.socket) -> float:
        begun_ns = perf_counter_ns()
        dialling = asyncio.create_task(dial(["127.0.0.1"], listener.getsockname()[1]))
        await asyncio.sleep(0.2)
        with suppress(BlockingIOError):
            while True:
                listener.accept()[0].close()
        dialled = await dialling
        dialled.socket.close()
        return (dialled.established_ns - begun_ns) / 1e9

    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as filler:
        listener.setblocking(False)
        filler.connect(listener.getsockname())
        assert loop.run(accepted_later(listener)) > 0.8


def test_without_stamps_an_answer_ends_when_it_is_read(loop: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFLIB_CLOCK", "read")
    with scripted([(OK,), (0.05, OK)]) as server:
        (exchange,) = loop.run(ask_busily(server.url, busy_s=0.3))
    assert exchange.read_late_ns == -1
    assert took_s(exchange) >= 0.3


def test_an_answer_that_the_connections_end_ends_is_over_when_that_is_read(loop: asyncio.Runner) -> None:
    until_closed = b"HTTP/1.1 200 OK\r\n\r\nabc"
    with scripted([(OK,), (until_closed, Do.CLOSE)]) as server:
        (exchange,) = loop.run(ask_busily(server.url, busy_s=0.0))
    assert (exchange.error, exchange.status, exchange.read_late_ns) == (None, 200, -1)


def test_a_stamp_becomes_a_time_of_the_other_clock() -> None:
    clock = KernelClock()
    before_ns, at_ns = perf_counter_ns(), time_ns()
    now_ns = perf_counter_ns()
    arrived_ns = clock.arrived_ns(stamp(at_ns), now_ns)
    assert before_ns - 20_000 <= arrived_ns <= now_ns


def test_no_stamp_no_time() -> None:
    assert KernelClock().arrived_ns([], perf_counter_ns()) == -1


@pytest.mark.parametrize("by_ns", [3_600_000_000_000, -3_600_000_000_000, 5_000_000, -5_000_000])
def test_what_may_have_arrived_before_a_step_of_the_system_clock_is_not_known(
    by_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, before_ns = KernelClock(), time_ns()
    monkeypatch.setattr(kernel_clock, "time_ns", lambda: time_ns() + by_ns)
    assert clock.arrived_ns(stamp(before_ns), perf_counter_ns()) == -1
    after_ns, now_ns = time_ns() + by_ns, perf_counter_ns()
    assert now_ns - clock.arrived_ns(stamp(after_ns), perf_counter_ns()) + 20_000 >= 0
    assert [abs(step.by_ns - by_ns) < 1_000_000 for step in clock.steps] == [True]


def test_a_clock_that_nobody_sets_has_no_steps() -> None:
    clock = KernelClock()
    for _ in range(2000):
        clock.look()
        clock.arrived_ns(stamp(time_ns()), perf_counter_ns())
    assert clock.steps == ()
