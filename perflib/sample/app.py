"""The dashboard as an ASGI application: its routes, who may ask, and what every answer carries."""

import asyncio
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread
import psutil
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    generate_latest,
)
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perflib.sample import queries
from perflib.sample.answers import (
    Answer,
    ErrorDiffusion,
    Leakage,
    RateLimit,
    SingleFlightCache,
    compute,
    stall_regularly,
)
from perflib.sample.faults import Delay, Faults
from perflib.sample.slowness import Cause, causes_of, dripped, in_own_thread, wait_without_computing

SNAPSHOT_KEEP_S = 60.0
WORKER_THREADS = 4
PAGE = "<!doctype html><title>Dashboard</title><div id=app>Dashboard</div>"
Source = Callable[[], Awaitable[Answer]]


class Health(BaseModel):
    """The server is up."""

    status: Literal["ok"]


class Rows(Health):
    """A list of records."""

    data: list[dict[str, Any]]
    as_of: str | None = None
    generated_at: str | None = None


class Document(Health):
    """Named parts."""

    data: dict[str, Any]
    as_of: str | None = None
    generated_at: str | None = None


MODELS: dict[str, type[Health]] = {
    "GET /health": Health,
    "GET /clients": Rows,
    "GET /signals": Rows,
    "GET /patterns": Document,
    "GET /snapshot": Document,
    "GET /cost-to-serve": Rows,
}


class Bearer(HTTPBearer):
    """Lets a request pass that carries the token."""

    def __init__(self, token: str) -> None:
        super().__init__(auto_error=False)
        self._token = token.encode()

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode("latin-1"), self._token):
            raise HTTPException(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})


def create_app(database: Path, token: str, faults: Faults) -> ASGIApp:
    """The dashboard over a prepared database."""
    leakage = Leakage()
    registry = _registry(leakage)
    app = FastAPI(title="Sample dashboard", version="1", lifespan=partial(_lifespan, leakage, faults))
    app.add_exception_handler(StarletteHTTPException, _refusal)
    reader = queries.Reader(database)
    causes, rate_limit = causes_of(faults, reader), RateLimit(faults.rate_limit_per_s)
    for name, source in _sources(reader, faults, registry).items():
        public = name == "GET /health"
        app.add_api_route(
            name.removeprefix("GET "),
            _endpoint(name, source, faults, causes.get(name, []), rate_limit),
            name=name,
            response_model=MODELS[name],
            dependencies=[] if public else [Depends(Bearer(token))],
        )
    app.add_api_route("/metrics", partial(_metrics, registry), include_in_schema=False)
    if faults.fallback_html:
        app.add_api_route("/{path:path}", _page, include_in_schema=False)
    return Instrumented(app, leakage, faults.leak.bytes_per_request)


def _sources(reader: queries.Reader, faults: Faults, registry: CollectorRegistry) -> dict[str, Source]:
    computations = Counter("demo_snapshot_computations", "Times the snapshot was computed", registry=registry)

    async def computed(name: str, read: Callable[[], bytes]) -> Answer:
        return compute(read) if name in faults.block_s else await run_in_threadpool(compute, read)

    async def snapshot() -> Answer:
        computations.inc()
        return await computed("GET /snapshot", reader.snapshot)

    cache = SingleFlightCache(snapshot, keep_s=0.0 if faults.cold_cache else SNAPSHOT_KEEP_S)
    by_query = {
        name: partial(computed, name, partial(reader.json, query)) for name, query in queries.BY_ENDPOINT.items()
    }
    return {"GET /health": _health, "GET /snapshot": cache.answer, **by_query}


async def _health() -> Answer:
    return Answer(b'{"status":"ok"}')


def _endpoint(
    name: str, source: Source, faults: Faults, causes: Sequence[Cause], rate_limit: RateLimit
) -> Callable[[], Awaitable[Response]]:
    failures = ErrorDiffusion(faults.errors.get(name, Fraction(0)))
    delay = faults.slow.get(name, Delay())

    async def endpoint() -> Response:
        if rate_limit.exceeded():
            return _error(429, "above the rate limit (--rate-limit)", {"Retry-After": "1"})
        if failures.due():
            return _error(500, "failed on purpose (--errors)")
        if name in faults.error_body:
            return _error(200, "failed on purpose (--error-body)")
        answer = await source()
        for cause in causes:
            await cause()
        if wait_s := delay.wait_s(answer.computing_s):
            await in_own_thread(wait_without_computing, wait_s)
        said: dict[str, Any] = {"media_type": "application/json", "headers": dict(answer.headers)}
        drip_s = faults.drip_s.get(name)
        response = StreamingResponse(dripped(answer.body, drip_s), **said) if drip_s else Response(answer.body, **said)
        response.headers["Server-Timing"] = f"db;dur={answer.computing_s * 1e3:.3f}"
        return response

    return endpoint


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"status": "error", "message": message}, status, headers)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return _error(error.status_code, error.detail, error.headers)


async def _metrics(registry: CollectorRegistry) -> Response:
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _page() -> Response:
    return HTMLResponse(PAGE)


def _registry(leakage: Leakage) -> CollectorRegistry:
    registry = CollectorRegistry()
    if not list(ProcessCollector(registry=registry).collect()):  # as on macOS, which has no /proc
        resident = Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", registry=registry)
        resident.set_function(lambda: psutil.Process().memory_info().rss)
    leaked = Gauge("demo_leaked_bytes", "Memory retained by --leak", registry=registry)
    leaked.set_function(lambda: leakage.retained_bytes)
    return registry


@asynccontextmanager
async def _lifespan(leakage: Leakage, faults: Faults, app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = WORKER_THREADS
    tasks = []
    if faults.leak.bytes_per_s:
        tasks.append(asyncio.create_task(leakage.grow(faults.leak.bytes_per_s)))
    if faults.stall:
        tasks.append(asyncio.create_task(stall_regularly(faults.stall.stall_s, faults.stall.period_s)))
    yield
    for task in tasks:
        task.cancel()


class Instrumented:
    """Outermost, so that every answer, a failed one too, carries X-Request-Id and Server-Timing."""

    def __init__(self, app: ASGIApp, leakage: Leakage, leak_bytes: int) -> None:
        self._app = app
        self._leakage = leakage
        self._leak_bytes = leak_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        self._leakage.retain(self._leak_bytes)

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                total = f"total;dur={(time.perf_counter() - start) * 1e3:.3f}"
                headers["Server-Timing"] = ", ".join(filter(None, (headers.get("Server-Timing"), total)))
                headers["X-Request-Id"] = secrets.token_hex(8)
            await send(message)

        await self._app(scope, receive, stamped)
