"""Connecting: the first address that answers, and why none does."""

import asyncio
import errno
import resource
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import uvloop

from perflib.load.connecting import fault_of, interleaved
from perflib.load.exchange import Exchange
from perflib.load.wire import Address, Connection
from tests.load.test_wire import GET, OK, POST, ask, encode, exchange_over, seconds, target_of
from tests.servers import Do, answer, answering, closed_port, full_backlog, scripted


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def ask_at(loop: asyncio.Runner, address: Address, timeout_s: float = 5.0) -> Exchange:
    """Ask over a connection of its own."""
    connection = Connection(address, timeout_s)
    try:
        return loop.run(exchange_over(connection, encode(target_of(f"http://h:{address.port}"), GET, None)))
    finally:
        connection.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


# The first address that answers


def test_the_families_take_turns() -> None:
    assert interleaved(["2001::1", "2001::2", "2001::3", "10.0.0.1"]) == ("2001::1", "10.0.0.1", "2001::2", "2001::3")
    assert interleaved(["10.0.0.1", "10.0.0.2", "::1"]) == ("10.0.0.1", "::1", "10.0.0.2")
    assert interleaved(["10.0.0.1"]) == ("10.0.0.1",)


def test_an_address_that_swallows_every_packet_costs_one_wait_and_no_second(loop: asyncio.Runner) -> None:
    with scripted([(OK,)], host="::1") as server, full_backlog(port_of(server.url)):
        address = Address(("127.0.0.1", "::1"), port_of(server.url), None, None)
        first, *later = [ask_at(loop, address) for _ in range(5)]
    assert (first.error, [exchange.error for exchange in later]) == (None, [None] * 4)
    assert seconds(first) < 3  # of 5 s: it did not wait for the time-out
    assert min(map(seconds, later)) < seconds(first) / 2
    assert address.hosts == ("::1", "127.0.0.1")
    assert server.connections == 5


def test_an_address_that_refuses_costs_no_wait(loop: asyncio.Runner) -> None:
    with scripted([(OK,)], host="::1") as server:
        address = Address(("127.0.0.1", "::1"), port_of(server.url), None, None)
        assert min(seconds(ask_at(loop, Address(address.hosts, address.port, None, None))) for _ in range(5)) < 0.2


def attempts_at(port: int) -> int:
    """How many connections of this process wait for an answer from this port."""
    tried = psutil.Process().net_connections("tcp")
    return sum(1 for one in tried if one.status == psutil.CONN_SYN_SENT and one.raddr and one.raddr.port == port)


def test_the_loser_of_the_race_is_hung_up(loop: asyncio.Runner) -> None:
    with scripted([(OK,)], host="::1") as server, full_backlog(port_of(server.url)):
        before = attempts_at(port_of(server.url))
        ask_at(loop, Address(("127.0.0.1", "::1"), port_of(server.url), None, None))
        assert attempts_at(port_of(server.url)) == before


def test_all_addresses_share_one_time_out(loop: asyncio.Runner) -> None:
    with full_backlog() as silent:
        port = port_of(silent.url)
        exchange = ask_at(loop, Address(("127.0.0.1", "127.0.0.1", "127.0.0.1"), port, None, None), timeout_s=0.6)
    assert (exchange.error, exchange.reason) == ("connect", "no connection within 0.6 s")
    assert 0.55 < seconds(exchange) < 1.5


def test_where_no_address_answers_the_reason_is_the_most_telling(loop: asyncio.Runner) -> None:
    port = port_of(closed_port())
    exchange = ask_at(loop, Address(("127.0.0.1", "::1"), port, None, None))
    assert (exchange.error, exchange.reason) == ("connect", "connection refused")


