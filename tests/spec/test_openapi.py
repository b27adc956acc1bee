"""A target from a server's OpenAPI document."""

import json
import lzma
import pathlib
import tomllib
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Path, Query
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.load.request import encode
from perflib.spec import InputError, Target
from perflib.spec.discovered import Discovered
from perflib.spec.openapi import described_in
from perflib.text.target_file import target_file
from tests.session.test_fuzz import refusal, with_another

OPENAPI = {
    "info": {"title": "Shop"},
    "components": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        "parameters": {"number": {"name": "number", "in": "query", "required": True}},
        "schemas": {"Items": {"type": "object", "required": ["data", "status"]}},
    },
    "paths": {
        "/items": {
            "get": {
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Items"}}}}
                }
            }
        },
        "/items/{id}": {"get": {"responses": {}}},
        "/search": {"get": {"parameters": [{"name": "q", "in": "query", "required": True}]}},
        "/page": {"get": {"parameters": [{"$ref": "#/components/parameters/number"}]}},
        "/orders": {"post": {}},
        "/ping": {"get": {}},
    },
}


BASE = "http://127.0.0.1:9"


def discovered_in(document: object, base_url: str = BASE, *, with_writes: bool = False) -> Discovered:
    """What the document alone says."""
    return described_in(document, base_url, "a.json", "PERF_API_TOKEN").discovered(
        "a.json", {}, with_writes=with_writes
    )


def written(found: Discovered) -> Target:
    return Target.from_document(tomllib.loads(target_file(found)), "again")


def target_of(document: object, base_url: str = BASE) -> Target:
    return written(discovered_in(document, base_url))


def asked(document: object, base_url: str = BASE) -> list[str]:
    """What the discovered target asks for: URLs."""
    target = target_of(document, base_url)
    lines = [encode(target, one, {}).data.split()[1].decode() for one in target.endpoints]
    return [f"{BASE}{line}" for line in lines]


def with_get(get: object = None, path: str = "/a", **root: object) -> dict[str, object]:
    """A document with one GET."""
    return {"openapi": "3.1.0", "paths": {path: {"get": {} if get is None else get}}} | root


def answering_with(*kinds: str, schema: object = None, **responses: object) -> dict[str, object]:
    content = {kind: {"schema": schema} for kind in kinds}
    return with_get({"responses": {"200": {"description": "", "content": content}} | responses})


def test_a_discovered_target_has_the_gets_and_their_expectations() -> None:
    target = target_of(OPENAPI)
    names = ["GET /items", "GET /items/{id}", "GET /search", "GET /page", "GET /ping"]
    assert [endpoint.name for endpoint in target.endpoints] == names
    assert target.endpoints[0].expect.keys == ("data", "status")
    assert target.endpoints[0].expect.content_type == "application/json"
    assert target.token_env == "PERF_API_TOKEN"


def test_what_is_left_out_is_counted_and_the_file_says_which() -> None:
    found = discovered_in(OPENAPI)
    assert found.in_words == "5 of 6 taken; left out: 1 changes data"
    assert "# POST /orders: changes data\n" in target_file(found)
    assert "# guessed: id = 1\n[[endpoint]]\n" in target_file(found)


@pytest.mark.parametrize("document", [None, [], {}, "a", 3, {"paths": 3}, {"paths": []}, {"openapi": "3.1.0"}])
def test_what_is_no_document_is_refused_in_one_line(document: object) -> None:
    with pytest.raises(InputError, match=r"a\.json: not an OpenAPI document \(no paths\); name another, or write"):
        discovered_in(document)


def test_a_document_that_describes_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"a\.json: describes no operation; name another document, or write"):
        discovered_in({"paths": {"/a": {}}})


def test_where_nothing_can_be_taken_the_file_has_what_is_left_out() -> None:
    text = target_file(discovered_in({"paths": {"/a": {"post": {}}}}))
    with pytest.raises(InputError, match="endpoint: missing"):
        Target.from_document(tomllib.loads(text), "again")
    assert "# POST /a: changes data" in text


