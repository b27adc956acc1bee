"""The engine: starts the workers of a run in processes of their own, and listens to them.

Their own processes, so that no work of a notebook's kernel lands in a latency. `subprocess` rather than
multiprocessing: spawn would need a main guard in the user's script, and fork with a kernel's ZMQ threads is unsafe.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter_ns
from typing import IO, TYPE_CHECKING, Any

from perflib.load.arrivals import Share
from perflib.load.progress import Beat, Beats, Progress
from perflib.load.worker import Order, Outcome
from perflib.spec import Facts, InputError
from perflib.spec.run import Generator, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_HEAD_START_NS = 20_000_000
"""The common origin of the workers lies so far ahead that each of them has read it by then."""


def drive_in_processes_of_their_own(
    facts: Facts,
    folder: Path,
    token: str | None,
    report: Callable[[Progress], None],
    begun: Callable[[int], None] = lambda _: None,
) -> Outcome | None:
    """Drive a run; rows land in the folder's spools. An interrupt (Ctrl-C, the stop button) stops it gracefully.

    `begun` is told the origin of the run's times, by `perf_counter_ns`.

    Returns:
        The outcome of all workers together; None where one died.

    Raises:
        InputError: where a worker refused its order.
    """
    environment = os.environ | ({facts.target.token_env: token} if facts.target.token_env and token else {})
    with ExitStack() as ending:
        crew = _Crew(tuple(ending.enter_context(_worker(environment)) for _ in range(facts.workers)), begun)
        for index, process in enumerate(crew.processes):
            _tell(process, Order(facts, folder, Share(index, facts.workers)).as_line())
        return crew.listen(report)


@contextlib.contextmanager
def _worker(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A worker's process, ended afterwards at the latest."""
    command = [sys.executable, "-m", "perflib.load.worker"]
    pipe = subprocess.PIPE
    worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, start_new_session=True)
    try:
        yield worker
    finally:
        with contextlib.suppress(BrokenPipeError):  # a word it died before reading
            assert worker.stdin is not None
            worker.stdin.close()
        try:
            worker.wait(timeout=5)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


@dataclass(frozen=True)
class _Said:
    """A line of a worker; None: its stdout has ended."""

    worker: int
    line: str | None


class _Crew:
    """The workers of a run."""

    def __init__(self, processes: tuple[subprocess.Popen[str], ...], begun: Callable[[int], None]) -> None:
        self.processes, self._begun = processes, begun
        self._said: queue.Queue[_Said] = queue.Queue()
        self._ready: set[int] = set()
        self._heard: set[int] = set()
        self._ended: set[int] = set()
        self._outcomes: dict[int, Outcome] = {}
        self._beats = Beats()
        for index, process in enumerate(processes):
            assert process.stdout is not None
            threading.Thread(target=self._read, args=(index, process.stdout), daemon=True).start()

    def _read(self, worker: int, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._said.put(_Said(worker, line))
        self._said.put(_Said(worker, None))

    def listen(self, report: Callable[[Progress], None]) -> Outcome | None:
        """Until every worker has ended. The first interrupt asks them to stop, the second leaves at once."""
        stopping = False
        while len(self._ended) < len(self.processes):
            try:
                self._take(report)
            except KeyboardInterrupt:
                if stopping:
                    raise
                stopping = True
                self._tell_all("stop")
        if len(self._outcomes) < len(self.processes):
            return None
        return _together([self._outcomes[worker] for worker in sorted(self._outcomes)])

    def _take(self, report: Callable[[Progress], None]) -> None:
        try:
            said = self._said.get(timeout=0.2)  # a wait without end could not be interrupted
        except queue.Empty:
            return
        if said.line is not None:
            self._understand(said.worker, json.loads(said.line), report)
            return
        self._ended.add(said.worker)
        if said.worker not in self._outcomes:
            self._tell_all("stop")

    def _understand(self, worker: int, message: dict[str, Any], report: Callable[[Progress], None]) -> None:
        match message:
            case {"input_error": text}:
                raise InputError(text)
            case {"ready": _}:
                self._ready.add(worker)
                if len(self._ready) == len(self.processes):
                    self._begin()
            case {"beat": beat}:
                self._beats.add(worker, Beat(**beat))
                self._heard.add(worker)
                if len(self._heard | self._ended) == len(self.processes):
                    self._heard.clear()
                    report(self._beats.progress())
            case {"outcome": outcome}:
                parts = tuple(Part.model_validate(part) for part in outcome["parts"])
                self._outcomes[worker] = Outcome(
                    parts, Generator.model_validate(outcome["generator"]), outcome["stopped"], outcome["cut"]
                )

    def _begin(self) -> None:
        origin_ns = perf_counter_ns() + (_HEAD_START_NS if len(self.processes) > 1 else 0)
        self._tell_all(str(origin_ns))
        self._begun(origin_ns)

    def _tell_all(self, line: str) -> None:
        for process in self.processes:
            _tell(process, line)


def _together(outcomes: list[Outcome]) -> Outcome:
    """The outcome of the whole run: its parts begin together, and end with the last worker."""
    parts = tuple(
        same[0].model_copy(update={"measured_to_ns": max(part.measured_to_ns for part in same)})
        for same in zip(*(outcome.parts for outcome in outcomes), strict=False)
    )
    generator = Generator.of_all([outcome.generator for outcome in outcomes])
    cut = next((outcome.cut for outcome in outcomes if outcome.cut), "")
    return Outcome(parts, generator, stopped=any(outcome.stopped for outcome in outcomes), cut=cut)


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(line + "\n")
        process.stdin.flush()
