"""The engine: what drives a run. The built-in one starts workers in processes of their own, and listens to them.

Their own processes, so that no work of a notebook's kernel lands in a latency. `subprocess` rather than
multiprocessing: spawn would need a main guard in the user's script, and fork with a kernel's ZMQ threads is unsafe.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter_ns
from typing import IO, Protocol

from perflib.load.arrivals import Share
from perflib.load.lengthening import SoFar, go_on_until_s
from perflib.load.worker import ORDER, OUTCOME, Order, Outcome
from perflib.spec import Facts, InputError
from perflib.spec.run import Generator
from perflib.spec.secret import Strike
from perflib.spec.setup import LOCAL
from perflib.store.atomic import undisturbed
from perflib.store.fault_file import where_written
from perflib.store.faults import all_of, did_not_start, telling_line
from perflib.store.spool import generator_spool

PYTHON = (sys.executable, "-P", "-W", "ignore")
"""Starts this interpreter: no file of the current folder shadows a module, no warning becomes an error."""
_HEAD_START_NS = 20_000_000
"""The common origin of the workers lies so far ahead that each of them has read it by then."""
_MOST_SILENT_S, _MOST_SILENT_AT_FIRST_S = 20.0, 60.0
"""A worker spools its health once per second, once it has found the target; one that is silent for so long is ended."""
_MOST_AT_ONCE_S = 1.0
"""No more of a pause between two looks counts as a worker's silence: this process may have stood still itself."""
_NOT_KEPT = "its last second, and what it had under way, are in no row"
_ASKED, _BOTH_WITHIN_S = (130, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP), 0.5


class Engine(Protocol):
    """Drives runs. A package brings another one by an entry point of the group `perflib.engine`."""

    def drive(self, facts: Facts, folder: Path, begun: Callable[[int], None], look: Callable[[], None]) -> Outcome:
        """Drive a run to its end; its rows land in spools of the folder. An interrupt stops it gracefully.

        Args:
            begun: called with the origin of the run's times, by this process's `perf_counter_ns`.
            look: to be called several times per second: the user's process shows what is new.

        Returns:
            The outcome of all workers together; where one died, why and when as `broken`.

        Raises:
            InputError: where the order was refused.
        """


def drive(
    facts: Facts,
    folder: Path,
    *,
    begun: Callable[[int], None] = lambda _: None,
    look: Callable[[], None] = lambda: None,
) -> Outcome:
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

    def drive(self, facts: Facts, folder: Path, begun: Callable[[int], None], look: Callable[[], None]) -> Outcome:
        with ExitStack() as ending:
            workers = [ending.enter_context(_started(index, folder)) for index in range(facts.workers)]
            crew = _Crew(workers, begun, facts)
            for index, worker in enumerate(workers):
                order = Order(facts, folder, Share(index, facts.workers), facts.target.folder)
                worker.tell(json.dumps(ORDER.dump_python(order, mode="json")))
            return crew.listen(look)


