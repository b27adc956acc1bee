"""Where in the code of the target its time goes: collapsed stacks in, the functions of its own out.

Samples are of every thread, also of one that sleeps, or waits for a lock, in a function of the target. One that a
server, pool or event loop keeps waiting for work does not count, nor one beside them that hardly ever moves.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile

from perflib.spec.diagnosis import CodeShare, Stack

_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+):(?P<line>\d+)\)")
_LIBRARY = re.compile(r".*((?:site|dist)-packages/.*)|(?:.*/lib(?:64)?/)?(python3(?:\.\d+t?)?/.*)|(<.*)")
_SAMPLE = re.compile(r".*/perflib/(sample/.*)")
_SERVERS = re.compile(
    r"python[\d.t]+/(asyncio/|concurrent/futures/|socketserver|http/server|wsgiref/)"
    r"|(site|dist)-packages/(aiohttp|anyio|asgiref|cheroot|daphne|eventlet|gevent|granian|gunicorn|hypercorn|tornado"
    r"|twisted|uvicorn|uvloop|waitress|werkzeug/serving|django/core/servers)\b"
)
"""What stands outside of them, the command of the target too, has only started to serve."""
_WAITS = re.compile(r"python[\d.t]+/(multiprocessing/|queue|selectors|signal|socket|ssl|subprocess|threading)\b")
_LOOPS = re.compile(r"(.*\.)?(_worker|main|poll\d?|run(_forever|_until_complete|_app)?|sleep|switch|wait)")
_PARTS_SHOWN = 2
_STILL_SHARE = 0.9


@dataclass(frozen=True)
class _Frame:
    """A call; `file` as it is shown: two parts, or of a library what it has below the folder of libraries."""

    function: str
    file: str
    line: int
    is_own: bool = False

    @classmethod
    def of(cls, text: str) -> "_Frame | None":
        """None where this is no frame but the command line of a process."""
        if (match := _FRAME.fullmatch(text)) is None:
            return None
        function, file = match["function"].rpartition("<locals>.")[2], match["file"].replace("\\", "/")
        frame = cls(function, "/".join(file.split("/")[-_PARTS_SHOWN:]), int(match["line"]))
        if sample := _SAMPLE.fullmatch(file):
            return replace(frame, file=sample[1], is_own=True)
        if library := _LIBRARY.fullmatch(file):
            return replace(frame, file=next(filter(None, library.groups())))
        return replace(frame, is_own=file.endswith(".py") and function != "<module>")

    @property
    def serves(self) -> bool:
        return not self.is_own and _SERVERS.match(self.file) is not None

    @property
    def loops(self) -> bool:
        return self.serves and _LOOPS.fullmatch(self.function) is not None

    @property
    def waits(self) -> bool:
        return self.loops or (not self.is_own and _WAITS.match(self.file) is not None)

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


@dataclass(frozen=True)
class _Seen:
    """A stack of a thread, and how often it was seen; frames from the outermost."""

    thread: str
    frames: tuple[_Frame, ...]
    samples: int

    @classmethod
    def of(cls, line: str) -> "_Seen":
        calls, _, samples = line.rpartition(" ")
        parts = calls.split(";")
        thread = next((part for part in parts if part.startswith("thread (")), "")
        frames = tuple(frame for part in parts if (frame := _Frame.of(part)))
        return cls(thread, frames, int(samples) if samples.isdecimal() else 0)

    @property
    def in_server(self) -> bool:
        return any(frame.serves for frame in self.frames)

    def served(self) -> tuple[_Frame, ...]:
        """The calls inside of the server's own; none where it waits for work."""
        begin = next((at for at, frame in enumerate(self.frames) if frame.serves), 0)
        before_own = [*takewhile(lambda frame: not frame.is_own, self.frames[begin:])]
        inside = self.frames[begin + max((at for at, frame in enumerate(before_own) if frame.loops), default=0) :]
        if not inside or (inside[-1].waits and not any(frame.is_own for frame in inside)):
            return ()
        return tuple(dropwhile(lambda frame: frame.serves, inside)) or inside[-1:]


def stacks_of(text: str, endpoint: str) -> tuple[Stack, ...]:
    """The stacks of py-spy's raw format in which an endpoint was served, the most frequent first."""
    every = [seen for line in text.splitlines() if (seen := _Seen.of(line)).samples and seen.frames]
    parked, counts = _parked(every), Counter[tuple[str, ...]]()
    for seen in every:
        if seen.thread not in parked and (served := seen.served()):
            counts[tuple(map(str, served))] += seen.samples
    return tuple(Stack(endpoint=endpoint, frames=frames, samples=count) for frames, count in counts.most_common())


def _parked(every: Iterable[_Seen]) -> set[str]:
    """The threads of no server that stood at one call nearly all the time: they poll, or wait for the end."""
    at, serving = defaultdict[str, Counter[_Frame]](Counter), set[str]()
    for seen in every:
        at[seen.thread][seen.frames[-1]] += seen.samples
        if seen.in_server:
            serving.add(seen.thread)
    still = {thread for thread, calls in at.items() if max(calls.values()) >= _STILL_SHARE * calls.total()}
    return still - serving


def own(stacks: Iterable[Stack]) -> tuple[CodeShare, ...]:
    """The target's own functions by their share of an endpoint's samples, each with the line most often seen.

    A sample counts for the innermost of them: what a library does for a function is the function's.
    """
    totals, lines = Counter[str](), defaultdict[tuple[str, str, str], Counter[int]](Counter)
    for stack in stacks:
        totals[stack.endpoint] += stack.samples
        frames = (frame for text in reversed(stack.frames) if (frame := _Frame.of(text)))
        if inner := next((frame for frame in frames if frame.is_own), None):
            lines[stack.endpoint, inner.function, inner.file][inner.line] += stack.samples
    shares = (
        CodeShare(
            endpoint=endpoint,
            function=function,
            file=file,
            line=seen.most_common(1)[0][0],
            share=seen.total() / totals[endpoint],
        )
        for (endpoint, function, file), seen in lines.items()
    )
    order = [*totals]
    return tuple(sorted(shares, key=lambda one: (order.index(one.endpoint), -one.share)))
