"""What a command answers: a check, the history, the baselines; `comparison` has a comparison. Each is a table. Pure."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from perflib.judge.changes import PERCENTILES, changes, valued
from perflib.judge.check import FAMILY, Check, EndpointVerdict
from perflib.judge.compare import TOLD_OF_WAIT
from perflib.judge.fresh import ALL
from perflib.show.junit import Case
from perflib.show.junit import junit as as_junit
from perflib.show.numbers import INSUFFICIENT, NOTHING, below, limit, ms, no_less, seconds
from perflib.show.table import Cell, Row, Table, numbers, row, words
from perflib.spec.baselines import Baseline, Baselines
from perflib.spec.revision import shown
from perflib.stats.band import Change
from perflib.text import cells
from perflib.text.failures import failure_lines, rest
from perflib.text.words import check_sentence

_DETECTABLE = "Smallest detectable change"
_WHOLE_RUNS = "whole runs"
_CHECK_LEGEND = (
    "p50 × and p95 × say how many times what it was, with the 95 % interval. Smallest detectable change: the "
    "smallest rise of p95 that this check finds in 9 of 10 cases. Of several runs, the medians are shown."
)


def check(found: Check) -> Table:
    """A check: what it could detect and what it found, a row per endpoint, the reasons."""
    kinds = {str(one.kind) for one in found.compared.values()} or {"baseline"}
    before = f"{kinds.pop().capitalize() if len(kinds) == 1 else 'Before'}, ms"
    figures = numbers("p50 ×", "p95 ×", _DETECTABLE, "p95, ms", before, "Limit, ms")
    legend = (_CHECK_LEGEND, FAMILY) if found.endpoints else ()
    return Table(
        columns=(*words("Scenario", "Endpoint", "Verdict"), *figures, *words("Met")),
        rows=tuple(_check_row(one) for one in found.endpoints),
        title=check_sentence(found),
        notes=(*found.reasons[1:], *_failure_lines(found), *found.notes, *_by_wait(found), *legend),
        id="check",
    )


def _by_wait(found: Check) -> list[str]:
    """Where × is not what the two times beside it say."""
    changes = [change for row_ in found.endpoints for name in ("p50", "p95") if (change := row_.change_of(name))]
    differ = [change.by_wait for change in changes if abs(math.log(change.by_wait)) > TOLD_OF_WAIT]
    if not differ:
        return []
    much = f"{min(differ):.2f}" if max(differ) - min(differ) < 0.01 else f"{min(differ):.2f} to {max(differ):.2f}"
    return [
        f"The target waited for a core more or less than in the runs before, which alone makes times {much} times as "
        "long: × is without that, the times are as measured."
    ]


def _failure_lines(found: Check) -> list[str]:
    """What failed in each run, a line per endpoint; of several runs with the run's name."""
    several = len(found.failures) > 1
    return [
        f"{run_id}, {line}" if several else line
        for run_id, some in found.failures.items()
        for line in failure_lines(some)
    ]


def _check_row(one: EndpointVerdict) -> Row:
    p95, missing = one.change_of("p95"), NOTHING if one.endpoint == ALL else INSUFFICIENT
    ratios = (_times(one.change_of("p50")), _times(p95), NOTHING if p95 is None else f"{p95.mde:+.0%}")
    p95_ms = (
        Cell("failed", "bad")
        if one.p95_ms == math.inf
        else cells.figure(one.p95_ms, no_less(one.p95_at_least_ms) or missing)
    )
    limits = (limit(one), cells.outcome(one))
    baseline_ms = cells.figure(one.baseline_p95_ms, NOTHING)
    return row(one.scenario, one.endpoint, cells.verdict(one.verdict), *ratios, p95_ms, baseline_ms, *limits)


def _times(change: Change | None) -> str:
    if change is None or not math.isfinite(change.ratio):
        return NOTHING if change is None else "failed"
    return f"{change.ratio:.2f} ({change.interval:.2f})"


def junit(found: Check) -> str:
    """A check as JUnit XML: a test case per endpoint, and one for what concerns whole runs."""
    return as_junit("perflib check", {scenario: _cases(found, scenario) for scenario in found.against})


