"""What does the leak verdict say of real processes? The sample dashboard and four habits of allocators, all at once.

    python -m tests.benchmarks.real_leaks --minutes 5
    python -m tests.benchmarks.real_leaks --trial --minutes 30 --keep runs   # 20 sound and 10 leaking dashboards
    python -m tests.benchmarks.real_leaks --judge runs                       # those once more, by the rule of today

The truth is what the process keeps for good. Every process ends with the measurement, or by an alarm of its own.
"""

from __future__ import annotations

import argparse
import inspect
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import perflib
from perflib.stats.growth import MEMORY, Growth, growth
from perflib.watch.process import ProcessTree
from perflib.watch.sampler import EVERY_S
from tests.benchmarks.leaks import VERDICTS, at_least, at_most
from tests.benchmarks.peers import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MB = 1e6
TOKEN = "PERF_API_TOKEN"
TARGET = Path(__file__).parents[2] / "data" / "targets" / "dashboard.toml"
GRACE_S = 180.0
"""A process that outlives its measurement by so long is ended by its alarm."""
_ENDS_BY_ITSELF = (
    "import os, signal, sys; signal.alarm(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"  # it survives exec
)


def small_blocks_in_arenas() -> None:
    """Eight threads exchange 20,000 C blocks of 16 bytes to 4 KB, so that each frees what another allocated."""
    import ctypes
    import random
    import threading
    import time

    c = ctypes.CDLL(None)
    c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    c.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

    def block() -> int:
        size = int(2 ** random.uniform(4, 12))
        address: int = c.malloc(ctypes.c_size_t(size))
        c.memset(address, 1, size)
        return address

    def exchange() -> None:
        while True:
            for new in [block() for _ in range(50)]:
                with one_at_a_time:
                    place = random.randrange(len(shared))
                    old, shared[place] = shared[place], new
                c.free(old)
            time.sleep(random.uniform(0.05, 0.15))

    one_at_a_time, shared = threading.Lock(), [block() for _ in range(20_000)]
    threads = [threading.Thread(target=exchange) for _ in range(8)]
    for thread in threads:
        thread.start()


def big_answers() -> None:
    """80 MB of JSON every 20 s, held for a second."""
    import json
    import time

    while True:
        time.sleep(19)
        answer = json.dumps(["x" * 996] * 80_000).encode()
        time.sleep(1)
        del answer


def filling_cache() -> None:
    """A cache that fills to 60 MB with a time constant of a minute."""
    import math
    import time

    cache: list[bytes] = []
    begun_s = time.monotonic()
    while True:
        while len(cache) < 6_000 * -math.expm1((begun_s - time.monotonic()) / 60):
            cache.append(b"x" * 10_000)
        time.sleep(0.1)


def lost_blocks() -> None:
    """malloc without free, 60 MB an hour."""
    import ctypes
    import time

    c = ctypes.CDLL(None)
    c.malloc.restype, c.memset.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    begun_s, lost_bytes = time.monotonic(), 0
    while True:
        while lost_bytes < (time.monotonic() - begun_s) * 60e6 / 3600:
            c.memset(c.malloc(ctypes.c_size_t(500)), 1, 500)
            lost_bytes += 500
        time.sleep(0.1)


@dataclass(frozen=True)
class Judged:
    """What the workbook says of a process, and what it should say."""

    name: str
    truth_per_h: float
    verdict: str
    rss: Growth

    @property
    def row(self) -> list[str]:
        """Cells of the table; MB an hour."""
        between, settle_s = self.rss.interval_per_h, self.rss.settle_s
        return [
            self.name,
            _mb(self.truth_per_h),
            self.verdict,
            _mb(self.rss.per_h),
            "–" if between is None else f"{_mb(between.low)} to {_mb(between.high)}",
            _mb(self.rss.smallest_per_h),
            "" if settle_s is None else f"{settle_s / 60:,.0f} min",
        ]


class Subject(Protocol):
    """A process whose truth is known."""

    def judged(self, seconds: float, folder: Path) -> Judged:
        """Start it, sample it for so long, end it."""


