"""Discovering a target, from real servers: what is found there, on which way, and who is asked for it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.session.discover import discover
from perflib.spec import InputError
from tests.servers import Served, answer, answering, closed_port, scripted

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "Shop"}, "paths": {"/a": {"get": {}}, "/b": {"post": {}}}}
WRITTEN = json.dumps(DOCUMENT).encode()
FOUND = answer(WRITTEN)


def moved(to: str, status: str = "301 Moved") -> bytes:
    return answer(b"", f"Location: {to}", status=status)


def at(paths: dict[str, bytes]) -> Callable[[str], bytes]:
    return lambda path: paths.get(path, answer(b"", status="404 Not Found"))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("to", ["/docs/openapi.json", "docs/openapi.json"])
def test_a_redirect_on_the_same_host_is_followed_and_the_base_url_stays(status: str, to: str) -> None:
    with answering(at({"/openapi.json": moved(to, status), "/docs/openapi.json": FOUND})) as server:
        assert discover(server.url).target.base_url == server.url


def test_a_redirect_to_another_port_of_the_host_moves_the_base_url() -> None:
    with answering(FOUND) as there, answering(moved(f"{there.url}/openapi.json")) as here:
        assert discover(f"{here.url}/api/").target.base_url == f"{there.url}/api"


@pytest.mark.parametrize(
    "to", ["http://192.0.2.1/openapi.json", "//192.0.2.1/", "ftp://127.0.0.1/", "file:///etc/passwd"]
)
def test_a_redirect_to_another_host_is_not_followed_and_told(to: str) -> None:
    with (
        answering(moved(to)) as server,
        pytest.raises(InputError, match=r"leads to another host, .*; name that one"),
    ):
        discover(server.url)


def test_redirects_in_a_circle_end() -> None:
    with answering(moved("/openapi.json")) as server, pytest.raises(InputError, match="more than 5 redirects"):
        discover(server.url)
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (answer(b"openapi: 3.1.0\npaths:\n"), "it is YAML; have the server offer it as JSON"),
        (answer(b"---\nswagger: '2.0'\n"), "it is YAML"),
        (answer(b"<html>"), "Expecting value"),
        (answer(b""), "Expecting value"),
        (answer(b"\xff\xfe\xff"), "no OpenAPI document there"),
        (answer(b"[" * 100_000), "recursion"),
        (answer(b'{"paths": ' + b"9" * 5000 + b"}"), "no OpenAPI document there"),
        (answer(b"no", status="404 Not Found"), "it answers 404 Not Found"),
        (answer(b"{}", status="500 Oops"), "it answers 500 Oops"),
        (answer(b"x", "Content-Encoding: gzip"), "no OpenAPI document there"),
        (moved("http://["), "no OpenAPI document there"),
        (moved(""), "more than 5 redirects"),
    ],
)
def test_what_is_no_document_is_told_in_one_line(content: bytes, says: str) -> None:
    with answering(content) as server, pytest.raises(InputError) as refused:
        discover(server.url)
    assert says in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_document_in_any_encoding_of_json_is_read(encoding: str) -> None:
    with answering(answer(WRITTEN.decode().encode(encoding))) as server:
        assert discover(server.url).target.name == "Shop"


def test_a_name_of_localhost_is_asked_on_this_machine() -> None:
    with answering(FOUND) as server:
        port = server.url.rpartition(":")[2]
        assert discover(f"http://localhost.:{port}").target.base_url == f"http://localhost.:{port}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=8), some, max_size=4),
)


@settings(deadline=None)
@given(JSON | st.dictionaries(st.just("paths"), st.dictionaries(st.text(max_size=9), JSON), min_size=1), st.booleans())
def test_any_json_is_read_or_refused_in_one_line(document: object, escaped: bool) -> None:
    content = json.dumps(document, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    with answering(answer(content)) as server:
        try:
            told = discover(server.url).in_words
        except InputError as error:
            told = str(error)
        assert told.isprintable()


# The environment

TARGET = '[target]\nname = "t"\nbase_url = "{url}"\nmetrics_url = "{url}/metrics"\n[[endpoint]]\npath = "/a"\n'
METRICS = answer(b"process_resident_memory_bytes 1e6\n", "Content-Type: text/plain")
NOWHERE = closed_port()
PROXIES = [
    {"HTTP_PROXY": NOWHERE, "http_proxy": NOWHERE},
    {"ALL_PROXY": "socks5://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9"},
    {"HTTPS_PROXY": "not a url", "NO_PROXY": "["},
    {"HTTP_PROXY": "http://\x7f", "NO_PROXY": "*, ,::1,[::1]:x"},
    {"SSL_CERT_FILE": "/nowhere.pem"},
    {"SSL_CERT_DIR": "/nowhere", "SSLKEYLOGFILE": "/nowhere/keys"},
    {"NETRC": "netrc"},
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "pyproject.toml").touch()
    for name in (".netrc", "netrc"):
        (tmp_path / name).write_text("machine 127.0.0.1 login anna password hunter2\n")
        (tmp_path / name).chmod(0o600)
    with scripted([(FOUND,)]) as served:
        yield served


def perflib(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "perflib", *words],
        cwd=folder,
        env=os.environ | {"HOME": str(folder), "PERFLIB_DATA": str(folder / "data")} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("environment", PROXIES, ids=lambda environment: next(iter(environment)))
def test_discover_asks_the_server_itself_whatever_the_environment_says(
    tmp_path: Path, server: Served, environment: dict[str, str]
) -> None:
    done = perflib(tmp_path, "discover", server.url, **environment)
    assert (done.returncode, done.stderr) == (0, "1 of 2 operations written; left out: POST /b (changes data)\n")
    assert b"authorization" not in b"".join(server.requests).lower()


@pytest.mark.parametrize("environment", [PROXIES[1], {**PROXIES[0], **PROXIES[4]}], ids=["socks", "http"])
def test_a_run_and_its_metrics_ask_the_server_itself_whatever_the_environment_says(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with answering(at({"/a": answer(), "/metrics": METRICS})) as target:
        (tmp_path / "pyproject.toml").touch()
        (tmp_path / "t.toml").write_text(TARGET.format(url=target.url))
        words = ("run", "light_load", "--target", "t.toml", "--duration", "2.5s", "--warmup", "0", "--users", "1")
        done = perflib(tmp_path, *words, "--think-time", "50ms", "--json", **environment)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["requests"]["failed"] == 0 < run["requests"]["completed"]
    assert run["memory"]["verdict"] != "NOT_SAMPLED"
    assert target.requests.count("/metrics") >= 2


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("command", ["discover", "run"])
def test_https_with_authorities_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, command: str, name: str
) -> None:
    (tmp_path / "pyproject.toml").touch()
    url = NOWHERE.replace("http:", "https:")
    (tmp_path / "t.toml").write_text(TARGET.format(url=url).replace(f'metrics_url = "{url}/metrics"', ""))
    words = ("discover", url) if command == "discover" else ("run", "light_load", "--target", "t.toml")
    done = perflib(tmp_path, *words, **{name: "/nowhere/file.pem"})
    assert done.returncode == 2
    assert f"{name}" in done.stderr
    assert "names a file that cannot be used" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("data/runs/*"))
