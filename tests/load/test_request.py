"""The request: what the target file writes is what a server gets, to the byte."""

import tomllib
from pathlib import Path

import pytest

from perflib.load.request import encode
from perflib.spec import Endpoint, InputError, Target
from perflib.store.folders import load_target, target_as_toml


def target_in(folder: Path, endpoint: str, base_url: str = "http://h.test") -> Target:
    file = folder / "t.toml"
    file.write_text(f'[target]\nname = "t"\nbase_url = "{base_url}"\n[[endpoint]]\n{endpoint}\n', encoding="utf-8")
    return load_target(file)


def sent(folder: Path, endpoint: str, base_url: str = "http://h.test") -> bytes:
    """The request of a target file, the same after its ways through JSON to a worker and through TOML."""
    target = target_in(folder, endpoint, base_url)
    data = encode(target, target.endpoints[0], {"PW": "a&b"}).data
    for again in (
        Target.model_validate_json(target.model_dump_json()),
        Target.from_document(tomllib.loads(target_as_toml(target)), "again"),
    ):
        assert encode(again, again.endpoints[0], {"PW": "a&b"}).data == data
    return data


def line(folder: Path, endpoint: str, base_url: str = "http://h.test") -> str:
    return sent(folder, endpoint, base_url).split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1")


AS_WRITTEN = [
    "/a/../b/./c//d/",
    "/..",
    "//other.test/x",
    "/a%2Fb%2f%20c+d",
    "/m;v=1;w=2/x,y",
    "/s?",
    "/s?flag&q=a%20b&e=&&r=a+b",
    "/s?u=http://x/?y=1&z",
    "/f?filter[a]=1&b={}|^`\"<>\\'",
    "/%zz%",
    "/~user/@me/:id/!$&'()*",
]


@pytest.mark.parametrize("path", AS_WRITTEN)
@pytest.mark.parametrize("base", ["", "/api/v1", "/a/../b;c", "/{x}/{{y}}"])
def test_a_path_and_its_query_are_sent_byte_for_byte(tmp_path: Path, path: str, base: str) -> None:
    assert line(tmp_path, f"path = '''{path}'''", f"http://h.test{base}/") == f"GET {base}{path}"


@pytest.mark.parametrize("path", AS_WRITTEN)
def test_params_leave_the_paths_own_query_as_it_is(tmp_path: Path, path: str) -> None:
    joint = "" if path.endswith("?") else "&" if "?" in path else "?"
    assert line(tmp_path, f"path = '''{path}'''\nparams = {{ y = 1, x = 2 }}") == f"GET {path}{joint}y=1&x=2"


def test_what_is_not_ascii_goes_out_as_percent_encoded_utf_8(tmp_path: Path) -> None:
    assert (
        line(tmp_path, 'path = "/größe/%C3?q=日"', "http://h.test/ü") == "GET /%C3%BC/gr%C3%B6%C3%9Fe/%C3?q=%E6%97%A5"
    )


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ('tag = ["a", "b"], n = 1', "tag=a&tag=b&n=1"),
        ('tag = ["a", 1, true, { env = "PW" }]', "tag=a&tag=1&tag=true&tag=a%26b"),
        ("yes = true, no = false", "yes=true&no=false"),
        ("version = 1.10, whole = 1.0, e = 1e3, big = 1_000.50", "version=1.10&whole=1.0&e=1e3&big=1000.50"),
        ("id = 123456789012345678901234567890, hex = 0xff", "id=123456789012345678901234567890&hex=255"),
        ('"filter[a]" = "x y&=ü"', "filter%5Ba%5D=x+y%26%3D%C3%BC"),
        ('none = [], empty = ""', "empty="),
    ],
)
def test_params_are_sent_as_toml_writes_them_one_by_one_and_in_order(tmp_path: Path, params: str, query: str) -> None:
    assert line(tmp_path, f'path = "/a"\nparams = {{ {params} }}') == f"GET /a?{query}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("[1, 2]", "[1,2]"),
        ("[]", "[]"),
        ('[{ jsonrpc = "2.0" }, { z = [true, "ü"], a = {} }]', '[{"jsonrpc":"2.0"},{"z":[true,"ü"],"a":{}}]'),
        ("{ n = 12345678901234567890123, m = 0.1, one = 1.0 }", '{"n":12345678901234567890123,"m":0.1,"one":1.0}'),
        ("[1.10, 1e3, -0.0, 1_000.5, 5e-324]", "[1.1,1000.0,-0.0,1000.5,5e-324]"),
        ("{}", "{}"),
        ("0", "0"),
        ("false", "false"),
    ],
)
def test_any_json_is_a_body_its_keys_in_order_and_its_numbers_exact(tmp_path: Path, body: str, text: str) -> None:
    head, _, content = sent(tmp_path, f'path = "/a"\nmethod = "POST"\nbody = {body}').partition(b"\r\n\r\n")
    assert content.decode() == text
    assert b"\r\nContent-Type: application/json" in head
    assert f"\r\nContent-Length: {len(content)}".encode() in head


