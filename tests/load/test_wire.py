"""The wire, against servers that do to the byte what real ones do now and then."""

import asyncio
import gzip
import ssl
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.load import channel as reading
from perflib.load import wire
from perflib.load.channel import Channel
from perflib.load.exchange import Exchange
from perflib.load.request import WireRequest, encode
from perflib.load.stream import Receiver, Stream
from perflib.load.wire import Address, Connection, resolve
from perflib.spec import Endpoint, InputError, Target
from tests.servers import Do, Served, Turn, answer, answering, chunked, closed_port, full_backlog, scripted

GET, POST = Endpoint(path="/"), Endpoint(path="/", method="POST", body={"a": 1})
OK = answer()


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def target_of(url: str, *endpoints: Endpoint) -> Target:
    return Target(name="scripted", base_url=url, endpoints=endpoints or (GET,))


async def exchange_over(connection: Connection, request: WireRequest) -> Exchange:
    answered: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
    connection.send(request, answered.set_result)
    return await answered


async def ask_in_turn(url: str, endpoints: Sequence[Endpoint], timeout_s: float, rest_s: float) -> list[Exchange]:
    """Ask over one connection, with a rest before each request but the first."""
    connection = Connection(await resolve(target_of(url)), timeout_s)
    watching = asyncio.create_task(expire_often(connection))
    exchanges = []
    for number, endpoint in enumerate(endpoints):
        if number:
            await asyncio.sleep(rest_s)
        exchange = await exchange_over(connection, encode(target_of(url), endpoint, None))
        exchanges.append(replace(exchange, headers=dict(exchange.headers), body=list(exchange.body)))
    watching.cancel()
    connection.close()
    await asyncio.sleep(0)
    return exchanges


async def expire_often(connection: Connection) -> None:
    while True:
        await asyncio.sleep(0.005)
        connection.expire(wire.perf_counter_ns())


def ask(
    loop: asyncio.Runner, url: str, *endpoints: Endpoint, timeout_s: float = 5.0, rest_s: float = 0.0
) -> list[Exchange]:
    return loop.run(ask_in_turn(url, endpoints or (GET,), timeout_s, rest_s))


def ask_script(loop: asyncio.Runner, *turn: bytes | float | Do, timeout_s: float = 5.0) -> Exchange:
    """Ask a server once that plays this turn on every connection."""
    with scripted([turn]) as server:
        return ask(loop, server.url, timeout_s=timeout_s)[0]


def seconds(exchange: Exchange) -> float:
    return (exchange.end_ns - exchange.start_ns) / 1e9


def body_of(exchange: Exchange) -> bytes:
    return b"".join(exchange.body)


# Answers


def test_a_connection_is_kept_and_used_again(loop: asyncio.Runner) -> None:
    with answering(OK) as server:
        first, *later = ask(loop, server.url, *[GET] * 20)
    assert (server.connections, len(server.requests)) == (1, 20)
    assert first.connect_ns > 0
    assert all(exchange.connect_ns == 0 and exchange.status == 200 for exchange in later)


@pytest.mark.parametrize(
    "closing",
    [
        (answer(b"{}", "Connection: close"), Do.CLOSE),
        (answer(b"{}", "Connection: close"), 1.0),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", Do.CLOSE),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", Do.CLOSE),
    ],
    ids=["closed by both", "closed by us alone", "HTTP/1.0 ended by its end", "HTTP/1.1 ended by its end"],
)
def test_an_answer_that_ends_its_connection_is_whole_and_the_next_request_opens_another(
    loop: asyncio.Runner, closing: Turn
) -> None:
    with scripted([closing]) as server:
        exchanges = ask(loop, server.url, GET, GET)
    assert server.connections == 2
    for exchange in exchanges:
        assert (exchange.status, exchange.error, body_of(exchange)) == (200, None, b"{}")
        assert exchange.connect_ns > 0
        assert not exchange.retried


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_an_announced_keep_alive_keeps_the_connection(loop: asyncio.Runner, version: str) -> None:
    turn = (answer(b"{}", "Connection: keep-alive", version=version),)
    with scripted([turn, turn]) as server:
        exchanges = ask(loop, server.url, GET, GET)
    assert [exchange.error for exchange in exchanges] == [None, None]
    assert server.connections == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_ends_with_its_head(loop: asyncio.Runner, status: str) -> None:
    turn = (f"HTTP/1.1 {status}\r\nServer: x\r\n\r\n".encode(),)
    with scripted([turn, turn]) as server:
        exchanges = ask(loop, server.url, GET, GET, timeout_s=2)
    assert [exchange.status for exchange in exchanges] == [int(status[:3])] * 2
    assert all(seconds(exchange) < 1 for exchange in exchanges)
    assert server.connections == 1


