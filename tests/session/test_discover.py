"""Discovering a target, from real servers: what is found there, on which way, and who is asked for it."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.cli.app import main
from perflib.session.discover import Wishes, discover
from perflib.session.finding import PLACES
from perflib.spec import Expect, InputError, Target
from perflib.spec.discovered import Discovered
from perflib.text.target_file import target_file
from tests.servers import Answers, Served, answer, answering, closed_port, scripted

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "Shop"}, "paths": {"/a": {"get": {}}, "/b": {"post": {}}}}
WRITTEN = json.dumps(DOCUMENT).encode()
FOUND = answer(WRITTEN)
ALONE = Wishes(tries=False)


def base_url(found: Discovered) -> object:
    return found.head["base_url"]


def moved(to: str, status: str = "301 Moved") -> bytes:
    return answer(b"", f"Location: {to}", status=status)


def at(paths: dict[str, bytes]) -> Callable[[str], bytes]:
    return lambda path: paths.get(path, answer(b"", status="404 Not Found"))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("to", ["/docs/openapi.json", "docs/openapi.json"])
def test_a_redirect_on_the_same_host_is_followed_and_the_base_url_stays(status: str, to: str) -> None:
    with answering(at({"/openapi.json": moved(to, status), "/docs/openapi.json": FOUND})) as server:
        assert base_url(discover(server.url)) == server.url


def test_a_redirect_to_another_port_of_the_host_moves_the_base_url() -> None:
    with answering(FOUND) as there, answering(moved(f"{there.url}/openapi.json")) as here:
        assert base_url(discover(f"{here.url}/api/")) == f"{there.url}/api"


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
        discover(f"{server.url}/openapi.json")
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (answer(b"openapi: 3.1.0\npaths:\n"), "not an OpenAPI document (no paths)"),
        (answer(b"a: [1"), "while parsing a flow sequence"),
        (answer(b"<html>"), "it is a page, and links to no document"),
        (answer(b"{}"), "it is no OpenAPI document"),
        (answer(b""), "it is no OpenAPI document"),
        (answer(b"\xff\xfe\xff"), "no OpenAPI document there"),
        (answer(b"[" * 100_000), "nested too deep"),
        (answer(b"- " * 100_000), "nested too deep"),
        (answer(b"a: &a [*a]"), "the alias *a refers to nothing, or to itself"),
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
        assert discover(server.url).head["name"] == "Shop"


def test_a_name_of_localhost_is_asked_on_this_machine() -> None:
    with answering(FOUND) as server:
        port = server.url.rpartition(":")[2]
        assert base_url(discover(f"http://localhost.:{port}")) == f"http://localhost.:{port}"


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
            told = discover(f"{server.url}/openapi.json", ALONE).in_words
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
    with scripted([(FOUND,)] * 9) as served:
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
    said = f"trying 1 GET of {server.url}, one at a time\n1 of 2 taken; left out: 1 changes data\n"
    assert (done.returncode, done.stderr) == (0, said)
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


# Where documents are found


@pytest.mark.parametrize("place", PLACES)
def test_a_document_is_found_at_the_places_where_frameworks_serve_it(place: str) -> None:
    with answering(at({place: FOUND})) as server:
        found = discover(server.url, ALONE)
    assert (found.where, base_url(found)) == (server.url + place, server.url)


@pytest.mark.parametrize("content", [FOUND, answer(b"openapi: 3.1.0\ninfo: {title: Shop}\npaths: {/a: {get: {}}}\n")])
@pytest.mark.parametrize("path", ["/docs/my.yaml", "/schema?format=json", "/hidden"])
def test_the_documents_own_url_is_no_base_url(path: str, content: bytes) -> None:
    with answering(at({path: content})) as server:
        found = discover(server.url + path, ALONE)
    assert (base_url(found), found.taken[0].table["path"]) == (server.url, "/a")


def test_a_base_url_with_a_path_stays_where_the_document_is_above_it() -> None:
    with answering(at({"/openapi.json": FOUND})) as server:
        assert base_url(discover(f"{server.url}/api", ALONE)) == f"{server.url}/api"
        wishes = Wishes(tries=False, url=f"{server.url}/v2")
        assert base_url(discover(f"{server.url}/openapi.json", wishes)) == f"{server.url}/v2"


@pytest.mark.parametrize(
    "page",
    [
        b'<!DOCTYPE html><script>SwaggerUIBundle({url: "/hidden/shop.json"})</script>',
        b"<html><redoc spec-url='../hidden/shop.json'></redoc>",
        b'<html><link href="/style.css"><a href="/hidden/shop.json">the document</a>',
    ],
)
@pytest.mark.parametrize("at_", ["/docs", "/redoc"])
def test_a_page_that_shows_the_document_says_where_it_is(page: bytes, at_: str) -> None:
    answers = {at_: answer(page, "Content-Type: text/html"), "/hidden/shop.json": FOUND}
    with answering(at(answers)) as server:
        assert discover(server.url, ALONE).where == f"{server.url}/hidden/shop.json"
        assert discover(server.url + at_, ALONE).where == f"{server.url}/hidden/shop.json"


def test_a_page_in_answer_to_everything_is_no_document() -> None:
    page = answer(b"<!doctype html><div id=app>", "Content-Type: text/html")
    says = r"links to no document\), nor at \d+ other places; name its URL or file"
    with answering(page) as server, pytest.raises(InputError, match=says):
        discover(server.url)


def test_a_file_names_its_server_itself_unless_the_user_does(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("swagger: '2.0'\nhost: 192.0.2.1\nbasePath: /v1\nschemes: [http]\npaths: {/a: {get: {}}}\n")
    assert base_url(discover(str(file), ALONE)) == "http://192.0.2.1/v1"
    wishes = Wishes(tries=False, url="http://127.0.0.1:9")
    assert base_url(discover(str(file), wishes)) == "http://127.0.0.1:9/v1"
    with pytest.raises(InputError, match=r"192.0.2.1 is not this machine, .* about 3 requests at most; .*--no-try"):
        discover(str(file))


@pytest.mark.parametrize(("name", "content"), [("a.json", b"{"), ("a.yaml", b"\t"), ("a.json", b"[]"), ("gone", None)])
def test_a_file_that_is_no_document_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{file}: .*; name (an OpenAPI document|another)"):
        discover(str(file))


# The token


def test_the_token_goes_to_the_named_server_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERF_API_TOKEN", "s3cret")
    bearer = DOCUMENT | {"components": {"securitySchemes": {"b": {"type": "http", "scheme": "bearer"}}}}
    there_too = bearer | {"servers": [{"url": "{there}"}]}
    file = tmp_path / "a.json"
    with scripted([(answer(json.dumps(bearer).encode()),)] * 9) as there:
        with scripted([(moved(f"{there.url}/openapi.json"),)] * 9) as here:
            discover(f"{here.url}/openapi.json")
        file.write_text(json.dumps(there_too).replace("{there}", there.url))
        discover(str(file))
        assert here.requests
        assert all(b"Bearer s3cret" in request for request in here.requests)
        assert len(there.requests) == 7
        assert not any(b"s3cret" in request for request in there.requests)
        discover(there.url)
    assert all(b"Bearer s3cret" in request for request in there.requests[7:])


# Tries


def tried(
    paths: dict[str, object],
    answers: Answers,
    sent: list[object] | None = None,
    patience_s: float = 5.0,
    **more: object,
) -> Discovered:
    """What is discovered of a server with these GETs; `sent` gets what was asked for."""
    document = {"openapi": "3.1.0", "paths": {path: {"get": get} for path, get in paths.items()}} | more
    text = answer(json.dumps(document).encode())

    def said(path: str) -> bytes | tuple[float, bytes]:
        return text if path == "/openapi.json" else answers(path) if callable(answers) else answers

    with answering(said) as server:
        found = discover(server.url, Wishes(patience_s=patience_s))
    if sent is not None:
        sent += server.requests[1:]
    return found


def paths_of(found: Discovered) -> list[str]:
    return [endpoint.path for endpoint in Target.from_document(tomllib.loads(target_file(found)), "").endpoints]


def test_ids_in_the_answers_of_lists_are_what_the_others_are_asked_with() -> None:
    def said(path: str) -> bytes:
        body: object = {
            "/clients": {"data": [{"client_id": 7, "name": "a"}, {"client_id": 8}]},
            "/clients/7/orders": [{"id": "x/1", "lines": [1]}],
            "/tags": ["red", "blue"],
            "/companies": {"page": 1, "items": [{"uuid": "u-1", "vat_id": "DE1"}]},
        }.get(path, {"a": path})
        known = ("/clients", "/clients/7", "/clients/7/orders", "/clients/7/orders/x%2F1", "/tags", "/tags/red")
        more = ("/companies", "/companies/u-1", "/taxes/DE1", "/news?company_id=u-1")
        return answer(json.dumps(body).encode(), status="200 OK" if path in (*known, *more) else "404 Not Found")

    news = {"parameters": [{"in": "query", "name": "company_id", "required": True, "schema": {"type": "string"}}]}
    paths = ["/clients/{clientId}/orders/{order_id}", "/clients/{clientId}", "/clients", "/clients/{id}/orders"]
    paths += ["/tags/{tag}", "/tags", "/unknown/", "/companies", "/companies/{pk}", "/taxes/{vatId}"]
    found = tried({path: {} for path in paths} | {"/news": news}, said)
    assert found.in_words == "10 of 11 taken; left out: 1 answered 404"
    assert "/clients/7/orders/x%2F1" in paths_of(found)
    assert "# from an answer of the target: clientId = 7\n" in target_file(found)


def test_a_value_that_the_target_does_not_know_is_left_to_be_filled_in() -> None:
    paths = {"/clients/{id}": {}, "/one/{id}": {"parameters": [{"in": "path", "name": "id", "example": 9}]}}
    found = tried(paths, at({"/one/9": answer()}))
    assert found.in_words == "1 of 2 taken; left out: 1 needs a value"
    assert (
        '# left out: needs a value (id = 1 answered 404)\n# [[endpoint]]\n# name = "GET /clients/{id}"'
        in target_file(found)
    )


def test_a_second_value_is_tried_where_the_first_is_not_known_and_three_at_most() -> None:
    examples = {str(number): {"value": number} for number in range(9)}
    paths = {"/a/{id}": {"parameters": [{"in": "path", "name": "id", "examples": examples}]}}
    assert paths_of(tried(paths, at({"/a/2": answer()}))) == ["/a/2"]
    sent: list[object] = []
    assert tried(paths, at({"/a/3": answer()}), sent).in_words == "0 of 1 taken; left out: 1 needs a value"
    assert sent == ["/a/0", "/a/1", "/a/2"]


def test_what_cannot_be_measured_is_left_out_with_its_reason_as_a_comment() -> None:
    turns = {"/turns": 0}

    def said(path: str) -> bytes | tuple[float, bytes]:
        turns[path] = turns.get(path, 0) + 1
        stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
        return {
            "/fails": answer(b"", status="500 Oops"),
            "/slow": (30.0, answer()),
            "/stream": stream,
            "/drips": stream.replace(b"text/event-stream", b"application/json"),
            "/turns": answer(b"", status="503 Busy" if turns["/turns"] == 3 else "200 OK"),
            "/moved": answer(b"", "Location: /a", status="302 Found"),
            "/cut": b"HTTP/1.1 200",
        }.get(path, answer())

    sent: list[object] = []
    names = ("/a", "/fails", "/slow", "/stream", "/drips", "/turns", "/moved", "/logout")
    found = tried({path: {} for path in names}, said, sent, patience_s=0.4)
    assert paths_of(found) == ["/a"]
    text = target_file(found)
    for why in (
        "answered 500",
        "took over 0.4 s (given up before an answer)",
        "never ends (given up after 9 bytes)",
        "answers in turn with different statuses (200, then 503)",
        "answered 302",
        "may change data (its path or operationId says so)",
    ):
        assert f"# left out: {why}\n# [[endpoint]]\n" in text
    assert "/logout" not in sent
    assert sent.count("/fails") == 3
    assert "1 took over 0.4 s" in found.in_words
    assert "2 never end" in found.in_words


def documenting(status: str, kind: str, *keys: str) -> dict[str, object]:
    schema = {"type": "object", "properties": {key: {} for key in keys}}
    return {"responses": {status: {"content": {kind: {"schema": schema}}}}}


@pytest.mark.parametrize(
    ("get", "said", "expect"),
    [
        (documenting("200", "application/json", "data", "next"), answer(), {"keys": ("data",)}),
        (documenting("2XX", "*/*", "data"), answer(), {"keys": ("data",)}),
        (documenting("default", "application/json", "data"), answer(b"[1]"), {}),
        (documenting("200", "application/json", "a.b"), answer(b'{"a.b": 1}'), {}),
        ({}, answer(), {}),
        (documenting("200", "application/json"), answer(b"<p>", "Content-Type: text/html; charset=utf-8"), {}),
        (documenting("301", "text/plain"), answer(b"", "Location: /", status="301 Moved"), {"status": 301}),
        ({}, b"HTTP/1.1 204 Nothing\r\n\r\n", {"status": 204, "content_type": None}),
    ],
)
def test_what_is_expected_was_seen_and_is_documented(get: object, said: bytes, expect: dict[str, object]) -> None:
    text = target_file(tried({"/a": get}, said))
    found = Target.from_document(tomllib.loads(text), "").endpoints[0].expect
    kind = "text/html" if b"text/html" in said else "application/json"
    assert found.model_dump() == Expect(status=200, content_type=kind).model_dump() | expect
    assert ("# answers text/html, where the document says application/json" in text) == (kind == "text/html")


def test_no_more_requests_are_sent_than_are_allowed() -> None:
    with answering(at({"/openapi.json": answer(b'{"paths": {"/a": {"get": {}}, "/b": {"get": {}}}}')})) as server:
        found = discover(server.url, Wishes(max_requests=1))
        assert server.requests == ["/openapi.json", "/a"]
    assert found.in_words.startswith("0 of 2 taken; left out: 1 answered 404, 1 was not tried")


def test_a_key_that_is_not_there_is_named_where_answers_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    key = {"securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}}
    found = tried({"/a": {}}, answer(b"", status="401 No"), components=key)
    assert found.in_words == "0 of 1 taken; left out: 1 answered 401; export API_KEY for those that answered 401 or 403"


def test_what_was_written_runs_without_a_failure(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    paths = {"/items": {"get": {}}, "/items/{id}": {"get": {}}, "/gone": {"get": {}}}
    document = json.dumps({"openapi": "3.0.0", "servers": [{"url": "/api"}], "paths": paths}).encode()
    answers = {"/api/items": answer(b'[{"id": 3}]'), "/api/items/3": answer(), "/openapi.json": answer(document)}
    with answering(at(answers)) as server:
        assert main(["discover", server.url, "-o", str(tmp_path / "t.toml")]) == 0
        done = perflib(tmp_path, "run", "baseline", "--target", "t.toml", "--duration", "0.2s", "--json")
    assert json.loads(done.stdout)["requests"]["failed"] == 0
    assert {one["endpoint"] for one in json.loads(done.stdout)["endpoints"]} == {"GET /items", "GET /items/{id}"}
