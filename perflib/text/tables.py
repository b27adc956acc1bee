"""Tables: the brief's table and what belongs beside it; `words` has the verdicts in sentences. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from great_tables import GT, loc, style

from perflib.figures import spike
from perflib.spec import ERROR_KINDS, Open
from perflib.text.plain import (
    COMPARISON_COLUMNS,
    as_markdown,
    as_text,
    baselines_as_markdown,
    check_as_junit,
    check_as_markdown,
    check_as_text,
    comparison_as_markdown,
    comparison_as_text,
    comparison_row,
    escape_markdown,
    history_as_text,
    runs_as_text,
)
from perflib.text.words import (
    INSUFFICIENT,
    MET,
    MISSED,
    NOTHING,
    RULE,
    TIMES,
    baseline_sentence,
    brief_columns,
    brief_row,
    comparison_sentence,
    duration_of,
    memory_sentence,
    ms,
    rate_of,
    recovery_sentence,
    scaled,
    seconds,
    share,
    verdict_sentence,
    workload_of,
)
from perflib.verdict.compare import notes as comparison_notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perflib.figures.summary import Summary
    from perflib.spec import Environment, Facts, Run
    from perflib.spec.allocations import Allocations
    from perflib.stats.growth import Growth
    from perflib.verdict.check import Check
    from perflib.verdict.compare import FigureVerdict
    from perflib.verdict.leak import Memory

__all__ = [
    "accounting",
    "allocations",
    "as_markdown",
    "as_text",
    "baseline_sentence",
    "baselines_as_markdown",
    "brief",
    "check_as_junit",
    "check_as_markdown",
    "check_as_text",
    "cold",
    "comparison",
    "comparison_as_markdown",
    "comparison_as_text",
    "comparison_notes",
    "comparison_sentence",
    "degradation",
    "environment",
    "escape_markdown",
    "history_as_text",
    "memory",
    "memory_sentence",
    "recovery_sentence",
    "response_and_service",
    "runs_as_text",
    "verdict_sentence",
]

_GREY, _GREEN, _RED = "#6E7781", "#00674F", "#A83B00"
_MEANINGS = {
    "scheduled": "every request that was due",
    "completed": "answered as expected",
    "failed": "answered otherwise, or not within the time-out",
    "dropped": "never sent for want of a connection",
    "in flight": "still unanswered after the drain",
}


def brief(summary: Summary, *, judged: bool = True, against: Check | None = None) -> GT:
    """The brief's table: endpoints first, then pages. Times in ms.

    Args:
        summary: the figures.
        judged: False for an invalid run, which is shown but never judged.
        against: the run's check against its baseline, which adds a column and a sentence.
    """
    columns = list(brief_columns(against))
    rows = [brief_row(row, judged, against) for row in summary.endpoints]
    groups = ["Pages" if row.kind == "page" else "Endpoints" for row in summary.endpoints]
    frame = pd.DataFrame(rows, columns=columns).assign(group=groups)
    table = GT(frame, groupname_col="group", id="brief").tab_spanner("Response time, ms", columns=TIMES)
    for note in (() if against is None else (baseline_sentence(against),)) + (RULE,):
        table = table.tab_source_note(note)
    return _dressed(table, frame, numbers=columns[1 : columns.index("Met")])


def comparison(figures: Sequence[FigureVerdict]) -> GT:
    """B against A, a line a figure: the verdict, how many times A, and the smallest change to be seen."""
    columns = list(COMPARISON_COLUMNS)
    frame = pd.DataFrame([comparison_row(one) for one in figures], columns=columns, dtype=object)
    return _dressed(GT(frame, id="comparison"), frame, numbers=columns[3:])


def cold(summary: Summary) -> GT:
    """What a first visitor waits: the run's first answer, warm-up included, and the cold answers after it."""
    frame = pd.DataFrame(
        {
            "Endpoint": [row.endpoint for row in summary.endpoints],
            "First answer": [ms(row.first_ms, NOTHING) for row in summary.endpoints],
            "Cold answers": [f"{row.cold.requests:,}" for row in summary.endpoints],
            "p50": [ms(row.cold.p50_ms, INSUFFICIENT if row.cold.requests else NOTHING) for row in summary.endpoints],
            "Max": [ms(row.cold.max_ms, NOTHING) for row in summary.endpoints],
        },
        dtype=object,
    )
    table = GT(frame, id="cold").tab_spanner("Of cold answers, ms", columns=["p50", "Max"])
    table = table.cols_label({"First answer": "First answer, ms"}).tab_source_note(
        "The first answer is the run's very first success, warm-up included. "
        "Cold answers are those the target file tells by a header, after warm-up."
    )
    return _dressed(table, frame, numbers=list(frame.columns[1:]))


