"""The target as it exports itself, in Prometheus' text format or as OpenMetrics."""

import math
import re
import time
from collections import defaultdict
from urllib.parse import urlsplit

import httpx

from perflib.store.authorities import tls_context
from perflib.watch.reading import Reading

_PATIENCE_S, _MOST_BYTES = 1.0, 16_000_000
_MOST = 2.0**62
_HEADERS = {"Connection": "close", "Accept": "text/plain"}
_RSS, _CPU, _FILES, _STARTED = (
    f"process_{name}" for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "start_time_seconds")
)
_SAMPLE = re.compile(
    rf"^(?P<name>{_RSS}|{_CPU}|{_FILES}|{_STARTED})"
    r'(?:[ \t]*\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}[ \t]*|[ \t]+)(?P<value>[^\s{]+)',
    re.MULTILINE,
)
"""A sample of the text format; what follows the value (time, exemplar) is left out."""


class PrometheusText:
    """What a process exports of itself; several of one name in one answer are added up.

    No proxy is asked, as by the load. Each sample opens a connection of its own, as one that is
    kept would ask the same worker of several for ever.

    Raises:
        InputError: where SSL_CERT_FILE or the like names what cannot be read.
    """

    def __init__(self, url: str) -> None:
        secure = urlsplit(url).scheme == "https"
        verify = tls_context() if secure else False
        self._client = httpx.Client(timeout=_PATIENCE_S, trust_env=False, verify=verify, headers=_HEADERS)
        self._url, self.why_not = url, ""

    def read(self) -> Reading | None:
        """A reading; None where the answer tells no memory, which `why_not` explains."""
        try:
            told = _samples(self._text())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            self.why_not = f"{self._url} was not read: {str(error).partition(chr(10))[0] or type(error).__name__}"
            return None
        rss, files, started = _total(told[_RSS]), _total(told[_FILES]), _total(told[_STARTED])
        if math.isnan(rss):
            self.why_not = f"{self._url} has no process_resident_memory_bytes; mend metrics_url in the target file"
            return None
        return Reading(
            rss_bytes=int(rss),
            cpu_s=_total(told[_CPU]),
            open_files=-1 if math.isnan(files) else int(files),
            processes=len(told[_RSS]),
            started_s=started if len(told[_STARTED]) == 1 and started < math.inf else 0.0,
        )

    def _text(self) -> str:
        """The answer, within the patience and of a bounded size. Raises httpx.HTTPError, ValueError."""
        begun_s, parts, size = time.monotonic(), list[bytes](), 0
        with self._client.stream("GET", self._url) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > _MOST_BYTES or time.monotonic() - begun_s > _PATIENCE_S:
                    raise ValueError(f"it did not end within {_PATIENCE_S:g} s and {_MOST_BYTES / 1e6:g} MB")
        return b"".join(parts).decode(errors="replace")

    def close(self) -> None:
        self._client.close()


def _samples(text: str) -> defaultdict[str, list[float]]:
    """The values of the process's metrics by name; NaN for what is no number."""
    told: defaultdict[str, list[float]] = defaultdict(list)
    for sample in _SAMPLE.finditer(text):
        try:
            told[sample["name"]].append(float(sample["value"]))
        except ValueError:
            told[sample["name"]].append(math.nan)
    return told


def _total(values: list[float]) -> float:
    """The sum; NaN where there is none, or it can be no size, count or time, as that of one value cannot."""
    total = sum(values) if values and min(values) >= 0 else math.nan
    return total if total < _MOST else math.nan