@pytest.mark.parametrize(
    ("kinds", "content_type"),
    [
        (["*/*"], None),
        (["application/*"], "application/*"),
        (["application/json; charset=utf-8"], "application/json"),
        (["application/json;version=1.0", "application/json"], "application/json"),
        (["application/vnd.shop.v1+json"], "application/vnd.shop.v1+json"),
        (["application/json", "application/xml"], ("application/json", "application/xml")),
        (["application/json", "*/*"], None),
        (["json"], None),
        ([""], None),
        ([], None),
    ],
)
def test_the_expected_media_type_is_one_that_every_sound_answer_has(kinds: list[str], content_type: object) -> None:
    assert target_of(answering_with(*kinds)).endpoints[0].expect.content_type == content_type


ROW = {"type": "object", "required": ["a", "b"]}


@pytest.mark.parametrize(
    ("kinds", "schema", "keys"),
    [
        (["application/json"], ROW, ("a", "b")),
        (["application/hal+json; v=1"], ROW, ("a", "b")),
        (["application/json", "application/xml"], ROW, ()),
        (["*/*"], ROW, ()),
        (["application/json"], ROW | {"type": "array"}, ()),
        (["application/json"], ROW | {"nullable": True}, ()),
        (["application/json"], ROW | {"type": ["object", "null"]}, ()),
        (["application/json"], ROW | {"properties": {"a": {"writeOnly": True}}}, ("b",)),
        (["application/json"], {"required": ["a", 1, None]}, ("a",)),
        (["application/json"], {"required": True}, ()),
        (["application/json"], True, ()),
    ],
)
def test_only_keys_that_every_answer_has_are_expected(kinds: list[str], schema: object, keys: object) -> None:
    assert target_of(answering_with(*kinds, schema=schema)).endpoints[0].expect.keys == keys


def test_a_status_is_expected_only_where_it_is_the_only_success() -> None:
    assert target_of(answering_with("text/html")).endpoints[0].expect.status == 200
    assert target_of(answering_with("text/html", **{"204": {}})).endpoints[0].expect.status is None
    assert target_of(answering_with("text/html", **{"404": {}, "default": {}})).endpoints[0].expect.status == 200


@pytest.mark.parametrize(
    ("servers", "base"),
    [
        ([{"url": "/api/v1"}], "/api/v1"),
        ([{"url": "/api/v1/"}], "/api/v1"),
        ([{"url": "api"}], "/api"),
        ([{"url": "./api"}], "/api"),
        ([{"url": "/"}], ""),
        ([{"url": ""}], ""),
        ([{"url": f"{BASE}/v2"}], "/v2"),
        ([{"url": "//127.0.0.1/v2"}], "/v2"),
        ([{"url": "https://LOCALHOST:8443/v3"}], "/v3"),
        ([{"url": "https://api.example.com/v1"}, {"url": "/v2"}], "/v2"),
        ([{"url": "https://api.example.com/v1"}], ""),
        ([{"url": "/{v}/{w}", "variables": {"v": {"default": "v1"}, "w": {"enum": ["x", "y"]}}}], "/v1/x"),
        ([{"url": "http://{host}/a", "variables": {"host": {"default": "127.0.0.1:9"}}}], "/a"),
        ([{"url": "/{version}"}], ""),
        ([{"url": "/my api"}], "/my%20api"),
        ([{"url": "http://["}], ""),
        ([{"url": None}, None, "/x"], ""),
        (None, ""),
        ("/api", ""),
    ],
)
def test_the_first_server_of_this_host_gives_the_base_path(servers: object, base: str) -> None:
    assert asked(with_get(servers=servers)) == [f"{BASE}{base}/a"]


def test_a_document_of_another_host_says_so() -> None:
    found = discovered_in(with_get(servers=[{"url": "https://api.example.com/v1"}]), BASE)
    assert found.in_words == "1 of 1 taken"
    assert described_in(with_get(servers=[{"url": "https://api.example.com/v1"}]), BASE, "", "T").is_of_another_host


