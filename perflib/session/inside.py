"""Inside: the stacks of a Python target, sampled while crowds are on its endpoints."""

from collections.abc import Callable, Sequence

import numpy as np

from perflib.figures.code import own, stacks_of
from perflib.figures.picture import Picture, median
from perflib.session.bench import Bench
from perflib.session.plan import crowd
from perflib.spec.diagnosis import CodeShare, Stack
from perflib.watch import profiler
from perflib.watch.process import ProcessTree

_LOOK_S, _ANSWERS, _LOOKS_PER_S = 2.0, 6, 100
_STOOD_SHARE = 0.3
"""A thread that stood in a function for less of the time tells nothing."""


class Inside:
    """A look into the processes of the target; `notes` say what was refused, and what looking cost."""

    def __init__(
        self, tree: ProcessTree | None, attach: bool | None, *, unasked: bool, say: Callable[[str], None]
    ) -> None:
        self._pid = None if tree is None else tree.lead.pid
        self._attach, self._unasked, self._say = attach, unasked, say
        self.stacks = tuple[Stack, ...]()
        self.notes: list[str] = []
        self._speeds: list[float] = []

    @property
    def code(self) -> tuple[CodeShare, ...]:
        """The target's own functions, by endpoint."""
        return own(self.stacks)

    def look(self, names: Sequence[str], users: int, bench: Bench, picture: Picture) -> None:
        """Sample the stacks of a crowd on each of these; where that is refused, one note says why."""
        if self._pid is None:
            return
        if refused := profiler.why_not(self._pid, self._attach, self._unasked):
            self.notes.append(refused)
            return
        self._say(f"py-spy looks into {profiler.who(self._pid)}")
        for name in names:
            if not self._look(name, users, bench, picture):
                break
        if self._speeds:
            speed = median(np.array(self._speeds))
            self.notes.append(f"with py-spy attached the same crowds got {speed:.0%} of the answers")

    def _look(self, name: str, users: int, bench: Bench, picture: Picture) -> bool:
        """Whether it was allowed."""
        assert self._pid is not None
        lasts_s = max(_LOOK_S, _ANSWERS * picture.alone[name].p50_ms / 1e3)
        with profiler.profiling(self._pid, lasts_s, _LOOKS_PER_S) as profile:
            if not profile.why_not:
                blocks = bench.measure([crowd(name, users, lasts_s)])
                self.stacks += stacks_of(profile.stacks(), name)
                before = picture.crowd.get(name)
                self._speeds += [one.throughput_per_s / before.throughput_per_s for one in blocks if before]
        if profile.why_not:
            self.notes.append(profile.why_not)
        return not profile.why_not

    def where(self, endpoint: str | None) -> str | None:
        """The function of the target's own in which a thread stood for much of the time; None: there is none."""
        total = sum(stack.samples for stack in self.stacks if stack.endpoint == endpoint)
        top = next((one for one in self.code if one.endpoint == endpoint), None)
        if top is None or top.share * total < _STOOD_SHARE * _LOOKS_PER_S * _LOOK_S:
            return None
        return f"{top.file}:{top.line} {top.function}"