@pytest.mark.parametrize("interim", ["100 Continue", "103 Early Hints"])
def test_an_interim_answer_is_not_the_answer(loop: asyncio.Runner, interim: str) -> None:
    head = f"HTTP/1.1 {interim}\r\nLink: </x>\r\n\r\n".encode()
    for turn in [(head, OK), (head + OK,), (head, 0.02, OK), (head, head, OK)]:
        exchange = ask_script(loop, *turn)
        assert (exchange.status, exchange.error, body_of(exchange)) == (200, None, b'{"data": 1}')
        assert exchange.header(b"link") is None


def test_an_upgrade_that_is_only_offered_changes_nothing(loop: asyncio.Runner) -> None:
    exchange = ask_script(loop, answer(b"{}", "Connection: Upgrade, Keep-Alive", "Upgrade: h2,h2c"))
    assert (exchange.status, exchange.error) == (200, None)


def test_an_answer_may_come_before_the_body_it_refuses_is_read(loop: asyncio.Runner) -> None:
    refusal = answer(b"{}", "Connection: close", status="413 Content Too Large")
    with scripted([(refusal, Do.CLOSE)]) as server:
        (exchange,) = ask(loop, server.url, Endpoint(path="/", method="PUT", body="x" * 100))
    assert (exchange.status, exchange.error) == (413, None)


WHOLE = {
    "with a length": answer(b'{"data": 1}', "X-Cache: MISS"),
    "chunked": chunked(b'{"da', b'ta": 1}'),
    "chunked, with extension and trailer": (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\n{"da\r\n7\r\nta": 1}\r\n0\r\nX-T: 1\r\n\r\n'
    ),
    "after an interim one": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b'{"data": 1}'),
    "without a body": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
}


class Silent(Stream):
    """A stream that comes from nowhere."""

    def __init__(self) -> None: ...
    def read_into(self, receiver: Receiver) -> None: ...
    def send(self, data: bytes) -> int:
        return 0

    def close(self) -> None: ...


def feed(pieces: Sequence[bytes]) -> tuple[Exchange, bool]:
    """What a channel makes of an answer in these pieces, and whether it keeps its connection."""

    channel, exchange = Channel(Silent()), Exchange(0)
    over: list[Exchange] = []
    channel.send(b"", exchange, over.append)
    for piece in pieces:
        assert not over
        channel.received(piece, 1, -1)
    assert over == [exchange]
    return exchange, channel.closed


def outcome(fed: tuple[Exchange, bool]) -> tuple[object, ...]:
    exchange, closed = fed
    return exchange.status, exchange.error, exchange.headers, body_of(exchange), exchange.received, closed


@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_an_answer_split_at_any_byte_is_the_same_answer(whole: bytes) -> None:
    expected = outcome(feed([whole]))
    for at in range(1, len(whole)):
        assert outcome(feed([whole[:at], whole[at:]])) == expected
    assert outcome(feed([bytes([byte]) for byte in whole])) == expected


