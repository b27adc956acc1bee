"""Views: where the progress of a run is shown. A panel in a notebook, a line on a terminal, plain lines elsewhere."""

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from perflib.show.numbers import amount_of, ms
from perflib.show.table import one_line
from perflib.spec import Run
from perflib.store.runs import RunFolder
from perflib.store.spool import memory_so_far
from perflib.text.failures import rest
from perflib.workbook.live import so_far
from perflib.workbook.live.follow import Follower, Progress
from perflib.workbook.live.panel import LAST_S, card, clock, panel

if TYPE_CHECKING:
    from IPython.display import DisplayHandle  # a plain script does without IPython

_EVERY_S = 10.0
_LINES_BESIDE = 5
"""Of a terminal, besides the rows: the bar, the head, a note and the cursor."""


class View(AbstractContextManager["View"]):
    """Shows a run of one folder, read off what its workers spool."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._follower: Follower | None = None

    def look(self) -> None:
        """Show what is new."""
        self._follower = self._follower or Follower(self._folder)
        if news := self._follower.news():
            self.show(news)

    def show(self, news: Sequence[Progress]) -> None:
        """One or more seconds that were not shown yet, oldest first."""

    def ended(self, run: Run) -> Run:
        """The run is over, or watched no longer. Returns it."""
        facts = run.facts
        if facts.state == "broken":
            why = "; ".join(facts.invalid_reasons)
            _say(f"broken: {why}; {facts.duration_s:.1f} s measured, kept as {facts.run_id}")
        elif facts.state != "finished":
            _say(f"{facts.state} after {facts.duration_s:.1f} s; kept as {facts.run_id}")
        return run

    def __exit__(self, kind: object, *_: object) -> None:
        """Give the place back."""

    def _memory_bytes(self) -> float | None:
        rows = memory_so_far(self._folder.path)
        return float(rows["rss_bytes"][-1]) if len(rows) else None


class Told(View):
    """Hands the seconds to the caller's own function."""

    def __init__(self, folder: RunFolder, report: Callable[[Progress], None]) -> None:
        super().__init__(folder)
        self._report = report

    def show(self, news: Sequence[Progress]) -> None:
        for second in news:
            self._report(second)

    def ended(self, run: Run) -> Run:
        return run


class Lines(View):
    """Plain lines on stderr, one every ten seconds."""

    _next_s = _EVERY_S

    def show(self, news: Sequence[Progress]) -> None:
        if news[-1].elapsed_s >= self._next_s:
            self._next_s = (news[-1].elapsed_s // _EVERY_S + 1) * _EVERY_S
            _say(describe(news[-1], self._memory_bytes()))


class Line(View):
    """A line on a terminal and the endpoints below it, renewed every second; gone when the run is over."""

    def __init__(self, folder: RunFolder, console: Console | None = None) -> None:
        super().__init__(folder)
        bar = BarColumn(bar_width=10, table_column=Column(no_wrap=True, min_width=10))
        words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        self._console = console or Console(stderr=True)
        self._bar = Bar(bar, words, console=self._console, auto_refresh=False)
        self._task = self._bar.add_task("starts", total=None)
        self._live = Live(self._bar.get_renderable(), console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def show(self, news: Sequence[Progress]) -> None:
        now = news[-1]
        words = "  ".join([*_figures(now, self._memory_bytes()), *_words(now)])
        self._bar.update(self._task, completed=now.elapsed_s, total=now.planned_s, description=words)
        room = max(1, self._console.height - _LINES_BESIDE)
        lines = so_far.table(now.endpoints, room).text(color=self._console.color_system is not None)
        below = Text.from_ansi(lines, no_wrap=True, overflow="ellipsis")
        self._live.update(Group(self._bar.get_renderable(), below), refresh=True)

    def ended(self, run: Run) -> Run:
        self._live.stop()
        return super().ended(run)

    def __exit__(self, kind: object, *_: object) -> None:
        self._live.stop()


class Panel(View):
    """One panel in a notebook, under one display handle."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder)
        self._last: deque[Progress] = deque(maxlen=LAST_S)
        self._handle: DisplayHandle | None = None

    def show(self, news: Sequence[Progress]) -> None:
        self._last.extend(news)
        self._draw_live()

    def ended(self, run: Run) -> Run:
        self._draw(card(run), repr(run))
        self._last.clear()
        return run

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and self._last:
            self._draw_live(broken_off=True)

    def _draw_live(self, broken_off: bool = False) -> None:
        facts, memory = self._folder.read_facts(), memory_so_far(self._folder.path)
        self._draw(panel(facts, self._last, memory[-LAST_S:], broken_off), describe(self._last[-1], None))

    def _draw(self, as_html: str, as_text: str) -> None:
        from IPython.display import display

        bundle = {"text/html": as_html, "text/plain": as_text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)  # type: ignore[no-untyped-call]


def view_of(folder: RunFolder, report: Callable[[Progress], None] | None = None) -> View:
    """The view that fits where this process speaks to its user, or the caller's own `report`."""
    if report is not None:
        return Told(folder, report)
    if is_in_a_notebook():
        return Panel(folder)
    return Line(folder) if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Lines(folder)


def is_in_a_notebook() -> bool:
    """True in a cell that a person runs: papermill and nbconvert allow a cell no input, frontends do."""
    ipython = sys.modules.get("IPython")
    kernel = None if ipython is None else getattr(ipython.get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def describe(progress: Progress, memory_bytes: float | None) -> str:
    """A second of a run in one line."""
    return " · ".join([*_figures(progress, memory_bytes), f"{progress.requests:,} requests", *_words(progress)])


def _figures(progress: Progress, memory_bytes: float | None) -> list[str]:
    """What fits a terminal of 80 columns beside a bar, and matters most."""
    known = progress.so_far_p95_ms is not None
    of = f" (of {few})" if (few := rest(progress.errors, progress.requests)) else ""
    return [
        f"{clock(progress.elapsed_s)}/{clock(progress.planned_s)}",
        f"{progress.users:,} active",
        f"{progress.rate_per_s:,.0f}/s",
        *([f"p50 {ms(progress.so_far_p50_ms)} p95 {ms(progress.so_far_p95_ms)} ms{of}"] if known else []),
        f"{progress.errors:,} failed",
        *([] if memory_bytes is None else [amount_of("memory")(memory_bytes)]),
    ]


def _words(progress: Progress) -> list[str]:
    return [one_line(told) for told in (progress.doing, progress.why) if told]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress is for the reader
