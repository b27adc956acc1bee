"""Tables as plain text: for a terminal, for GitHub, for a CI server. Pure."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from perflib.text.words import (
    COLUMNS,
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
    memory_sentence,
    ms,
    seconds,
    verdict_sentence,
)
from perflib.verdict.changes import changes
from perflib.verdict.check import FAMILY

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from perflib.figures.summary import Summary
    from perflib.spec import Run
    from perflib.spec.baselines import Baseline, Baselines
    from perflib.stats.band import Change
    from perflib.verdict.check import Check, EndpointVerdict
    from perflib.verdict.compare import FigureVerdict
    from perflib.verdict.leak import Memory

_CHECK_COLUMNS = ("Scenario", "Endpoint", "Verdict", "Sees", "p50 ×", "p95 ×", "p95", "Baseline", "Target", "Met")
_CHECK_LEFT = (0, 1, 2, 9)
_WHOLE_RUNS = "whole runs"
_CHECK_LEGEND = (
    "Sees: the smallest change of p95 that this check finds in 9 of 10 cases. p50 ×, p95 ×: times the baseline, with "
    "95 % interval. Times in ms; of several runs, medians."
)
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
COMPARISON_COLUMNS = ("Endpoint", "Figure", "Verdict", "B / A", "Interval", "Sees")
_COMPARISON_LEFT = (0, 1, 2)
_NO_RUNS = "no stored runs here; `perflib run light_load` makes one"


def as_markdown(summary: Summary, *, judged: bool = True, against: Check | None = None) -> str:
    """The brief's table as GitHub Markdown, to paste into a brief or a pull request. Times in ms.

    Args:
        against: the run's check against its baseline, which adds a column and a sentence.
    """
    columns = brief_columns(against)
    head = [name if name not in TIMES else f"{name} (ms)" for name in columns]
    rows = [brief_row(row, judged, against) for row in summary.endpoints]
    left = (0, *range(columns.index("Met"), len(columns)))
    said = [] if against is None else [escape_markdown(baseline_sentence(against)), ""]
    return "\n".join([_as_markdown(head, rows, left), "", *said, RULE, ""])


def as_text(run: Run, summary: Summary, memory: Memory) -> str:
    """The verdicts and the brief's table for a terminal. Times in ms."""
    rows = [brief_row(row, run.facts.valid) for row in summary.endpoints]
    said = [verdict_sentence(run, summary), memory_sentence(run, memory)]
    return "\n".join([*said, "", _as_text(COLUMNS, rows, left=(0, len(COLUMNS) - 1)), "", f"run {run.facts.run_id}"])


def check_as_text(check: Check) -> str:
    """A check for a terminal: the smallest change it could have seen, what it found and why, the table."""
    rows = [_check_row(row) for row in check.endpoints]
    table = ["", _as_text(_CHECK_COLUMNS, rows, _CHECK_LEFT), "", _CHECK_LEGEND, FAMILY] if rows else []
    lines = (f"- {line}" for line in (*check.reasons, *check.notes))
    return "\n".join([_check_sees(check), _check_outcome(check), *lines, *table])


def check_as_markdown(check: Check) -> str:
    """A check as GitHub Markdown, for a comment on a pull request."""
    rows = [_check_row(row) for row in check.endpoints]
    table = ["", _as_markdown(_CHECK_COLUMNS, rows, _CHECK_LEFT), "", _CHECK_LEGEND, FAMILY] if rows else []
    lines = [f"- {escape_markdown(line)}" for line in (*check.reasons, *check.notes)]
    return "\n".join([_check_sees(check), "", f"**{_check_outcome(check)}**", *([""] if lines else []), *lines, *table])