def _cases(found: Check, scenario: str) -> list[Case]:
    rows = {one.endpoint: one for one in found.endpoints if one.scenario == scenario}
    reasons: dict[str, list[str]] = {name: [] for name in (*rows, _WHOLE_RUNS)}
    for one in found.findings:
        if one.scenario == scenario:
            known = one.about in rows
            reasons[one.about if known else _WHOLE_RUNS].append(one.reason if known else f"{one.about}: {one.reason}")
    compared = found.compared.get(scenario)
    held = f" against {compared.name}" if compared else ""
    outputs = {name: f"{one.verdict}{held}: {one.reason}{_failed(found, name)}" for name, one in rows.items()}
    return [Case(name, said, outputs.get(name, "")) for name, said in reasons.items()]


def _failed(found: Check, endpoint: str) -> str:
    """A line on what failed at an endpoint; empty where nothing did."""
    failed = [one for some in found.failures.values() for one in some if one.endpoint == endpoint]
    return "".join(f"\n{line}" for line in failure_lines(failed))


def history(frame: pd.DataFrame, last: int | None = None) -> Table:
    """Stored runs, the newest first, marked where a level began, then what changed, the largest change first.

    Args:
        frame: as `perflib.runs` gives it; changes are looked for in all of it.
        last: list only so many runs.
    """
    if frame.empty:
        return replace(runs(frame), id="history")
    ranked = _ranked(frame)
    marks: dict[tuple[str, str], str] = {}
    for one in ranked:
        marks.setdefault((one["run_id"], one["percentile"]), _by(one))
    table = _runs(frame, frame["run_id"].nunique() if last is None else last, marks)
    told = [_changed(one) for one in ranked] or [
        "No change of p50 or p95 was found; it takes several runs after one to tell it (`perflib compare A B`: two)."
    ]
    return replace(table, notes=(*told, *table.notes), id="history")


def of_frame(frame: pd.DataFrame, most: int | None = 100) -> Table:
    """A frame as it is, what is missing left empty; `most`: only its first rows, and how many there are besides."""
    shown = frame if most is None else frame.head(most)
    lines = [row(*(_value(value, exact=most is None) for value in line)) for line in shown.itertuples(index=False)]
    more = f"{len(frame) - len(shown):,} rows more" if len(frame) > len(shown) else ""
    kinds = [numbers if pd.api.types.is_numeric_dtype(frame[name]) else words for name in frame]
    columns = tuple(column for kind, name in zip(kinds, frame, strict=True) for column in kind(str(name)))
    return Table(columns, tuple(lines), "" if lines else "No row was found.", (more,) if more else ())


def _value(value: Any, exact: bool) -> str:
    if isinstance(value, float) and not exact:
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)


def runs(frame: pd.DataFrame, last: int | None = None) -> Table:
    """A row per stored run, with its figures where `frame` has one endpoint, else its slowest one.

    `last`: only so many, the newest first.
    """
    return _runs(frame, last, {})


def _runs(frame: pd.DataFrame, last: int | None, marks: Mapping[tuple[str, str], str]) -> Table:
    """`marks`: by how much a percentile changed with a run."""
    notes = tuple(f"Left out: {name} ({why})" for name, why in frame.attrs.get("unreadable", {}).items())
    if frame.empty:
        none = frame.attrs.get("none") or "There are no stored runs; `perflib run light_load` makes one."
        return Table((), (), none, notes, id="runs")
    single = frame["endpoint"].nunique() == 1
    if last is not None:
        newest = frame["run_id"].drop_duplicates().tail(last)
        frame = frame[frame["run_id"].isin(newest)].iloc[::-1]
    figures = numbers("p50, ms", "p95, ms") if single else (*numbers("Endpoints"), *words("Slowest"))
    return Table(
        columns=(*words("Run", "Target", "State", "Revision", "Brief"), *figures, *words("Note")),
        rows=tuple(_history_row(of, single, marks) for _, of in frame.groupby("run_id", sort=False)),
        notes=notes,
        id="runs",
    )


def _history_row(of: pd.DataFrame, single: bool, marks: Mapping[tuple[str, str], str]) -> Row:
    run = of.iloc[0].to_dict()
    state = run["state"] if run["valid"] else Cell("broken" if run["state"] == "broken" else "invalid", "bad")
    about = (run["run_id"], run["target"], state, shown(run["revision"]) or NOTHING, run["brief"] or NOTHING)
    by = {percentile: marks.get((run["run_id"], percentile), "") for percentile in PERCENTILES}
    if single:
        figures = [_marked(_time(run, percentile), mark) for percentile, mark in by.items()]
    else:
        figures = [_marked(Cell(f"{len(of):,}"), next(filter(None, by.values()), "")), _slowest(of)]
    return row(*about, *figures, run["note"] or "")