def test_text_stays_text(tmp_path: Path) -> None:
    head, _, content = sent(tmp_path, 'path = "/a"\nmethod = "POST"\nbody = "[1, ü]"').partition(b"\r\n\r\n")
    assert content.decode() == "[1, ü]"
    assert b"Content-Type" not in head


@pytest.mark.parametrize(("method", "length"), [("GET", False), ("DELETE", False), ("POST", True), ("PUT", True)])
def test_a_request_without_a_body_tells_its_length_where_its_method_has_one(
    tmp_path: Path, method: str, length: bool
) -> None:
    assert (b"Content-Length: 0" in sent(tmp_path, f'path = "/a"\nmethod = "{method}"')) is length


@pytest.mark.parametrize("method", ["HEAD", "TRACE", "PROPFIND", "M-SEARCH", "purge", "x"])
def test_any_method_is_sent_as_written(tmp_path: Path, method: str) -> None:
    assert line(tmp_path, f'path = "/a"\nmethod = "{method}"') == f"{method} /a"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "PROPFIND"])
def test_only_what_rfc_9110_calls_idempotent_may_be_sent_again(method: str) -> None:
    endpoint = Endpoint(path="/", method=method)
    request = encode(Target(name="t", base_url="http://h", endpoints=(endpoint,)), endpoint, {})
    assert request.idempotent is (method not in ("POST", "PATCH", "PROPFIND"))


