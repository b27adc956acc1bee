"""The engine: what drives a run. The built-in one starts workers in processes of their own, and listens to them.

Their own processes, so that no work of a notebook's kernel lands in a latency. `subprocess` rather than
multiprocessing: spawn would need a main guard in the user's script, and fork with a kernel's ZMQ threads is unsafe.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from time import perf_counter_ns
from typing import IO, Protocol

from perflib.load.arrivals import Share
from perflib.load.worker import ORDER, OUTCOME, Order, Outcome
from perflib.spec import Facts, InputError
from perflib.spec.run import Generator
from perflib.spec.setup import LOCAL

PYTHON = (sys.executable, "-P", "-W", "ignore")
"""Starts this interpreter: no file of the current folder shadows a module, no warning becomes an error."""
_HEAD_START_NS = 20_000_000
"""The common origin of the workers lies so far ahead that each of them has read it by then."""


class Engine(Protocol):
    """Drives runs. A package brings another one by an entry point of the group `perflib.engine`."""

    def drive(
        self, facts: Facts, folder: Path, begun: Callable[[int], None], look: Callable[[], None]
    ) -> Outcome | None:
        """Drive a run to its end; its rows land in spools of the folder. An interrupt stops it gracefully.

        Args:
            begun: called with the origin of the run's times, by this process's `perf_counter_ns`.
            look: to be called several times per second: the user's process shows what is new.

        Returns:
            The outcome of all workers together; None where one died.

        Raises:
            InputError: where the order was refused.
        """


def drive(
    facts: Facts,
    folder: Path,
    *,
    begun: Callable[[int], None] = lambda _: None,
    look: Callable[[], None] = lambda: None,
) -> Outcome | None:
    """Drive a run with the engine that its facts name; see `Engine.drive`."""
    return engine_named(facts.engine).drive(facts, folder, begun, look)


def engine_named(name: str) -> Engine:
    """The engine of this name. Raises InputError where none is installed, or it cannot be loaded."""
    if name == LOCAL:
        return Processes()
    found = {one.name: one for one in entry_points(group="perflib.engine")}
    if name not in found:
        known = ", ".join(sorted({LOCAL, *found}))
        raise InputError(f"--engine {name!r}: no such engine is installed; there are {known}")
    try:
        engine: Engine = found[name].load()()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"--engine {name!r}: {found[name].value} cannot be loaded ({error}); mend its package"
        ) from error
    return engine


class Processes:
    """Drives a run from worker processes of this machine."""

    def drive(
        self, facts: Facts, folder: Path, begun: Callable[[int], None], look: Callable[[], None]
    ) -> Outcome | None:
        with ExitStack() as ending:
            processes = [ending.enter_context(_worker()) for _ in range(facts.workers)]
            crew = _Crew(processes, begun)
            for index, process in enumerate(processes):
                order = Order(facts, folder, Share(index, facts.workers))
                _write(process, json.dumps(ORDER.dump_python(order, mode="json")))
            return crew.listen(look)


@contextmanager
def _worker() -> Iterator[subprocess.Popen[str]]:
    """A worker's process, ended afterwards at the latest."""
    command = [*PYTHON, "-m", "perflib.load.worker"]
    pipe = subprocess.PIPE
    worker = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, encoding="utf-8", errors="replace", start_new_session=True
    )
    try:
        yield worker
    finally:
        with suppress(BrokenPipeError):  # a word it died before reading
            assert worker.stdin is not None
            worker.stdin.close()
        try:
            worker.wait(timeout=5)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(line + "\n")
        process.stdin.flush()


class _Crew:
    """The workers of a run."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], begun: Callable[[int], None]) -> None:
        self._processes, self._begun = processes, begun
        self._news: queue.Queue[Callable[[], None]] = queue.Queue()
        self._ready = self._ended = 0
        self._outcomes: dict[int, Outcome] = {}
        for index, process in enumerate(processes):
            assert process.stdout is not None
            threading.Thread(target=self._read, args=(index, process.stdout), daemon=True).start()

    def _read(self, worker: int, pipe: IO[str]) -> None:
        """A thread: what the worker writes is taken in by the one who listens."""
        with pipe:
            for line in pipe:
                if line.startswith('{"'):  # a site's or user's customization may speak before
                    self._news.put(partial(self._take, worker, line))
        self._news.put(partial(self._end, worker))

    def listen(self, look: Callable[[], None]) -> Outcome | None:
        """Until every worker has ended. The first interrupt asks them to stop, the second leaves at once."""
        stopping = False
        while self._ended < len(self._processes):
            try:
                with suppress(queue.Empty):
                    self._news.get(timeout=0.2)()  # a wait without end could not be interrupted
                look()
            except KeyboardInterrupt:
                if stopping:
                    raise
                stopping = True
                self._write_all("stop")
        if len(self._outcomes) < len(self._processes):
            return None
        return _together([self._outcomes[worker] for worker in sorted(self._outcomes)])

    def _take(self, worker: int, line: str) -> None:
        match json.loads(line):
            case {"input_error": text}:
                raise InputError(text)
            case {"ready": _}:
                self._ready += 1
                if self._ready == len(self._processes):
                    self._begin()
            case {"outcome": outcome}:
                self._outcomes[worker] = OUTCOME.validate_python(outcome)

    def _end(self, worker: int) -> None:
        self._ended += 1
        if worker not in self._outcomes:
            self._write_all("stop")

    def _begin(self) -> None:
        origin_ns = perf_counter_ns() + (_HEAD_START_NS if len(self._processes) > 1 else 0)
        self._write_all(str(origin_ns))
        self._begun(origin_ns)

    def _write_all(self, line: str) -> None:
        for process in self._processes:
            _write(process, line)


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of the whole run: its parts begin together, and end with the last worker."""
    parts = tuple(
        same[0].replaced(measured_to_ns=max(part.measured_to_ns for part in same))
        for same in zip(*(outcome.parts for outcome in outcomes), strict=False)
    )
    generator = Generator.of_all([outcome.generator for outcome in outcomes])
    cut = next((outcome.cut for outcome in outcomes if outcome.cut), "")
    return Outcome(parts, generator, stopped=any(outcome.stopped for outcome in outcomes), cut=cut)