def _time(run: dict[Hashable, Any], percentile: str) -> Cell:
    value, why = run[percentile], "unanswered" if run["unanswered"] else INSUFFICIENT
    bound = run.get("p95_at_least_ms") if percentile == "p95_ms" else None
    least = no_less(bound) if bound is not None and math.isfinite(bound) else ""
    return cells.figure(value if math.isfinite(value) else None, least or why, rest(run["errors"], run["requests"]))


def _marked(cell: Cell, by: str) -> Cell:
    """A figure with which a new level begins."""
    return replace(cell, text=f"{cell.text} ({by} from here)") if by else cell


def _slowest(of: pd.DataFrame) -> Cell:
    """The endpoint of the highest p95."""
    p95 = valued(of, "p95_ms")["ms"].dropna()
    if p95.empty:
        return Cell(NOTHING, "quiet")
    slowest = of[valued(of, "p95_ms")["ms"] == p95.max()].iloc[0].to_dict()
    return Cell(f"{slowest['endpoint']}, p95 {_time(slowest, 'p95_ms').text} ms")


def changed(frame: pd.DataFrame) -> Table:
    """The changes of level, the largest first."""
    ranked = _ranked(frame)
    title = (
        f"{len(ranked):,} changes" if len(ranked) > 1 else "One change" if ranked else "No change of p50 or p95 found"
    )
    return Table(
        columns=(*words("Endpoint", "Figure"), *numbers("Change", "Before, ms", "After, ms"), *words("From run", "Of")),
        rows=tuple(
            row(
                one["endpoint"],
                one["percentile"].removesuffix("_ms"),
                Cell(_by(one), "bad" if one["ratio"] > 1 else "good"),
                ms(one["before_ms"]),
                _after(one),
                one["run_id"],
                _release(one)[2:-1] or NOTHING,
            )
            for one in ranked
        ),
        title=f"{title}.",
        id="changed",
    )


def _ranked(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """What `changes` finds, by its size."""
    found = changes(frame)
    size = np.log(found["ratio"]).abs().fillna(np.inf)
    order = size.sort_values(ascending=False, kind="stable").index
    ranked: list[dict[Hashable, Any]] = found.loc[order].to_dict("records")
    return ranked


def _after(one: dict[Hashable, Any]) -> str:
    return no_less(one["after_ms"]) if one["at_least"] else ms(one["after_ms"])


def _changed(one: dict[Hashable, Any]) -> str:
    times = f"{ms(one['before_ms'])} to {_after(one)} ms"
    what = f"{one['endpoint']}, {one['percentile'].removesuffix('_ms')}: {times}"
    return f"Changed: {what} ({_by(one)}) from {one['run_id']} on{_release(one)}"


def _by(one: dict[Hashable, Any]) -> str:
    return f"{one['ratio'] - 1:+.0%}{' or more' if one['at_least'] else ''}"


def _release(run: dict[Hashable, Any]) -> str:
    """The release that a run is of, as far as it is known."""
    revision = shown(run["revision"])
    told = ", ".join(str(part) for part in (revision and f"revision {revision}", run["brief"], run["note"]) if part)
    return f" ({told})" if told else ""


def baselines(stored: Baselines) -> Table:
    """All baselines, each a group of rows."""
    if not stored.baselines:
        record = "`perflib baseline record light_load` makes one, with the --target or --url of your runs"
        return Table((), (), f"There are no baselines; {record}.", id="baselines")
    times = numbers("p50, ms", "p95, ms", "p99, ms", "Max, ms", "Limit, ms")
    rows = tuple(one for baseline in stored.baselines for one in _baseline_rows(baseline))
    return Table((*words("Endpoint"), *times, *words("Met")), rows, id="baselines")


def _baseline_rows(baseline: Baseline) -> list[Row]:
    machine = baseline.environment
    about = f"median of {len(baseline.runs)} runs of {seconds(baseline.duration_s)}, {baseline.recorded_at}"
    group = f"{baseline.target}, {baseline.scenario}: {about}, {machine.cpu} ({machine.cores} cores)"
    return [
        row(
            name,
            *(cells.figure(value) for value in (one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms)),
            below(one.target_ms),
            cells.met(one.target_ms is not None, one.meets_target),
            group=group,
        )
        for name, one in baseline.endpoints.items()
    ]
