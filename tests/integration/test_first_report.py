"""The first report of real servers from the registries."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from tests.integration.first_report import FirstReport
from tests.integration.packaged import GARDENS, datasette, django, nginx

if TYPE_CHECKING:
    from pathlib import Path


SECRET = "s/planted in a log+"


def new(tmp_path: Path, **secrets: str) -> FirstReport:
    return FirstReport(tmp_path / "workbook", secrets)


@pytest.fixture
def server_folder(tmp_path: Path) -> Path:
    (tmp_path / "server").mkdir()
    return tmp_path / "server"


def held(first: FirstReport, *endpoints: str, at_least: bool = False) -> None:
    """What a user sees of a first report that went well, of these endpoints alone or `at_least` of these."""
    requests = first.requests
    assert set(requests["endpoint"]) >= set(endpoints) if at_least else set(requests["endpoint"]) == set(endpoints)
    assert requests["error"].isna().all()
    assert "| 0 |" in first.said
    assert first.facts["state"] == "finished"
    assert first.leaks() == []
    took = f"{first.commands} commands, {first.took_s:.1f} s to a report of {len(set(requests['endpoint']))} endpoints"
    sys.stdout.write(f"\n{first.facts['target']['name']}: {took}\n")


@pytest.mark.xfail(reason="comes with discover --no-try")
def test_a_django_site_behind_its_login_form_is_measured_with_ids_and_orders_of_its_own(
    tmp_path: Path, server_folder: Path
) -> None:
    with django(server_folder) as site:
        first = new(tmp_path, SITE_PASSWORD=site.secret)
        first.perflib("discover", site.url, "--no-try", "-o", "data/targets/api.toml")
        first.write(with_login(first.written))
        first.report("light_load")
    measured_as_django(first, server_folder)


@pytest.mark.xfail(reason="comes with discover --no-try")
def test_a_django_site_over_https_that_asks_for_a_client_certificate_is_measured(
    tmp_path: Path, server_folder: Path
) -> None:
    (tmp_path / "nginx").mkdir()
    with django(server_folder) as site, nginx(tmp_path / "nginx", site.url) as server:
        first = new(tmp_path, SITE_PASSWORD=site.secret)
        (first.folder / "openapi.json").write_bytes(httpx.get(f"{site.url}/api/openapi.json").content)
        first.perflib("discover", "openapi.json", "--url", server.url, "--no-try", "-o", "data/targets/api.toml")
        first.write(with_login(first.written).replace("[target.login]", f"{TLS}\n[target.login]"))
        for name in ("ca.pem", "client.pem", "client.key"):
            shutil.copy(tmp_path / "nginx" / name, first.folder / "data/targets")
        first.report("light_load")
    first.other_secrets += (first.folder / "data/targets/client.key").read_text(encoding="utf-8").split("\n")[1:2]
    (first.folder / "data/targets/client.key").unlink()
    measured_as_django(first, server_folder)
    assert (first.requests["tls_ns"] > 0).sum() >= 4


def with_login(discovered: str) -> str:
    """What a user makes of a discovered file: a login in place of the token, ids, and orders that are made first."""
    edits = {'token_env = "PERF_API_TOKEN"\n': LOGIN, "clients/1": "clients/{client}", "orders/1": "orders/{order}"}
    for was, now in edits.items():
        assert was in discovered
        discovered = discovered.replace(was, now)
    return discovered + ORDERS


LOGIN = """
[target.login]
path = "/accounts/login/"
form = { username = "demo", password = { env = "SITE_PASSWORD" } }
cookies = true
csrf = { cookie = "csrftoken", header = "X-CSRFToken" }
expect = { status = 302 }

[data.client]
range = [1, 300]
"""
ORDERS = """
[[endpoint]]
method = "POST"
path = "/api/orders"
body = { client_id = "{client}", reference = "{uuid}" }
save = { order = "/id" }

[[journey]]
name = "order and look"
steps = ["POST /api/orders", "GET /api/orders/{order_id}"]
"""
TLS = """
[target.tls]
ca_file = "ca.pem"
client_cert = "client.pem"
client_key = "client.key"
server_name = "api.internal"
"""


def measured_as_django(first: FirstReport, site_folder: Path) -> None:
    with closing(sqlite3.connect(site_folder / "site.db")) as database:
        sessions = [key for (key,) in database.execute("SELECT session_key FROM django_session")]
        ordered = [client for (client,) in database.execute("SELECT client_id FROM shop_order")]
    first.other_secrets += sessions
    assert len(sessions) == 1
    one = "GET /api/clients/{client_id}"
    held(first, "GET /api/me", "GET /api/clients", one, "POST /api/orders", "GET /api/orders/{order_id}")
    requests = first.requests.groupby("endpoint")
    assert len(ordered) == len(requests.get_group("POST /api/orders"))
    assert len(set(ordered)) > 10
    assert requests["status"].unique().map(list).to_dict() == {
        name: [201] if name.startswith("POST") else [200] for name in requests.groups
    }
    assert requests["row"].nunique()[one] > 10


def test_a_private_datasette_without_a_document_is_measured_with_another_row_each_time(
    tmp_path: Path, server_folder: Path
) -> None:
    with datasette(server_folder) as server:
        first = new(tmp_path, GARDEN_TOKEN=server.secret)
        first.write(DATASETTE.format(url=server.url, gardens=GARDENS))
        first.report("light_load")
    held(first, "GET /gardens/garden/{id}.json", "by trees")
    by_id = first.requests[first.requests["endpoint"] == "GET /gardens/garden/{id}.json"]
    assert by_id["row"].is_unique
    assert by_id["bytes"].nunique() > 1


DATASETTE = """
[target]
name = "gardens"
base_url = "{url}"
token_env = "GARDEN_TOKEN"

[data.id]
range = [1, {gardens}]

[[endpoint]]
path = "/gardens/garden/{{id}}.json"
params = {{ _shape = "objects" }}
expect = {{ keys = ["rows"] }}

[[endpoint]]
name = "by trees"
path = "/gardens/garden.json"
params = {{ _shape = "objects", trees = "{{random:0-49}}" }}
expect = {{ keys = ["rows"] }}
"""


@pytest.mark.parametrize("left", [SECRET, quote(SECRET, safe=""), b64encode(f"demo:{SECRET}".encode()).decode()])
def test_a_secret_that_a_run_left_behind_would_be_found(tmp_path: Path, left: str) -> None:
    first = new(tmp_path, SITE_PASSWORD=SECRET)
    (first.folder / "data/log").write_text(f"before {left} after", encoding="utf-8")
    assert first.leaks() == [str(first.folder / "data/log")]
