"""The panel of a run in a notebook: one piece of HTML and SVG, without a script, legible on light and dark ground."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from perflib.figures.summary import summarize
from perflib.show.numbers import NOTHING, ms, seconds
from perflib.stats.percentile import percentile
from perflib.text.words import amount_of, verdict_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from perflib.spec import Facts, Run
    from perflib.workbook.live.follow import Progress

    Rows = NDArray[np.void]

LAST_S = 60
_WIDTH, _HEIGHT = 120, 28
_STYLE = """<style>
.perflib-live { max-width: 60rem; padding: .7rem .9rem; border: 1px solid #8886; border-radius: 6px;
  font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-content-font-color1, currentColor) }
.perflib-live .head { display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline; margin-bottom: .3rem }
.perflib-live .head > :nth-child(2) { margin-left: auto }
.perflib-live .state { padding: 0 .5em; border: 2px solid; border-radius: 1em; font-weight: 600 }
.perflib-live .state.running { border-color: var(--jp-brand-color1, #1e88e5) }
.perflib-live .state.finished { border-color: var(--jp-success-color1, #43a047) }
.perflib-live .state.bad { border-color: var(--jp-error-color1, #e53935) }
.perflib-live .value.bad { color: var(--jp-error-color1, #e53935) }
.perflib-live .quiet { opacity: .75 }
.perflib-live .bar { height: 6px; margin: .5rem 0; border-radius: 3px; background: #8884; overflow: hidden }
.perflib-live .bar > div { height: 100%; background: var(--jp-brand-color1, #1e88e5) }
.perflib-live .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.4rem, 1fr)); gap: .6rem 1rem;
  margin: .6rem 0 }
.perflib-live .value { font-size: 1.35em; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap }
.perflib-live svg { display: block; width: 100%; height: 28px; border-bottom: 1px solid #8884;
  color: var(--jp-brand-color1, #1e88e5) }
.perflib-live code { color: inherit; background: none; padding: 0; user-select: all }
</style>"""


@dataclass(frozen=True)
class Tile:
    """A figure by its name, and under it how it went; `values` at `at_s`, None: not known."""

    name: str
    value: str
    at_s: Sequence[float] = ()
    values: Sequence[float | None] = ()
    bad: bool = False


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
    bound = "at most " if facts.scenario.enough_successes else ""
    ahead = f"{bound}{clock(left_s)} left" if left_s else "draining"
    return _card(
        title=facts.scenario.title,
        time=f"{clock(now.elapsed_s)} of {bound}{clock(now.planned_s)} · {ahead}",
        state="broken off" if broken_off else "running",
        told=_bar(now.elapsed_s / now.planned_s) + _quiet(f"{facts.target.name}: {now.doing}"),
        tiles=_live_tiles(facts, last, memory),
        run_id=facts.run_id,
    )


def _state(facts: Facts) -> str:
    """How a run ended: "finished", "interrupted", "invalid", or "interrupted, invalid"."""
    if facts.valid:
        return facts.state
    return "invalid" if facts.state == "finished" else f"{facts.state}, invalid"


def card(run: Run) -> str:
    """What stays of the panel: the verdict on a run, and its figures over all endpoints."""
    facts, summary = run.facts, summarize(run)
    running = facts.state == "running"
    counts = summary.requests
    lost = counts.scheduled - counts.completed
    wire = run.requests[(run.requests["kind"] == "request") & ~run.requests["warmup"] & run.requests["error"].isna()]
    times_ms = ((wire["end_ns"] - wire["intended_ns"]) / 1e6).to_numpy()
    most = None if run.memory is None or run.memory.empty else float(run.memory["rss_bytes"].max())
    rate = NOTHING if running else f"{summary.throughput_per_s:,.0f}"
    return _card(
        title=facts.scenario.title,
        time="" if running else f"measured {seconds(facts.duration_s)}",
        state=_state(facts),
        told=_quiet("Not watched any more.") if running else f"<div>{escape(verdict_sentence(run, summary))}</div>",
        tiles=[
            Tile("requests", f"{counts.scheduled:,}"),
            Tile("completed/s", rate),
            Tile("p50 of all", _ms(percentile(times_ms, 0.50))),
            Tile("p95 of all", _ms(percentile(times_ms, 0.95))),
            Tile("failed", f"{lost:,}", bad=lost > 0),
            Tile("most memory", amount_of("memory")(most)),
        ],
        run_id=facts.run_id,
    )


def clock(value_s: float) -> str:
    """A duration to the second.

    >>> [clock(value) for value in (7.4, 83, 3723)]
    ['0:07', '1:23', '1:02:03']
    """
    minutes, second = divmod(round(value_s), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def sparkline(tile: Tile, until_s: float) -> str:
    """The minute until a moment, or what there is of it, as SVG from zero up; a gap where a value is not known."""
    from_s = max(until_s - LAST_S, min(tile.at_s))
    highest = max((value for value in tile.values if value is not None), default=0.0) or 1.0
    path, pen = "", "M"
    for at_s, value in zip(tile.at_s, tile.values, strict=True):
        if value is None or at_s < from_s:
            pen = "M"
            continue
        x = _WIDTH * (at_s - from_s) / max(until_s - from_s, 1.0)
        path += f"{pen}{x:.1f},{_HEIGHT - 2 - (_HEIGHT - 4) * value / highest:.1f}"
        pen = "L"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(tile.name)}, last minute"><path d="{path}" fill="none" stroke="currentColor" '
        'stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round" vector-effect="non-scaling-stroke"/></svg>'
    )


def _live_tiles(facts: Facts, last: Sequence[Progress], memory: Rows) -> list[Tile]:
    now, at_s = last[-1], [second.elapsed_s for second in last]
    users = "connections" if facts.scenario.workload.kind == "open" else "active users"
    new_errors = [after.errors - before.errors for before, after in zip((last[0], *last), last, strict=False)]
    held = memory["rss_bytes"].tolist()
    return [
        Tile(users, f"{now.users:,}", at_s, [second.users for second in last]),
        Tile("requests/s", f"{now.rate_per_s:,.0f}", at_s, [second.rate_per_s for second in last]),
        Tile("p50 so far", _ms(now.so_far_p50_ms), at_s, _p50s(last)),
        Tile("p95 so far", _ms(now.so_far_p95_ms), at_s, _p95s(last)),
        Tile("failed", f"{now.errors:,}", at_s, new_errors, bad=now.errors > 0),
        Tile(
            "target memory",
            amount_of("memory")(held[-1] if held else None),
            (memory["t_ns"] / 1e9).tolist(),
            held,
        ),
    ]


def _p50s(last: Sequence[Progress]) -> list[float | None]:
    """Of each second by itself; of all so far where most seconds have too few requests."""
    single = [second.p50_ms for second in last]
    return [second.so_far_p50_ms for second in last] if single.count(None) > len(last) / 2 else single


def _p95s(last: Sequence[Progress]) -> list[float | None]:
    single = [second.p95_ms for second in last]
    return [second.so_far_p95_ms for second in last] if single.count(None) > len(last) / 2 else single


def _card(title: str, time: str, state: str, told: str, tiles: Sequence[Tile], run_id: str) -> str:
    until_s = max((tile.at_s[-1] for tile in tiles if tile.at_s), default=0.0)
    again = f'perflib.attach("{run_id}")'
    return (
        f'{_STYLE}<div class="perflib-live"><div class="head"><b>{escape(title)}</b><span>{time}</span>'
        f'<span class="state {state if state in ("running", "finished") else "bad"}">{state}</span></div>{told}'
        f'<div class="tiles">{"".join(_drawn(tile, until_s) for tile in tiles)}</div>'
        f"{_quiet(f'Show it again: <code>{escape(again)}</code>', escaped=True)}</div>"
    )


def _drawn(tile: Tile, until_s: float) -> str:
    line = sparkline(tile, until_s) if tile.at_s else ""
    bad = " bad" if tile.bad else ""
    return f'<div>{_quiet(tile.name)}<div class="value{bad}">{escape(tile.value)}</div>{line}</div>'


def _bar(share: float) -> str:
    width = f"{100 * min(1.0, share):.1f}"
    return (
        f'<div class="bar" role="progressbar" aria-label="of the planned time" aria-valuenow="{width}">'
        f'<div style="width: {width}%"></div></div>'
    )


def _quiet(text: str, escaped: bool = False) -> str:
    return f'<div class="quiet">{text if escaped else escape(text)}</div>'


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{ms(value)} ms"
