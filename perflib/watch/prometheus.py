"""The target as it exports itself, in Prometheus' text format."""

import math
from collections import defaultdict
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from perflib.store.authorities import tls_context
from perflib.watch.reading import Reading

_PATIENCE_S = 1.0


class PrometheusText:
    """What a process exports of itself in Prometheus' text format; several of one name are added up."""

    def __init__(self, url: str) -> None:
        secure = urlsplit(url).scheme == "https"
        self._client = httpx.Client(timeout=_PATIENCE_S, trust_env=False, verify=tls_context() if secure else False)
        self._url = url

    def read(self) -> Reading | None:
        try:
            answer = self._client.get(self._url).raise_for_status()
            sums: defaultdict[str, float] = defaultdict(float)
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    sums[sample.name] += sample.value
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None
        if "process_resident_memory_bytes" not in sums:
            return None
        return Reading(
            rss_bytes=int(sums["process_resident_memory_bytes"]),
            cpu_s=sums.get("process_cpu_seconds_total", math.nan),
            open_files=int(sums.get("process_open_fds", -1)),
            started_s=sums.get("process_start_time_seconds", 0.0),
        )

    def close(self) -> None:
        self._client.close()