@pytest.mark.parametrize("server", ["/app/v1", "/v1", "v1"])
def test_a_server_behind_a_proxy_may_know_the_proxys_path_or_not(server: str) -> None:
    assert asked(with_get(servers=[{"url": server}]), f"{BASE}/app") == [f"{BASE}/app/v1/a"]


def test_paths_that_begin_with_the_base_url_s_own_path_stay_as_they_are() -> None:
    assert asked({"paths": {"/app/a": {"get": {}}, "/app/b": {"get": {}}}}, f"{BASE}/app") == [
        f"{BASE}/app/a",
        f"{BASE}/app/b",
    ]
    assert asked({"paths": {"/app/a": {"get": {}}, "/b": {"get": {}}}}, f"{BASE}/app")[0] == f"{BASE}/app/app/a"


def test_a_token_is_sent_where_the_document_says_nothing_of_one() -> None:
    head = described_in(with_get(), BASE, "", "T", has_token=True).head
    assert head["token_env"] == "T"
    assert "token_env" not in described_in(with_get(), BASE, "", "T").head


@pytest.mark.parametrize(
    ("root", "base"),
    [
        ({"basePath": "/v2"}, "/v2"),
        ({"basePath": "v2/", "host": "127.0.0.1:9", "schemes": ["http", "https"]}, "/v2"),
        ({"basePath": "/v2", "host": "petstore.example"}, "/v2"),
        ({"basePath": "/"}, ""),
        ({"basePath": None, "host": 3, "schemes": None}, ""),
    ],
)
def test_a_swagger_2_document_has_a_base_path_and_media_types_of_its_own(root: dict[str, object], base: str) -> None:
    get = {"responses": {"200": {"description": "", "schema": ROW}}}
    document = with_get(get, swagger="2.0", produces=["application/json"], **root)
    assert asked(document) == [f"{BASE}{base}/a"]
    assert target_of(document).endpoints[0].expect.keys == ("a", "b")


def test_servers_of_a_path_or_an_operation_count_before_those_of_the_document() -> None:
    document = {
        "servers": [{"url": "/api"}],
        "paths": {
            "/a": {"get": {}},
            "/b": {"servers": [{"url": "/old"}], "get": {}},
            "/c": {"servers": [{"url": "/old"}], "get": {"servers": [{"url": "/new"}]}},
            "/d": {"get": {"servers": [{"url": "https://cdn.example.com"}]}},
        },
    }
    assert asked(document) == [f"{BASE}/api/a", f"{BASE}/old/b", f"{BASE}/new/c"]
    assert discovered_in(document).in_words == "3 of 4 taken; left out: 1 is served by another host"


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ({"example": "x y"}, "?q=x+y"),
        ({"examples": {"one": {"value": 7}}}, "?q=7"),
        ({"schema": {"example": True}}, "?q=true"),
        ({"schema": {"examples": ["z"]}}, "?q=z"),
        ({"schema": {"default": 0}}, "?q=0"),
        ({"default": 1.5}, "?q=1.5"),
        ({"enum": ["up", "down"]}, "?q=up"),
        ({"schema": {"$ref": "#/components/schemas/Sort"}}, "?q=up"),
        ({"example": None, "examples": {}, "schema": {"enum": [None, {}, "", "b"]}}, "?q=b"),
    ],
)
def test_a_required_parameter_gets_the_first_value_that_the_document_gives(
    parameter: dict[str, object], query: str
) -> None:
    given = {"name": "q", "in": "query", "required": True} | parameter
    schemas = {"schemas": {"Sort": {"enum": ["up"]}}}
    assert asked(with_get({"parameters": [given]}, components=schemas)) == [f"{BASE}/a{query}"]


def test_a_place_in_a_path_is_filled_and_the_endpoint_is_named_by_its_template() -> None:
    document = with_get({"parameters": [{"name": "id", "in": "path", "example": "a/b c"}]}, "/orders/{id}/rows")
    assert asked(document) == [f"{BASE}/orders/a%2Fb%20c/rows"]
    assert target_of(document).endpoints[0].name == "GET /orders/{id}/rows"