# Why there is none


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (errno.EMFILE, "generator", "raise `ulimit -n`"),
        (errno.ENFILE, "generator", "raise `ulimit -n`"),
        (errno.EADDRNOTAVAIL, "generator", "net.ipv4.ip_local_port_range"),
        (errno.EADDRINUSE, "generator", "net.ipv4.ip_local_port_range"),
        (errno.ENOBUFS, "generator", "no memory"),
        (errno.ENOMEM, "generator", "no memory"),
        (errno.EAGAIN, "generator", "no memory"),
        (errno.ECONNREFUSED, "connect", "connection refused"),
        (errno.EHOSTUNREACH, "connect", "no route to host"),
        (errno.ENETUNREACH, "connect", "network is unreachable"),
        (errno.ETIMEDOUT, "connect", "timed out"),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else "",
)
def test_what_this_machine_refuses_is_no_failure_of_the_target(number: int, kind: str, told: str) -> None:
    fault = fault_of(OSError(number, "x"), "connect")
    assert fault.kind == kind
    assert told in fault.reason


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process may open none until the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("127.0.0.1", "::1")], ids=["one address", "two addresses"])
def test_a_process_that_may_open_no_more_files_blames_itself(loop: asyncio.Runner, hosts: tuple[str, ...]) -> None:
    async def refused_at(address: Address) -> Exchange:
        connection, request = Connection(address, 5), encode(target_of(f"http://h:{address.port}"), GET, None)
        with no_more_files():
            return await exchange_over(connection, request)

    with answering(OK) as server:
        address = Address(hosts, port_of(server.url), None, None)
        refused = loop.run(refused_at(address))
        after = ask_at(loop, address)
    assert (refused.error, refused.status) == ("generator", 0)
    assert "ulimit -n" in refused.reason
    assert after.error is None


def certificate(folder: Path, **names: str) -> ssl.SSLContext:
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem {subject}"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def tls(folder: Path) -> ssl.SSLContext:
    return certificate(folder)


def test_a_certificate_of_an_unknown_ca_says_how_to_name_it(loop: asyncio.Runner, tls: ssl.SSLContext) -> None:
    with scripted([(OK,)], tls=tls) as server:
        (exchange,) = ask(loop, server.url)
    assert exchange.error == "connect"
    assert exchange.reason.startswith("certificate verify failed: self")
    assert exchange.reason.endswith("; name its CA in tls.ca_file of the target file, or SSL_CERT_FILE")


def test_a_certificate_of_another_name_says_so(
    loop: asyncio.Runner, tls: ssl.SSLContext, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    with scripted([(OK,)], tls=tls) as server:
        (exchange,) = ask(loop, server.url)
    assert exchange.error == "connect"
    assert "127.0.0.1" in exchange.reason
    assert "SSL_CERT_FILE" not in exchange.reason


def test_the_tls_handshake_is_told_apart_from_connecting(
    loop: asyncio.Runner, tls: ssl.SSLContext, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    with scripted([(OK,), (OK,)], tls=tls) as server:
        first, again = ask(loop, server.url.replace("127.0.0.1", "localhost"), GET, GET)
    with answering(OK) as plain_server:
        plain, *_ = ask(loop, plain_server.url)
    assert 0 < first.tls_ns < first.connect_ns < first.first_byte_ns - first.start_ns
    assert (again.error, again.connect_ns, again.tls_ns) == (None, 0, 0)
    assert (plain.connect_ns > 0, plain.tls_ns) == (True, 0)


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ((Do.SPEAK_FIRST, b"SSH-2.0-OpenSSH_9.6\r\n"), "the server answers without TLS; write http://"),
        ((Do.SPEAK_FIRST, b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the server answers without TLS; write http://"),
        ((Do.SPEAK_FIRST, 0.05, Do.CLOSE), "closed during the TLS handshake"),
    ],
    ids=["SSH", "HTTP", "closed"],
)
def test_a_handshake_that_fails_says_why(loop: asyncio.Runner, turn: tuple[Do | bytes, ...], reason: str) -> None:
    with scripted([turn]) as server:
        (exchange,) = ask(loop, server.url.replace("http", "https"), timeout_s=3)
    assert (exchange.error, exchange.reason) == ("connect", reason)


@pytest.mark.parametrize(
    ("turn", "kind", "reason"),
    [
        ((answer(b"x" * 500)[:-380], Do.CLOSE), "reset", "closed after 120 of 500 bytes"),
        ((answer(b"x" * 500)[:-380], 0.02, Do.RESET), "reset", "connection reset by peer after 120 of 500 bytes"),
        ((OK[:20], 0.02, Do.CLOSE), "reset", "closed within the head of the answer"),
        ((Do.CLOSE,), "reset", "closed before an answer"),
        ((answer(b"x" * 500)[:-380], 3.0), "timeout", "given up after 120 of 500 bytes"),
        ((3.0,), "timeout", "given up before an answer"),
    ],
)
def test_an_answer_that_breaks_off_says_how_far_it_came(
    loop: asyncio.Runner, turn: tuple[Do | bytes | float, ...], kind: str, reason: str
) -> None:
    with scripted([turn]) as server:
        (exchange,) = ask(loop, server.url, POST, timeout_s=0.3)
    assert (exchange.error, exchange.reason) == (kind, reason)
