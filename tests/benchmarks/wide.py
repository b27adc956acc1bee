"""Long and wide: does the generator itself stay flat? Its memory and open files by second, while it drives a run.

    python -m tests.benchmarks.wide                                   # 1,000 users, a minute
    python -m tests.benchmarks.wide --scenario sustained --users 20 --duration 30min

Against the sample dashboard, whose own memory is judged as always.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

import perflib
from perflib.stats.growth import MEMORY, OPEN_FILES, growth
from perflib.watch.process import ProcessTree
from tests.benchmarks.peers import markdown

if TYPE_CHECKING:
    from perflib.watch.reading import Reading
    from perflib.workbook.live.follow import Progress

WORKER = "perflib.load.worker"


@dataclass
class Watch:
    """Samples the worker that this process started, whenever the run tells of itself: once a second."""

    at_s: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        worker = next(filter(_is_worker, psutil.Process().children()), None)
        reading = worker and ProcessTree([worker.pid]).read()
        if reading and progress.elapsed_s <= progress.planned_s:  # afterwards it hangs up
            self.at_s.append(progress.elapsed_s)
            self.readings.append(reading)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return WORKER in process.cmdline()
    except psutil.Error:
        return False


def row(name: str, at_s: list[float], levels: list[float], unit: float, judged: str) -> list[str]:
    """Cells of the table: the level after a tenth of the run, halfway and at the end, the most, the verdict."""
    places = (len(levels) // 10, len(levels) // 2, -1)
    figures = [*(levels[place] for place in places), max(levels)]
    return [name, f"{at_s[-1]:,.0f} s", *(f"{figure / unit:,.1f}" for figure in figures), judged]


def table(watch: Watch, warmup_s: float) -> str:
    """What the generator held, as Markdown. Connections open during warm-up: growth is judged after it."""
    kept = [place for place, at_s in enumerate(watch.at_s) if at_s >= warmup_s]
    at_s, rows = np.array([watch.at_s[place] for place in kept]), []
    for name, tolerance, unit in (("rss_bytes", MEMORY, 1e6), ("open_files", OPEN_FILES, 1.0)):
        levels = [float(getattr(watch.readings[place], name)) for place in kept]
        found = growth(at_s, np.array(levels), tolerance)
        said = f"{found.verdict}, {found.per_h / unit:,.1f} an hour" if found.per_h is not None else found.verdict
        rows.append(row(f"{name} ({unit:g})", list(at_s), levels, unit, said))
    head = ["generator", "watched", "after a tenth", "halfway", "at the end", "most", "growth"]
    return markdown(head, rows)


def main() -> int:
    """Run, print what the generator held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="light_load")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--duration", default="60s")
    parser.add_argument("--think-time", default="0s")
    given = parser.parse_args()
    watch = Watch()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"PERFLIB_DATA": scratch, "PERF_API_TOKEN": secrets.token_urlsafe(24)}
        options = perflib.Options.parse(
            {"users": given.users, "duration": given.duration, "think_time": given.think_time}, "command line"
        )
        run = perflib.run(given.scenario, options, report=watch)
    facts, found = run.facts, perflib.memory_of(run)
    lost = int((run.requests["error"].notna() & (run.requests["kind"] == "request")).sum())
    print(f"\n{facts.scenario.title}; {facts.state}, {'valid' if facts.valid else '; '.join(facts.invalid_reasons)}.")
    print(f"{len(run.requests):,} requests and pages, {lost:,} requests failed; target: {found.verdict}.\n")
    print(table(watch, facts.scenario.warmup_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
