"""Writing a report: notebooks executed one after the other, their pages, the index."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from perflib.session.drive import aimed, new_run_id, require_consent, scenario_of, target_of
from perflib.spec import InputError, Options
from perflib.spec.exits import ExitStatus
from perflib.spec.options import IdleError, receiver_of
from perflib.spec.scenario import scenario_names
from perflib.store.atomic import replacing
from perflib.store.baselines import load_baselines
from perflib.store.folders import Workbook, storable
from perflib.store.runs import load_run
from perflib.workbook.report.compare import compare_with_before
from perflib.workbook.report.engine import NotebookFailed
from perflib.workbook.report.index import write_index
from perflib.workbook.report.notebook import check_parameters, execute, parameters_of, scenario_notebook, takes
from perflib.workbook.report.outcome import Outcome, titled
from perflib.workbook.report.page import write_page
from perflib.workbook.report.pictures import add_pictures
from perflib.workbook.report.why import Explained, explain

_LONGER_S = 40.0
"""How much longer all scenarios of a quick report may go on, in all."""
_FOLDER = re.compile(r"\w[\w.-]{0,99}")


class ReportFailed(Exception):  # noqa: N818 - said of the report, once it is written
    """At least one notebook did not run to its end; the report says which, and where. `status`: the gravest one's."""

    def __init__(self, told: str, status: ExitStatus) -> None:
        super().__init__(told)
        self.status = status


@dataclass(frozen=True)
class _Job:
    """A scenario's notebook, and the options that the scenario takes."""

    scenario: str
    title: str
    notebook: Path
    options: Options
    left_out: tuple[str, ...]
    idle: bool = False
    """Nobody named it, and it drives nothing of what the options choose."""

    @property
    def told(self) -> str:
        """Which options it does not take, or that it is left out itself; empty: it takes all."""
        if self.idle:
            return f"{self.scenario}: left out, for it drives nothing of what --endpoint names"
        named = ", ".join(f"--{name.replace('_', '-')}" for name in self.left_out)
        return f"{self.scenario}: {named} left out, for this load has none" if named else ""


def write_report(scenarios: Sequence[str], options: Options, out: Path | None, progress: Callable[[str], None]) -> Path:
    """Execute the scenarios' notebooks and write their report; returns its folder.

    No scenarios: all that have a notebook. Without `out`: data/reports/<UTC time>, or data/reports/<brief>/<UTC time>
    for a brief, which is never written again; `latest` beside it, and in data/reports, then points there, unless the
    report was cut short.

    Raises:
        InputError: before anything is measured, for what the notebooks or the target cannot take.
        ReportFailed: where a notebook failed, once every page is written.
    """
    workbook = Workbook.find()
    options = _portable(options, workbook)
    if options.otlp:
        receiver_of(options.otlp, os.environ)
    with TemporaryDirectory() as scratch:
        jobs = _jobs(scenarios, options, workbook, Path(scratch))
        for job in jobs:
            check_parameters(job.notebook, parameters_of(job.notebook, job.options, ""))
        return _written(jobs, options, workbook, out, progress)


def _written(
    jobs: Sequence[_Job], options: Options, workbook: Workbook, out: Path | None, progress: Callable[[str], None]
) -> Path:
    made_at, baselines = datetime.now(UTC), load_baselines(workbook.baselines)
    notes = [job.told for job in jobs if job.told]
    jobs = [job for job in jobs if not job.idle]
    folder = _new_folder(_shelf(workbook, options.brief), made_at) if out is None else _given_folder(out)
    outcomes: list[Outcome] = []
    explained = Explained()
    for note in notes:
        progress(note)
    try:
        with aimed(options, workbook) as at:
            for job in jobs:
                aim = job.options.replaced(url=at.url, pid=at.pid, lengthen=_left_s(job, outcomes))
                outcomes.append(_perform(job, aim, workbook, folder, progress))
                if outcomes[-1].interrupted:
                    raise KeyboardInterrupt
            explained = explain(outcomes, aim, workbook, folder, progress)
        executed = [*(job.scenario for job in jobs), *(["why"] if explained.page else [])]
        without_pictures = add_pictures([folder / f"{name}.ipynb" for name in executed])
        notes += [without_pictures] if without_pictures else []
    finally:
        compared = compare_with_before(folder, outcomes, workbook.runs, baselines)
        made = f"{made_at:%Y-%m-%d %H:%M} UTC"
        write_index(
            folder,
            outcomes,
            made,
            baselines,
            runs=workbook.runs,
            brief=options.brief,
            notes=notes,
            compared=compared,
            explained=explained,
        )
        if out is None and len(outcomes) == len(jobs):
            _point_latest_at(folder, {folder.parent, workbook.reports})
    failed = [f"{outcome.scenario} ({outcome.failure})" for outcome in outcomes if outcome.failure]
    if failed:
        raise ReportFailed(
            f"{len(failed)} of {len(jobs)} notebooks failed: {'; '.join(failed)}; see {folder}/index.html",
            max(outcome.status for outcome in outcomes),
        )
    return folder


