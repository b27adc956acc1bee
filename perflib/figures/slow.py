"""Slow: the requests that took longest, and what was under way as each began. Pure."""

from dataclasses import replace

import numpy as np

from perflib.figures.under_way import UnderWay, on_the_wire
from perflib.spec import Run
from perflib.spec.diagnosis import Slow

MOST = 20


def slowest(run: Run, begun_s: float = 0.0) -> tuple[Slow, ...]:
    """From when they were due; what they waited before they were sent counts as waiting. The slowest first.

    Args:
        begun_s: when the run began, from the beginning of the experiments that it is one of.
    """
    sent = on_the_wire(run)
    rows = sent[~sent["warmup"] & (sent["end_ns"] >= 0) & (sent["first_byte_ns"] >= 0)]
    rows = rows.loc[(rows["end_ns"] - rows["intended_ns"]).nlargest(MOST).index]
    under_way = UnderWay.of(sent)
    found = []
    for row in rows.to_dict("records"):
        whole_ns, received_ns = row["end_ns"] - row["intended_ns"], row["end_ns"] - row["first_byte_ns"]
        found.append(
            Slow(
                endpoint=str(row["endpoint"]),
                run_id=run.facts.run_id,
                at_s=begun_s + row["intended_ns"] / 1e9,
                ms=whole_ns / 1e6,
                waiting_ms=(whole_ns - received_ns - row["connect_ns"]) / 1e6,
                receiving_ms=received_ns / 1e6,
                connect_ms=row["connect_ns"] / 1e6,
                under_way=under_way.names_at(int(row["start_ns"])),
            )
        )
    return tuple(found)


def in_company(run: Run) -> Run:
    """Of a run of blocks those in which several endpoints are asked: elsewhere nothing else can be under way."""
    begun_ns = run.requests["start_ns"]
    some = np.zeros(len(begun_ns), bool)
    for part in run.facts.parts:
        if len(part.items) > 1:
            some |= begun_ns.between(part.measured_from_ns, part.measured_to_ns, inclusive="left").to_numpy()
    return replace(run, requests=run.requests[some])
