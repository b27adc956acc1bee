"""Scale: what it takes to write, load, summarise and chart a long run, in seconds, peak memory and bytes a request.

    python -m tests.benchmarks.scale

Each step runs in a process of its own, so that its peak memory is its alone; the requests are made up in another one,
chunk by chunk, and left on disk as a spool. Aim for 10 million: written, summarised and charted in under 10 s, under
2 GB, at most 16 bytes a request on disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from perflib.figures.summary import summarize
from perflib.spec.run import Part
from perflib.store.runs import TABLE, RunFolder
from perflib.store.spool import REQUEST_ROW, requests_spool
from perflib.workbook import charts
from tests.benchmarks.peers import markdown
from tests.synthetic import make_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from perflib.spec import Run

REQUESTS_PER_S = 5000
CHUNK_ROWS = 500_000
USERS, ENDPOINTS = 50, 6
CHARTS = (charts.percentiles, charts.histogram, charts.over_time)
AIM_S, AIM_PEAK_BYTES, AIM_BYTES = 10, 2e9, 16

Value = TypeVar("Value")


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of processor time: a busy machine stretches the first more than the second."""

    wall_s: float
    cpu_s: float

    @classmethod
    def of_all(cls, costs: Iterable[Cost]) -> Cost:
        some = list(costs)
        return cls(sum(cost.wall_s for cost in some), sum(cost.cpu_s for cost in some))

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} ({self.cpu_s:.2f})"


Costs = dict[str, Cost]
"""By what was timed."""


@dataclass(frozen=True)
class Timed(Generic[Value]):
    """What a call gave, and what it cost."""

    value: Value
    cost: Cost


@dataclass(frozen=True)
class Measured:
    """A step in a process of its own."""

    costs: Costs
    peak_bytes: int


def make_up(folder: RunFolder, count: int) -> None:
    """A spool as a generator leaves it: `count` requests with log-normal latencies, in the order they ended."""
    rng, unended = np.random.default_rng(1), np.empty(0, REQUEST_ROW)
    with requests_spool(folder.path).open("wb") as spool:
        for first in range(0, count, CHUNK_ROWS):
            last = min(first + CHUNK_ROWS, count)
            rows = np.concatenate([unended, _chunk(rng, first, last)])
            rows = rows[np.argsort(rows["end_ns"], kind="stable")]
            ended = len(rows) if last == count else np.searchsorted(rows["end_ns"], _at_ns(last))
            rows[:ended].tofile(spool)
            unended = rows[ended:]
    facts = make_run().facts
    part = Part(items=facts.parts[0].items, measured_from_ns=0, measured_to_ns=_at_ns(count))
    folder.write_facts(facts.model_copy(update={"parts": (part,)}))


def _chunk(rng: np.random.Generator, first: int, last: int) -> NDArray[np.void]:
    count = last - first
    rows = np.zeros(count, REQUEST_ROW)
    start_ns = np.sort(rng.integers(_at_ns(first), _at_ns(last), count))
    rows["intended_ns"] = rows["start_ns"] = start_ns
    rows["end_ns"] = start_ns + rng.lognormal(np.log(8e6), 0.5, count).astype(np.int64)
    rows["first_byte_ns"] = rows["end_ns"] - rng.integers(0, 2, count) * rng.integers(0, 50_000, count)
    rows["read_late_ns"] = rng.lognormal(np.log(1e5), 1.0, count)
    rows["send_ns"] = rng.lognormal(np.log(3e4), 0.4, count)
    rows["item"] = rng.integers(0, ENDPOINTS, count)
    rows["bytes"] = rows["item"].astype(np.int64) * 10_000 + 137
    rows["user"], rows["page"], rows["error"], rows["status"] = rng.integers(0, USERS, count), -1, -1, 200
    return rows


def _at_ns(number: int) -> int:
    return int(number / REQUESTS_PER_S * 1e9)


def idle(folder: RunFolder) -> Costs:
    """nothing: perflib and what it imports"""
    folder.read_facts()
    return {}