@dataclass
class _Worker:
    """A worker's process; `words` is what it says."""

    process: subprocess.Popen[str]
    words: IO[str]
    said: IO[str]
    """What else it says, as it ends by a fault."""
    health: Path
    seen_bytes: int = 0
    silent_s: float = 0.0

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def is_frozen(self, passed_s: float) -> bool:
        """Whether it has spooled nothing for too long; `passed_s` since the last call."""
        spooled = self.health.stat().st_size if self.health.exists() else 0
        self.silent_s = self.silent_s + passed_s if spooled == self.seen_bytes else 0.0
        self.seen_bytes = spooled
        return self.silent_s > (_MOST_SILENT_S if spooled else _MOST_SILENT_AT_FIRST_S)

    def how_it_ended(self, when: str) -> str:
        """In words, a moment after its last one."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return f"said nothing more {when}"
        how = f"ended with {'signal' if status < 0 else 'status'} {abs(status)} {when}"
        return how + (" (the system does so where memory runs out)" if status == -signal.SIGKILL else "")

    def end(self) -> None:
        """At the latest now; it ends by itself where nobody speaks to it any more."""
        with suppress(BrokenPipeError):  # a word it died before reading
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _started(index: int, folder: Path) -> Iterator[_Worker]:
    """A worker, ended afterwards.

    It speaks by a pipe of its own: what else is printed in its process, by a sitecustomize say, is nobody's word.
    """
    ours, theirs = os.pipe()
    words = os.fdopen(ours, encoding="utf-8")
    command = [*PYTHON, "-X", "faulthandler", "-m", "perflib.load.worker", str(theirs)]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=nowhere,
                stderr=said,
                encoding="utf-8",
                errors="replace",
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # it hangs where it may start no thread
                start_new_session=True,
                pass_fds=[theirs],
            )
        except OSError:
            words.close()
            raise
        finally:
            os.close(theirs)
        worker = _Worker(process, words, said, generator_spool(folder, index))
        try:
            yield worker
        finally:
            with undisturbed():
                worker.end()


class _Crew:
    """The workers of a run."""

    def __init__(self, workers: Sequence[_Worker], begun: Callable[[int], None], facts: Facts) -> None:
        self._workers, self._begun, self._longest_s = workers, begun, facts.scenario.longest_s or 0.0
        self._strike = Strike(os.environ.get(name, "") for name in facts.target.secrets)
        self._so_far: dict[int, SoFar] = {}
        self._news: queue.Queue[Callable[[], None]] = queue.Queue()
        self._ready = 0
        self._origin_ns: int | None = None
        self._outcomes: dict[int, Outcome] = {}
        self._gone: set[int] = set()
        self._broken = ""
        for index, worker in enumerate(workers):
            threading.Thread(target=self._read, args=(index, worker.words), daemon=True).start()

    def _read(self, index: int, words: IO[str]) -> None:
        """A thread: what a worker says is taken in by the one who listens."""
        with words:
            for line in words:
                if line.endswith("\n"):  # else it died while it spoke
                    self._news.put(partial(self._take, index, line))
        self._news.put(partial(self._end, index))

    def listen(self, look: Callable[[], None]) -> Outcome:
        """Until every worker has ended. The first interrupt asks them to stop, the second leaves at once."""
        stopping, last_ns = False, perf_counter_ns()
        while len(self._outcomes.keys() | self._gone) < len(self._workers):
            try:
                self._take_news()
                now_ns = perf_counter_ns()
                self._end_the_frozen(min((now_ns - last_ns) / 1e9, _MOST_AT_ONCE_S))
                last_ns = now_ns
                look()
            except KeyboardInterrupt:
                if stopping:
                    raise
                stopping = True
                self._tell_all("stop")
        if self._broken:
            return Outcome((), Generator(), stopped=stopping or self._is_interrupted_too(), broken=self._broken)
        return _together([self._outcomes[worker] for worker in sorted(self._outcomes)])

    def _is_interrupted_too(self) -> bool:
        """Whether the signal that ended a worker was meant for this process as well, as where a job is cancelled."""
        try:
            if any(worker.process.poll() in _ASKED for worker in self._workers):
                time.sleep(_BOTH_WITHIN_S)
        except KeyboardInterrupt:
            return True
        return False

    def _take_news(self) -> None:
        """All there is; waits a moment for the first. A wait without end could not be interrupted."""
        with suppress(queue.Empty):
            self._news.get(timeout=0.2)()
            while True:
                self._news.get_nowait()()

    def _take(self, index: int, line: str) -> None:
        match json.loads(line):
            case {"input_error": text}:
                raise InputError(text)
            case {"ready": _}:
                self._ready += 1
                if self._ready == len(self._workers):
                    self._begin()
            case {"disk": text}:
                self._break(index, f"ended {self._when()}: {text}")
            case {"fault": text, "traceback": trace}:
                if self._origin_ns is None:
                    raise did_not_start("load generator", self._strike(trace), self._strike(text))
                self._break(index, f"ended {self._when()}: {self._strike(text)}{_kept(self._strike(trace))}")
            case {"so_far": said}:
                self._so_far[index] = SoFar(**said)
                self._tell_when_to_end()
            case {"outcome": outcome}:
                self._outcomes[index] = OUTCOME.validate_python(outcome)
                if self._outcomes[index].cut:
                    self._tell_all("stop")

    def _tell_when_to_end(self) -> None:
        """Once all workers have told what they have."""
        if len(self._so_far) == len(self._workers):
            self._tell_all(f"until {go_on_until_s([*self._so_far.values()], self._longest_s)}")
            self._so_far.clear()

    def _end(self, index: int) -> None:
        self._gone.add(index)
        if index in self._outcomes or self._broken:
            return
        worker = self._workers[index]
        how, said = worker.how_it_ended(self._when()), self._strike(all_of(worker.said))
        if self._origin_ns is None and worker.process.poll() not in (None, *_ASKED):
            raise did_not_start(f"load generator: {how}", said)
        last = f"; it said: {telling_line(said)}{_kept(said)}" if said.strip() else ""
        self._break(index, f"{how}{last}; {_NOT_KEPT}")

    def _end_the_frozen(self, passed_s: float) -> None:
        for index, worker in enumerate(self._workers):
            if worker.process.poll() is None and index not in self._outcomes and worker.is_frozen(passed_s):
                self._break(index, f"stood still for {worker.silent_s:.0f} s and was ended {self._when()}; {_NOT_KEPT}")
                worker.process.kill()
                self._gone.add(index)

    def _break(self, index: int, how: str) -> None:
        """The run ends here; the first reason is the one."""
        self._broken = self._broken or f"load generator: worker {index + 1} of {len(self._workers)} {how}"
        self._tell_all("stop")

    def _when(self) -> str:
        if self._origin_ns is None:
            return "before the run began"
        return f"at {max(0, perf_counter_ns() - self._origin_ns) / 1e9:.1f} s"

    def _begin(self) -> None:
        self._origin_ns = perf_counter_ns() + (_HEAD_START_NS if len(self._workers) > 1 else 0)
        self._tell_all(str(self._origin_ns))
        self._begun(self._origin_ns)

    def _tell_all(self, line: str) -> None:
        for worker in self._workers:
            worker.tell(line)


def _kept(said: str) -> str:
    """In which file all of it is, where that is more than a line."""
    return where_written(said, "all of it") if "\n" in said.strip() else ""


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of the whole run: its parts begin together, and end with the last worker."""
    parts = tuple(
        same[0].replaced(measured_to_ns=max(part.measured_to_ns for part in same))
        for same in zip(*(outcome.parts for outcome in outcomes), strict=False)
    )
    generator = Generator.of_all([outcome.generator for outcome in outcomes])
    cut = next((outcome.cut for outcome in outcomes if outcome.cut), "")
    ends_ns = {part.measured_to_ns for outcome in outcomes for part in outcome.parts[-1:]}
    if len(ends_ns) > 1 and not (cut or any(outcome.stopped for outcome in outcomes)):
        cut = "not all of its workers heard in time that it went on"
    stopped = not cut and any(outcome.stopped for outcome in outcomes)  # one that is cut ends the others
    revision = next((outcome.revision for outcome in outcomes if outcome.revision), "")
    return Outcome(parts, generator, stopped=stopped, cut=cut, revision=revision)
