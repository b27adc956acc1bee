"""Spent: the CPU of the target in the measured time of a run, from its samples by second. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perflib.spec import Run
from perflib.spec.run import Part
from perflib.spec.ticks import Ticks
from perflib.stats import Floats

_LEAST_SAMPLES = 3
_LEAST_NS = 1_000_000_000
_LEAST_ANSWERS = 100
"""Fewer say little of the CPU per request: what a server does anyhow would be laid to them."""
_FULL = 0.85


@dataclass(frozen=True)
class Effort:
    """What the answers of some measured time cost the target's processes. None: not known."""

    cpu_ms_per_request: float | None = None
    """Of all requests that were answered, parts of pages and steps of journeys too."""
    waited_per_ran: float | None = None
    """How long others kept its threads from a core, per second that they had one: all that they were ready to run, but
    no longer than others used the cores. So what a target adds to its own queue, or its quota does, is left out."""


def efforts_of(run: Run) -> dict[str, Effort]:
    """That of the part of the run that drove it, by endpoint, page and journey."""
    each = ((part, effort(run, [part])) for part in run.facts.parts)
    return {name: found for part, found in each for name in part.items}


def effort(run: Run, parts: Sequence[Part]) -> Effort:
    """Of some parts, between the first and the last sample of each; all None where that is below a second.

    Where the run has one part, what was sampled just before and after its measured time counts by its share.
    """
    ticks, cpu_s, waited_s, answers, rows = _ticks(run.memory), 0.0, 0.0, 0, run.requests
    ended_ns = rows.loc[(rows["kind"] == "request") & (rows["end_ns"] >= 0), "end_ns"]
    for part in parts:
        from_ns, to_ns = _sampled(ticks, part, is_alone=len(run.facts.parts) == 1)
        if to_ns - from_ns >= _LEAST_NS:
            found = ticks.between(from_ns, to_ns)
            cpu_s += found.cpu_s
            waited_s += min(found.waited_s, _others_s(run, to_ns - from_ns))
            answers += int(ended_ns.between(from_ns, to_ns).sum())
    if not answers or not cpu_s > 0:
        return Effort()
    return Effort(
        1e3 * cpu_s / answers if answers >= _LEAST_ANSWERS else None, waited_s / cpu_s if waited_s >= 0 else None
    )


def waited_per_ran(run: Run, from_ns: float, to_ns: float) -> float | None:
    """That of `Effort`, of any stretch of a run; None where its samples do not tell a second of it."""
    ticks = _ticks(run.memory)
    within = ticks.t_ns[(ticks.t_ns >= from_ns) & (ticks.t_ns <= to_ns)]
    if not len(within) or within[-1] - within[0] < _LEAST_NS:
        return None
    found = ticks.between(within[0], within[-1])
    waited_s = min(found.waited_s, _others_s(run, within[-1] - within[0]))
    return float(waited_s / found.cpu_s) if found.cpu_s > 0 and waited_s >= 0 else None


def _others_s(run: Run, lasts_ns: float) -> float:
    """For how long others used the cores in so long a stretch; infinite: not known."""
    used = run.facts.generator.cores_used
    return math.inf if used is None or used.others is None else used.others * lasts_ns / 1e9


def _ticks(memory: pd.DataFrame | None) -> Ticks:
    """The samples that know the target's CPU time. Runs of earlier versions tell its share of a core alone."""
    if memory is None or not {"ran_ns", "cpu_share"} & set(memory):
        return Ticks.none()
    t_ns = memory["t_ns"].to_numpy(np.float64)
    if "ran_ns" in memory:
        ran, waited = (memory[name].to_numpy(np.float64) for name in ("ran_ns", "waited_ns"))
        known = ran >= 0
        return Ticks(t_ns[known], ran[known] / 1e9, np.where(waited >= 0, waited / 1e9, np.nan)[known])
    spent_s = memory["cpu_share"].to_numpy(np.float64)[1:] * np.diff(t_ns) / 1e9
    return Ticks(t_ns, np.cumsum([0.0, *spent_s])[: len(t_ns)], np.full(len(t_ns), np.nan))


def _sampled(ticks: Ticks, part: Part, is_alone: bool) -> tuple[float, float]:
    """From when to when a part's samples tell of it, and of it alone."""
    from_ns, to_ns = float(part.measured_from_ns), float(part.measured_to_ns)
    t_ns = ticks.t_ns if is_alone else ticks.t_ns[(ticks.t_ns >= from_ns) & (ticks.t_ns <= to_ns)]
    return (max(from_ns, t_ns[0]), min(to_ns, t_ns[-1])) if len(t_ns) else (0.0, 0.0)


@dataclass(frozen=True)
class Spent:
    """Cores that the target used, by sample; and what that is a request."""

    shares: Floats
    per_request_ms: float
    at_once: float
    """How many requests were under way, on average."""
    processes: int


def spent(run: Run, parts: Sequence[Part]) -> Spent | None:
    """Of the measured time of some parts; None where it is not known, or no request was answered."""
    memory, rows = run.memory, run.requests
    if memory is None or "cpu_share" not in memory or not parts:
        return None
    within = np.any([memory["t_ns"].between(one.measured_from_ns, one.measured_to_ns) for one in parts], axis=0)
    shares = memory.loc[within, "cpu_share"].dropna().to_numpy()
    wire = rows[(rows["kind"] == "request") & (rows["end_ns"] >= 0)]
    ended = wire[np.any([wire["end_ns"].between(one.measured_from_ns, one.measured_to_ns) for one in parts], axis=0)]
    lasted_s = sum(one.duration_s for one in parts)
    if len(shares) < _LEAST_SAMPLES or ended.empty or not lasted_s:
        return None
    return Spent(
        shares=shares,
        per_request_ms=1e3 * float(shares.mean()) * lasted_s / len(ended),
        at_once=float((ended["end_ns"] - ended["start_ns"]).sum() / 1e9 / lasted_s),
        processes=int(memory.loc[within, "processes"].median()) if "processes" in memory else 1,
    )


def is_full(run: Run) -> bool:
    """Whether the cores of this machine were in use, so that a target on it waits for them; False: not known."""
    used = run.facts.generator.cores_used
    return used is not None and (used.target or 0) + used.generator + (used.others or 0) >= _FULL * used.of