def write(folder: RunFolder) -> Costs:
    """the spool to Parquet, as at the end of every run"""
    return {"write": timed(lambda: folder.seal(folder.read_facts())).cost}


def summarise(folder: RunFolder) -> Costs:
    """load the run, then all its figures"""
    loaded = timed(folder.load)
    return {"load": loaded.cost, "summarise": timed(lambda: summarize(loaded.value)).cost}


def chart(folder: RunFolder) -> Costs:
    """load the run, then four charts as JSON"""
    loaded = timed(folder.load)
    drawn = {draw.__name__: timed(partial(_draw, draw, loaded.value)).cost for draw in CHARTS}
    return {"load": loaded.cost, **drawn}


def report(folder: RunFolder) -> Costs:
    """load the run once, then its figures and charts"""
    loaded = timed(folder.load)
    summarised = timed(lambda: summarize(loaded.value))
    drawn = timed(lambda: [_draw(draw, loaded.value) for draw in CHARTS])
    return {"load": loaded.cost, "summarise": summarised.cost, "chart": drawn.cost}


STEPS: tuple[Callable[[RunFolder], Costs], ...] = (idle, write, summarise, chart, report)
"""In the order in which they need one another; a docstring is what the table says of a step."""


def _draw(draw: Callable[[Run], Any], run: Run) -> str:
    return str(draw(run).to_json())


def timed(work: Callable[[], Value]) -> Timed[Value]:
    """The call's value and cost; the processor time is that of all threads."""
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    value = work()
    return Timed(value, Cost(time.perf_counter() - begun_s, time.process_time() - cpu_s))


def peak_bytes() -> int:
    """The most that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def apart(step: str, folder: RunFolder, count: int) -> Measured:
    """Carry a step out in a process of its own.

    Linux hands a parent's peak on to its child: this process must stay as small as an idle one.
    """
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder.path), "--requests", str(count)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    measured = json.loads(said)
    return Measured({name: Cost(**cost) for name, cost in measured["costs"].items()}, measured["peak_bytes"])


def table(count: int) -> str:
    """The whole measurement as Markdown."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.create(Path(scratch), make_run().facts)
        apart(make_up.__name__, folder, count)
        steps = {step: apart(step.__name__, folder, count) for step in STEPS}
        size_bytes = (folder.path / TABLE).stat().st_size / count
    rows = [
        [
            f"{step.__name__}: {step.__doc__}",
            ", ".join(f"{name} {cost}" for name, cost in measured.costs.items()),
            str(Cost.of_all(measured.costs.values())),
            f"{measured.peak_bytes / 1e6:,.0f}",
        ]
        for step, measured in steps.items()
    ]
    whole = Cost.of_all(cost for step in (write, report) for cost in steps[step].costs.values())
    most_bytes = max(measured.peak_bytes for measured in steps.values())
    return (
        f"Scale, {count:,} requests; each step in a process of its own, made-up requests in another.\n\n"
        f"{markdown(['step', 'seconds (of processor time)', 'together', 'peak memory (MB)'], rows)}\n\n"
        f"Write and report: {whole.wall_s:.1f} s, {whole.cpu_s:.1f} of processor time (aim for 10 million: {AIM_S}). "
        f"Peak memory: {most_bytes / 1e6:,.0f} MB (aim: {AIM_PEAK_BYTES / 1e6:,.0f}). "
        f"On disk: {size_bytes:.1f} bytes a request (aim: {AIM_BYTES})."
    )


def main() -> int:
    """Measure as the command line says, and print the table; or carry out one step and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument(
        "--step", choices=[make_up.__name__, *(step.__name__ for step in STEPS)], help=argparse.SUPPRESS
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step is None:
        print(table(given.requests))
        return 0
    folder, costs = RunFolder(given.folder), {}
    if given.step == make_up.__name__:
        make_up(folder, given.requests)
    else:
        costs = next(step for step in STEPS if step.__name__ == given.step)(folder)
    print(json.dumps(asdict(Measured(costs, peak_bytes()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
