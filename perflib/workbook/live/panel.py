"""The panel of a run in a notebook: one piece of HTML and SVG, without a script, legible on light and dark ground."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perflib.figures.summary import measured, summarize
from perflib.judge.leak import memory_column
from perflib.show.numbers import NOTHING, amount_of, ms, seconds
from perflib.show.sparkline import path_of
from perflib.show.table import Table
from perflib.spec import Facts, Run
from perflib.stats.percentile import percentile
from perflib.text.cells import failed
from perflib.text.failures import rest
from perflib.text.words import verdict_sentence
from perflib.workbook.live import so_far
from perflib.workbook.live.follow import Progress, Rows

LAST_S = 60
_WIDTH, _HEIGHT = 120, 28


@dataclass(frozen=True)
class Tile:
    """A figure by its name, and its course: `values` at `at_s`, None: not known."""

    name: str
    value: str
    at_s: Sequence[float] = ()
    values: Sequence[float | None] = ()
    bad: bool = False
    written: Callable[[float], str] = "{:,.0f}".format
    """How one of its values is."""

    @property
    def highest(self) -> float:
        """The top of its course; 0 where nothing is known."""
        return max((value for value in self.values if value is not None), default=0.0)

    def path(self, until_s: float) -> str:
        """The minute until a moment, or what there is of it, as an SVG path from zero up; a gap for what is unknown."""
        from_s = max(until_s - LAST_S, min(self.at_s))
        px_per_s = _WIDTH / max(until_s - from_s, 1.0)
        shown = ((at_s, value) for at_s, value in zip(self.at_s, self.values, strict=True) if at_s >= from_s)
        return path_of(((px_per_s * (at_s - from_s), value) for at_s, value in shown), self.highest, _HEIGHT)


def panel(facts: Facts, last: Sequence[Progress], memory: Rows, broken_off: bool = False) -> str:
    """A run as it goes.

    Args:
        facts: of the run.
        last: one or more seconds, oldest first; sparklines show the last minute of them.
        memory: samples of the target's memory, `MEMORY_ROW`; none where it is not sampled.
        broken_off: nobody drives the run any more.
    """
    now = last[-1]
    left_s = max(0.0, now.planned_s - now.elapsed_s)
    bound = "at most " if facts.scenario.enough_successes or facts.scenario.longest_s else ""
    ahead = f"{bound}{clock(left_s)} left" if left_s else "draining"
    shown = {
        "state": "broken off" if broken_off else "running",
        "time": f"{clock(now.elapsed_s)} of {bound}{clock(now.planned_s)} · {ahead}",
        "percent": f"{100 * min(1.0, now.elapsed_s / now.planned_s):.1f}",
        "doing": f"{facts.target.name}: {now.doing}",
        "why": now.why,
        "endpoints": so_far.table(now.endpoints),
    }
    return _drawn(facts, _live_tiles(facts, last, memory), shown)


def card(run: Run) -> str:
    """What stays of the panel: the verdict on a run, and its figures over all endpoints."""
    facts, summary = run.facts, summarize(run)
    running = facts.state == "running"
    counts, rows = summary.requests, measured(run)
    lost = counts.scheduled - counts.completed
    times_ms = rows.loc[(rows["kind"] == "request") & rows["error"].isna(), "response_ms"].to_numpy()
    held = run.memory
    most = None if held is None or held.empty else float(held[memory_column(held)].max())
    of = f"the {few}" if (few := rest(lost, counts.scheduled)) else "all"
    tiles = [
        Tile("requests", f"{counts.scheduled:,}"),
        Tile("completed/s", NOTHING if running else f"{summary.throughput_per_s:,.0f}"),
        Tile(f"p50 of {of}", _ms(percentile(times_ms, 0.50))),
        Tile(f"p95 of {of}", _ms(percentile(times_ms, 0.95))),
        Tile("failed", failed(lost, counts.scheduled).text, bad=lost > 0),
        Tile("peak memory", amount_of("memory")(most)),
    ]
    ended = {"time": f"measured {seconds(facts.duration_s)}", "verdict": verdict_sentence(run, summary)}
    left = {"time": "", "doing": "Not watched any more."}
    sound = facts.valid or facts.state == "broken"
    state = facts.state if sound else f"{facts.state}, invalid".removeprefix("finished, ")
    return _drawn(facts, tiles, {"state": state} | (left if running else ended))


def clock(value_s: float) -> str:
    """A duration to the second.

    >>> [clock(value) for value in (7.4, 83, 3723)]
    ['0:07', '1:23', '1:02:03']
    """
    minutes, second = divmod(round(value_s), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _live_tiles(facts: Facts, last: Sequence[Progress], memory: Rows) -> list[Tile]:
    now, at_s = last[-1], [second.elapsed_s for second in last]
    users = "connections" if facts.scenario.workload.kind == "open" else "active users"
    new_errors = [after.errors - before.errors for before, after in zip((last[0], *last), last, strict=False)]
    held = memory["rss_bytes"].tolist()
    p50s = _either([one.p50_ms for one in last], [one.so_far_p50_ms for one in last])
    p95s = _either([one.p95_ms for one in last], [one.so_far_p95_ms for one in last])
    of = f"of the {few}" if (few := rest(now.errors, now.requests)) else "so far"
    held_now = amount_of("memory")(held[-1] if held else None)
    return [
        Tile(users, f"{now.users:,}", at_s, [second.users for second in last]),
        Tile("requests/s", f"{now.rate_per_s:,.0f}", at_s, [second.rate_per_s for second in last]),
        Tile(f"p50 {of}", _ms(now.so_far_p50_ms), at_s, p50s, written=_ms),
        Tile(f"p95 {of}", _ms(now.so_far_p95_ms), at_s, p95s, written=_ms),
        Tile("failed", failed(now.errors, now.requests).text, at_s, new_errors, bad=now.errors > 0),
        Tile("target memory", held_now, (memory["t_ns"] / 1e9).tolist(), held, written=amount_of("memory")),
    ]


def _either(single: list[float | None], so_far: list[float | None]) -> list[float | None]:
    """Of each second by itself; of all so far where most seconds have too few requests."""
    return so_far if single.count(None) > len(single) / 2 else single


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{ms(value)} ms"


def _drawn(facts: Facts, tiles: Sequence[Tile], shown: Mapping[str, str | Table]) -> str:
    from perflib.workbook.template import templates  # a terminal shows its line without it

    until_s = max((tile.at_s[-1] for tile in tiles if tile.at_s), default=0.0)
    known = {"facts": facts, "tiles": tiles, "until_s": until_s, "width": _WIDTH, "height": _HEIGHT}
    return templates(Path(__file__).with_name("templates")).get_template("panel.html.j2").render({**known, **shown})