MADE = [
    ({"type": "integer"}, "1"),
    ({"type": "integer", "minimum": 10}, "10"),
    ({"type": "number", "minimum": 2.5}, "3"),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, "4"),
    ({"type": "integer", "exclusiveMinimum": 3}, "4"),
    ({"type": "integer", "maximum": 0}, "0"),
    ({"type": ["null", "boolean"]}, "true"),
    ({"type": "string", "format": "date"}, "2024-01-01"),
    ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
    ({"type": "string", "pattern": "^[A-Z]{2}[0-9]+(-x|y)$"}, "AA0-x"),
    ({"type": "string", "pattern": "(((a{200}){200}){200}){200}"}, "1"),
    ({"type": "string", "pattern": "(?<"}, "1"),
    ({"type": "string", "minLength": 3}, "111"),
    ({"anyOf": [{"type": "null"}, {"type": "string", "format": "email"}]}, "user%40example.com"),
    ({"allOf": [{"$ref": "#/components/schemas/Sort"}]}, "up"),
    ({"type": "array", "items": {"type": "integer"}}, "1"),
    (True, "1"),
    (None, "1"),
]


@pytest.mark.parametrize(("schema", "text"), MADE, ids=str)
def test_where_the_document_gives_no_value_one_is_made_from_the_schema_and_marked(schema: object, text: str) -> None:
    schemas = {"schemas": {"Sort": {"enum": ["up"]}}}
    document = with_get({"parameters": [{"name": "q", "in": "path", "schema": schema}]}, "/{q}", components=schemas)
    assert asked(document) == [f"{BASE}/{text}"]
    assert "# guessed: q = " in target_file(discovered_in(document))


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ({"schema": {"type": "array"}, "example": [1, 2]}, "?q=1&q=2"),
        ({"schema": {"type": "array"}, "example": [1, 2], "explode": False}, "?q=1%2C2"),
        ({"schema": {"type": "array"}, "example": [1, 2], "style": "pipeDelimited"}, "?q=1%7C2"),
        ({"type": "array", "x-example": [1, 2]}, "?q=1%2C2"),
        ({"type": "array", "x-example": [1, 2], "collectionFormat": "multi"}, "?q=1&q=2"),
        ({"schema": {}, "style": "deepObject", "example": {"a": 1, "b": [2]}}, "?q%5Ba%5D=1"),
        ({"schema": {}, "example": {"a": 1, "b": "x"}}, "?a=1&b=x"),
        ({"content": {"application/json": {"example": {"a": 1}}}}, "?q=%7B%22a%22%3A+1%7D"),
    ],
)
def test_lists_and_objects_are_sent_in_the_style_of_their_parameter(parameter: dict[str, object], query: str) -> None:
    assert asked(with_get({"parameters": [{"name": "q", "in": "query", "required": True} | parameter]})) == [
        f"{BASE}/a{query}"
    ]


def test_required_headers_and_cookies_are_sent_and_those_that_are_secrets_come_from_variables() -> None:
    given = [
        ("header", "X-Tenant", "acme"),
        ("header", "X-Api-Key", None),
        ("cookie", "sid", "7"),
        ("cookie", "b", "8"),
    ]
    parameters = [{"in": where, "name": name, "required": True, "example": value} for where, name, value in given]
    endpoint = target_of(with_get({"parameters": parameters})).endpoints[0]
    assert endpoint.model_dump(mode="json")["headers"] == {
        "X-Tenant": "acme",
        "Cookie": "sid=7; b=8",
        "X-Api-Key": {"env": "API_KEY"},
    }


