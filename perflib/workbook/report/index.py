"""The index of a report: the set's verdict, then each scenario's table; as HTML and as Markdown."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from perflib.spec.baselines import Baselines
from perflib.text import tables
from perflib.verdict.check import check
from perflib.workbook.report.compare import PAGE, Compared
from perflib.workbook.report.page import document
from perflib.workbook.report.validation import Line, validation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from perflib.spec import Facts, Run
    from perflib.workbook.report.outcome import Outcome

_TITLE = "Performance report"
_FIRST = Compared()
_MARKS = {"met": "✓", "not met": "✗"}


def write_index(
    folder: Path,
    outcomes: Sequence[Outcome],
    made_at: str,
    baselines: Baselines | None = None,
    *,
    brief: str = "",
    notes: Sequence[str] = (),
    compared: Compared = _FIRST,
) -> None:
    """Write `index.html` and `summary.md`: the brief's Validation, the set's verdict, each scenario.

    Args:
        baselines: the stored ones; None: there are none.
        brief: the brief that the report is filed under.
        notes: what a reader should know of the report itself, a sentence each.
        compared: these runs with the ones before them, as `compare.html` shows them.
    """
    known, verdict = baselines or Baselines(), set_verdict(outcomes)
    title = f"{_TITLE}, brief {brief}" if brief else _TITLE
    lines, ends = validation(outcomes, known), [f"Made {made_at}.", *notes]
    sections = "".join(_section(outcome, known) for outcome in outcomes)
    body = (
        f'<main class="wide"><h1>{escape(title)}</h1>{_checklist(lines)}<p class="verdict">{escape(verdict)}</p>'
        f'<div class="runs">{sections}</div>{_compared(compared)}'
        f"<footer><p>{escape(' '.join(ends))} The tables as Markdown: "
        f'<a href="summary.md">summary.md</a>.</p></footer></main>'
    )
    (folder / "index.html").write_text(document(title, body), encoding="utf-8")
    told = [_markdown(outcome, known) for outcome in outcomes]
    parts = [f"# {title}", "\n".join(_task(line) for line in lines), tables.escape_markdown(verdict), *told]
    parts += [*_compared_in_markdown(compared), tables.escape_markdown(" ".join(ends))]
    (folder / "summary.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _compared(compared: Compared) -> str:
    if not compared.pairs:
        return f"<h2>Compare</h2><p>{escape(compared.why_none)}</p>"
    items = "".join(f"<li>{escape(pair.told)}</li>" for pair in compared.pairs)
    return f'<h2><a href="{PAGE}">Compare with the runs before</a></h2><ul>{items}</ul>'


def _compared_in_markdown(compared: Compared) -> list[str]:
    if not compared.pairs:
        return ["## Compare", tables.escape_markdown(compared.why_none)]
    items = "\n".join(f"- {tables.escape_markdown(pair.told)}" for pair in compared.pairs)
    return [f"## [Compare with the runs before]({PAGE})", items]


def _checklist(lines: Sequence[Line]) -> str:
    items = "".join(f"<li>{_item(line)}</li>" for line in lines)
    return f'<ul class="validation" aria-label="The brief\'s Validation">{items}</ul>'


def _item(line: Line) -> str:
    asked, kind = escape(line.asked), line.status.split(" in ")[0].replace(" ", "-")
    linked = f'<a href="{escape(line.page)}">{asked}</a>' if line.page else asked
    mark = f"{_MARKS.get(line.status, '–')} {line.status}"
    return f'{linked}: <strong class="{kind}">{mark}</strong><span class="why">{escape(line.told)}</span>'


def _task(line: Line) -> str:
    asked = f"[{line.asked}]({line.page})" if line.page else line.asked
    mark, told = "x" if line.status == "met" else " ", tables.escape_markdown(line.told)
    return f"- [{mark}] {asked}: **{line.status}** ({told})"


def set_verdict(outcomes: Sequence[Outcome]) -> str:
    """One sentence for the whole set. Invalid and failed runs are told, never judged."""
    unfit = [
        f"{outcome.title.partition(':')[0]} is not judged: {reason}."
        for outcome in outcomes
        if (reason := outcome.unfit)
    ]
    judged = [
        (outcome, row)
        for outcome in outcomes
        if outcome.summary and not outcome.unfit
        for row in outcome.summary.endpoints
        if row.target_ms is not None
    ]
    missed = [f"{row.endpoint} ({outcome.scenario})" for outcome, row in judged if row.meets_target is False]
    leaking = [outcome.scenario for outcome in outcomes if not outcome.unfit and _leaks(outcome)]
    open_ = sum(row.meets_target is None for _, row in judged)
    sentences = [_met(len(judged) - open_, missed)] if judged else ["No limit was judged."]
    if open_:
        sentences.append(f"{open_} could not be judged: too few requests.")
    if leaking:
        sentences.append(f"The target leaks ({', '.join(leaking)}).")
    return " ".join([*sentences, *unfit])


def _leaks(outcome: Outcome) -> bool:
    return outcome.memory is not None and outcome.memory.verdict == "LEAK"


def _met(judged: int, missed: Sequence[str]) -> str:
    if missed:
        return f"{len(missed)} of {judged} limits {'is' if len(missed) == 1 else 'are'} missed: {', '.join(missed)}."
    return f"All {judged} judged limits are met." if judged else "No limit could be judged yet."


def _section(outcome: Outcome, baselines: Baselines) -> str:
    title = escape(outcome.title)
    parts = [f'<h2><a href="{escape(outcome.page)}">{title}</a></h2>' if outcome.page else f"<h2>{title}</h2>"]
    if outcome.failure:
        parts.append(f'<p class="failed">The notebook did not run to its end: {escape(outcome.failure)}</p>')
    if outcome.run and outcome.summary:
        parts.append(f"<p>{escape(tables.verdict_sentence(outcome.run, outcome.summary))}</p>")
        parts += [f"<p>{escape(said)}</p>" for said in _besides(outcome, outcome.run)]
        judged, against = outcome.run.facts.valid, check([outcome.run], baselines)
        table = tables.brief(outcome.summary, judged=judged, against=against).with_id(f"brief-{outcome.scenario}")
        parts.append(f'<div class="html">{table.html()}</div>')
        parts.append(f'<p class="meta">{escape(environment_line(outcome.run.facts))}</p>')
    return f"<section>{''.join(parts)}</section>"


def _markdown(outcome: Outcome, baselines: Baselines) -> str:
    parts = [f"## {outcome.title}"]
    if outcome.failure:
        parts.append(f"**The notebook did not run to its end:** `{outcome.failure.replace('`', chr(39))}`")
    if outcome.run and outcome.summary:
        said = [tables.verdict_sentence(outcome.run, outcome.summary), *_besides(outcome, outcome.run)]
        judged, against = outcome.run.facts.valid, check([outcome.run], baselines)
        parts += [
            *map(tables.escape_markdown, said),
            tables.brief(outcome.summary, judged=judged, against=against).markdown(),
            tables.escape_markdown(environment_line(outcome.run.facts)),
        ]
    return "\n\n".join(parts)


def _besides(outcome: Outcome, run: Run) -> list[str]:
    """What is judged beside the targets: memory, where it was watched or grew."""
    memory = outcome.memory
    watched = memory is not None and (outcome.scenario == "sustained" or memory.verdict in ("LEAK", "STEP"))
    return [tables.memory_sentence(run, memory)] if memory is not None and watched else []


def environment_line(facts: Facts) -> str:
    """Where and when a run was measured, in a line."""
    machine = facts.environment
    words: Iterable[str] = (
        f"run {facts.run_id}",
        f"{facts.duration_s:.0f} s measured ({facts.profile} profile)",
        facts.target.base_url,
        f"{machine.cpu}, {machine.cores} cores, {machine.ram_bytes / 2**30:.0f} GiB",
        f"{machine.os} {machine.arch}",
        f"Python {machine.python}",
        f"commit {facts.git_commit[:10]}" if facts.git_commit else "",
    )
    return " · ".join(word for word in words if word)
