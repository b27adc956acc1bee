"""Real servers from the registries, each on a free port of this machine, with data of its own; ended by its own pid."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
STARTS_S = 60.0
"""On a busy machine."""
GARDENS = 1_000


@dataclass(frozen=True)
class Packaged:
    """A server that listens."""

    port: int
    secret: str = ""
    """What it knows its user by: a password or a token."""
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def planted() -> str:
    """A secret that reads otherwise in a form, in Base64 and in percent signs."""
    return f"s/{secrets.token_urlsafe(16)}+"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def tool(name: str) -> str:
    """Its path; without it the test is skipped, or fails where CI is set."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {name} on the path")
    return path


@contextmanager
def listening(port: int, *command: str, folder: Path, **variables: str) -> Iterator[None]:
    """The server that a command starts, from when it takes connections."""
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(command, cwd=folder, env=os.environ | variables, stdout=log, stderr=log)
    try:
        await_connections(port, started, folder / "log")
        yield
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def await_connections(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    until_s = time.monotonic() + STARTS_S
    while time.monotonic() < until_s and started.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{started.args!r} did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")


@contextmanager
def django(folder: Path) -> Iterator[Packaged]:
    """A Django site: a login form with CSRF, and an API with a document for those who are logged in."""
    port, password = free_port(), planted()
    site = ("uvicorn", "tests.integration.django_site:application", "--app-dir", str(ROOT), "--port", str(port))
    variables = {"SITE_DATABASE": str(folder / "site.db"), "SITE_SECRET": password}
    with listening(port, sys.executable, "-m", *site, folder=folder, **variables):
        yield Packaged(port, password)


@contextmanager
def datasette(folder: Path) -> Iterator[Packaged]:
    """datasette on a table of 1,000 gardens, which it shows to those alone who have its token."""
    port, token = free_port(), planted()
    with sqlite3.connect(folder / "gardens.db") as database:
        database.execute("CREATE TABLE garden (id INTEGER PRIMARY KEY, name TEXT, trees INTEGER)")
        rows = ((number, f"garden {number}", number % 50) for number in range(1, GARDENS + 1))
        database.executemany("INSERT INTO garden VALUES (?, ?, ?)", rows)
    database.close()
    (folder / "plugins").mkdir()
    (folder / "plugins/token.py").write_text(_TOKEN_PLUGIN, encoding="utf-8")
    (folder / "metadata.json").write_text(json.dumps({"allow": {"id": "robot"}}), encoding="utf-8")
    options = ("--metadata", "metadata.json", "--plugins-dir", "plugins", "--port", str(port))
    with listening(port, sys.executable, "-m", "datasette", "gardens.db", *options, folder=folder, GARDEN_TOKEN=token):
        yield Packaged(port, token)


_TOKEN_PLUGIN = """\
import os
from datasette import hookimpl

@hookimpl
def actor_from_request(datasette, request):
    if request.headers.get("authorization") == f"Bearer {os.environ['GARDEN_TOKEN']}":
        return {"id": "robot"}
"""


@contextmanager
def nginx(folder: Path, behind: str) -> Iterator[Packaged]:
    """nginx that takes only those with a certificate of its authority, before the server at the URL `behind`.

    In the folder it leaves ca.pem, client.pem and client.key.
    """
    port = free_port()
    certificates(folder)
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port, behind=behind), encoding="utf-8")
    options = ("-p", str(folder), "-c", str(configuration), "-e", "stderr")
    with listening(port, tool("nginx"), *options, folder=folder):
        yield Packaged(port, scheme="https")


_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        listen unix:{folder}/api.sock;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_client_certificate {folder}/ca.pem;
        ssl_verify_client on;
        location / {{
            proxy_pass {behind};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


def certificates(folder: Path) -> None:
    """An authority, a certificate of 127.0.0.1 as api.internal, and one of a client."""
    openssl = tool("openssl")

    def certified(name: str, subject: str, *more: str) -> None:
        new = (openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={subject}")
        subprocess.run(
            [*new, "-keyout", f"{name}.key", "-out", f"{name}.pem", *more], cwd=folder, check=True, capture_output=True
        )

    by_authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    certified("ca", "authority")
    certified("server", "api.internal", *by_authority, "-addext", "subjectAltName=DNS:api.internal")
    certified("client", "robot", *by_authority)


@contextmanager
def jupyter(folder: Path) -> Iterator[Packaged]:
    """jupyter_server with a notebook; it knows its user by a token."""
    port, token = free_port(), planted()
    (folder / "root").mkdir()
    (folder / "root/a.txt").write_text("one\n", encoding="utf-8")
    options = (
        f"--port={port}",
        "--port-retries=0",
        "--no-browser",
        "--allow-root",
        f"--ServerApp.root_dir={folder}/root",
    )
    own = {"JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data"}
    variables = {name: str(folder / value) for name, value in own.items()} | {"JUPYTER_TOKEN": token}
    with listening(port, sys.executable, "-m", "jupyter_server", *options, folder=folder, **variables):
        yield Packaged(port, token)


@contextmanager
def fastify(folder: Path) -> Iterator[Packaged]:
    """A Node server that asks for a key in a header and has a document at /documentation/json."""
    port, key = free_port(), planted()
    install = (tool("npm"), "install", "--silent", "--no-audit", "--no-fund", "fastify", "@fastify/swagger")
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    (folder / "server.js").write_text(_FASTIFY, encoding="utf-8")
    with listening(port, tool("node"), "server.js", folder=folder, PORT=str(port), PARCEL_KEY=key):
        yield Packaged(port, key)


_FASTIFY = """\
const app = require("fastify")();
const parcel = { type: "object", properties: { id: { type: "integer" }, to: { type: "string" } }, required: ["id"] };
const parcels = Array.from({ length: 500 }, (_, number) => ({ id: number + 1, to: `street ${number + 1}` }));

app.register(require("@fastify/swagger"), {
  openapi: {
    info: { title: "Parcels", version: "1" },
    components: { securitySchemes: { key: { type: "apiKey", in: "header", name: "X-Api-Key" } } },
    security: [{ key: [] }],
  },
});
app.addHook("onRequest", async (request, reply) => {
  const isOpen = request.url === "/documentation/json";
  if (!isOpen && request.headers["x-api-key"] !== process.env.PARCEL_KEY) reply.code(401).send({ error: "no key" });
});
app.register(async (api) => {
  const list = { response: { 200: { type: "array", items: parcel } } };
  api.get("/parcels", { schema: list }, async () => parcels.slice(0, 20));
  const one = { params: { type: "object", properties: { id: { type: "integer" } } }, response: { 200: parcel } };
  const found = async (request, reply) => parcels[request.params.id - 1] ?? reply.code(404).send({});
  api.get("/parcels/:id", { schema: one }, found);
  api.delete("/parcels/:id", async () => process.exit(1));
  api.get("/documentation/json", { schema: { hide: true } }, async () => app.swagger());
});
app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
"""


@contextmanager
def go_httpbin(folder: Path) -> Iterator[Packaged]:
    """A Go server that answers what it was asked, and has no document."""
    port = free_port()
    package = "github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin@latest"
    environment = os.environ | {"GOBIN": str(folder)}
    subprocess.run([tool("go"), "install", package], env=environment, check=True, capture_output=True)
    with listening(port, str(folder / "go-httpbin"), "-host", "127.0.0.1", "-port", str(port), folder=folder):
        yield Packaged(port, planted())