@pytest.mark.parametrize(
    ("get", "path", "why"),
    [
        ({}, "/my report", "path: a path holds no spaces"),
        ({}, "relative", 'path: a path starts with "/"'),
        ({}, "x-internal", "is an extension, no path"),
        ({}, "/" + "a" * 9000, "path: a path holds at most 8,000 characters"),
        ({}, "/a\u0000", "path: a path holds no spaces or invisible characters"),
        (True, "/b", "is not described"),
        ({"parameters": [{"$ref": "#/nowhere"}]}, "/b", "a parameter refers to nothing in this document"),
        ({"parameters": [{"$ref": "other.json#/q"}]}, "/b", "a parameter refers to nothing in this document"),
    ],
)
def test_one_odd_operation_is_left_out_and_named_and_the_rest_is_written(get: object, path: str, why: str) -> None:
    document = with_get()
    document["paths"] |= with_get(get, path)["paths"]  # type: ignore[operator]
    found = discovered_in(document)
    assert [endpoint.name for endpoint in written(found).endpoints] == ["GET /a"]
    assert found.in_words == "1 of 2 taken; left out: 1 cannot be asked"
    assert f"cannot be asked ({why}" in target_file(found)


def test_what_nothing_fits_is_left_as_a_comment_to_be_filled_in() -> None:
    document = with_get()
    odd = {"parameters": [{"in": "query", "name": "q", "required": True, "schema": {"type": "object"}}]}
    document["paths"] |= with_get(odd, "/b")["paths"]  # type: ignore[operator]
    text = target_file(discovered_in(document))
    assert "# left out: needs a value (q)\n# [[endpoint]]\n" in text
    filled = text.replace("# [[endpoint]]", "[[endpoint]]").replace('# name = "GET /b"', 'name = "GET /b"')
    filled = filled.replace('# path = "/b"', 'path = "/b"').replace('# params = { q = "{q}" }', "params = { q = 1 }")
    assert [one.params for one in Target.from_document(tomllib.loads(filled), "").endpoints] == [{}, {"q": 1}]


def test_braces_of_an_example_are_no_places_of_ours() -> None:
    body = {"requestBody": {"content": {"application/json": {"example": {"text": "hi {name}"}}}}}
    found = discovered_in({"paths": {"/a": {"post": body}}}, with_writes=True)
    request = encode(written(found), written(found).endpoints[0], {}).data
    assert request.endswith(b'{"text":"hi {name}"}')


def test_a_fragment_is_never_sent() -> None:
    action = {"parameters": [{"in": "query", "name": "Action", "required": True, "schema": {"enum": ["List"]}}]}
    assert asked(with_get(action, "/#Action=List")) == [f"{BASE}/?Action=List"]


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/logout", ""),
        ("/users/log-out", ""),
        ("/a", "userLogOut"),
        ("/a", "deleteAll"),
        ("/mail/resend", ""),
        ("/reset_password", ""),
        ("/sendmail", ""),
        ("/a", "sign_out"),
    ],
)
def test_a_get_whose_name_says_that_it_changes_data_is_never_taken(path: str, operation: str) -> None:
    found = discovered_in(with_get({"operationId": operation}, path))
    assert found.in_words == "0 of 1 taken; left out: 1 may change data"


@pytest.mark.parametrize("path", ["/presets", "/catalogue/outlets", "/thousand", "/undeleted"])
def test_a_get_that_only_sounds_like_it_is_taken(path: str) -> None:
    assert asked(with_get({}, path)) == [f"{BASE}{path}"]


def test_a_path_that_is_described_by_nothing_is_named() -> None:
    document = with_get()
    document["paths"] |= {"/b": None, "/c": {"$ref": "paths.json#/c"}, "/d": {}}  # type: ignore[operator]
    said = discovered_in(document).in_words
    assert said == "1 of 1 taken; /b describes nothing that can be read; /c describes nothing that can be read"


def secured(scheme: dict[str, str], **more: dict[str, str]) -> Target:
    schemes = {"securitySchemes": {"one": scheme} | more}
    return target_of(with_get({"security": [{name: [] for name in ("one", *more)}]}, components=schemes))


