"""A target from a server's OpenAPI document."""

import pytest

from perflib.spec import InputError
from perflib.spec.openapi import target_of

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


def test_a_discovered_target_has_the_gets_that_need_no_parameter_and_their_expectations() -> None:
    target = target_of(OPENAPI, "http://127.0.0.1:9")
    assert [endpoint.name for endpoint in target.endpoints] == ["GET /items", "GET /ping"]
    assert target.endpoints[0].expect.keys == ("data", "status")
    assert target.endpoints[0].expect.content_type == "application/json"
    assert target.token_env == "PERF_API_TOKEN"


@pytest.mark.parametrize("document", [[], {}, {"paths": {}}, {"paths": {"/a": {"post": {}}}}, {"paths": 3}])
def test_a_document_that_describes_no_get_is_refused(document: object) -> None:
    with pytest.raises(InputError, match=r"openapi\.json"):
        target_of(document, "http://127.0.0.1:9")
