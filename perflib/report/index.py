"""The index of a report: the set's verdict, then each scenario's table; as HTML and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from perflib import tables
from perflib.report.page import document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from perflib.model import Facts, Run
    from perflib.summary import Summary

_TITLE = "Performance report"


@dataclass(frozen=True)
class Outcome:
    """What became of one scenario's notebook."""

    scenario: str
    page: str
    """File name of its page; empty where nothing ran."""
    run: Run | None = None
    summary: Summary | None = None
    failure: str = ""
    """In one line, why the notebook did not run to its end; empty where it did."""
    interrupted: bool = False

    @property
    def title(self) -> str:
        return self.run.facts.scenario.title if self.run else self.scenario.replace("_", " ").capitalize()


def write_index(folder: Path, outcomes: Sequence[Outcome], made_at: str) -> None:
    """Write `index.html` and `summary.md`."""
    verdict = set_verdict(outcomes)
    sections = "".join(_section(outcome) for outcome in outcomes)
    body = (
        f'<main class="wide"><h1>{_TITLE}</h1><p class="verdict">{escape(verdict)}</p>'
        f'<div class="runs">{sections}</div>'
        f"<footer><p>Made {escape(made_at)}. The tables as Markdown: "
        f'<a href="summary.md">summary.md</a>.</p></footer></main>'
    )
    (folder / "index.html").write_text(document(_TITLE, body), encoding="utf-8")
    parts = [f"# {_TITLE}", verdict, *(_markdown(outcome) for outcome in outcomes), f"Made {made_at}."]
    (folder / "summary.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def set_verdict(outcomes: Sequence[Outcome]) -> str:
    """One sentence for the whole set. Invalid and failed runs are told, never judged."""
    unfit = [
        f"{outcome.title.partition(':')[0]} is not judged: {reason}."
        for outcome in outcomes
        if (reason := _unfit(outcome))
    ]
    judged = [
        (outcome, row)
        for outcome in outcomes
        if outcome.summary and not _unfit(outcome)
        for row in outcome.summary.endpoints
        if row.target_ms is not None
    ]
    missed = [f"{row.endpoint} ({outcome.scenario})" for outcome, row in judged if row.meets_target is False]
    open_ = sum(row.meets_target is None for _, row in judged)
    sentences = [_met(len(judged) - open_, missed)] if judged else ["No target was judged."]
    if open_:
        sentences.append(f"{open_} could not be judged: too few requests.")
    return " ".join([*sentences, *unfit])


def _met(judged: int, missed: Sequence[str]) -> str:
    if missed:
        return f"{len(missed)} of {judged} targets {'is' if len(missed) == 1 else 'are'} missed: {', '.join(missed)}."
    return f"All {judged} judged targets are met." if judged else "No target could be judged yet."


def _unfit(outcome: Outcome) -> str:
    if outcome.failure:
        return "its notebook failed"
    if outcome.run is None:
        return "no run was recorded"
    if not outcome.run.facts.valid:
        return "the run is invalid"
    return "the run was interrupted" if outcome.run.facts.interrupted else ""


def _section(outcome: Outcome) -> str:
    title = escape(outcome.title)
    parts = [f'<h2><a href="{escape(outcome.page)}">{title}</a></h2>' if outcome.page else f"<h2>{title}</h2>"]
    if outcome.failure:
        parts.append(f'<p class="failed">The notebook did not run to its end: {escape(outcome.failure)}</p>')
    if outcome.run and outcome.summary:
        parts.append(f"<p>{escape(tables.verdict_sentence(outcome.run, outcome.summary))}</p>")
        table = tables.brief(outcome.summary, judged=outcome.run.facts.valid).with_id(f"brief-{outcome.scenario}")
        parts.append(f'<div class="html">{table.as_raw_html()}</div>')
        parts.append(f'<p class="meta">{escape(environment_line(outcome.run.facts))}</p>')
    return f"<section>{''.join(parts)}</section>"


def _markdown(outcome: Outcome) -> str:
    parts = [f"## {outcome.title}"]
    if outcome.failure:
        parts.append(f"**The notebook did not run to its end:** `{outcome.failure.replace('`', chr(39))}`")
    if outcome.run and outcome.summary:
        parts += [
            tables.verdict_sentence(outcome.run, outcome.summary),
            tables.as_markdown(outcome.summary, judged=outcome.run.facts.valid).strip(),
            environment_line(outcome.run.facts),
        ]
    return "\n\n".join(parts)


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
