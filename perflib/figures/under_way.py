"""Under way: how many users, and requests of each endpoint, the target had to answer at a moment. Pure."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflib.spec import Closed, Ramp, Run, Scenario

Moments = NDArray[np.int64]
_NEVER = np.iinfo(np.int64).max


def users_now(scenario: Scenario, senders: NDArray[np.int32], elapsed_s: float) -> int:
    """The users so long after the run's start; of an open workload the connections among the last rows' `user`s."""
    workload = scenario.workload
    if isinstance(workload, Closed):
        return workload.users
    if isinstance(workload, Ramp):
        return math.ceil(workload.users_at(elapsed_s - scenario.warmup_s))
    return len(np.unique(senders[senders >= 0]))


def on_the_wire(run: Run) -> pd.DataFrame:
    """All requests that were sent, warm-up and parts of pages included, in the order in which they began.

    `over_ns` is when the target was done with one: where it is not known, as late as it can have been.
    """
    rows = run.requests
    sent = rows[(rows["kind"] == "request") & (rows["start_ns"] >= 0)]
    given_up_ns = sent["start_ns"] + round(1e9 * run.facts.scenario.timeout_s)
    unknown_ns = given_up_ns.where(sent["error"] == "timeout", sent["start_ns"]).mask(
        sent["error"] == "in_flight", _NEVER
    )
    over_ns = sent["end_ns"].where(sent["end_ns"] >= 0, unknown_ns)
    return sent.assign(over_ns=over_ns).sort_values("start_ns", kind="stable")


@dataclass(frozen=True)
class UnderWay:
    """The requests of some endpoints, by when they began and were over; each ascending."""

    begun_ns: dict[str, Moments]
    over_ns: dict[str, Moments]

    @classmethod
    def of(cls, sent: pd.DataFrame) -> "UnderWay":
        """Of the rows that `on_the_wire` returns."""
        by_name = dict(iter(sent.groupby("endpoint", observed=True)))
        return cls(
            {str(name): rows["start_ns"].to_numpy() for name, rows in by_name.items()},
            {str(name): np.sort(rows["over_ns"].to_numpy()) for name, rows in by_name.items()},
        )

    def at(self, moments_ns: Moments, name: str) -> Moments:
        """How many of an endpoint had begun before each moment, and were not over. Shape (moments,)."""
        begun = np.searchsorted(self.begun_ns[name], moments_ns, "left")
        return np.asarray(begun - np.searchsorted(self.over_ns[name], moments_ns, "right")).clip(0)

    def names_at(self, moment_ns: int) -> dict[str, int]:
        """The endpoints that had any, the most first."""
        counts = {name: int(self.at(np.array([moment_ns]), name)[0]) for name in self.begun_ns}
        return dict(sorted(((name, count) for name, count in counts.items() if count), key=lambda pair: -pair[1]))