@pytest.mark.parametrize(
    ("scheme", "head"),
    [
        ({"type": "http", "scheme": "Bearer"}, {"token_env": "PERF_API_TOKEN"}),
        ({"type": "oauth2"}, {"token_env": "PERF_API_TOKEN"}),
        (
            {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            {"auth": {"header": "X-Api-Key", "value": "{env:API_KEY}"}},
        ),
        (
            {"type": "apiKey", "in": "header", "name": "Authorization"},
            {"auth": {"header": "Authorization", "value": "{env:AUTHORIZATION}"}},
        ),
        (
            {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Bearer and the token"},
            {"token_env": "PERF_API_TOKEN"},
        ),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, {"auth": {"header": "Cookie", "value": "sid={env:SID}"}}),
        ({"type": "basic"}, {"auth": {"basic": {"user": "user", "password": {"env": "API_PASSWORD"}}}}),
        ({"type": "apiKey", "in": "header", "name": "a b"}, {}),
        ({"type": "mutualTLS"}, {}),
    ],
)
def test_a_security_scheme_is_written_with_a_variable(scheme: dict[str, str], head: dict[str, object]) -> None:
    said = secured(scheme).to_document()["target"]
    assert {key: one for key, one in said.items() if key not in ("name", "base_url")} == head


def test_a_second_key_is_sent_beside_the_first_and_a_key_in_the_query_as_a_parameter() -> None:
    key = {"type": "apiKey", "in": "header"}
    target = secured(
        key | {"name": "Api-Key"}, two=key | {"name": "App-Key"}, three={**key, "in": "query", "name": "k"}
    )
    assert target.secrets == ("API_KEY", "K", "APP_KEY")
    assert set(target.endpoints[0].headers) == {"App-Key"}
    assert set(target.endpoints[0].params) == {"k"}


WRITES = {
    "paths": {
        "/orders": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["item", "at"],
                                "properties": {
                                    "item": {"example": "tea"},
                                    "at": {"type": "string", "format": "date"},
                                    "id": {"readOnly": True, "type": "integer"},
                                },
                            }
                        }
                    }
                }
            }
        },
        "/forms": {
            "post": {
                "parameters": [{"in": "formData", "name": "a", "type": "string", "required": True, "default": "x y"}]
            }
        },
        "/orders/{id}": {"delete": {}},
        "/upload": {"put": {"requestBody": {"content": {"multipart/form-data": {"schema": {}}}}}},
    }
}


def test_writes_are_written_on_request_with_a_body_of_the_document() -> None:
    found = discovered_in(WRITES, with_writes=True)
    orders, forms, delete = written(found).endpoints
    assert (orders.method, orders.body) == ("POST", {"item": "tea", "at": "2024-01-01"})
    assert (forms.body, forms.headers) == ("a=x+y", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (delete.method, delete.path) == ("DELETE", "/orders/1")
    assert found.in_words == "3 of 4 taken; left out: 1 needs a value"
    assert "# changes data; was not tried" in target_file(found)


PETS = {
    "swagger": "2.0",
    "info": {"title": "Pets", "version": "1.0"},
    "host": "127.0.0.1:9",
    "basePath": "/v2",
    "schemes": ["http"],
    "produces": ["application/json"],
    "parameters": {"status": {"name": "status", "in": "query", "required": True, "enum": ["sold"]}},
    "definitions": {"Pet": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}},
    "paths": {
        "/pets": {
            "parameters": [{"$ref": "#/parameters/status"}],
            "get": {"responses": {"200": {"description": "", "schema": {"$ref": "#/definitions/Pet"}}}},
            "post": {"parameters": [{"in": "body", "name": "body", "required": True}]},
        }
    },
}
SPRING = {
    "openapi": "3.0.1",
    "info": {"title": "OpenAPI definition", "version": "v0"},
    "servers": [{"url": "http://{host}/api", "variables": {"host": {"default": "127.0.0.1:9"}}}],
    "paths": {
        "/owners/{id}": {
            "get": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "default": 1}}
                ],
                "responses": {"200": {"description": "OK", "content": {"*/*": {"schema": {"$ref": "#/x"}}}}},
            }
        },
        "/vets": {"$ref": "#/components/pathItems/vets"},
    },
    "components": {
        "pathItems": {"vets": {"get": {"responses": {"200": {"$ref": "#/components/responses/ok"}}}}},
        "responses": {"ok": {"content": {"application/json": {"schema": ROW}}}},
    },
}


