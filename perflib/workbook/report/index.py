"""The index of a report: the set's verdict, then each scenario's table; as HTML and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perflib.figures.failures import failures
from perflib.figures.row import figures_of
from perflib.judge.check import check
from perflib.judge.flattery import flattered
from perflib.judge.knowledge import Beside
from perflib.show.table import Table
from perflib.spec import Facts
from perflib.spec.baselines import Baselines
from perflib.spec.revision import shown
from perflib.spec.run import setup_of
from perflib.store.figures import history
from perflib.text import tables
from perflib.text.failures import failure_lines
from perflib.text.notices import slow_receiving_lines, unverified_lines, why_lines
from perflib.workbook.report import html
from perflib.workbook.report.compare import PAGE, Compared
from perflib.workbook.report.outcome import Outcome
from perflib.workbook.report.overview import COURSE_PX, Course, across, course_of, measured
from perflib.workbook.report.validation import validation
from perflib.workbook.report.why import Explained

_FIRST, _NOT_EXPLAINED = Compared(), Explained()


@dataclass(frozen=True)
class _Section:
    """A scenario of the index. What rests on its run is empty where it left none."""

    outcome: Outcome
    callouts: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    environment: str = ""
    course: Course | None = None


def write_index(
    folder: Path,
    outcomes: Sequence[Outcome],
    made_at: str,
    baselines: Baselines | None = None,
    *,
    runs: Path | None = None,
    brief: str = "",
    notes: Sequence[str] = (),
    compared: Compared = _FIRST,
    explained: Explained = _NOT_EXPLAINED,
) -> None:
    """Write `index.html` and `summary.md`: the criteria of the target's brief, the set's verdict, each scenario.

    Args:
        baselines: the stored ones; None: there are none.
        runs: the folder of the stored runs, the history; None: there are none.
        brief: the brief that the report is filed under.
        notes: what a reader should know of the report itself, a sentence each.
        compared: these runs with the ones before them, as `compare.html` shows them.
        explained: the page that says why.
    """
    known = baselines or Baselines()
    asked = next((outcome.run.facts.target.validation for outcome in outcomes if outcome.run), "")
    shown = {
        "title": f"Performance report, brief {brief}" if brief else "Performance report",
        "measured": measured(outcomes, made_at),
        "across": across(outcomes),
        "course_px": COURSE_PX,
        "rule": tables.RULE if any(one.run for one in outcomes) else "",
        "lines": validation(asked, outcomes, known),
        "verdict": set_verdict(outcomes),
        "sections": [_section(outcome, known, runs) for outcome in outcomes],
        "compared": compared,
        "comparison": PAGE,
        "explained": explained,
        "about": " ".join([f"Made {made_at}.", *notes]),
        "charts": False,
    }
    for page in ("index.html", "summary.md"):
        html.write(folder / page, f"{page}.j2", shown)


def set_verdict(outcomes: Sequence[Outcome]) -> str:
    """The verdict on the whole set, in sentences. Invalid and failed runs are named, never judged."""
    sound = [(one, one.summary) for one in outcomes if one.summary and not one.unfit]
    rows = [(one, row) for one, summary in sound for row in summary.endpoints]
    limits = [(f"{row.endpoint} ({one.scenario})", limit.meets) for one, row in rows for limit in row.limits]
    missed = [name for name, met in limits if met is False]
    open_ = sum(met is None for _, met in limits)
    leaking = [one.scenario for one, _ in sound if one.memory is not None and one.memory.verdict == "LEAK"]
    due = sum(summary.requests.scheduled for _, summary in sound)
    lost = due - sum(summary.requests.completed for _, summary in sound)
    sentences = [
        f"{lost:,} of {due:,} requests failed." if lost else "",
        _met(len(limits) - open_, missed) if limits else "No limit was judged.",
        f"{open_} could not be judged: too few requests." if open_ else "",
        f"The target leaks ({', '.join(leaking)})." if leaking else "",
        *(f"{one.title.partition(':')[0]} is not judged: {one.unfit}." for one in outcomes if one.unfit),
    ]
    return " ".join(filter(None, sentences))


def _met(judged: int, missed: Sequence[str]) -> str:
    if missed:
        return f"{len(missed)} of {judged} limits {'is' if len(missed) == 1 else 'are'} missed: {', '.join(missed)}."
    return f"All {judged} judged limits are met." if judged else "No limit could be judged yet."


def _section(outcome: Outcome, baselines: Baselines, runs: Path | None) -> _Section:
    run, summary, memory = outcome.run, outcome.summary, outcome.memory
    if run is None or summary is None or memory is None:
        return _Section(outcome)
    like = history(runs, figures_of, setups=[setup_of(run.facts).hash]) if runs else None
    judged, against = run.facts.valid, check([run], baselines, beside=Beside(like))
    table = tables.brief(summary, judged=judged, against=against).with_id(f"brief-{outcome.scenario}")
    grew = outcome.scenario == "sustained" or memory.verdict in ("LEAK", "STEP")
    of_memory = [tables.memory_sentence(run, memory)] if grew else []
    return _Section(
        outcome,
        callouts=tuple(unverified_lines(run)),
        sentences=(
            tables.verdict_sentence(run, summary),
            *failure_lines(failures(run)),
            *slow_receiving_lines(run),
            *flattered([run]),
            *why_lines(run, summary),
            *of_memory,
        ),
        table=replace(table, notes=tuple(note for note in table.notes if note != tables.RULE)),
        environment=environment_line(run.facts),
        course=None if outcome.unfit else course_of(summary, like),
    )


def environment_line(facts: Facts) -> str:
    """Where and when a run was measured, in a line."""
    machine = facts.environment
    words = (
        f"run {facts.run_id}",
        f"{facts.duration_s:.0f} s measured ({facts.profile} profile)",
        facts.target.base_url,
        f"{machine.cpu}, {machine.cores} cores, {machine.ram_bytes / 2**30:.0f} GiB",
        f"{machine.os} {machine.arch}",
        f"Python {machine.python}",
        f"revision {shown(facts.version)}" if facts.version else "",
    )
    return " · ".join(filter(None, words))