def _left_s(job: _Job, outcomes: Sequence[Outcome]) -> float | None:
    """How much longer a scenario may go on than planned, of what all of a report may."""
    options = job.options
    if options.profile != "quick" or options.duration or not takes(job.notebook, "lengthen"):
        return options.lengthen
    most_s = _LONGER_S if options.lengthen is None else min(_LONGER_S, options.lengthen)
    facts = [outcome.run.facts for outcome in outcomes if outcome.run is not None]
    return max(0.0, most_s - sum(one.duration_s - one.scenario.duration_s for one in facts if one.scenario.longest_s))


def _perform(job: _Job, options: Options, workbook: Workbook, folder: Path, progress: Callable[[str], None]) -> Outcome:
    executed, page = folder / f"{job.scenario}.ipynb", folder / f"{job.scenario}.html"
    run_id, failure, interrupted, status = new_run_id(job.scenario), "", False, ExitStatus.OK
    try:
        execute(job.notebook, executed, parameters_of(job.notebook, options, run_id), progress, workbook)
    except NotebookFailed as error:
        failure, status = str(error), error.status
    except KeyboardInterrupt:
        failure, interrupted = "interrupted", True
    if failure:
        progress(f"{job.notebook.stem}: {failure}")
    write_page(executed, page, job.title, failure)
    run = load_run(workbook.runs, run_id) if (workbook.runs / run_id).exists() else None
    return Outcome(job.scenario, page.name, run, failure, interrupted, status)


def _jobs(scenarios: Sequence[str], options: Options, workbook: Workbook, scratch: Path) -> list[_Job]:
    """What is to be executed: of no scenarios, all that have a notebook. An option fits one of them at least."""
    target = target_of(options, workbook)
    named = sorted(workbook.notebooks.glob("[0-9][0-9]_*.ipynb"))
    own = {path.stem.partition("_")[2]: path for path in named}
    chosen = list(dict.fromkeys(scenarios)) or [name for name in scenario_names(target.scenarios) if name in own]
    left_out = {name: options.not_taken(name, target) for name in chosen}
    nowhere = set.intersection(*map(set, left_out.values())) if left_out else set()
    jobs = [
        _Job(
            name,
            titled(name, target),
            own.get(name) or scenario_notebook(name, titled(name, target), scratch),
            options.without(set(left_out[name]) - nowhere),
            left_out[name],
        )
        for name in chosen
    ]
    if not jobs:
        raise InputError(f"{workbook.notebooks}: no notebook of a scenario here; name a scenario to report on")
    if not scenarios:
        jobs = [replace(job, idle=_is_idle(job, workbook)) for job in jobs]
    for job in [job for job in jobs if not job.idle] or jobs:
        scenario_of(job.scenario, job.options, workbook)
        require_consent([job.scenario], job.options)
    return jobs


def _is_idle(job: _Job, workbook: Workbook) -> bool:
    try:
        scenario_of(job.scenario, job.options, workbook)
    except IdleError:
        return True
    return False


def _portable(options: Options, workbook: Workbook) -> Options:
    """The options as a notebook can store them: paths from the workbook's root."""
    if not options.target:
        return options
    target = Path(options.target).resolve()
    inside = target.is_relative_to(workbook.root)
    return options.replaced(target=str(target.relative_to(workbook.root) if inside else target))


def _shelf(workbook: Workbook, brief: str) -> Path:
    """The folder that the reports of a brief, or of none, lie in."""
    if brief and (brief == "latest" or not _FOLDER.fullmatch(brief)):
        raise InputError(f"--brief {brief!r}: names the report's folder; write letters, digits, - _ . as in PS-5.1")
    return workbook.reports / brief


def _new_folder(reports: Path, made_at: datetime) -> Path:
    for attempt in range(1, 100):
        folder = reports / (f"{made_at:%Y%m%dT%H%M%SZ}" + (f"-{attempt}" if attempt > 1 else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(
                f"{folder}: {error.strerror}; point PERFLIB_DATA at a folder that can be written"
            ) from None
        return folder
    raise InputError(f"{reports}: too many reports were begun this second; try again")


def _given_folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InputError(
                f"--out {out}: holds files already, and a report is never overwritten; choose a new folder"
            )
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; choose a folder that can be written") from None
    return storable(out.resolve())


def _point_latest_at(folder: Path, shelves: Iterable[Path]) -> None:
    for shelf in shelves:
        with replacing(shelf / "latest") as beside:
            beside.symlink_to(folder.relative_to(shelf), target_is_directory=True)