def response_and_service(summary: Summary) -> GT:
    """Response time, which is judged, beside service time. Times in ms."""
    frame = pd.DataFrame(
        {
            "Endpoint": [row.endpoint for row in summary.endpoints],
            "p50": [ms(row.p50_ms) for row in summary.endpoints],
            "p95": [ms(row.p95_ms) for row in summary.endpoints],
            "Service p50": [ms(row.service_p50_ms) for row in summary.endpoints],
            "Service p95": [ms(row.service_p95_ms) for row in summary.endpoints],
        },
        dtype=object,
    )
    table = GT(frame, id="response-and-service").tab_spanner("Response time (judged), ms", columns=["p50", "p95"])
    table = table.tab_spanner("Service time, ms", columns=["Service p50", "Service p95"])
    table = table.cols_label({"Service p50": "p50", "Service p95": "p95"}).tab_source_note(
        "Response time runs from the intended start, service time from the actual start: the difference is the wait "
        "for the load generator. Response time is judged, so that a late request cannot hide a slow answer."
    )
    return _dressed(table, frame, numbers=list(frame.columns[1:]))


def degradation(run: Run) -> GT:
    """p50 and p95 by number of active users, and how many times the p95 of the fewest users that is."""
    bands = spike.degradation(run)
    usual = bands[0].p95_ms if bands else None
    frame = pd.DataFrame(
        [
            (
                f"{band.users_from}" + (f"–{band.users_to}" if band.users_to > band.users_from else ""),
                f"{band.requests:,}",
                f"{band.errors:,}",
                ms(band.p50_ms),
                ms(band.p95_ms),
                NOTHING if usual is None or band.p95_ms is None else f"{band.p95_ms / usual:.2f} ×",
            )
            for band in bands
        ],
        columns=["Active users", "Requests", "Errors", "p50", "p95", "Against the first"],
        dtype=object,
    )
    table = GT(frame, id="degradation").tab_spanner("Response time, ms", columns=["p50", "p95"])
    table = table.tab_source_note(
        "Active users: as the ramp asks for at a request's intended start, until the load went back. Warm successes "
        "outside pages, endpoints pooled: every user walks the same mix, so each endpoint has its share in every row."
    )
    return _dressed(table, frame, numbers=list(frame.columns))


