"""Progress: what the workers of a run say of themselves each second, put together."""

from __future__ import annotations

from dataclasses import dataclass, field

from perflib.stats.histogram import LogHistogram
from perflib.stats.percentile import required_count


@dataclass(frozen=True)
class Beat:
    """One second of one worker; `requests` and `errors` count from the start, `times_ms` are bins of a histogram."""

    elapsed_s: float
    planned_s: float
    doing: str
    users: int
    requests: int
    errors: int
    rate_per_s: float
    times_ms: dict[str, int]


@dataclass(frozen=True)
class Progress:
    """One second of a run, as it goes. `p50_ms` and `p95_ms` are of that second, the others so far."""

    elapsed_s: float
    planned_s: float
    doing: str
    users: int
    """At work; connections in use of an open workload."""
    requests: int
    errors: int
    rate_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    so_far_p50_ms: float | None
    so_far_p95_ms: float | None


@dataclass
class Beats:
    """The last beat of each worker, and the times of all that came before."""

    _latest: dict[int, Beat] = field(default_factory=dict)
    _so_far: LogHistogram = field(default_factory=LogHistogram)

    def add(self, worker: int, beat: Beat) -> None:
        self._latest[worker] = beat
        self._so_far.add_bins(beat.times_ms)

    def progress(self) -> Progress:
        """Of all workers together: counts and rates add up, times are of the merged histograms."""
        beats = list(self._latest.values())
        second = LogHistogram()
        for beat in beats:
            second.add_bins(beat.times_ms)
        return Progress(
            elapsed_s=max(beat.elapsed_s for beat in beats),
            planned_s=beats[0].planned_s,
            doing=beats[0].doing,
            users=sum(beat.users for beat in beats),
            requests=sum(beat.requests for beat in beats),
            errors=sum(beat.errors for beat in beats),
            rate_per_s=sum(beat.rate_per_s for beat in beats),
            p50_ms=_supported(second, 0.50),
            p95_ms=_supported(second, 0.95),
            so_far_p50_ms=_supported(self._so_far, 0.50),
            so_far_p95_ms=_supported(self._so_far, 0.95),
        )


def _supported(times_ms: LogHistogram, q: float) -> float | None:
    return times_ms.percentile(q) if times_ms.count >= required_count(q) else None
