"""Small real servers of four endpoints, with one planted cause each, of which a diagnosis has to say what it is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from perflib.session.sample import sample_dashboard
from perflib.store.folders import Workbook
from tests.integration.packaged import free_port, tool

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SAMPLE = ("/health", "/clients", "/signals", "/patterns")
PATHS = ("/a", "/b", "/c", "/d")
KINDS = ("cpu", "wait", "lock", "limit", "drip", "block", "stall")
SERVERS = ("sample", "workers", "gunicorn", "node", "cluster")
_STARTS_S = 60.0


@dataclass(frozen=True)
class Plant:
    """What is wrong, and where: "" is a sound server; `at` numbers endpoints."""

    kind: str = ""
    at: tuple[int, ...] = ()
    size_s: float = 0.0
    period_s: float = 0.0
    """Of a stall."""
    at_once: int = 0
    """Of a limit."""


@dataclass(frozen=True)
class Site:
    """A running server; `target` is its target file."""

    url: str
    pid: int
    paths: tuple[str, ...]
    target: str
    is_python: bool


@contextmanager
def planted(server: str, plant: Plant, folder: Path) -> Iterator[Site]:
    """One of SERVERS, in processes of its own that end with the context; what it stores is in `folder`."""
    starts = {"sample": _sample, "workers": _workers, "gunicorn": _gunicorn, "node": _node, "cluster": _cluster}
    with starts[server](plant, folder) as site:
        yield site


@contextmanager
def _sample(plant: Plant, folder: Path) -> Iterator[Site]:
    with sample_dashboard(Workbook(folder), switches(plant)) as sample:
        yield _site(sample.url, sample.pid, SAMPLE, 'token_env = "PERF_API_TOKEN"', is_python=True)


def switches(plant: Plant) -> tuple[str, ...]:
    """Those of the sample dashboard that plant this."""
    size, names = f"{plant.size_s * 1e3:.3f}ms", ",".join(f"GET {SAMPLE[number]}" for number in plant.at)
    if plant.kind == "stall":
        return ("--stall", f"{size}/{plant.period_s:.3f}s")
    if plant.kind == "limit":
        size = f"{plant.at_once}x{size}"
    return (f"--{plant.kind}", f"{names}={size}") if plant.kind else ()


def _workers(plant: Plant, folder: Path) -> AbstractContextManager[Site]:
    """Two processes of uvicorn, on one socket."""
    port = free_port()
    quiet = ("--log-level", "warning", "--no-access-log", "--lifespan", "off", "--timeout-keep-alive", "75")
    return _asgi(plant, folder, port, "uvicorn", "--workers", "2", "--port", str(port), *quiet)


def _gunicorn(plant: Plant, folder: Path) -> AbstractContextManager[Site]:
    """Two processes of gunicorn, on one socket; skips where it is not installed."""
    if find_spec("gunicorn") is None:
        pytest.skip("gunicorn is not installed")
    port = free_port()
    quiet = ("--log-level", "warning", "--keep-alive", "75")
    return _asgi(plant, folder, port, "gunicorn", "-k", "asgi", "-w", "2", "-b", f"127.0.0.1:{port}", *quiet)


@contextmanager
def _asgi(plant: Plant, folder: Path, port: int, module: str, *options: str) -> Iterator[Site]:
    """The site of tests.planted_site, served by a module of this environment."""
    command = (sys.executable, "-m", module, "tests.planted_site:app", *options)
    environment = os.environ | {"PLANT": _as_json(plant, lock_file=str(folder / "lock"))}
    with _process(command, environment, folder) as process:
        _await_connection(port, process)
        yield _site(f"http://127.0.0.1:{port}", process.pid, PATHS, is_python=True)


@contextmanager
def _node(plant: Plant, folder: Path, processes: int = 1) -> Iterator[Site]:
    """A process of Node, or a cluster; skips where there is no node."""
    command = (tool("node"), str(ROOT / "tests/planted.mjs"), _as_json(plant, processes=processes))
    with _process(command, {**os.environ}, folder) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield _site(f"http://127.0.0.1:{port}", process.pid, PATHS, is_python=False)


@contextmanager
def _cluster(plant: Plant, folder: Path) -> Iterator[Site]:
    with _node(plant, folder, processes=2) as site:
        yield site


@contextmanager
def _process(command: tuple[str, ...], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    with process:
        try:
            yield process
        finally:
            children = _children(process.pid)
            process.kill()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


def _children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _await_connection(port: int, process: subprocess.Popen[str]) -> None:
    until_s = time.monotonic() + _STARTS_S
    while time.monotonic() < until_s and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the server did not start")


def _as_json(plant: Plant, **more: object) -> str:
    return json.dumps(asdict(plant) | {"paths": [PATHS[number] for number in plant.at]} | more)


def _site(url: str, pid: int, paths: tuple[str, ...], head: str = "", *, is_python: bool) -> Site:
    endpoints = "".join(f'[[endpoint]]\npath = "{path}"\ntarget_ms = 500\n' for path in paths)
    return Site(url, pid, paths, f'[target]\nname = "planted"\nbase_url = "{url}"\n{head}\n{endpoints}', is_python)