def memory(run: Run, memory: Memory) -> GT:
    """Growth of the target's memory, open files and threads, with its interval, and the smallest leak to be seen."""
    rows = [
        (
            name.capitalize(),
            found.verdict,
            *(rate_of(name)(value) for value in (found.per_h, *_ends(found), _unseen(found))),
        )
        for name, found in memory.series.items()
    ]
    columns = ["What", "Verdict", "Growth", "At least", "At most", "Smallest to be seen"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    a_request = memory.bytes_per_request
    per_request = "" if a_request is None or a_request < 1 else f" {a_request:,.0f} bytes a request."
    table = GT(frame, id="memory").tab_spanner("Each end at 99 %", columns=["At least", "At most"])
    table = table.tab_source_note(
        f"Samples once a second: {run.facts.memory.told}.{per_request} Growth is what warm-up, saturation and single "
        "jumps leave over. “Smallest to be seen”: the leak that such a run finds nine times in ten."
    )
    return _dressed(table, frame, numbers=columns[2:])


def allocations(found: Allocations) -> GT:
    """The places that allocated most of what a process still held after a while under load."""
    rows = [
        (
            f"{site.stack[0].function} ({site.stack[0].file}:{site.stack[0].line})" if site.stack else "unknown",
            f"{site.held_bytes / 1e3:,.0f}",
            share(site.held_bytes / found.held_bytes),
            f"{site.allocations:,}",
            next((f"{frame.file}:{frame.line}" for frame in site.stack[1:]), NOTHING),
        )
        for site in found.sites[:12]
    ]
    columns = ["Place", "Held, kB", "Share", "Allocations", "Called from"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    note = (
        found.why_not[:1].upper() + found.why_not[1:] + "."
        if found.why_not
        else (
            f"Allocated within {seconds(found.seconds)} under load and held at their end; by memray. "
            "A leak is held for ever; a cache or an answer under way may be among these too."
        )
    )
    return _dressed(
        GT(frame, id="allocations").tab_source_note(note), frame, numbers=["Held, kB", "Share", "Allocations"]
    )


def _unseen(found: Growth) -> float | None:
    """The smallest leak that would have shown: of no interest where one did."""
    return None if found.verdict == "LEAK" else found.smallest_per_h


def _ends(found: Growth) -> tuple[float | None, float | None]:
    between = found.interval_per_h
    return (None, None) if between is None else (between.low, between.high)


def accounting(summary: Summary) -> GT:
    """What became of every request on the wire after warm-up, and why requests failed, by endpoint and page."""
    counts = summary.requests
    fates = {
        "scheduled": counts.scheduled,
        "completed": counts.completed,
        "failed": counts.failed,
        "dropped": counts.dropped,
        "in flight": counts.in_flight,
    }
    rows = [("On the wire", fate, n, n / max(counts.scheduled, 1), _MEANINGS[fate]) for fate, n in fates.items()]
    rows += [
        ("Failures by endpoint", kind.replace("_", " "), n, n / row.requests, row.endpoint)
        for row in summary.endpoints
        for kind in ERROR_KINDS
        if (n := row.errors_by_kind.get(kind, 0))
    ]
    frame = pd.DataFrame(
        [(group, name, f"{n:,}", share(part), what) for group, name, n, part, what in rows],
        columns=["group", "Requests", "Count", "Share", "Meaning"],
    )
    note = (
        f"{summary.throughput_per_s:,.4g} completed requests a second over {seconds(summary.duration_s)}. "
        "A page's parts count as requests, the page itself does not."
    )
    table = GT(frame, groupname_col="group", id="accounting").cols_label(Meaning="").tab_source_note(note)
    return _dressed(table, frame, numbers=["Count", "Share"])


def environment(run: Run) -> GT:
    """How and where the run was measured."""
    groups = {
        "Method": _method(run),
        "Target": _target(run.facts),
        "Run": _run(run.facts),
        "Machine": _machine(run.facts.environment),
        "Load generator": _generator(run.facts),
    }
    rows = [(group, key, value) for group, facts_of in groups.items() for key, value in facts_of.items() if value]
    frame = pd.DataFrame(rows, columns=["group", "What", "Value"])
    table = GT(frame, groupname_col="group", id="environment").tab_options(column_labels_hidden=True)
    return _dressed(table, frame, numbers=[])


def _method(run: Run) -> dict[str, str]:
    facts = run.facts
    is_open = isinstance(facts.scenario.workload, Open)
    from_intended = "from the intended start, and judged; service time from the actual start"
    return {
        "Workload": workload_of(run),
        "Duration": duration_of(run),
        "Time-out": seconds(facts.scenario.timeout_s),
        "Response time": from_intended if is_open else "equal to service time: a closed workload",
        "Seed": str(facts.seed),
        "Profile": facts.profile,
    }


def _target(facts: Facts) -> dict[str, str]:
    sample = " (the sample dashboard)" if facts.sample_target else ""
    return {"Name": facts.target.name, "Address": facts.target.base_url + sample}


def _run(facts: Facts) -> dict[str, str]:
    return {
        "Run": facts.run_id,
        "Started": facts.started_at,
        "State": facts.state if facts.valid else f"{facts.state}, invalid: {'; '.join(facts.invalid_reasons)}",
        "Commit": facts.git_commit or "none",
        "Brief": facts.brief,
        "Note": facts.note,
    }


def _machine(machine: Environment) -> dict[str, str]:
    return {
        "System": f"{machine.os}, {machine.arch}",
        "Processor": f"{machine.cpu}, {machine.cores} cores",
        "Memory": f"{machine.ram_bytes / 2**30:.1f} GiB",
        "Python": machine.python,
        "Packages": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
    }


def _generator(facts: Facts) -> dict[str, str]:
    generator, is_open = facts.generator.as_json(), isinstance(facts.scenario.workload, Open)
    return {
        "Processes": str(facts.workers) if facts.workers > 1 else "",
        "CPU a request": scaled(generator["cpu_s_per_request"], 1e6, "µs"),
        "CPU share": scaled(generator["cpu_share"], 100, "% of a core"),
        "Event-loop lag, p99": scaled(generator["loop_lag_p99_ms"], 1, "ms"),
        "Schedule lag, p99": scaled(generator["schedule_lag_p99_ms"], 1, "ms") if is_open else "",
        "Memory samples": facts.memory.told,
        "Instrument floor, p50": scaled(generator["floor_p50_ms"], 1, "ms"),
        "Instrument floor, p99": scaled(generator["floor_p99_ms"], 1, "ms"),
        "Retries on stale connections": f"{generator['retries']:,}",
    }


def _dressed(table: GT, frame: pd.DataFrame, numbers: list[str]) -> GT:
    """The common look. great_tables escapes every text; a verdict has a word, so that its colour says nothing alone."""
    looks = {
        INSUFFICIENT: style.text(color=_GREY, style="italic"),
        "not judged": style.text(color=_GREY, style="italic"),
        MET: style.text(color=_GREEN),
        MISSED: style.text(color=_RED, weight="bold"),
        "REGRESSION": style.text(color=_RED, weight="bold"),
    }
    table = table.cols_align("left").cols_align("right", columns=numbers)
    for column in frame.columns.drop("group", errors="ignore"):
        for text, look in looks.items():
            places = [row for row, cell in enumerate(frame[column]) if cell == text or str(cell).endswith(f" {text}")]
            if places:
                table = table.tab_style(look, loc.body(columns=[column], rows=places))
    return table.tab_options(
        table_font_size="14px",
        table_margin_left="0",
        row_group_font_weight="600",
        source_notes_font_size="12px",
        data_row_padding="5px",
        table_border_top_style="none",
    )
