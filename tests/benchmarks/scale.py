"""Scale: seconds, peak memory and bytes a request to write, load, summarise and chart a long run."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from perflib import charts
from perflib.model.run import Part
from perflib.store.runs import RunFolder
from perflib.store.spool import REQUEST_ROW
from perflib.summary import summarize
from tests.synthetic import make_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from perflib.model import Facts, Run

Result = TypeVar("Result")
REQUESTS_PER_S = 5000


def fill(path: Path, facts: Facts, count: int) -> Facts:
    """A spool as a generator leaves it: `count` requests of 50 users, log-normal latencies, in the order they ended."""
    rng = np.random.default_rng(1)
    rows = np.zeros(count, REQUEST_ROW)
    start_ns = np.sort(rng.integers(0, int(count / REQUESTS_PER_S * 1e9), count))
    took_ns = (rng.lognormal(np.log(8e6), 0.5, count)).astype(np.int64)
    rows["intended_ns"] = rows["start_ns"] = start_ns
    rows["end_ns"] = start_ns + took_ns
    rows["first_byte_ns"] = rows["end_ns"] - rng.integers(0, 2, count) * rng.integers(0, 50_000, count)
    rows["item"] = rng.integers(0, 6, count)
    rows["bytes"] = rows["item"].astype(np.int64) * 10_000 + 137
    rows["user"], rows["page"], rows["error"], rows["status"] = rng.integers(0, 50, count), -1, -1, 200
    rows[np.argsort(rows["end_ns"], kind="stable")].tofile(path)
    part = Part(items=facts.parts[0].items, measured_from_ns=0, measured_to_ns=int(rows["end_ns"].max()))
    return facts.model_copy(update={"parts": (part,)})


def chart(run: Run) -> None:
    for draw in (charts.percentiles, charts.ecdf, charts.histogram, charts.latency_over_time, charts.throughput):
        draw(run).to_json()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    count = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as scratch:
        facts = make_run().facts
        folder = RunFolder.create(Path(scratch), facts)
        facts = fill(folder.spool, facts, count)
        before_mb = peak_mb()
        print(f"| step, of {count:,} requests | seconds |\n| :--- | ---: |")
        timed("write: spool to Parquet", lambda: folder.seal(facts))
        size = (folder.path / "requests.parquet").stat().st_size
        run = timed("load", folder.load)
        timed("summarise", lambda: summarize(run))
        timed("chart: five charts", lambda: chart(run))
        print(f"\n{size / count:.1f} bytes a request on disk; peak memory {peak_mb():,.0f} MB")
        print(f"(making the requests up had taken {before_mb:,.0f} MB)")


def timed(step: str, work: Callable[[], Result]) -> Result:
    begun_s = time.perf_counter()
    result = work()
    print(f"| {step} | {time.perf_counter() - begun_s:.1f} |", flush=True)
    return result


def peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
