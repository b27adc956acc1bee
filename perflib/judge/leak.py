"""Memory: whether the target leaks, by the samples of a run. Pure.

Memory, open files and threads are judged alike, over the longest stretch in which the target did not restart: the sum
over its processes. Of several the memory is their PSS where it is known, as RSS counts what they share in each of them.
Workers that are recycled give back what they took: then the highest level within the life of a worker is judged, as a
target whose peaks do not rise is bounded, while what is lowest is the moment at which a worker is missing.
What a target keeps of each request grows with their number: under a load that changes, that is told from what follows
the load by counting requests in place of seconds.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from perflib.spec import Run
from perflib.spec.workload import is_steady
from perflib.stats import Floats, Interval
from perflib.stats.growth import LEAST_SAMPLES, MEMORY, OPEN_FILES, THREADS, Growth, Tolerance, growth
from perflib.stats.verdict import Verdict, worst

_GONE_S = 3.0
"""A target whose samples end so long before the run was gone by then."""
_AFTER_NS = 10 * 10**9
"""Sampling ends so soon after the load."""
_LEAST_LIVES = 11
"""So many lives of workers are judged by their peaks."""
_MOST_WORKERS = 32
_SELDOM = "Its workers are replaced too seldom in so short a run."
_MANY = 1000
"""So many requests tell how much is kept of each."""
_BETTER = 4.0
"""By so much smaller squares of what is left over the number of requests explains the level better than time."""
_CHANGING = "The load changed, and what a target holds may follow its load."


@dataclass(frozen=True)
class Memory:
    """What became of the target's memory, open files and threads; None: not told by its source.

    `from_s` and `to_s` bound the stretch that was judged, seconds from the run's start; `restarts_s` are the moments at
    which another process was found in the target's place, `gone_s` when it was last seen, where it was gone at the end.
    `processes` is how many there were at most at once, `recycled` how many of them ended while the target went on;
    `peaks`: the peaks of their lives were judged. `answering`: so many processes answered one URL of metrics in turns,
    and what is told is of the worst.
    """

    verdict: Verdict
    rss: Growth | None = None
    open_files: Growth | None = None
    threads: Growth | None = None
    requests_per_h: float | None = None
    from_s: float = 0.0
    to_s: float = 0.0
    restarts_s: tuple[float, ...] = ()
    gone_s: float | None = None
    processes: int | None = None
    recycled: int = 0
    peaks: bool = False
    answering: int = 1

    @property
    def bytes_per_request(self) -> float | None:
        """The growth by the number of requests."""
        if self.rss is None or self.rss.per_h is None or not self.requests_per_h:
            return None
        return self.rss.per_h / self.requests_per_h

    @property
    def bytes_per_request_between(self) -> Interval | None:
        """Each end at 99 %; None where there were too few requests to tell."""
        if self.rss is None or self.rss.interval_per_h is None or not self.requests_per_h:
            return None
        hours, between = (self.to_s - self.from_s) / 3600, self.rss.interval_per_h
        many = self.requests_per_h * hours >= _MANY
        return Interval(between.low / self.requests_per_h, between.high / self.requests_per_h) if many else None

    @property
    def series(self) -> dict[str, Growth]:
        """What was judged, by name."""
        named = {"memory": self.rss, "open files": self.open_files, "threads": self.threads}
        return {name: found for name, found in named.items() if found is not None}

    def as_json(self) -> dict[str, Any]:
        """The memory block of `perflib run --json`."""
        kept = self.bytes_per_request_between
        return _figures(self.rss, "bytes") | {
            "verdict": self.verdict,
            "bytes_per_request": self.bytes_per_request,
            "interval_bytes_per_request": kept and [kept.low, kept.high],
            "restarts_s": list(self.restarts_s),
            "gone_s": self.gone_s,
            "processes": self.processes,
            "recycled": self.recycled,
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
    samples = _under_load(run, run.memory).assign(started_s=_known_starts(run.memory["started_s"]))
    if (samples["pid"] < 0).all() and _in_turns(samples["started_s"]):
        return _worst_of([_judged(run, one) for _, one in samples.groupby("started_s")])
    another = (samples["pid"].diff().fillna(0) != 0) | (samples["started_s"].diff().fillna(0).abs() > 1)
    stretch = max((some for _, some in samples.groupby(another.cumsum())), key=lambda some: _lasts_ns(some["t_ns"]))
    restarts_s = tuple(float(at_ns / 1e9) for at_ns in samples.loc[another, "t_ns"])
    return replace(_judged(run, stretch), restarts_s=restarts_s, gone_s=_gone_s(run))


def _under_load(run: Run, samples: pd.DataFrame) -> pd.DataFrame:
    """Without the few after the load, as connections that are closed then give back what is judged; else all."""
    last_ns = int(samples["t_ns"].iloc[-1])
    over_ns = max((part.measured_to_ns for part in run.facts.parts), default=last_ns)
    meanwhile = samples["t_ns"] <= max(over_ns, last_ns - _AFTER_NS)
    return samples[meanwhile] if meanwhile.any() else samples


def _known_starts(told: "pd.Series[float]") -> "pd.Series[float]":
    """When the process began that each sample is of; one that does not tell it is of the process before."""
    return told.where(told > 0).ffill().bfill().fillna(0.0)


def _in_turns(starts: "pd.Series[float]") -> bool:
    """Whether starts come back: several processes. Within a second one that is computed anew each time may tremble."""
    each = starts.unique()
    tremble = each.max() - each.min() <= 1 and (len(each) > _MOST_WORKERS or not (each % 1).any())
    return bool((starts != starts.shift()).sum() > len(each)) and not tremble


def _worst_of(each: list[Memory]) -> Memory:
    """Of processes that answered in turns: the worst, of these the one that grows fastest."""
    verdict = worst(one.verdict for one in each)
    fastest = max((one for one in each if one.verdict == verdict), key=lambda one: (one.rss and one.rss.per_h) or 0.0)
    return replace(fastest, processes=len(each), answering=len(each), requests_per_h=None)


def _judged(run: Run, stretch: pd.DataFrame) -> Memory:
    rss = _judge(run, stretch, memory_column(stretch), MEMORY)
    open_files, threads = _judge(run, stretch, "open_files", OPEN_FILES), _judge(run, stretch, "threads", THREADS)
    most = int(stretch["processes"].max()) if "processes" in stretch else -1
    return Memory(
        verdict=worst(one.verdict for one in (rss, open_files, threads) if one),
        rss=rss,
        open_files=open_files,
        threads=threads,
        requests_per_h=_requests_per_h(run, stretch),
        from_s=float(stretch["t_ns"].iloc[0] / 1e9),
        to_s=float(stretch["t_ns"].iloc[-1] / 1e9),
        processes=most if most > 0 else None,
        recycled=_recycled(stretch),
        peaks=_lives(stretch) >= 1,
    )


def memory_column(stretch: pd.DataFrame) -> str:
    """The column that tells how much memory the target holds, what several processes share once where that is known."""
    several = "processes" in stretch and stretch["processes"].max() > 1
    return "pss_bytes" if several and (stretch["pss_bytes"] >= 0).sum() >= LEAST_SAMPLES else "rss_bytes"


def _recycled(stretch: pd.DataFrame) -> int:
    return int(stretch["ended"].iloc[-1] - stretch["ended"].iloc[0]) if "ended" in stretch else 0


def _lives(stretch: pd.DataFrame) -> float:
    """How many lives of a worker the stretch lasted: of the processes besides the first one."""
    recycled = _recycled(stretch)
    return recycled / max(float(stretch["processes"].mean()) - 1, 1 / len(stretch)) if recycled else 0.0


def _judge(run: Run, stretch: pd.DataFrame, column: str, tolerance: Tolerance) -> Growth | None:
    told, scenario, lives = stretch[stretch[column] >= 0], run.facts.scenario, _lives(stretch)
    if told.empty:
        return None
    at_s, level = (told["t_ns"] / 1e9).to_numpy(), told[column].to_numpy(dtype=np.float64)
    found = _growth_of_peaks(at_s, level, lives, tolerance) if lives >= 1 else growth(at_s, level, tolerance)
    if is_steady(scenario.workload) and not scenario.isolated:
        return found
    counted = _growth_by_requests(_sent_s(run), at_s, level, tolerance)
    if counted.verdict == Verdict.LEAK and _BETTER * _left_over(counted) < _left_over(found):
        return counted
    if found.verdict in (Verdict.LEAK, Verdict.STEP):
        return Growth(Verdict.INCONCLUSIVE, _CHANGING, fit=found.fit)
    return found


def _growth_by_requests(sent_s: Floats, at_s: Floats, level: Floats, tolerance: Tolerance) -> Growth:
    """The growth were the requests sent evenly: a leak of each is a line then, what follows the load is none."""
    count = np.searchsorted(sent_s, at_s, side="right").astype(np.float64)
    if count[-1] <= count[0]:
        return Growth(Verdict.INCONCLUSIVE, _CHANGING)
    even_s = np.interp(count, count[[0, -1]], at_s[[0, -1]])
    found = growth(even_s, level, tolerance)
    return replace(found, fit=found.fit and replace(found.fit, at_s=np.interp(found.fit.at_s, even_s, at_s)))


def _left_over(found: Growth) -> float:
    """The mean square of what the fit leaves over."""
    return float(np.mean((found.fit.level - found.fit.fitted) ** 2)) if found.fit else np.inf


def _growth_of_peaks(at_s: Floats, level: Floats, lives: float, tolerance: Tolerance) -> Growth:
    """The growth of the highest level within the life of a worker, over at least so many lives that it can be told."""
    if lives < _LEAST_LIVES:
        return Growth(Verdict.INCONCLUSIVE, _SELDOM, settle_s=1.5 * _LEAST_LIVES / lives * float(at_s[-1] - at_s[0]))
    edges = np.linspace(at_s[0], at_s[-1], min(int(lives), len(at_s)) + 1)
    begins = np.searchsorted(at_s, edges[:-1])
    filled = np.diff(begins, append=len(at_s)) > 0
    peaks, ends_s = np.maximum.reduceat(level, begins[filled]), edges[1:][filled]
    lasting = np.maximum(peaks[1:], peaks[:-1])  # lives differ: a peak may fall into the window before or after
    return growth(ends_s[:-1], lasting, tolerance, least_samples=_LEAST_LIVES - 2)


def _sent_s(run: Run) -> Floats:
    """When each request was sent, ascending."""
    sent_ns = run.requests.loc[run.requests["kind"] == "request", "start_ns"].to_numpy()
    return np.asarray(np.sort(sent_ns[sent_ns >= 0]) / 1e9, dtype=np.float64)


def _requests_per_h(run: Run, stretch: pd.DataFrame) -> float | None:
    begun, ended = np.searchsorted(_sent_s(run), stretch["t_ns"].iloc[[0, -1]] / 1e9)
    return (ended - begun) * 3.6e12 / _lasts_ns(stretch["t_ns"]) if ended > begun else None


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
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        **dict(rates),
        "settle_s": found.settle_s,
        "needs_s": found.needs_s,
    }
