"""How a target is reached: TLS with certificates of its own, a Unix socket, a path, connections opened anew."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import uvloop

import perflib
from perflib.cli.app import main
from perflib.load.answer import Judge
from perflib.load.request import encode
from perflib.load.wire import Connection, resolve
from perflib.spec.undriven import GRPC, HTTP_2, WEBSOCKET
from perflib.store.folders import load_target
from perflib.text.notices import notices
from perflib.workbook.report.index import write_index
from perflib.workbook.report.outcome import Outcome
from tests.load.test_wire import exchange_over, expire_often
from tests.servers import Turn, answer, answering, chunked, closed_port, scripted
from tests.workbooks import entered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from perflib.load.exchange import Exchange

OK = answer()
APP = """
import json
async def app(scope, receive, send):
    if scope["type"] == "http":
        host = dict(scope["headers"])[b"host"].decode()
        head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
        await send(head)
        await send({"type": "http.response.body", "body": json.dumps({"path": scope["path"], "host": host}).encode()})
"""
NGINX = """
daemon off; pid nginx.pid; error_log stderr; worker_processes 1;
events {{}}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{port} ssl; listen unix:{folder}/nginx.sock ssl;
    ssl_certificate server.pem; ssl_certificate_key server.key; ssl_client_certificate ca.pem; ssl_verify_client on;
    location /base/ {{
      default_type application/json;
      if ($ssl_server_name != "api.internal") {{ return 421; }}
      return 200 '{{"client": "$ssl_client_s_dn"}}';
    }}
  }}
}}
"""
KEY = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out"
MUTUAL = 'ca_file = "ca.pem", client_cert = "client.pem", client_key = "client.key", server_name = "api.internal"'


def openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def issued(folder: Path, name: str, common_name: str, ca: str = "ca") -> None:
    """A certificate and its key, signed by an authority there."""
    (folder / f"{name}.ext").write_text(f"subjectAltName = DNS:{common_name}\n")
    openssl(folder, f"{KEY} {name}.key")
    openssl(folder, f"req -new -key {name}.key -subj /CN={common_name} -out {name}.csr")
    signed = f"-CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2 -extfile {name}.ext"
    openssl(folder, f"x509 -req -in {name}.csr {signed} -out {name}.pem")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA made by hand, what it issued, and what is wrong in one way each."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for ca in ("ca", "other-ca"):
        openssl(folder, f"{KEY} {ca}.key")
        openssl(folder, f"req -x509 -key {ca}.key -subj /CN={ca} -days 2 -out {ca}.pem")
    issued(folder, "server", "api.internal")
    issued(folder, "client", "tester")
    issued(folder, "stranger", "stranger", "other-ca")
    openssl(folder, "pkey -in client.key -aes128 -passout pass:secret -out encrypted.key")
    openssl(folder, "x509 -in client.pem -outform der -out client.der")
    (folder / "both.pem").write_text((folder / "client.pem").read_text() + (folder / "client.key").read_text())
    return folder


@pytest.fixture(scope="module")
def nginx(certificates: Path) -> Iterator[str]:
    """The base URL of an nginx that asks for client certificates, and answers below /base."""
    if shutil.which("nginx") is None:
        pytest.skip("no nginx")
    port = int(closed_port().rpartition(":")[2])
    (certificates / "nginx.conf").write_text(NGINX.format(port=port, folder=certificates))
    command = ["nginx", "-p", str(certificates), "-e", "stderr", "-c", "nginx.conf"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            await_socket(certificates / "nginx.sock")
            yield f"https://127.0.0.1:{port}/base"
        finally:
            server.terminate()


def await_socket(path: Path) -> None:
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        with socket.socket(socket.AF_UNIX) as probe:
            if path.exists() and probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"nothing listens on {path}")


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return entered(tmp_path, monkeypatch, "")


def target_file(book: Path, url: str, head: str = "", endpoint: str = 'path = "/a"') -> Path:
    file = book / "t.toml"
    file.write_text(f'[target]\nname = "t"\nbase_url = "{url}"\n{head}\n[[endpoint]]\n{endpoint}\n')
    return file


def with_certificates(book: Path, certificates: Path, url: str, tls: str) -> Path:
    for file in [*certificates.glob("*.pem"), *certificates.glob("*.key"), *certificates.glob("*.der")]:
        (book / file.name).write_bytes(file.read_bytes())
    return target_file(book, url, f"tls = {{ {tls} }}" if tls else "")


def asked(file: Path, times: int = 1, timeout_s: float = 3.0) -> list[Exchange]:
    """What the first endpoint of a target file answers over one connection slot."""

    async def ask() -> list[Exchange]:
        target = load_target(file)
        connection = Connection(await resolve(target), timeout_s)
        watching = asyncio.create_task(expire_often(connection))
        try:
            request = encode(target, target.endpoints[0])
            return [await exchange_over(connection, request) for _ in range(times)]
        finally:
            watching.cancel()
            connection.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(ask())


# TLS


def test_a_server_of_an_own_ca_that_asks_for_a_certificate_is_measured_and_the_run_holds_no_path(
    book: Path, certificates: Path, nginx: str
) -> None:
    file = with_certificates(book, certificates, nginx, MUTUAL)
    run = perflib.run("light_load", target=str(file), users=2, duration="0.5s", warmup=0, profile="quick")
    assert len(run.requests) > 10
    assert run.requests["error"].isna().all()
    kept = (next((book / "data/runs").glob("2*")) / "run.json").read_text()
    assert '"client.key"' in kept
    assert str(book) not in kept
    assert not any("verified" in one for one in notices(run))


@pytest.mark.parametrize(
    ("tls", "outcome"),
    [
        (MUTUAL, "fine"),
        (MUTUAL.replace("ca.pem", "server.pem"), "fine"),
        ('ca_file = "ca.pem", client_cert = "both.pem", server_name = "api.internal"', "fine"),
        (MUTUAL.replace('"client.pem"', '{ env = "CERT" }').replace('"client.key"', '{ env = "KEY" }'), "fine"),
        ('verify = false, client_cert = "both.pem", server_name = "api.internal"', "fine"),
        ("", "name its CA in tls.ca_file of the target file, or SSL_CERT_FILE"),
        ('ca_file = "other-ca.pem", server_name = "api.internal"', "name its CA in tls.ca_file"),
        (MUTUAL.replace("api.internal", "other.internal"), "name what it is issued to in tls.server_name"),
        ('ca_file = "ca.pem"', "name what it is issued to in tls.server_name"),
        (
            'ca_file = "ca.pem", server_name = "api.internal"',
            "asks for a client certificate; name it in tls.client_cert",
        ),
        (MUTUAL.replace("client.", "stranger."), "refuses the client certificate; mend tls.client_cert"),
    ],
)
def test_a_handshake_succeeds_or_says_which_key_of_the_target_file_mends_it(
    book: Path, certificates: Path, nginx: str, tls: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERT", str(certificates / "client.pem"))
    monkeypatch.setenv("KEY", str(certificates / "client.key"))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    file = with_certificates(book, certificates, nginx, tls)
    if "env" in tls:
        (book / "client.key").unlink()
    (exchange,) = asked(file)
    if outcome == "fine":
        assert (exchange.status, json.loads(b"".join(exchange.body))) == (200, {"client": "CN=tester"})
    else:
        assert outcome in judged(file, exchange)


def judged(file: Path, exchange: Exchange) -> str:
    """The reason that a failure is told by."""
    assert Judge(load_target(file).endpoints[0]).error_of(exchange) is not None
    return exchange.reason


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        (MUTUAL, ""),
        ('ca_file = "ca.pem", server_name = "api.internal"', "asks for a client certificate"),
        (MUTUAL.replace("client.", "stranger."), "the server refuses the client certificate (unknown ca); mend tls.cl"),
    ],
    ids=["right", "none", "a stranger's"],
)
def test_a_server_that_refuses_a_client_within_or_after_the_handshake_says_so(
    book: Path, certificates: Path, tls: str, reason: str, version: ssl.TLSVersion
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version, context.verify_mode = version, ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    with scripted([(OK,)], tls=context) as server:
        (exchange,) = asked(with_certificates(book, certificates, server.url, tls))
    assert exchange.error == ("connect" if reason else None)
    assert reason in exchange.reason
    assert not exchange.reason.endswith("before an answer")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
@pytest.mark.parametrize("secured", [False, True], ids=["h2c", "h2"])
def test_a_server_of_http_2_alone_is_called_one(book: Path, certificates: Path, secured: bool) -> None:
    make = "createSecureServer({key: f('server.key'), cert: f('server.pem')})" if secured else "createServer()"
    source = f"const f = require('fs').readFileSync; const s = require('http2').{make};"
    source += "s.listen(0, '127.0.0.1', () => console.log(s.address().port));"
    with subprocess.Popen(["node", "-e", source], cwd=certificates, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"{'https' if secured else 'http'}://127.0.0.1:{server.stdout.readline().strip()}"
        (exchange,) = asked(target_file(book, url, "tls.verify = false" if secured else ""))
        server.kill()
    assert exchange.reason.endswith(f"the server speaks {HTTP_2}")


BAD_FILES = {
    "no CA file": ('ca_file = "no.pem"', "tls.ca_file", "no.pem is no file"),
    "no certificate in it": ('ca_file = "client.key"', "tls.ca_file", "holds no certificate in PEM"),
    "certificate in DER": ('client_cert = "client.der", client_key = "client.key"', "tls.client_cert", "in PEM"),
    "no key": ('client_cert = "client.pem"', "tls.client_cert", "name its key in tls.client_key"),
    "another's key": ('client_cert = "client.pem", client_key = "server.key"', "tls.client_key", "another certificate"),
    "encrypted key": ('client_cert = "client.pem", client_key = "encrypted.key"', "tls.client_key", "is encrypted"),
    "no key in it": ('client_cert = "client.pem", client_key = "client.pem"', "tls.client_key", "no private key"),
    "key alone": ('client_key = "client.key"', "tls", "name it in client_cert"),
    "outside": ('ca_file = "../ca.pem"', "tls.ca_file", "below the target file's folder"),
    "absolute": ('ca_file = "/etc/ssl/ca.pem"', "tls.ca_file", "below the target file's folder"),
    "link to outside": ('ca_file = "link.pem"', "tls.ca_file", "outside of the target file's folder"),
    "variable not set": ('ca_file = { env = "NOT_SET" }', "tls.ca_file", "NOT_SET is not set"),
    "variable of no file": ('ca_file = { env = "NO_FILE" }', "tls.ca_file", "mend the path that $NO_FILE holds"),
    "no name": ('server_name = "https://x"', "tls.server_name", "write it as api.internal"),
}


@pytest.mark.parametrize(("tls", "key", "mend"), BAD_FILES.values(), ids=BAD_FILES)
def test_what_cannot_be_used_is_refused_in_one_line_before_anything_is_sent(
    book: Path,
    certificates: Path,
    tls: str,
    key: str,
    mend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_FILE", "/nowhere.pem")
    (book / "link.pem").symlink_to(certificates / "ca.pem")
    with scripted([(OK,)]) as server:
        with_certificates(book, certificates, server.url.replace("http", "https"), tls)
        assert main(["run", "light_load", "--target", "t.toml", "--duration", "1s"]) == 2
        assert server.connections == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert key in line
    assert mend in line
    assert not list(book.glob("data/runs/*"))


def test_a_certificate_that_nobody_verifies_is_said_loudly(
    book: Path, certificates: Path, nginx: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = with_certificates(book, certificates, nginx, f"verify = false, {MUTUAL}")
    run = perflib.run("light_load", target=str(file), users=1, duration="0.3s", warmup=0, profile="quick")
    said = "certificate is not verified (tls.verify = false"
    assert run.requests["error"].isna().all()
    assert said in capsys.readouterr().err
    assert said in notices(run)[0]
    write_index(book, [Outcome("light_load", "", run)], "now")
    assert f'<p class="failed" role="note">The target&#39;s {said}' in (book / "index.html").read_text()


def test_another_host_is_told_which_variables_and_files_it_gets(
    book: Path, certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = with_certificates(book, certificates, "https://192.0.2.1", MUTUAL)
    file.write_text(file.read_text().replace("[target]", '[target]\ntoken_env = "THE_TOKEN"'))
    assert main(["run", "light_load", "--target", "t.toml"]) == 2
    assert "requests at most, with THE_TOKEN, client.pem;" in capsys.readouterr().err


# Unix sockets


@contextmanager
def uvicorn(folder: Path, name: str) -> Iterator[int]:
    """A server on a Unix socket of its own folder, by the name that it has there; its process."""
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "uvicorn", "app:app", "--uds", name, "--log-level", "error"]
    with subprocess.Popen(command, cwd=folder) as server:
        try:
            await_socket(folder / name)
            yield server.pid
        finally:
            server.terminate()


def test_a_server_on_a_unix_socket_is_measured_and_so_is_its_memory(book: Path) -> None:
    file = target_file(book, "http://api.example/v1", 'unix_socket = "api.sock"', 'path = "/a"\nexpect.keys = ["host"]')
    with uvicorn(book, "api.sock") as pid:
        run = perflib.run("light_load", target=str(file), users=3, duration="0.6s", warmup=0, profile="quick")
        (exchange,) = asked(file)
    assert json.loads(b"".join(exchange.body)) == {"path": "/v1/a", "host": "api.example"}
    assert len(run.requests) > 10
    assert run.requests["error"].isna().all()
    assert (run.requests["connect_ns"] > 0).sum() == 3
    assert run.facts.generator.clock == "read"
    if sys.platform == "linux":
        assert (run.facts.memory.kind, run.facts.memory.pid) == ("process", pid)
        assert "listens on api.sock" in run.facts.memory.told


def test_a_unix_socket_can_speak_tls_too(book: Path, certificates: Path, nginx: str) -> None:
    file = with_certificates(book, certificates, nginx.replace("127.0.0.1", "api.internal"), MUTUAL)
    (book / "s.sock").symlink_to(certificates / "nginx.sock")
    file.write_text(file.read_text().replace("[target]", '[target]\nunix_socket = "s.sock"'))
    (exchange,) = asked(file)
    assert (exchange.error, exchange.status) == (None, 200)
    assert 0 < exchange.tls_ns < exchange.connect_ns


def test_a_url_of_the_command_line_is_asked_there_and_not_by_the_socket(book: Path) -> None:
    file = target_file(book, "http://api.example", 'unix_socket = "gone.sock"')
    with answering(OK) as server:
        run = perflib.run("light_load", target=str(file), url=server.url, duration="0.2s", warmup=0, profile="quick")
    assert run.requests["error"].isna().all()


def test_a_full_queue_of_a_unix_socket_is_the_servers_time_and_no_limit_of_this_machine(book: Path) -> None:
    def answer_late(listener: socket.socket) -> None:
        time.sleep(0.3)
        while True:
            with listener.accept()[0] as connection:
                if connection.recv(1000):
                    connection.sendall(OK)
                    return

    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(str(book / "full.sock"))
        listener.listen(0)
        filler.connect(str(book / "full.sock"))
        filler.close()
        serving = threading.Thread(target=answer_late, args=(listener,), daemon=True)
        serving.start()
        (exchange,) = asked(target_file(book, "http://h", 'unix_socket = "full.sock"'))
        serving.join(5)
    assert (exchange.error, exchange.status) == (None, 200)
    if sys.platform == "linux":
        assert exchange.connect_ns > 0.2e9


def test_open_files_that_a_server_sends_along_are_left_unread(book: Path) -> None:
    def send_file(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(1000)
            socket.send_fds(connection, [OK], [listener.fileno()])

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(book / "s.sock"))
        listener.listen()
        serving = threading.Thread(target=send_file, args=(listener,))
        serving.start()
        (exchange,) = asked(target_file(book, "http://h", 'unix_socket = "s.sock"'))
        serving.join()
    assert (exchange.error, exchange.status, exchange.read_late_ns) == (None, 200, -1)


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        ("no.sock", "no such socket; start its server"),
        ("t.toml", "no such socket"),
        (f"{'x' * 120}.sock", "name it by a shorter path"),
        ("unix:///run/api.sock", "write /run/api.sock"),
    ],
)
def test_a_socket_that_nobody_can_connect_to_is_refused_in_one_line(
    book: Path, path: str, mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target_file(book, "http://h", f'unix_socket = "{path}"')
    assert main(["run", "light_load", "--target", "t.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unix_socket: " in line
    assert mend in line


# Connections opened anew, time-outs


def test_a_connection_is_opened_anew_after_as_many_requests_as_asked(book: Path) -> None:
    with answering(OK) as server:
        exchanges = asked(target_file(book, server.url, "reconnect_every = 3"), times=8)
        assert server.connections == 3
    assert [one.connect_ns > 0 for one in exchanges] == [True, False, False, True, False, False, True, False]
    assert not any(one.error or one.retried for one in exchanges)


def test_an_endpoint_has_a_time_out_of_its_own(book: Path) -> None:
    slow = 'path = "/slow"\ntimeout = "100ms"\n[[endpoint]]\npath = "/late"'
    with answering(lambda path: (0.4 if path == "/slow" else 0.2, OK)) as server:
        file = target_file(book, server.url, "", slow)
        run = perflib.run("light_load", target=str(file), users=2, duration="0.8s", warmup=0, profile="quick")
    failed = run.requests[run.requests["error"].notna()]
    assert set(failed["endpoint"]) == {"GET /slow"}
    assert set(failed["error"]) == {"timeout"}
    assert (run.requests["endpoint"] == "GET /late").any()


# What perflib does not drive


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (
            (chunked(b"data: 1\n\n", headers=["Content-Type: text/event-stream"])[:-5], 2.0),
            "never ends: text/event-stream, given up after 9 bytes",
        ),
        ((answer(b"", "Upgrade: websocket", status="426 Upgrade Required"),), f"the server wants {WEBSOCKET}"),
        ((answer(b"", "Upgrade: h2c", status="426 Upgrade Required"),), f"the server wants {HTTP_2}"),
        ((answer(b"", "Proxy-Authenticate: Basic", status="407 Proxy"),), "a proxy asks who is there"),
        ((b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",), f"the server switches to {WEBSOCKET} (101)"),
        ((b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18,), f"the server speaks {HTTP_2}"),
        ((answer(b"Client sent an HTTP request to an HTTPS server.", status="400 Bad"),), "write https://"),
    ],
)
def test_what_is_no_answer_of_http_1_says_what_it_is(book: Path, turn: Turn, reason: str) -> None:
    with scripted([turn]) as server:
        file = target_file(book, server.url)
        (exchange,) = asked(file, timeout_s=0.3)
    assert reason in judged(file, exchange)


@pytest.mark.parametrize(
    ("url", "endpoint", "says"),
    [
        ("ws://127.0.0.1:1/live", 'path = "/a"', WEBSOCKET),
        ("grpc://127.0.0.1:1", 'path = "/a"', GRPC),
        ("http+unix://%2Frun%2Fapi.sock", 'path = "/a"', "unix_socket = "),
        ("http://127.0.0.1:1", 'path = "/a"\nheaders = { Upgrade = "websocket" }', WEBSOCKET),
        ("http://127.0.0.1:1", 'path = "/a"\nheaders = { content-type = "application/grpc+proto" }', GRPC),
    ],
)
def test_what_perflib_does_not_drive_is_refused_with_what_does(
    book: Path, url: str, endpoint: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target_file(book, url, "", endpoint)
    assert main(["run", "light_load", "--target", "t.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_url_of_the_command_line_that_is_no_http_is_refused_with_what_drives_it(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["run", "light_load", "--url"], ["discover"]):
        assert main([*command, "wss://127.0.0.1:1"]) == 2
        assert WEBSOCKET in capsys.readouterr().err
