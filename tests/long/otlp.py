"""A run of the sample dashboard, sent to a real receiver and asked back. `python -m tests.long.otlp victoria-metrics`.

The receiver is a program on this machine, VictoriaMetrics or Prometheus 3, started on a free port of the loopback:
`go install github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@latest`, or `go install -tags remove_all_sd
github.com/prometheus/prometheus/cmd/prometheus@latest`. Its counts have to be those of the stored run.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

import perflib

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTS_WITHIN_S, _SEEN_AFTER_S = 30.0, 5.0


@dataclass(frozen=True)
class Receiver:
    """A receiver that runs: where it takes OTLP, how it writes names, and how it is asked."""

    url: str
    otlp: str
    dots: bool

    def asked(self, query: str) -> list[dict[str, Any]]:
        got = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False).raise_for_status()
        found: list[dict[str, Any]] = got.json()["data"]["result"]
        return found

    def named(self, name: str, suffix: str) -> str:
        return f'__name__="{name}"' if self.dots else f'__name__="{name.replace(".", "_")}{suffix}"'

    @property
    def counts(self) -> str:
        """The query of how many times all histograms hold."""
        name = "perflib.response_time_count" if self.dots else "perflib_response_time_seconds"
        series = f'{{__name__="{name}"}}'
        return f"sum({series})" if self.dots else f"sum(histogram_count({series}))"

    def label(self, name: str) -> str:
        return name if self.dots else name.replace(".", "_")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("program", type=Path, help="the receiver's program")
    words.add_argument("--duration", default="20s")
    said = words.parse_args()
    with tempfile.TemporaryDirectory() as scratch, started(said.program, Path(scratch)) as receiver:
        run = perflib.run("light_load", profile="quick", duration=said.duration, otlp=receiver.otlp)
        print(f"{run!r}, {'valid' if run.facts.valid else run.facts.invalid_reasons}")  # noqa: T201
        check(receiver, run)


@contextmanager
def started(program: Path, folder: Path) -> Iterator[Receiver]:
    """The program on a free port, ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        at = f"127.0.0.1:{free.getsockname()[1]}"
    is_prometheus = "prometheus" in program.name
    (folder / "prometheus.yml").write_text("storage: {tsdb: {out_of_order_time_window: 1m}}\n", encoding="utf-8")
    command = [
        *(f"--web.listen-address={at}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--config.file={folder / 'prometheus.yml'}", "--web.enable-otlp-receiver"),
    ]
    if not is_prometheus:
        command = [f"-httpListenAddr={at}", f"-storageDataPath={folder / 'data'}", "-search.latencyOffset=0s"]
    url = f"http://{at}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *command], stdout=log, stderr=log)
    try:
        _wait_for(f"{url}/{'-/ready' if is_prometheus else 'health'}", folder / "log")
        yield Receiver(url, f"{url}/{'api/v1/otlp' if is_prometheus else 'opentelemetry'}", dots=not is_prometheus)
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url: str, log: Path) -> None:
    until_s = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until_s:
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(log.read_text(encoding="utf-8"))


def check(receiver: Receiver, run: perflib.Run) -> None:
    """Hold what it got against the stored run, and print both. Raises AssertionError where they differ."""
    rows = run.requests.astype({"error": object, "page": object}).fillna({"error": "", "page": ""})
    stored = Counter(zip(rows["endpoint"].astype(str), rows["page"], rows["status"], rows["error"], strict=True))
    attributes = ("perflib.endpoint", "perflib.page", "http.response.status_code", "error.type")
    names = [receiver.label(name) for name in attributes]
    got: Counter[tuple[Any, ...]] = Counter()
    time.sleep(_SEEN_AFTER_S)
    for one in receiver.asked("{" + receiver.named("perflib.requests", "_total") + "}"):
        about = [one["metric"].get(name, "") for name in names]
        got[about[0], about[1], int(about[2] or 0), about[3]] += int(float(one["value"][1]))
    for key, count in sorted(stored.items()):
        print(f"{' '.join(map(str, key)):60} stored {count:7,}  received {got[key]:7,}")  # noqa: T201
    assert got == stored
    _check_figures(receiver, run)


def _check_figures(receiver: Receiver, run: perflib.Run) -> None:
    series = receiver.named("perflib.result.response_time", "_seconds")
    for row in perflib.summarize(run).endpoints:
        if row.p95_ms is None:
            continue
        about = f'{{{series},"{receiver.label("perflib.endpoint")}"="{row.endpoint}",quantile="0.95"}}'
        [found] = receiver.asked(about)
        received_ms = 1e3 * float(found["value"][1])
        print(f"{row.endpoint:30} p95 stored {row.p95_ms:.4f} ms  received {received_ms:.4f} ms")  # noqa: T201
        assert abs(received_ms - row.p95_ms) < 1e-6 * row.p95_ms
    [valid] = receiver.asked("{" + receiver.named("perflib.result.valid", "") + "}")
    counts = receiver.asked(receiver.counts)
    times, successes = int(float(counts[0]["value"][1])), int(run.requests["error"].isna().sum())
    print(f"valid {valid['value'][1]}; histograms hold {times:,} times of {successes:,} successes")  # noqa: T201
    assert (valid["value"][1], times) == (str(int(run.facts.valid)), successes)


if __name__ == "__main__":
    main()
