"""Spent: the CPU of the target in the measured time of a run, from its samples by second. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perflib.spec import Run
from perflib.spec.run import Part
from perflib.stats import Floats

_LEAST_SAMPLES = 3
_FULL = 0.85


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
