"""The target as it exports itself, in Prometheus' text format."""

from __future__ import annotations

import math

import httpx
from prometheus_client.parser import text_string_to_metric_families

from perflib.watch.reading import Reading

_PATIENCE_S = 1.0
_PROMETHEUS = {
    "process_resident_memory_bytes": "rss_bytes",
    "process_open_fds": "open_files",
    "process_cpu_seconds_total": "cpu_s",
    "process_start_time_seconds": "started_s",
}


class PrometheusText:
    """What a process exports of itself in Prometheus' text format; several of one name are added up."""

    def __init__(self, url: str) -> None:
        self._client, self._url = httpx.Client(timeout=_PATIENCE_S), url

    def read(self) -> Reading | None:
        try:
            answer = self._client.get(self._url).raise_for_status()
            told: dict[str, float] = {}
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    if sample.name in _PROMETHEUS:
                        name = _PROMETHEUS[sample.name]
                        told[name] = told.get(name, 0.0) + sample.value
        except (httpx.HTTPError, ValueError):
            return None
        if "rss_bytes" not in told:
            return None
        return Reading(
            rss_bytes=int(told["rss_bytes"]),
            uss_bytes=-1,
            pss_bytes=-1,
            cpu_s=told.get("cpu_s", math.nan),
            open_files=int(told.get("open_files", -1)),
            threads=-1,
            processes=-1,
            pid=-1,
            started_s=told.get("started_s", 0.0),
        )

    def close(self) -> None:
        self._client.close()