REFUSED = [
    ('path = "/s?color=#fff"', 'endpoint[1].path: "#" and what follows is never sent; write it as %23'),
    ('path = "/a b"', "endpoint[1].path: a path holds no spaces or invisible characters; write a space as %20"),
    ('path = "/a\\tb"', "endpoint[1].path: a path holds no spaces or invisible characters"),
    ('path = "/a\\u0000"', "endpoint[1].path: a path holds no spaces or invisible characters"),
    ('path = "/a\\u200b"', "endpoint[1].path: a path holds no spaces or invisible characters"),
    ('path = "a"', 'endpoint[1].path: a path starts with "/"'),
    ('path = "/"\nmethod = "get"', "endpoint[1].method: the case of a method matters (RFC 9110, 9.1)"),
    ('path = "/"\nmethod = "G T"', "endpoint[1].method: not a method; write one word such as GET, HEAD or PURGE"),
    ('path = "/"\nmethod = "GET\\r\\nX: y"', "endpoint[1].method: not a method"),
    ('path = "/"\nmethod = "CONNECT"', "endpoint[1].method: opens a tunnel"),
    ('path = "/"\nparams = { d = 2026-01-01 }', "endpoint[1].params.d: no parameter; write text, a number"),
    ('path = "/"\nparams = { d = [["a"]] }', "endpoint[1].params.d: no parameter; write text, a number"),
    ('path = "/"\nparams = { d = { x = 1 } }', "endpoint[1].params.d: no parameter; write text, a number"),
    ('path = "/"\nparams = { d = nan }', "endpoint[1].params.d: no parameter; write text, a number"),
    ('path = "/"\nbody = { d = 2026-01-01 }', 'endpoint[1].body: JSON has no dates; write it as text: "2026-01-01"'),
    ('path = "/"\nbody = [[07:30:00]]', 'endpoint[1].body: JSON has no dates; write it as text: "07:30:00"'),
    (
        'path = "/"\nbody = [{ n = 3.14159265358979323846 }]',
        "endpoint[1].body: 3.14159265358979323846 has more digits than",
    ),
    ('path = "/"\nbody = [{ n = inf }]', "endpoint[1].body: JSON has no inf"),
    ('path = "/"\nheaders = { Content-Length = "1" }', "endpoint[1].headers.Content-Length: perflib sends the length"),
    ('path = "/"\nheaders = { transfer-encoding = "chunked" }', "endpoint[1].headers.transfer-encoding: perflib sends"),
    ('path = "/"\nexpect = { content_type = "json" }', "endpoint[1].expect.content_type: 'json' is no media type"),
    ('path = "/"\nexpect = { content_type = "a/b, c/d" }', "endpoint[1].expect.content_type: 'a/b, c/d' is no"),
    ('path = "/"\nmethod = "HEAD"\nexpect = { keys = ["a"] }', "endpoint[1].expect: such an answer has no body"),
    ('path = "/"\nexpect = { status = 304, forbid = { a = 1 } }', "endpoint[1].expect: such an answer has no body"),
    (
        'path = "/"\nexpect = { status = [204, 304], contains = "a", max_bytes = 9 }',
        "endpoint[1].expect: such an answer has no body; remove contains, max_bytes",
    ),
    *(
        (
            f'path = "/"\nexpect = {{ status = {status} }}',
            "endpoint[1].expect.status: no status of an answer; write a number",
        )
        for status in ('"2x"', "[]", "700", "true", '"200"', "[200, [204]]")
    ),
    ('path = "/"\nexpect = { min_bytes = 9, max_bytes = 8 }', "endpoint[1].expect.max_bytes: 8, but min_bytes or"),
    ('path = "/"\nexpect = { contains = "abc", max_bytes = 2 }', "endpoint[1].expect.max_bytes: 2, but min_bytes or"),
    ('path = "/"\nexpect = { keys = ["a.b"], absent = ["/a"] }', "endpoint[1].expect.absent: keys ask for '/a' too"),
    ('path = "/"\nexpect = { forbid = { a = [] } }', "endpoint[1].expect.forbid: a: no value that can be forbidden"),
    ('path = "/"\nexpect = { contains = "" }', "endpoint[1].expect.contains: "),
    ('path = "/"\nexpect = { min_bytes = 99_000_000 }', "endpoint[1].expect.min_bytes: "),
    *(
        (f'path = "/"\nmax_errors = {share}', f"endpoint[1].max_errors: {share!s} is no share; write 1%")
        for share in ("1", "5", "-0.1", "nan")
    ),
    ('path = "/"\nmax_errors = "5"', "endpoint[1].max_errors: '5' is no share; write 1%"),
    ('path = "/"\ntarget_p99_ms = 0', "endpoint[1].target_p99_ms: "),
]


@pytest.mark.parametrize(("endpoint", "says"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_cannot_be_sent_as_written_is_refused_with_file_key_and_mend(
    tmp_path: Path, endpoint: str, says: str
) -> None:
    with pytest.raises(InputError) as refused:
        target_in(tmp_path, endpoint)
    assert f"t.toml: {says}" in str(refused.value)


def test_a_stored_run_that_was_sent_otherwise_is_still_read() -> None:
    was = {"path": "/s?color=#fff", "expect": {"content_type": "json"}}
    assert Target.parse({"name": "t", "base_url": "http://h", "endpoints": [was]}, "run.json").endpoints[0].flaw


@pytest.mark.parametrize("value", ["a\x00b", "a\x7fb", "a\nb", "a\x1b[31m"])
def test_a_header_with_a_control_character_is_refused(value: str) -> None:
    endpoint = Endpoint(path="/", headers={"X": value})
    with pytest.raises(InputError, match="GET /: a header or the token holds a line break or another control"):
        encode(Target(name="t", base_url="http://h", endpoints=(endpoint,)), endpoint, {})


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("http://H.test:80", "h.test"),
        ("http://h.test:8080/api", "h.test:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://[fe80::1%25eth0]:8080", "[fe80::1]:8080"),
        ("http://[fe80::1%eth0]", "[fe80::1]"),
        ("http://bücher.test", "xn--bcher-kva.test"),
        ("http://localhost.:81", "localhost.:81"),
    ],
)
def test_the_host_header_is_the_host_as_a_server_knows_it(tmp_path: Path, base_url: str, host: str) -> None:
    assert f"\r\nHost: {host}\r\n" in sent(tmp_path, 'path = "/"', base_url).decode()


def test_a_host_header_of_the_endpoint_stands_alone(tmp_path: Path) -> None:
    request = sent(tmp_path, 'path = "/"\nheaders = { host = "virtual.test" }').decode()
    assert [one for one in request.split("\r\n") if one.lower().startswith("host:")] == ["host: virtual.test"]
