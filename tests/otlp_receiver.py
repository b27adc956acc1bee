"""A receiver of OTLP metrics over HTTP, on a real socket; it can be slow, and refuse."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Attributes = dict[str, Any]


@dataclass
class Received:
    """What a receiver got; `metrics` decodes one message."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    messages: list[ExportMetricsServiceRequest] = field(default_factory=list)

    def resource(self) -> Attributes:
        return attributes_of(self.messages[-1].resource_metrics[0].resource)

    def metrics(self, message: int = -1) -> dict[str, list[tuple[Attributes, Any]]]:
        """The points of each metric with their attributes."""
        found: dict[str, list[tuple[Attributes, Any]]] = defaultdict(list)
        for metric in self.messages[message].resource_metrics[0].scope_metrics[0].metrics:
            points = getattr(metric, metric.WhichOneof("data")).data_points
            found[metric.name] += [(attributes_of(point), point) for point in points]
        return found

    def units(self) -> dict[str, str]:
        return {metric.name: metric.unit for metric in self.messages[-1].resource_metrics[0].scope_metrics[0].metrics}

    def values(self, name: str) -> dict[tuple[Any, ...], float]:
        """The last values of a gauge, by its attributes' values."""
        return {tuple(about.values()): value_of(point) for about, point in self.metrics()[name]}


def attributes_of(owner: Any) -> Attributes:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in owner.attributes}


def value_of(point: Any) -> float:
    value: float = getattr(point, point.WhichOneof("value"))
    return value


@contextmanager
def receiver(status: int = 200, *, late_s: float = 0.0, refused: int = 0) -> Iterator[Received]:
    """A receiver that answers so, after so long, and refuses so many values."""
    received, ending = Received(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.paths.append(self.path)
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            received.messages.append(ExportMetricsServiceRequest.FromString(body))
            ending.wait(late_s)
            self.answer()

        def answer(self) -> None:
            said = ExportMetricsServiceResponse()
            said.partial_success.rejected_data_points = refused
            body = said.SerializeToString() if refused else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            if status // 100 == 3:
                self.send_header("Location", f"{received.url}/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                """The client has gone."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        ending.set()
        server.shutdown()
        thread.join(5)
        server.server_close()