@dataclass(frozen=True)
class Dashboard:
    """The sample dashboard under some requests a second, of two users who think or at a rate, as a user measures it."""

    name: str
    switches: tuple[str, ...] = ()
    per_h: float = 0.0
    per_request: float = 0.0
    rate_per_s: float | None = None
    think_s: float = 0.2
    seed: int = 1

    def judged(self, seconds: float, folder: Path) -> Judged:
        database = Path(tempfile.mkdtemp(dir=folder)) / "dashboard.sqlite"
        command = [sys.executable, "-m", "perflib.sample", "--port", "0", "--database", str(database), *self.switches]
        with running(command, seconds) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split("serving on ")[1].strip()
            about = perflib.Options(
                target=str(TARGET), url=url, pid=server.pid, duration=seconds, note=self.name, seed=self.seed
            )
            if self.rate_per_s is None:
                run = perflib.run("sustained", about.replaced(users=2, think_time=self.think_s), report=lambda _: None)
            else:
                run = perflib.run("steady_rate", about.replaced(rate=self.rate_per_s), report=lambda _: None)
        found = perflib.memory_of(run)
        assert found.rss is not None
        sent = run.requests.loc[run.requests["kind"] == "request", "start_ns"]
        per_h = len(sent) / (sent.max() - sent.min()) * 3.6e12
        return Judged(self.name, self.per_h + self.per_request * per_h, found.verdict, found.rss)


@dataclass(frozen=True)
class Process:
    """A Python process that does this alone. `work` brings its own imports: only its source is run."""

    name: str
    work: Callable[[], None]
    per_h: float = 0.0

    def judged(self, seconds: float, folder: Path) -> Judged:
        source = f"{inspect.getsource(self.work)}\n{self.work.__name__}()"
        with running([sys.executable, "-c", source], seconds) as process:
            found = watched(process.pid, seconds)
        return Judged(self.name, self.per_h, found.verdict, found)


SUBJECTS: tuple[Subject, ...] = (
    Dashboard("dashboard"),
    Dashboard("dashboard, 2 MB/min", ("--leak", "2MB/min"), per_h=120 * MB),
    Dashboard("dashboard, 10 MB/min", ("--leak", "10MB/min"), per_h=600 * MB),
    Dashboard("dashboard, 20 KB/request", ("--leak", "20KB/request"), per_request=20e3),
    Process("small C blocks exchanged by 8 threads", small_blocks_in_arenas),
    Process("80 MB of JSON every 20 s", big_answers),
    Process("cache of 60 MB, time constant 1 min", filling_cache),
    Process("malloc without free", lost_blocks, per_h=60 * MB),
)


def trial(minutes: float, rate_per_s: float) -> list[Subject]:
    """20 sound dashboards and 10 that leak 10.5 MB in all, half of each under an open load."""
    per_h = 20.0 if minutes >= 30 else 42.0
    leaking = ("--leak", f"{per_h / 60:.6f}MB/min")
    loads: dict[str, float | None] = {"think time": None, f"{rate_per_s:g}/s": rate_per_s}
    return [
        Dashboard(f"{name}; {load}", switches, rate * MB, rate_per_s=at, think_s=2 / rate_per_s, seed=seed)
        for name, switches, rate, count in (("sound", (), 0.0, 10), (f"{per_h:g} MB/h", leaking, per_h, 5))
        for load, at in loads.items()
        for seed in range(1, count + 1)
    ]


def confusion(folder: Path) -> str:
    """Verdicts on the memory of the runs that are kept there, by what they were."""
    os.environ["PERFLIB_DATA"] = str(folder)
    counts: dict[tuple[str, str], Counter[str]] = {}
    for at in sorted(one.name for one in (folder / "runs").iterdir() if one.is_dir()):
        run = perflib.load_run(at)
        row = (run.facts.note, f"{run.facts.scenario.duration_s / 60:g}")
        counts.setdefault(row, Counter())[perflib.memory_of(run).verdict] += 1
    rows = []
    for (note, minutes), verdicts in sorted(counts.items()):
        right, total = verdicts["OK" if note.startswith("sound") else "LEAK"], verdicts.total()
        each = [str(verdicts[verdict]) for verdict in VERDICTS]
        bounds = f"{at_least(right, total):.0%} to {at_most(right, total):.0%}"
        rows.append([note, minutes, str(total), *each, bounds])
    return markdown(["target; load", "minutes", "runs", *VERDICTS, "right, 95 % bounds"], rows)


