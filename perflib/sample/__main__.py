"""`perflib demo`: reads the switches, prepares the database, serves until told to stop."""

import argparse
import ctypes
import os
import resource
import secrets
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import NoReturn

import uvicorn

from perflib.sample import database, faults
from perflib.sample.app import create_app

TOKEN = "PERF_API_TOKEN"


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        line = message.removeprefix("argument ").replace("\n", " ")
        self.exit(2, f"{self.prog}: {line} (see {self.prog} --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Serve the sample dashboard; 0 once ended by SIGTERM, 130 by Ctrl-C, 2 (SystemExit) for wrong use."""
    parser = _parser()
    options = parser.parse_args(argv)
    _let_profilers_attach()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if options.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        listener = _prepare(parser, options)
        _serve(listener, options.host, options.database, _faults(options))
    except KeyboardInterrupt:
        return 130
    return 0


def _let_profilers_attach() -> None:
    """Any of the same user: where Linux has Yama, only a parent may otherwise (ptrace_scope = 1)."""
    if sys.platform == "linux":
        pr_set_ptracer, any_process = 0x59616D61, ctypes.c_ulong(-1)
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(pr_set_ptracer, any_process, 0, 0, 0)


def _prepare(parser: argparse.ArgumentParser, options: argparse.Namespace) -> socket.socket:
    """The listening socket, once there is a database to serve."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # hundreds of users take thousands of files
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        database.prepare(options.database)
    except (OSError, ValueError, sqlite3.Error) as error:
        parser.error(f"--database {options.database}: {error}; name a new file in a writable folder")
    try:
        return _listen(options.host, options.port)
    except OSError as error:
        parser.error(f"--host {options.host} --port {options.port}: {error.strerror}; try --port 0")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser("perflib demo", description="Serve the sample dashboard.", allow_abbrev=False)
    add = parser.add_argument
    add("--port", type=_port, default=8420, help="0 takes any free one (default: 8420)")
    add("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    add("--database", type=Path, default=_default_database(), metavar="FILE", help="built at the first start")
    add("--end-with-stdin", action="store_true", help=argparse.SUPPRESS)
    _add_fault_switches(parser.add_argument_group("fault switches, to show each detector working"))
    return parser


def _add_fault_switches(group: argparse._ArgumentGroup) -> None:
    add, every = group.add_argument, partial(group.add_argument, action="append", default=[])
    every("--slow", type=faults.slow, metavar="WHAT", help='"GET /clients=+60%%" of its own time, or "…=+15ms"')
    every("--errors", type=faults.errors, metavar="WHAT", help='"GET /signals=1%%": this share answers 500')
    every("--block", type=faults.block, metavar="WHAT", help='"GET /patterns" works on the event loop; "…=20ms" more')
    every("--cpu", type=faults.duration, metavar="WHAT", help='"GET /clients=12ms" of computing')
    every("--wait", type=faults.duration, metavar="WHAT", help='"GET /clients=20ms" without computing')
    every("--lock", type=faults.lock, metavar="WHAT", help='"GET /signals,GET /patterns=10ms" hold one lock')
    every("--limit", type=faults.limit, metavar="WHAT", help='"GET /clients=2x10ms": 10 ms, for two at once')
    every("--drip", type=faults.duration, metavar="WHAT", help='"GET /clients=32ms": the body comes in pieces')
    every("--n-plus-one", type=faults.queries, metavar="WHAT", help='"GET /clients=150" small queries')
    every("--error-body", type=faults.endpoint, metavar="NAME", help='"GET /patterns" says error in a 200')
    add("--leak", type=faults.leak, default=faults.Leak(), metavar="SIZE", help="20KB/request or 2MB/min")
    add("--stall", type=faults.stall, metavar="TIME", help="2s/30s: everything stops for 2 s in every 30 s")
    add("--rate-limit", type=faults.rate_limit, default=inf, metavar="RATE", help="50/s: above it 429")
    add("--fallback-html", action="store_true", help="unknown paths answer 200 with a page")
    add("--cold-cache", action="store_true", help="the snapshot is computed for every request")


def _faults(options: argparse.Namespace) -> faults.Faults:
    return faults.Faults(
        slow=dict(options.slow),
        errors=dict(options.errors),
        block_s=dict(options.block),
        cpu_s=dict(options.cpu),
        wait_s=dict(options.wait),
        locks=tuple(options.lock),
        limits=dict(options.limit),
        drip_s=dict(options.drip),
        queries=dict(options.n_plus_one),
        error_body=frozenset(options.error_body),
        leak=options.leak,
        stall=options.stall,
        fallback_html=options.fallback_html,
        cold_cache=options.cold_cache,
        rate_limit_per_s=options.rate_limit,
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; use a number from 0 to 65535")
    return int(text)


def _default_database() -> Path:
    if data := os.environ.get("PERFLIB_DATA"):
        return Path(data, "dashboard.sqlite")
    return Path("data" if Path("data").is_dir() else tempfile.gettempdir(), "dashboard.sqlite")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def _end_with_stdin() -> None:
    """Ask this process to end when whoever started it closes its stdin, or dies."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(listener: socket.socket, host: str, path: Path, switches: faults.Faults) -> None:
    given = os.environ.get(TOKEN)
    token = given or secrets.token_urlsafe(24)
    app = create_app(path, token, switches)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=75)
    config.timeout_graceful_shutdown = 5
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # an exception would break into an event loop half made
    address = f"[{host}]" if ":" in host else host
    print(f"perflib demo: serving on http://{address}:{listener.getsockname()[1]}", flush=True)
    if not given:
        print(f"{TOKEN}={token}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