@settings(max_examples=60, deadline=None)
@given(whole=st.sampled_from(list(WHOLE.values())), cuts=st.sets(st.integers(1, 200)))
def test_an_answer_in_any_pieces_is_the_same_answer(whole: bytes, cuts: set[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(places)]
    assert outcome(feed(pieces)) == outcome(feed([whole]))


@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_an_answer_that_trickles_over_a_real_socket_is_the_same_answer(loop: asyncio.Runner, whole: bytes) -> None:
    pieces = [piece for at in range(0, len(whole), 7) for piece in (whole[at : at + 7], 0.001)]
    at_once, trickled = ask_script(loop, whole), ask_script(loop, *pieces)
    assert outcome((trickled, False)) == outcome((at_once, False))
    assert trickled.start_ns <= trickled.first_byte_ns < trickled.end_ns


# Addresses


def test_ipv6_addresses_are_asked(loop: asyncio.Runner) -> None:
    with scripted([(OK,)], host="::1") as server:
        (exchange,) = ask(loop, server.url)
    assert exchange.status == 200
    assert f"Host: {server.url[7:]}".encode() in server.requests[0]


def test_a_host_of_several_addresses_is_reached_at_the_one_that_listens(loop: asyncio.Runner) -> None:
    with answering(OK) as server:
        port = int(server.url.rpartition(":")[2])
        address = Address(("::1", "127.0.0.1"), port, None, None)
        connection = Connection(address, 5)
        exchange = loop.run(exchange_over(connection, encode(target_of(server.url), GET, None)))
        connection.close()
    assert exchange.error is None


def test_a_host_without_an_address_is_bad_input(loop: asyncio.Runner) -> None:
    with pytest.raises(InputError, match=r"no-such-host.invalid.*mend it"):
        loop.run(resolve(target_of("http://no-such-host.invalid")))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem {subject}"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def test_an_untrusted_certificate_is_a_connect_error(
    loop: asyncio.Runner, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    with scripted([(OK,)], tls=certificate[1]) as server:
        (exchange,) = ask(loop, server.url)
    assert (exchange.error, exchange.status, exchange.first_byte_ns) == ("connect", 0, -1)
    assert exchange.end_ns > exchange.start_ns
    assert not server.requests


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_named_by_ssl_cert_file_is_trusted(
    loop: asyncio.Runner, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with scripted([(OK,), (chunked(b"{}"),)], tls=certificate[1]) as server:
        exchanges = ask(loop, server.url.replace("127.0.0.1", host), GET, GET)
    assert [(exchange.status, exchange.error) for exchange in exchanges] == [(200, None)] * 2
    assert server.connections == 1


def test_a_server_that_never_shakes_hands_is_a_connect_error_in_time(
    loop: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with scripted([(Do.SPEAK_FIRST, 2.0)]) as server:
        (exchange,) = ask(loop, server.url.replace("http", "https"), timeout_s=0.2)
    assert exchange.error == "connect"
    assert 0.15 < seconds(exchange) < 0.8


# Stale connections


@pytest.mark.parametrize("end", [Do.CLOSE, Do.RESET])
def test_a_request_that_meets_a_closing_connection_is_sent_once_more(loop: asyncio.Runner, end: Do) -> None:
    with scripted([(OK,), (end,)], [(OK,)]) as server:
        first, second = ask(loop, server.url, GET, GET)
    assert (first.error, first.retried) == (None, False)
    assert (second.error, second.status, second.retried) == (None, 200, True)
    assert second.connect_ns > 0
    assert len(server.requests) == 3


def test_a_post_is_not_sent_twice(loop: asyncio.Runner) -> None:
    with scripted([(OK,), (Do.CLOSE,)], [(OK,)]) as server:
        _, second, third = ask(loop, server.url, GET, POST, GET)
    assert (second.error, second.retried, second.status) == ("closed_idle", False, 0)
    assert third.error is None
    assert len(server.requests) == 3


def test_a_retry_that_fails_is_not_tried_again(loop: asyncio.Runner) -> None:
    with scripted([(OK,), (Do.CLOSE,)], [(Do.CLOSE,)], [(OK,)]) as server:
        _, second, third = ask(loop, server.url, GET, GET, GET)
    assert (second.error, second.retried) == ("reset", True)
    assert (third.error, third.retried) == (None, False)
    assert len(server.requests) == 4


def test_a_first_request_on_a_connection_is_not_retried(loop: asyncio.Runner) -> None:
    with scripted([(Do.CLOSE,)], [(OK,)]) as server:
        (exchange,) = ask(loop, server.url)
    assert (exchange.error, exchange.retried) == ("reset", False)
    assert len(server.requests) == 1


def test_an_answer_that_had_begun_is_not_retried(loop: asyncio.Runner) -> None:
    with scripted([(OK,), (OK[:20], Do.CLOSE)], [(OK,)]) as server:
        _, second = ask(loop, server.url, GET, GET)
    assert (second.error, second.retried) == ("reset", False)


@pytest.mark.parametrize(
    "idle",
    [(OK, 0.01, Do.CLOSE), (OK, 0.01, Do.RESET), (OK, 0.01, answer(b"{}", status="408 Request Timeout"))],
    ids=["closed", "reset", "spoken to"],
)
def test_a_connection_spoilt_while_idle_is_replaced_before_the_next_request(loop: asyncio.Runner, idle: Turn) -> None:
    with scripted([idle], [(OK,)]) as server:
        first, second = ask(loop, server.url, GET, GET, rest_s=0.05)
    assert (first.error, second.error, second.retried) == (None, None, False)
    assert (server.connections, len(server.requests)) == (2, 2)


# Failures


def test_a_refused_connection_is_a_connect_error_and_the_next_request_tries_anew(loop: asyncio.Runner) -> None:
    for exchange in ask(loop, closed_port(), GET, GET):
        assert (exchange.error, exchange.status, exchange.first_byte_ns) == ("connect", 0, -1)
        assert exchange.start_ns <= exchange.end_ns


def test_a_connection_that_is_never_accepted_is_a_connect_error_at_the_time_out(loop: asyncio.Runner) -> None:
    with full_backlog() as server:
        (exchange,) = ask(loop, server.url, timeout_s=0.2)
    assert exchange.error == "connect"
    assert 0.15 < seconds(exchange) < 0.8


FAILURES: dict[str, tuple[str, Turn]] = {
    "hung up before the head": ("reset", (Do.RESET,)),
    "closed before the head": ("reset", (Do.CLOSE,)),
    "hung up in the head": ("reset", (OK[:20], 0.02, Do.RESET)),
    "closed in the head": ("reset", (OK[:20], Do.CLOSE)),
    "hung up in the body": ("reset", (OK[:-3], 0.02, Do.RESET)),
    "closed in the body": ("reset", (OK[:-3], Do.CLOSE)),
    "closed in a chunk": ("reset", (chunked(b"12345678")[:-12], Do.CLOSE)),
    "closed before the last chunk": ("reset", (chunked(b"12345678")[:-5], Do.CLOSE)),
    "hung up in a body without a length": ("reset", (b"HTTP/1.0 200 OK\r\n\r\n{", 0.02, Do.RESET)),
    "closed after an interim answer": ("reset", (b"HTTP/1.1 100 Continue\r\n\r\n", Do.CLOSE)),
    "closed as soon as open": ("reset", (Do.SPEAK_FIRST, Do.CLOSE)),
    "garbage": ("protocol", (b"\x00\x01\x02 no answer\r\n\r\n",)),
    "another protocol": ("protocol", (b"SSH-2.0-OpenSSH_9.6\r\n",)),
    "a length that is no number": ("protocol", (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",)),
    "two different lengths": ("protocol", (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",)),
    "a malformed chunk": ("protocol", (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",)),
    "a switch of protocols": ("protocol", (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",)),
    "a second answer": ("protocol", (OK + OK,)),
    "surplus bytes": ("protocol", (OK + b"surplus",)),
    "a body where none may be": ("protocol", (b"HTTP/1.1 204 No Content\r\n\r\n{}",)),
    "surplus bytes after the last": ("protocol", (answer(b"{}", "Connection: close") + b"surplus",)),
}


@pytest.mark.parametrize(("kind", "turn"), FAILURES.values(), ids=FAILURES)
def test_a_broken_answer_is_a_failure_of_its_kind(loop: asyncio.Runner, kind: str, turn: Turn) -> None:
    with scripted([turn], [(OK,)]) as server:
        broken, after = ask(loop, server.url, GET, GET, timeout_s=3)
    assert (broken.error, broken.retried) == (kind, False)
    assert broken.start_ns <= broken.end_ns
    assert seconds(broken) < 1
    assert (after.error, after.status) == (None, 200)


def test_the_kind_of_a_connection_closed_at_once_does_not_depend_on_luck(loop: asyncio.Runner) -> None:
    with scripted([(Do.SPEAK_FIRST, Do.CLOSE)]) as server:
        exchanges = ask(loop, server.url, *[GET] * 100, timeout_s=1)
    assert {exchange.error for exchange in exchanges} == {"reset"}
    assert max(seconds(exchange) for exchange in exchanges) < 0.5


def test_a_connection_hung_up_as_soon_as_open_fails_at_once(loop: asyncio.Runner) -> None:
    with scripted([(Do.SPEAK_FIRST, Do.RESET)]) as server:
        exchanges = ask(loop, server.url, *[GET] * 100, timeout_s=1)
    assert {exchange.error for exchange in exchanges} <= {"connect", "reset"}
    assert max(seconds(exchange) for exchange in exchanges) < 0.5


STALLS: dict[str, Turn] = {
    "before the head": (3.0,),
    "in the head": (OK[:20], 3.0),
    "in the body": (OK[:-3], 3.0),
    "in a chunk": (chunked(b"12345678")[:-12], 3.0),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n", 3.0),
    "dripping": [item for byte in OK * 2 for item in (bytes([byte]), 0.02)],
}


@pytest.mark.parametrize("turn", STALLS.values(), ids=STALLS)
def test_an_answer_that_does_not_end_in_time_is_a_time_out(loop: asyncio.Runner, turn: Turn) -> None:
    with scripted([turn], [(OK,)]) as server:
        late, after = ask(loop, server.url, GET, GET, timeout_s=0.25)
    assert (late.error, late.status, late.retried) == ("timeout", 0, False)
    assert 0.25 <= seconds(late) < 0.75
    assert after.error is None


def test_the_time_out_covers_a_retry_too(loop: asyncio.Runner) -> None:
    with scripted([(OK,), (0.15, Do.CLOSE)], [(3.0,)]) as server:
        _, late = ask(loop, server.url, GET, GET, timeout_s=0.3)
    assert (late.error, late.retried) == ("timeout", True)
    assert 0.3 <= seconds(late) < 0.9


@pytest.mark.parametrize("make", [answer, chunked])
def test_an_answer_above_the_cap_is_refused(
    loop: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, make: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(reading, "MAX_ANSWER_BYTES", 100_000)
    with scripted([(make(b"x" * 500_000),)], [(make(b"x" * 90_000),)]) as server:
        too_large, after = ask(loop, server.url, GET, GET)
    assert (too_large.error, after.error) == ("protocol", None)


# Giving up


async def abandon_while(connection: Connection, request: WireRequest, after_s: float) -> tuple[Exchange, Exchange]:
    asking = asyncio.create_task(exchange_over(connection, request))
    await asyncio.sleep(after_s)
    connection.abandon()
    abandoned = await asyncio.wait_for(asking, 1)
    return abandoned, await asyncio.wait_for(exchange_over(connection, request), 1)


@pytest.mark.parametrize("doing", ["opening", "waiting", "retrying"])
def test_a_request_given_up_stays_unanswered_and_nothing_more_is_sent(loop: asyncio.Runner, doing: str) -> None:
    async def given_up(served: Served) -> tuple[Exchange, Exchange]:
        request = encode(target_of(served.url), GET, None)
        connection = Connection(await resolve(target_of(served.url)), 5)
        if doing == "retrying":
            assert (await exchange_over(connection, request)).error is None
        return await abandon_while(connection, request, 0.05)

    script: list[list[Turn]] = [[(OK,), (Do.CLOSE,)], [(3.0,)]] if doing == "retrying" else [[(3.0,)]]
    with full_backlog() if doing == "opening" else scripted(*script) as server:
        for exchange in loop.run(given_up(server)):
            assert (exchange.error, exchange.end_ns, exchange.status) == ("in_flight", -1, 0)
    assert len(server.requests) == {"opening": 0, "waiting": 1, "retrying": 3}[doing]


@pytest.mark.parametrize("turns", range(6))
def test_giving_up_at_any_moment_of_opening_ends_the_request(loop: asyncio.Runner, turns: int) -> None:
    async def given_up(url: str) -> Exchange:
        connection = Connection(await resolve(target_of(url)), 5)
        asking = asyncio.create_task(exchange_over(connection, encode(target_of(url), GET, None)))
        for _ in range(turns):
            await asyncio.sleep(0)
        connection.abandon()
        try:
            return await asyncio.wait_for(asking, 1)
        finally:
            connection.close()

    with scripted([(3.0,)]) as server:
        assert loop.run(given_up(server.url)).error == "in_flight"


def test_giving_up_as_the_connect_time_out_strikes_ends_the_request(loop: asyncio.Runner) -> None:
    async def given_up(url: str) -> Exchange:
        connection = Connection(await resolve(target_of(url)), 0.05)
        asking = asyncio.create_task(exchange_over(connection, encode(target_of(url), GET, None)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + 0.0501, connection.abandon)
        time.sleep(0.06)
        return await asyncio.wait_for(asking, 1)

    with full_backlog() as server:
        assert loop.run(given_up(server.url)).error in ("in_flight", "connect")


# Requests


def sent(endpoint: Endpoint, token: str | None = None) -> bytes:
    target = target_of("http://h.test:81/base", endpoint).replaced(token_env="TOKEN" if token else None)
    return encode(target, endpoint, {"TOKEN": token or ""}).data


def test_a_request_is_what_httpx_makes_of_the_endpoint() -> None:
    request = sent(Endpoint(path="/a b".replace(" ", "%20"), params={"q": "ü&", "n": 1}), token="t0ken")
    assert request.startswith(b"GET /base/a%20b?q=%C3%BC%26&n=1 HTTP/1.1\r\n")
    assert b"\r\nHost: h.test:81\r\n" in request
    assert b"\r\nAuthorization: Bearer t0ken\r\n" in request
    assert request.endswith(b"\r\n\r\n")


def test_parameters_join_those_in_the_path() -> None:
    assert sent(Endpoint(path="/a?x=1", params={"y": 2})).startswith(b"GET /base/a?x=1&y=2 HTTP/1.1\r\n")
    assert sent(Endpoint(path="/a?x=1")).startswith(b"GET /base/a?x=1 HTTP/1.1\r\n")


def test_a_body_comes_with_its_length_and_type() -> None:
    request = sent(POST)
    assert b"\r\nContent-Type: application/json\r\n" in request
    assert b"\r\nContent-Length: 7\r\n" in request
    assert request.endswith(b'\r\n\r\n{"a":1}')


def test_an_endpoints_own_headers_win() -> None:
    request = sent(Endpoint(path="/", headers={"authorization": "Basic x", "Accept": "text/csv"}), token="t0ken")
    assert b"t0ken" not in request
    assert request.lower().count(b"authorization:") == request.lower().count(b"accept:") == 1


def test_a_token_that_no_header_can_hold_is_bad_input_and_not_shown() -> None:
    with pytest.raises(InputError, match="the variable TOKEN holds what no header can") as problem:
        sent(GET, "two\r\nlines")
    assert "lines" not in str(problem.value)


def test_a_header_that_is_not_ascii_is_bad_input() -> None:
    with pytest.raises(InputError, match="GET /: a header is not plain ASCII"):
        sent(Endpoint(path="/", headers={"X-Name": "ü"}))


# HEAD

HEAD = Endpoint(path="/", method="HEAD")
HEADS = [
    "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS)
def test_an_answer_to_head_ends_with_its_head_and_its_connection_goes_on(loop: asyncio.Runner, head: str) -> None:
    with scripted([(head.encode(),), (OK,), (head.encode(),)]) as server:
        exchanges = loop.run(ask_in_turn(server.url, [HEAD, GET, HEAD], 5, 0))
    assert [one.error for one in exchanges] == [None] * 3
    assert [body_of(one) for one in exchanges] == [b"", b'{"data": 1}', b""]
    assert exchanges[0].status == int(head.split("\r\n\r\n")[-2].split()[1])
    assert server.connections == 1


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"])
def test_a_connection_that_ends_after_an_answer_to_head_is_opened_anew(loop: asyncio.Runner, head: str) -> None:
    with scripted([(head.encode(), Do.CLOSE)], [(OK,)]) as server:
        assert [one.error for one in loop.run(ask_in_turn(server.url, [HEAD, GET], 5, 0.05))] == [None, None]
    assert server.connections == 2


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_half_a_head_is_no_answer(loop: asyncio.Runner, head: str) -> None:
    with scripted([(head.encode(), Do.CLOSE)]) as server:
        assert [one.error for one in loop.run(ask_in_turn(server.url, [HEAD], 5, 0))] == ["reset"]


@pytest.mark.parametrize("name", ["localhost.", "api.localhost", "LOCALHOST"])
def test_every_name_of_localhost_is_this_machine(loop: asyncio.Runner, name: str) -> None:
    assert set(loop.run(resolve(target_of(f"http://{name}:1"))).hosts) <= {"127.0.0.1", "::1"}


# Encodings


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("gzip", gzip.compress(b'{"data": 1}', mtime=0)),
        ("GZIP", gzip.compress(b'{"data": 1}', mtime=0)),
        ("deflate", zlib.compress(b'{"data": 1}')),
    ],
)
def test_an_encoded_body_is_delivered_as_it_came(loop: asyncio.Runner, name: str, encoded: bytes) -> None:
    exchange = ask_script(loop, answer(encoded, f"Content-Encoding: {name}"))
    assert (exchange.error, body_of(exchange)) == (None, encoded)
    assert exchange.header(b"content-encoding") == name.encode()
    assert exchange.received > len(encoded)