def check_as_junit(check: Check) -> str:
    """A check as JUnit XML: a test case an endpoint, and one for what concerns whole runs."""
    suites = [_junit_suite(check, scenario) for scenario in check.baselines]
    root = ElementTree.Element("testsuites", name="perflib check")
    for count in ("tests", "failures"):
        root.set(count, str(sum(int(suite.get(count, 0)) for suite in suites)))
    root.extend(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _junit_suite(check: Check, scenario: str) -> ElementTree.Element:
    rows = {row.endpoint: row for row in check.endpoints if row.scenario == scenario}
    told: dict[str, list[str]] = {name: [] for name in (*rows, _WHOLE_RUNS)}
    for one in check.findings:
        if one.scenario == scenario:
            known = one.about in rows
            told[one.about if known else _WHOLE_RUNS].append(one.reason if known else f"{one.about}: {one.reason}")
    failures = sum(bool(reasons) for reasons in told.values())
    suite = ElementTree.Element("testsuite", name=scenario, tests=str(len(told)), failures=str(failures))
    for name, reasons in told.items():
        case = ElementTree.SubElement(suite, "testcase", classname=scenario, name=_xml(name))
        if reasons:
            ElementTree.SubElement(case, "failure", message=_xml(reasons[0])).text = _xml("\n".join(reasons))
        if name in rows:
            ElementTree.SubElement(case, "system-out").text = _xml(f"{rows[name].verdict}: {rows[name].reason}")
    return suite


def _xml(text: str) -> str:
    """Text without the control characters that no XML may hold, escaped or not."""
    return _NOT_IN_XML.sub("\ufffd", text)


def _check_sees(check: Check) -> str:
    mdes, rows = sorted(check.mdes), len(check.endpoints)
    if not mdes:
        return "Smallest detectable change of p95: none, as no baseline can be compared; the rest is judged."
    between = f"{mdes[0]:+.0%}" if mdes[0] == mdes[-1] else f"{mdes[0]:+.0%} to {mdes[-1]:+.0%}"
    where = "" if len(mdes) == rows else f", in {len(mdes)} of {rows} endpoints and pages"
    return f"Smallest detectable change of p95: {between}{where}."


def _check_outcome(check: Check) -> str:
    outcome = {0: "passed", 1: "failed", 3: "could not judge", 130: "was interrupted"}[check.exit_status]
    verdicts = [row.verdict for row in check.endpoints]
    counts = ", ".join(f"{verdicts.count(one)} {one.replace('_', ' ')}" for one in dict.fromkeys(sorted(verdicts)))
    return f"The check {outcome}{': ' + counts if counts else ''}."


def _check_row(row: EndpointVerdict) -> list[str]:
    met = {True: MET, False: MISSED, None: INSUFFICIENT}[row.meets_target]
    p95 = row.change_of("p95")
    return [
        row.scenario,
        row.endpoint,
        row.verdict.replace("_", " "),
        NOTHING if p95 is None else f"{p95.mde:+.0%}",
        _times(row.change_of("p50")),
        _times(p95),
        "failed" if row.p95_ms == math.inf else ms(row.p95_ms),
        ms(row.baseline_p95_ms, NOTHING),
        NOTHING if row.target_ms is None else f"< {row.target_ms:,g}",
        NOTHING if row.target_ms is None else met,
    ]


def _times(change: Change | None) -> str:
    if change is None or not math.isfinite(change.ratio):
        return NOTHING if change is None else "failed"
    return f"{change.ratio:.2f} ({change.interval.low:.2f} to {change.interval.high:.2f})"


def comparison_as_text(figures: Sequence[FigureVerdict], notes: Sequence[str]) -> str:
    """A comparison for a terminal: the answer, a line a figure, then what else to know."""
    rows = [comparison_row(figure) for figure in figures]
    table = [_as_text(COMPARISON_COLUMNS, rows, _COMPARISON_LEFT), ""] if rows else []
    lines = (f"- {note}" for note in (*_why_none(figures), *notes))
    return "\n".join([comparison_sentence(figures), "", *table, *lines])


def comparison_as_markdown(figures: Sequence[FigureVerdict], notes: Sequence[str]) -> str:
    """A comparison as GitHub Markdown, for a comment on a pull request."""
    rows = [comparison_row(figure) for figure in figures]
    table = [_as_markdown(COMPARISON_COLUMNS, rows, _COMPARISON_LEFT), ""] if rows else []
    lines = (f"- {escape_markdown(note)}" for note in (*_why_none(figures), *notes))
    return "\n".join([f"**{escape_markdown(comparison_sentence(figures))}**", "", *table, *lines])


def _why_none(figures: Sequence[FigureVerdict]) -> list[str]:
    """Why figures have no interval, each reason once."""
    lacking: dict[str, list[str]] = {}
    for one in figures:
        if one.interval is None:
            lacking.setdefault(one.reason, []).append(f"{one.endpoint} {one.figure}")
    return [f"{'all' if len(of) == len(figures) else ', '.join(of)}: {reason}" for reason, of in lacking.items()]


def comparison_row(figure: FigureVerdict) -> list[str]:
    between = figure.interval
    return [
        figure.endpoint,
        figure.figure,
        figure.verdict or "not clear yet",
        NOTHING if figure.ratio is None else f"{figure.ratio:.3f}",
        NOTHING if between is None else f"{between.low:.3f} to {between.high:.3f}",
        NOTHING if figure.mde is None else f"{figure.mde:+.0%}",
    ]


def history_as_text(frame: pd.DataFrame) -> str:
    """Stored runs for a terminal: a line a run, or a run and endpoint where there is one; then what changed when."""
    if frame.empty:
        return _NO_RUNS
    return "\n".join([_runs_table(frame), "", "Changes:", *_changes(frame)])


def runs_as_text(frame: pd.DataFrame, last: int) -> str:
    """The newest of the stored runs for a terminal, the newest first."""
    if frame.empty:
        return _NO_RUNS
    newest = frame["run_id"].drop_duplicates().tail(last)
    return _runs_table(frame[frame["run_id"].isin(newest)].iloc[::-1])


def _runs_table(frame: pd.DataFrame) -> str:
    one = frame["endpoint"].nunique() == 1
    rows = frame if one else frame.drop_duplicates("run_id")
    counts = frame["run_id"].value_counts()
    columns = ("Run", "Target", "State", "Commit", "Brief", *(("p50", "p95") if one else ("Endpoints",)), "Note")
    lines = [
        [
            row["run_id"],
            row["target"],
            row["state"] if row["valid"] else "invalid",
            _commit(row["git_commit"]),
            row["brief"] or NOTHING,
            *((ms(_known(row["p50_ms"])), ms(_known(row["p95_ms"]))) if one else (str(counts[row["run_id"]]),)),
            row["note"] or "",
        ]
        for row in rows.to_dict("records")
    ]
    return _as_text(columns, lines, left=(0, 1, 2, 3, 4, len(columns) - 1))


def _changes(frame: pd.DataFrame) -> list[str]:
    told = [
        f"- {row['endpoint']}, {row['percentile'].removesuffix('_ms')}: {ms(row['before_ms'])} to "
        f"{ms(row['after_ms'])} ms ({row['ratio'] - 1:+.0%}) from {row['run_id']} on{_of(row)}"
        for row in changes(frame).to_dict("records")
    ]
    unreadable = [f"- left out, unreadable: {folder} ({why})" for folder, why in frame.attrs["unreadable"].items()]
    return [*(told or ["- none found"]), *unreadable]


def _of(row: dict[Hashable, Any]) -> str:
    """The release that a run is of, as far as it is known."""
    commit = f"commit {_commit(row['git_commit'])}" if isinstance(row["git_commit"], str) else ""
    told = ", ".join(str(part) for part in (commit, row["brief"], row["note"]) if part)
    return f" ({told})" if told else ""


def _commit(commit: object) -> str:
    return commit[:7] if isinstance(commit, str) else NOTHING


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def baselines_as_markdown(baselines: Baselines) -> str:
    """All baselines as GitHub Markdown, one table each. Times in ms."""
    if not baselines.baselines:
        return "no baselines yet; `perflib baseline record light_load` makes one"
    return "\n\n".join(_baseline_as_markdown(one) for one in baselines.baselines)


def _baseline_as_markdown(baseline: Baseline) -> str:
    machine = baseline.environment
    head = f"**{escape_markdown(baseline.target)}, {baseline.scenario}**: median of {len(baseline.runs)} runs of "
    head += f"{seconds(baseline.duration_s)}, {baseline.recorded_at}, "
    head += f"{escape_markdown(machine.cpu)} ({machine.cores} cores)"
    rows = [
        [
            name,
            *(ms(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms)),
            NOTHING if row.target_ms is None else f"< {row.target_ms:,g}",
            {True: MET, False: MISSED, None: NOTHING}[row.meets_target],
        ]
        for name, row in baseline.endpoints.items()
    ]
    columns = ("Endpoint", "p50", "p95", "p99", "Max", "Target", "Met")
    return f"{head}\n\n{_as_markdown(columns, rows, left=(0, 6))}"


def _as_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """A table; the columns numbered in `left` are aligned to the left, the others to the right."""
    rule = [":---" if place in left else "---:" for place in range(len(columns))]
    cells = (columns, rule, *([escape_markdown(cell) for cell in row] for row in rows))
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _as_text(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """The same for a terminal."""
    everything = [columns, *rows]
    widths = [max(len(row[place]) for row in everything) for place in range(len(columns))]
    lines = (
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in everything
    )
    return "\n".join(line.rstrip() for line in lines)


def escape_markdown(text: str) -> str:
    """Text that GitHub shows as it is, also within a cell of a table: on one line, without markup."""
    one_line = " ".join(text.split())
    return html.escape(re.sub(r"([\\|`*\[\]])", r"\\\1", one_line), quote=False)
