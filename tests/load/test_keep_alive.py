"""Keep-alive: a request that may not be repeated does not meet a connection that the server is about to end."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from perflib.load.exchange import Exchange
from perflib.load.keep_alive import KeepAlive
from perflib.load.request import WireRequest, encode
from perflib.load.wire import Connection, resolve
from tests.load.test_wire import GET, POST, exchange_over, target_of
from tests.servers import Do, Turn, answer, scripted

OK = answer()
SECOND = 1_000_000_000


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def test_a_connection_idle_about_as_long_as_an_earlier_one_lived_may_end() -> None:
    known = KeepAlive()
    assert not known.may_end(3600 * SECOND, 1000)
    known.ended(5 * SECOND, 3)
    known.ended(9 * SECOND, 3)
    assert not known.may_end(3 * SECOND, 1000)
    assert known.may_end(5 * SECOND, 1)
    assert known.may_end(4 * SECOND, 1)


def test_a_number_of_answers_after_which_connections_end_is_believed_at_the_second_time() -> None:
    known = KeepAlive()
    known.ended(0, 100)
    assert not known.may_end(0, 100)
    known.ended(0, 90)
    assert not known.may_end(0, 100)
    known.ended(0, 100)
    assert known.may_end(0, 100)
    assert not known.may_end(0, 99)


async def asked(url: str, *rests_and_requests: tuple[float, WireRequest], connections: int = 1) -> list[Exchange]:
    """Ask after a rest each, over connections by turns."""
    address = await resolve(target_of(url))
    opened = [Connection(address, 5) for _ in range(connections)]
    exchanges = []
    for number, (rest_s, request) in enumerate(rests_and_requests):
        await asyncio.sleep(rest_s)
        exchanges.append(await exchange_over(opened[number % connections], request))
    for connection in opened:
        connection.close()
    return exchanges


def request(post: bool, url: str = "http://h") -> WireRequest:
    return encode(target_of(url), POST if post else GET, {})


def ask(loop: asyncio.Runner, url: str, *rests: tuple[float, str], connections: int = 1) -> list[Exchange]:
    requests = [(rest_s, request(method == "POST", url)) for rest_s, method in rests]
    return loop.run(asked(url, *requests, connections=connections))


def test_a_post_that_meets_the_end_of_a_kept_connection_is_closed_idle(loop: asyncio.Runner) -> None:
    with scripted([(OK,), (Do.CLOSE,)], [(OK,)]) as server:
        _, met, after = ask(loop, server.url, (0, "GET"), (0, "POST"), (0, "POST"))
    assert (met.error, met.retried, met.status) == ("closed_idle", False, 0)
    assert met.reason == "the server ended the connection, idle for 0.0 s, as this request went out"
    assert after.error is None
    assert len(server.requests) == 3


@pytest.mark.parametrize("end", [Do.CLOSE, Do.RESET])
def test_a_server_that_resets_a_post_on_a_fresh_connection_has_failed(loop: asyncio.Runner, end: Do) -> None:
    with scripted([(end,)]) as server:
        exchanges = ask(loop, server.url, (0, "POST"), (0, "POST"))
    assert [exchange.error for exchange in exchanges] == ["reset"] * 2


def test_a_server_that_works_on_a_post_before_it_hangs_up_has_failed(loop: asyncio.Runner) -> None:
    with scripted([(OK,), (0.4, Do.RESET)]) as server:
        _, crashed = ask(loop, server.url, (0, "GET"), (0, "POST"))
    assert crashed.error == "reset"


def test_a_server_that_resets_every_post_is_found_out_on_fresh_connections(loop: asyncio.Runner) -> None:
    """Its kept connections all end just as a POST goes out: they are soon given up before one."""

    def turn(path_is_read: bytes) -> Turn:
        return (path_is_read,)

    with scripted([turn(OK), (Do.RESET,)], [turn(OK), (Do.RESET,)], [turn(OK)], [(Do.RESET,)]) as server:
        exchanges = ask(loop, server.url, *[(0, method) for _ in range(4) for method in ("GET", "POST")])
    errors = [exchange.error for exchange in exchanges if exchange.retried is False]
    assert errors.count("closed_idle") == 2
    assert errors[5] == "reset"


def test_a_post_opens_a_new_connection_where_the_old_one_is_as_old_as_the_server_lets_it_grow(
    loop: asyncio.Runner,
) -> None:
    ends_when_idle = [(OK, 0.5, Do.CLOSE)]
    with scripted(ends_when_idle) as server:
        first, learnt, young, old = ask(
            loop, server.url, (0, "POST"), (0.8, "POST"), (0.05, "GET"), (0.47, "POST"), connections=1
        )
    assert [first.error, learnt.error, old.error] == [None] * 3
    assert young is not None
    assert old.connect_ns > 0
    assert not old.retried


def test_a_get_does_not_open_a_connection_of_its_own(loop: asyncio.Runner) -> None:
    with scripted([(OK, 0.4, Do.CLOSE)], [(OK,), (OK,)]) as server:
        *_, kept = ask(loop, server.url, (0, "GET"), (0.6, "GET"), (0.4, "GET"))
    assert (kept.error, kept.connect_ns) == (None, 0)
    assert server.connections == 2


def test_a_post_opens_a_new_connection_after_as_many_answers_as_the_server_gives(loop: asyncio.Runner) -> None:
    with scripted([(OK,), (OK, Do.CLOSE)]) as server:
        exchanges = ask(loop, server.url, *[(0.05, "POST")] * 10)
    assert [exchange.error for exchange in exchanges] == [None] * 10
    assert not any(exchange.retried for exchange in exchanges)
    assert [exchange.connect_ns > 0 for exchange in exchanges] == [True, False] * 5


@pytest.mark.parametrize("rest_s", [0.0, 0.02])
def test_a_server_that_ends_each_connection_after_some_answers_fails_few_posts(
    loop: asyncio.Runner, rest_s: float
) -> None:
    with scripted([(OK,), (OK,), (Do.CLOSE,)]) as server:
        exchanges = ask(loop, server.url, *[(rest_s, "POST")] * 60)
    errors = [exchange.error for exchange in exchanges]
    assert set(errors) == {None, "closed_idle"}
    assert errors.count("closed_idle") == 2
