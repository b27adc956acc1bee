"""Memory: whether the target leaks, by the samples of a run. Pure.

Resident memory, open files and threads are judged alike, over the longest stretch in which the target did not restart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from perflib.spec import Run
from perflib.spec.workload import is_steady
from perflib.stats.growth import MEMORY, OPEN_FILES, THREADS, Growth, Tolerance, growth
from perflib.stats.verdict import Verdict, worst

_GONE_S = 3.0
"""A target whose samples end so long before the run was gone by then."""
_CHANGING = "The load changed, and what a target holds may follow its load."


@dataclass(frozen=True)
class Memory:
    """What became of the target's memory, open files and threads; None: not told by its source.

    `from_s` and `to_s` bound the stretch that was judged, seconds from the run's start; `restarts_s` are the moments at
    which another process was found in the target's place, `gone_s` when it was last seen, where it was gone at the end.
    """

    verdict: Verdict
    rss: Growth | None = None
    open_files: Growth | None = None
    threads: Growth | None = None
    bytes_per_request: float | None = None
    from_s: float = 0.0
    to_s: float = 0.0
    restarts_s: tuple[float, ...] = ()
    gone_s: float | None = None

    @property
    def series(self) -> dict[str, Growth]:
        """What was judged, by name."""
        named = {"memory": self.rss, "open files": self.open_files, "threads": self.threads}
        return {name: found for name, found in named.items() if found is not None}

    def as_json(self) -> dict[str, Any]:
        """The memory block of `perflib run --json`."""
        return _figures(self.rss, "bytes") | {
            "verdict": self.verdict,
            "bytes_per_request": self.bytes_per_request,
            "restarts_s": list(self.restarts_s),
            "gone_s": self.gone_s,
            "open_files": self.open_files and _figures(self.open_files, "files"),
            "threads": self.threads and _figures(self.threads, "threads"),
        }


def memory_of(run: Run) -> Memory:
    """The verdict on a run's memory: the worst of memory, open files and threads.

    >>> import perflib
    >>> perflib.memory_of(perflib.load_run("sample-28-release-1.4")).verdict  # six seconds are too few
    <Verdict.INCONCLUSIVE: 'INCONCLUSIVE'>
    """
    if run.memory is None or run.memory.empty:
        return Memory(Verdict.NOT_SAMPLED)
    samples = run.memory
    another = (samples["pid"].diff().fillna(0) != 0) | (samples["started_s"].diff().fillna(0).abs() > 1)
    restarts_ns = samples.loc[another, "t_ns"]
    stretch = max((some for _, some in samples.groupby(another.cumsum())), key=lambda some: _lasts_ns(some["t_ns"]))
    rss = _judge(run, stretch, "rss_bytes", MEMORY)
    open_files, threads = _judge(run, stretch, "open_files", OPEN_FILES), _judge(run, stretch, "threads", THREADS)
    return Memory(
        verdict=worst(one.verdict for one in (rss, open_files, threads) if one),
        rss=rss,
        open_files=open_files,
        threads=threads,
        bytes_per_request=_per_request(run, stretch, rss),
        from_s=float(stretch["t_ns"].iloc[0] / 1e9),
        to_s=float(stretch["t_ns"].iloc[-1] / 1e9),
        restarts_s=tuple(float(at_ns / 1e9) for at_ns in restarts_ns),
        gone_s=_gone_s(run),
    )


def _judge(run: Run, stretch: pd.DataFrame, column: str, tolerance: Tolerance) -> Growth | None:
    told, scenario = stretch[stretch[column] >= 0], run.facts.scenario
    if told.empty:
        return None
    found = growth((told["t_ns"] / 1e9).to_numpy(), told[column].to_numpy(dtype=np.float64), tolerance)
    if found.verdict in (Verdict.LEAK, Verdict.STEP) and (scenario.isolated or not is_steady(scenario.workload)):
        return Growth(Verdict.INCONCLUSIVE, _CHANGING, fit=found.fit)
    return found


def _per_request(run: Run, stretch: pd.DataFrame, rss: Growth | None) -> float | None:
    if rss is None or rss.per_h is None:
        return None
    sent = run.requests.loc[run.requests["kind"] == "request", "start_ns"]
    requests = int(sent.between(stretch["t_ns"].iloc[0], stretch["t_ns"].iloc[-1]).sum())
    return rss.per_h * _lasts_ns(stretch["t_ns"]) / 3.6e12 / requests if requests else None


def _gone_s(run: Run) -> float | None:
    assert run.memory is not None
    last_s = float(run.memory["t_ns"].iloc[-1] / 1e9)
    ends_s = max((part.measured_to_ns / 1e9 for part in run.facts.parts), default=0.0)
    return last_s if ends_s - last_s > _GONE_S else None


def _lasts_ns(at_ns: "pd.Series[int]") -> int:
    return int(at_ns.iloc[-1] - at_ns.iloc[0])


def _figures(found: Growth | None, unit: str) -> dict[str, Any]:
    names = (f"growth_{unit}_per_h", f"interval_{unit}_per_h", f"smallest_{unit}_per_h")
    if found is None:
        return dict.fromkeys(names)
    between = found.interval_per_h and [found.interval_per_h.low, found.interval_per_h.high]
    rates = zip(names, (found.per_h, between, found.smallest_per_h), strict=True)
    return {"verdict": found.verdict, "reason": found.reason, **dict(rates), "settle_s": found.settle_s}
