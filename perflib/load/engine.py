"""The engine: starts a worker in a process of its own, and listens to it.

Its own process, so that no work of a notebook's kernel lands in a latency. `subprocess` rather than multiprocessing:
spawn would need a main guard in the user's script, and fork out of a kernel with ZMQ threads is unsafe.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

from perflib.load.worker import Outcome, Progress
from perflib.model import Facts, InputError
from perflib.model.run import Generator, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def drive_in_process_of_its_own(
    facts: Facts, folder: Path, token: str | None, report: Callable[[Progress], None]
) -> Outcome | None:
    """Drive a run; rows land in the folder's spool. An interrupt (Ctrl-C, the stop button) stops it gracefully.

    Returns:
        The outcome; None where the worker died.

    Raises:
        InputError: where the worker refused its order.
    """
    environment = os.environ | ({facts.target.token_env: token} if facts.target.token_env and token else {})
    worker = subprocess.Popen(
        [sys.executable, "-m", "perflib.load.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        _tell(worker.stdin, json.dumps({"facts": facts.model_dump(mode="json"), "folder": str(folder)}))
        return _listen(_Lines(worker.stdout), worker.stdin, report)
    finally:
        with contextlib.suppress(BrokenPipeError):  # a word it died before reading
            worker.stdin.close()
        _end(worker)


def _listen(lines: Iterator[str | None], stdin: IO[str], report: Callable[[Progress], None]) -> Outcome | None:
    stopping = False
    while True:
        try:
            for line in lines:
                if line is None:
                    return None
                outcome = _understand(json.loads(line), report)
                if outcome is not None:
                    return outcome
        except KeyboardInterrupt:
            if stopping:
                raise
            stopping = True
            _tell(stdin, "stop")


def _understand(message: dict[str, Any], report: Callable[[Progress], None]) -> Outcome | None:
    if "input_error" in message:
        raise InputError(message["input_error"])
    if "progress" in message:
        report(Progress(**message["progress"]))
        return None
    said = message["outcome"]
    parts = tuple(Part.model_validate(part) for part in said["parts"])
    return Outcome(parts, Generator.model_validate(said["generator"]), said["stopped"])


class _Lines:
    """Lines of a pipe, read by a thread so that waiting for one can be interrupted; None at its end."""

    def __init__(self, pipe: IO[str]) -> None:
        self._waiting: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._waiting.put(line)
        self._waiting.put(None)

    def __iter__(self) -> Iterator[str | None]:
        return self

    def __next__(self) -> str | None:
        while True:
            try:
                return self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue


def _tell(stdin: IO[str], line: str) -> None:
    try:
        stdin.write(line + "\n")
        stdin.flush()
    except BrokenPipeError:
        return


def _end(worker: subprocess.Popen[str]) -> None:
    try:
        worker.wait(timeout=5)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
