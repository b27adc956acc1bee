"""OTLP over HTTP: a run's metrics sent while it goes on, and at its end. Whatever happens here, the run does not heed.

A thread of the process that orchestrates sends what the load generator has spooled; the SDK's instruments are not
used, for they would cost that process a call per request.
"""

import logging
import os
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from requests.adapters import HTTPAdapter

from perflib.export.gauges import Gauge, of_the_end, of_the_moment
from perflib.export.message import Span, message_of, resource_of
from perflib.export.tally import Tally
from perflib.figures.under_way import users_now
from perflib.spec import Facts, Run
from perflib.spec.options import receiver_of
from perflib.store.runs import RunFolder, frame_of
from perflib.store.spool import GENERATOR_ROW, generator_spool, memory_so_far, read_spool, requests_spool

_EVERY_S, _TIMEOUT_S, _AT_MOST_S = 2.0, 3.0, 5.0
"""Between two sends; of one; of the last one, what is under way before it included."""
_LATE = f"no answer within {_AT_MOST_S:g} s"
_UNMADE = "the request could not be made; look at the OTEL_EXPORTER_OTLP_ variables"
_WHY: dict[type[Exception], str] = {
    requests.exceptions.SSLError: "its certificate was not accepted, or it speaks no TLS",
    requests.exceptions.ProxyError: "the proxy does not let it through",
    requests.exceptions.Timeout: f"no answer within {_TIMEOUT_S:g} s",
    requests.exceptions.ConnectionError: "no connection",
}

# The SDK tells of failures by itself, with the URL and the headers that it could not read. One of its user's choice
# stays as it is.
if not (noise := logging.getLogger("opentelemetry")).level:
    noise.setLevel(logging.CRITICAL + 1)


class Export:
    """Sends the metrics of one run; a `Watching` of it."""

    def __init__(self, folder: RunFolder, to: str) -> None:
        self._facts, self._url = folder.read_facts(), receiver_of(to, os.environ)
        self._reader = _Reader(folder.path, self._facts)
        self._over = threading.Event()
        self._run: Run | None = None
        self._line = _Line()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def look(self) -> None:
        """Its own thread looks."""

    def ended(self, run: Run) -> Run:
        """Send the final figures, or say in a line why that could not be done. Returns the run."""
        self._run = run
        self._over.set()
        try:
            self._thread.join(_AT_MOST_S)
            why = self._line.why
        except KeyboardInterrupt:
            why = "interrupted"
        if why:
            where = urlsplit(self._url).netloc.rpartition("@")[2]
            sys.stderr.write(f"perflib: --otlp: {where} did not get the final figures: {why}\n")
        return run

    def _go_on(self) -> None:
        try:
            sender = _Sender(self._url, self._line, self._facts)
            while not self._over.wait(_EVERY_S):
                with suppress(FileNotFoundError):  # sealed just now
                    sender.send(self._reader.tally, self._reader.news())
            if self._run is not None:
                last = Tally()
                last.add(self._run.requests)
                sender.send(last, of_the_end(self._run))
            sender.end()
        except Exception as error:  # its words may hold what is secret
            self._line.why = f"a fault of perflib's own ({type(error).__name__})"


class _Reader:
    """Reads what the workers of a run spool."""

    def __init__(self, path: Path, facts: Facts) -> None:
        self._path, self._facts = path, facts
        self._taken = [0] * facts.workers
        self.tally = Tally()

    def news(self) -> list[Gauge]:
        """Take in what is new; returns the gauges of the moment."""
        workers = range(self._facts.workers)
        health = [read_spool(generator_spool(self._path, worker), GENERATOR_ROW)[-1:].copy() for worker in workers]
        found = [read_spool(requests_spool(self._path, worker)) for worker in workers]
        rows = np.concatenate([own[taken:] for own, taken in zip(found, self._taken, strict=True)])
        self._taken = [len(own) for own in found]
        self.tally.add(frame_of(rows, self._facts))
        newest = np.concatenate(health)
        elapsed_s = float(newest["t_ns"].max(initial=0)) / 1e9
        users = users_now(self._facts.scenario, rows["user"], elapsed_s)
        return of_the_moment(users, newest, memory_so_far(self._path)[-1:])


class _Sender:
    """Sends messages to one URL; the OTEL_EXPORTER_OTLP_ variables name headers, certificates and compression."""

    def __init__(self, url: str, line: "_Line", facts: Facts) -> None:
        session, self._line = requests.Session(), line
        for scheme in ("http://", "https://"):
            session.mount(scheme, line)
        self._exporter = OTLPMetricExporter(endpoint=url, timeout=_TIMEOUT_S, session=session)
        self._resource = resource_of(facts)
        self._begun_ns = int(datetime.fromisoformat(facts.started_at).timestamp()) * 1_000_000_000

    def send(self, tally: Tally, gauges: list[Gauge]) -> None:
        """Send what is known until now; whether that was possible, the line knows."""
        message = message_of(self._resource, Span(self._begun_ns, time.time_ns()), tally, gauges)
        self._line.why = _LATE
        self._exporter.export(message)
        if self._line.why == _LATE:
            self._line.why = _UNMADE

    def end(self) -> None:
        self._exporter.shutdown()


class _Line(HTTPAdapter):
    """Knows why its last request failed, in words without a secret, which the SDK's own are not; empty: it did not."""

    why = _LATE

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        try:
            answer = super().send(request, stream, timeout, verify, cert, proxies)
            self.why = _refusal(answer)
        except Exception as error:
            self.why = next((why for kind, why in _WHY.items() if isinstance(error, kind)), type(error).__name__)
            raise
        return answer


def _refusal(answer: requests.Response) -> str:
    """Why an answer is none that took all; empty: it did. The SDK takes a redirect, and a part, for a success."""
    if answer.status_code // 100 != 2:
        return f"HTTP {answer.status_code}"
    if "protobuf" not in answer.headers.get("Content-Type", ""):
        return ""
    refused = ExportMetricsServiceResponse.FromString(answer.content).partial_success.rejected_data_points
    return f"it refused {refused} of the values" if refused else ""