def fastapi_document() -> dict[str, Any]:
    app = FastAPI(title="Shop", servers=[{"url": "/shop/v1"}])

    @app.get("/orders/{number}")
    def order(number: Annotated[int, Path(examples=[7])], page: Annotated[int, Query(examples=[1])]) -> dict[str, int]:
        return {"number": number, "page": page}

    @app.post("/orders")
    def create(body: dict[str, int]) -> dict[str, int]:
        return body

    return app.openapi()


REAL = [PETS, SPRING, OPENAPI, WRITES, fastapi_document()]
ODD = st.sampled_from([None, True, False, 0, -1.5, "", "a b", "#/paths", [], [None], [{}], {}, {"$ref": "#"}, {"a": 1}])


def test_real_documents_are_read_whole() -> None:
    assert asked(PETS) == [f"{BASE}/v2/pets?status=sold"]
    assert asked(SPRING) == [f"{BASE}/api/owners/1", f"{BASE}/api/vets"]
    assert asked(fastapi_document()) == [f"{BASE}/shop/v1/orders/7?page=1"]


@settings(deadline=None, max_examples=400)
@given(document=st.sampled_from(REAL), where=st.floats(0, 1, exclude_max=True), value=ODD, also=ODD)
def test_a_document_with_any_value_anywhere_is_read_or_refused_in_one_line(
    document: dict[str, object], where: float, value: object, also: object
) -> None:
    copy = with_another(with_another(document, where, value), (where * 7) % 1, also)
    if refusal("a.json: ", lambda: discovered_in(copy, with_writes=True)) is not None:
        return
    found = discovered_in(copy, with_writes=True)
    told = tomllib.loads(target_file(found))
    if found.taken:
        again = Target.from_document(told, "again")
        assert [one.name for one in again.endpoints] == [one.name for one in found.taken]
        for endpoint in again.endpoints:
            encode(again, endpoint, dict.fromkeys(again.secrets, "x"))


def public_documents() -> dict[str, dict[str, Any]]:
    """Freely licensed documents of public APIs, each with its licence; their descriptions are left out."""
    packed = pathlib.Path(__file__).parents[1] / "data" / "documents.json.xz"
    return json.loads(lzma.decompress(packed.read_bytes()))


PUBLIC = {name: one["document"] for name, one in public_documents().items()}
SMALL = [document for document in PUBLIC.values() if len(json.dumps(document)) < 20_000]


def test_nine_of_ten_gets_of_public_documents_can_be_asked_for_and_every_file_is_read_again() -> None:
    gets = sendable = 0
    for document in PUBLIC.values():
        found = discovered_in(document)
        assert [one.name for one in written(found).endpoints] == [one.name for one in found.taken]
        entries = [one for one in found.entries if one.name.startswith("GET ")]
        gets += len(entries)
        sendable += sum(one.why in ("", "may change data", "never ends") for one in entries)
    assert len(PUBLIC) >= 30
    assert gets > 1500
    assert sendable / gets > 0.9


@settings(deadline=None, max_examples=60)
@given(document=st.sampled_from(SMALL), where=st.floats(0, 1, exclude_max=True), value=ODD, also=ODD)
def test_a_mutilated_public_document_is_read_or_refused_in_one_line(
    document: dict[str, object], where: float, value: object, also: object
) -> None:
    copy = with_another(with_another(document, where, value), (where * 7) % 1, also)
    if refusal("a.json: ", lambda: discovered_in(copy, with_writes=True)) is None:
        tomllib.loads(target_file(discovered_in(copy, with_writes=True)))


@pytest.mark.parametrize(
    "reference", ["#/components/schemas/A", "#", "#/", "#/paths/~1a/get", "#/components/schemas/9"]
)
def test_references_in_a_circle_end(reference: str) -> None:
    schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}, "list": [1]}
    document = answering_with("application/json", schema={"$ref": reference}) | {"components": {"schemas": schemas}}
    assert target_of(document).endpoints[0].expect.keys == ()
