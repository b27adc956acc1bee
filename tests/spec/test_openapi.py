"""A target from a server's OpenAPI document."""

import tomllib
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Path, Query
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.load.request import encode
from perflib.spec import InputError, Target
from perflib.spec.openapi import discovered_in
from perflib.store.folders import target_as_toml
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


def target_of(document: object, base_url: str = BASE) -> Target:
    return discovered_in(document, base_url).target


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


def test_a_discovered_target_has_the_gets_that_need_no_parameter_and_their_expectations() -> None:
    target = target_of(OPENAPI)
    assert [endpoint.name for endpoint in target.endpoints] == ["GET /items", "GET /ping"]
    assert target.endpoints[0].expect.keys == ("data", "status")
    assert target.endpoints[0].expect.content_type == "application/json"
    assert target.token_env == "PERF_API_TOKEN"


def test_what_is_left_out_is_counted_and_named_with_its_reason() -> None:
    assert discovered_in(OPENAPI, BASE).in_words == (
        "2 of 6 operations written; left out: GET /items/{id} (needs a value for id), "
        "GET /search (needs a value for q), GET /page (needs a value for number), POST /orders (changes data)"
    )


@pytest.mark.parametrize("document", [None, [], {}, "a", 3, {"paths": 3}, {"paths": []}, {"openapi": "3.1.0"}])
def test_what_is_no_document_is_refused_in_one_line(document: object) -> None:
    with pytest.raises(InputError, match=r"openapi\.json: not an OpenAPI document \(no paths\); write a target file"):
        discovered_in(document, BASE)


def test_a_document_that_describes_no_get_is_refused_with_what_it_describes() -> None:
    with pytest.raises(
        InputError, match=r"openapi\.json: 0 of 1 operations written; left out: POST /a \(changes data\)"
    ):
        discovered_in({"paths": {"/a": {"post": {}}}}, BASE)


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
    assert found.in_words == "1 of 1 operations written; left out: servers (they are of another host)"


@pytest.mark.parametrize("server", ["/app/v1", "/v1", "v1"])
def test_a_server_behind_a_proxy_may_know_the_proxys_path_or_not(server: str) -> None:
    assert asked(with_get(servers=[{"url": server}]), f"{BASE}/app") == [f"{BASE}/app/v1/a"]


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
    assert "GET /d (another host serves it)" in discovered_in(document, BASE).in_words


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


@pytest.mark.parametrize(
    ("get", "path", "why"),
    [
        ({}, "/my report", "path: a path holds no spaces"),
        ({}, "relative", 'a path starts with "/"'),
        ({}, "x-internal", "is an extension, no path"),
        ({}, "/" + "a" * 9000, "path: a path holds at most 8,000 characters"),
        ({}, "/#action", 'path: "#" and what follows is never sent'),
        ({}, "/a\u0000", "path: a path holds no spaces or invisible characters"),
        (True, "/b", "is not described"),
        (None, "/{id}", "needs a value for id"),
        ({"parameters": [{"$ref": "#/nowhere"}]}, "/b", "a parameter refers to nothing in this document"),
        ({"parameters": [{"$ref": "other.json#/q"}]}, "/b", "a parameter refers to nothing in this document"),
        (
            {"parameters": [{"name": "X-Tenant", "in": "header", "required": True}]},
            "/b",
            "needs a value for header X-Tenant",
        ),
        ({"parameters": [{"name": "sid", "in": "cookie", "required": True}]}, "/b", "needs a value for cookie sid"),
        ({"requestBody": {"required": True}}, "/b", "needs a value for body"),
    ],
)
def test_one_odd_operation_is_left_out_and_named_and_the_rest_is_written(get: object, path: str, why: str) -> None:
    document = with_get()
    document["paths"] |= with_get(get, path)["paths"]  # type: ignore[operator]
    found = discovered_in(document, BASE)
    assert [endpoint.name for endpoint in found.target.endpoints] == ["GET /a"]
    assert found.in_words.startswith("1 of 2 operations written; left out: GET ")
    assert why in found.in_words
    assert found.in_words.isprintable()


def test_a_path_that_is_described_by_nothing_is_named() -> None:
    document = with_get()
    document["paths"] |= {"/b": None, "/c": {"$ref": "paths.json#/c"}, "/d": {}}  # type: ignore[operator]
    said = discovered_in(document, BASE).in_words
    assert said == "1 of 1 operations written; left out: /b (describes no operation), /c (describes no operation)"


def test_the_many_that_change_data_do_not_hide_the_odd_ones() -> None:
    paths = {f"/{number}": {"post": {}} for number in range(100)} | {"/a": {"get": {}}, "/{id}": {"get": {}}}
    said = discovered_in({"paths": paths}, BASE).in_words
    assert said.startswith("1 of 102 operations written; left out: GET /{id} (needs a value for id), POST /0 (changes")
    assert said.endswith("and 61 more")


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


REAL = [PETS, SPRING, OPENAPI, fastapi_document()]
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
    told = refusal(f"{BASE}/openapi.json: ", lambda: discovered_in(copy, BASE))
    if told is not None:
        return
    found = discovered_in(copy, BASE)
    assert found.in_words.isprintable()
    again = Target.from_document(tomllib.loads(target_as_toml(found.target)), "again")
    assert again == found.target
    for endpoint in again.endpoints:
        encode(again, endpoint, {"PERF_API_TOKEN": "x"})


@pytest.mark.parametrize(
    "reference", ["#/components/schemas/A", "#", "#/", "#/paths/~1a/get", "#/components/schemas/9"]
)
def test_references_in_a_circle_end(reference: str) -> None:
    schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}, "list": [1]}
    document = answering_with("application/json", schema={"$ref": reference}) | {"components": {"schemas": schemas}}
    assert target_of(document).endpoints[0].expect.keys == ()
