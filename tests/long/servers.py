"""The first report of servers that take an installation of their own, or a longer start: `make servers`.

It says of each server, those of tests/integration too, how many commands and seconds a first report takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.first_report import FirstReport
from tests.integration.packaged import fastify, go_httpbin, jupyter
from tests.integration.test_first_report import held, new, server_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FirstReport", "server_folder"]


def test_jupyter_server_is_found_with_its_token(tmp_path: Path, server_folder: Path) -> None:
    with jupyter(server_folder) as server:
        first = new(tmp_path, PERF_API_TOKEN=server.secret)
        first.perflib("discover", f"{server.url}/api/spec.yaml", "-o", "data/targets/api.toml")
        first.report("light_load")
    held(first, "GET /api/status", "GET /api/kernels", "GET /api/sessions", "GET /api/kernelspecs", at_least=True)


def test_a_node_server_is_found_with_its_key_and_nothing_of_it_is_deleted(tmp_path: Path, server_folder: Path) -> None:
    with fastify(server_folder) as server:
        first = new(tmp_path, API_KEY=server.secret)
        first.perflib("discover", server.url, "-o", "data/targets/api.toml")
        first.report("light_load")
    held(first, "GET /parcels", "GET /parcels/{id}")


def test_a_go_server_without_a_document_is_asked_with_forms_files_and_a_token(
    tmp_path: Path, server_folder: Path
) -> None:
    with go_httpbin(server_folder) as server:
        first = new(tmp_path, GO_TOKEN=server.secret)
        first.write(GO.format(url=server.url))
        (first.folder / "data/targets/photo.jpg").write_bytes(bytes(range(256)))
        first.report("light_load")
    held(first, "GET /bearer", "GET /anything/{id}", "form", "multipart", "GET /gzip")
    assert first.requests.groupby("endpoint")["row"].nunique()["GET /anything/{id}"] > 10


GO = """
[target]
name = "go"
base_url = "{url}"
token_env = "GO_TOKEN"

[data.id]
range = [1, 1000]

[[endpoint]]
path = "/bearer"
expect = {{ keys = ["authenticated"] }}

[[endpoint]]
path = "/anything/{{id}}"
expect = {{ keys = ["url"] }}

[[endpoint]]
name = "form"
method = "POST"
path = "/post"
form = {{ id = "{{id}}", tag = ["a b", "c"] }}
expect = {{ keys = ["form"] }}

[[endpoint]]
name = "multipart"
method = "POST"
path = "/post"
multipart = {{ title = "{{uuid}}", photo = {{ file = "photo.jpg", content_type = "image/jpeg" }} }}
expect = {{ keys = ["files"] }}

[[endpoint]]
path = "/gzip"
expect = {{ keys = ["gzipped"] }}
"""