@contextmanager
def running(command: list[str], seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended afterwards; should this one be killed, the alarm ends it."""
    bounded = [sys.executable, "-c", _ENDS_BY_ITSELF, str(int(seconds + GRACE_S)), *command]
    with subprocess.Popen(bounded, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def watched(pid: int, seconds: float) -> Growth:
    """The verdict on a process, sampled once a second for so long."""
    source, begun_s = ProcessTree([pid]), time.monotonic()
    at_s: list[float] = []
    rss_bytes: list[int] = []
    while (now_s := time.monotonic() - begun_s) < seconds:
        reading = source.read()
        assert reading is not None, f"process {pid} has ended; see its lines above"
        at_s.append(now_s)
        rss_bytes.append(reading.rss_bytes)
        time.sleep(EVERY_S - (time.monotonic() - begun_s) % EVERY_S)
    return growth(np.array(at_s), np.array(rss_bytes, dtype=np.float64))


def measure(seconds: float, subjects: Sequence[Subject], keep: Path | None) -> list[Judged]:
    """All at once, each with a thread here."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(len(subjects)) as threads:
        os.environ |= {"PERFLIB_DATA": str(keep or scratch), TOKEN: secrets.token_urlsafe(24)}
        return list(threads.map(lambda subject: subject.judged(seconds, Path(scratch)), subjects))


def promises(found: list[Judged]) -> str:
    """A line a promise: of how many processes it tells, and which of them break it."""
    sound = [one for one in found if not one.truth_per_h]
    leaks = [one for one in found if one.truth_per_h > MEMORY.threshold_per_h]
    seen = [one for one in leaks if one.rss.smallest_per_h is not None and one.truth_per_h >= one.rss.smallest_per_h]
    return "\n".join(
        [
            _promise("no LEAK without a leak", sound, [one for one in sound if one.verdict == "LEAK"]),
            _promise("no OK with a leak", leaks, [one for one in leaks if one.verdict == "OK"]),
            _promise("LEAK on what could be seen", seen, [one for one in seen if one.verdict != "LEAK"]),
        ]
    )


def _promise(text: str, of: list[Judged], broken: list[Judged]) -> str:
    outcome = "FELL SHORT" if broken else "held" if of else "not tested"
    return f"- {outcome}: {text} (processes: {len(of)}){''.join(f'; {one.name}' for one in broken)}"


def _mb(amount: float | None) -> str:
    return "–" if amount is None else f"{amount / MB:,.0f}"


def main() -> int:
    """Measure, print the table and what became of the promises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--quick", action="store_true", help="1 minute, in which only some GB an hour can be seen")
    parser.add_argument("--trial", action="store_true", help="20 sound dashboards and 10 that leak")
    parser.add_argument("--rate", type=float, default=4, help="requests a second of each in the trial")
    parser.add_argument("--keep", type=Path, help="a folder for the runs")
    parser.add_argument("--judge", type=Path, help="only the runs that are kept there")
    given = parser.parse_args()
    if given.judge:
        print(confusion(given.judge))
        return 0
    minutes = 1.0 if given.quick else given.minutes
    found = measure(60 * minutes, trial(minutes, given.rate) if given.trial else SUBJECTS, given.keep)
    head = ["process", "truth, MB/h", "verdict", "growth, MB/h", "99 % bounds", "smallest to be seen", "would settle"]
    print(f"{minutes:g} minutes; {os.cpu_count()} shared cores, load {os.getloadavg()[0]:.1f}.\n")
    print(f"{markdown(head, [one.row for one in found])}\n\n{promises(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
