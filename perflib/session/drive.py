"""The session: what a user calls. Starts the generator, keeps what it leaves, hands out runs."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import TYPE_CHECKING

import httpx
import psutil

from perflib.figures.row import figures_of
from perflib.load.consent import check_consent
from perflib.load.engine import drive_in_processes_of_their_own
from perflib.load.progress import Beat, Beats, Progress
from perflib.load.worker import Outcome, Worker, new_event_loop
from perflib.spec import SCENARIOS, Closed, Environment, Facts, InputError, Options, Run, Scenario, Secret, Target
from perflib.spec.allocations import Allocations
from perflib.spec.openapi import target_of
from perflib.spec.target import base_url_of
from perflib.stats.percentile import percentile
from perflib.store.baselines import load_baselines, store_baseline
from perflib.store.figures import history, write_figures
from perflib.store.folders import Workbook, load_target
from perflib.store.runs import RunFolder
from perflib.store.runs import load_run as load_stored_run
from perflib.store.spool import GENERATOR_ROW, Spool, generator_spool, requests_spool
from perflib.verdict.baseline import baseline_of, unfit
from perflib.verdict.check import Check
from perflib.verdict.check import check as judge_runs
from perflib.verdict.compare import FigureVerdict, compare_stored
from perflib.verdict.leak import memory_of
from perflib.watch import allocations, sampler
from perflib.workbook.live.views import Lines, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from perflib.spec.baselines import Baselines

_SAMPLE_URL = "PERFLIB_SAMPLE_URL"
"""Tells the kernels of a report that the URL they are given is the sample dashboard's."""
_TRIES = 3
_PACKAGES = ("perflib", "httptools", "uvloop", "httpx", "numpy", "pandas", "pyarrow")


@dataclass(frozen=True)
class SampleDashboard:
    """A running sample dashboard."""

    url: str
    pid: int


@contextmanager
def sample_dashboard(workbook: Workbook, switches: tuple[str, ...] = ()) -> Iterator[SampleDashboard]:
    """Start the sample dashboard on a free port, its random token in this process's environment; end it afterwards.

    Raises:
        InputError: where it does not start.
    """
    token_env = "PERF_API_TOKEN"
    before = {name: os.environ.get(name) for name in (token_env, _SAMPLE_URL)}
    os.environ[token_env] = secrets.token_urlsafe(24)
    workbook.make_data()
    database = workbook.data / "dashboard.sqlite"
    command = [sys.executable, "-m", "perflib.sample", "--port", "0", "--database", str(database), *switches]
    pipe = subprocess.PIPE  # the end of its stdin ends it, however this process dies
    server = subprocess.Popen(
        [*command, "--end-with-stdin"], stdin=pipe, stdout=pipe, text=True, start_new_session=True
    )
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        if "serving on " not in said:
            raise InputError("sample dashboard: did not start; see its line above, or run `perflib demo`")
        url = os.environ[_SAMPLE_URL] = said.split("serving on ")[1].strip()
        yield SampleDashboard(url, server.pid)
    finally:
        server.terminate()
        server.communicate()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def run(scenario: str, options: Options | None = None, *, report: Callable[[Progress], None] | None = None) -> Run:
    """Measure: drive `scenario` at the target, store the run, return it. Works in notebooks and plain scripts alike.

    A stored run named `options.run_id` is returned as it is. Ctrl-C or the stop button ends the run gracefully:
    what was measured is kept and marked interrupted. Without `target` and `url` it measures the sample dashboard.

    Args:
        scenario: a name in `perflib.model.SCENARIOS`, such as "light_load".
        options: see `Options`.
        report: called about once a second; default: a panel in a notebook, a line on a terminal, else plain lines.

    Raises:
        InputError: in one line, what is wrong and its mend.
    """
    workbook, options = Workbook.find(), options or Options()
    if options.run_id and (workbook.runs / options.run_id).exists():
        return load_run(options.run_id)
    options = options.model_copy(update={"run_id": options.run_id or new_run_id(scenario)})
    with view_of(RunFolder(workbook.runs / options.run_id), report) as view:
        if options.target or options.url:
            return view.ended(_measure(scenario, options, workbook, view))
        options.scenario(scenario, load_target(workbook.default_target))
        with sample_dashboard(workbook) as sample:
            at = options.model_copy(update={"url": sample.url, "pid": sample.pid})
            measured = _measure(scenario, at, workbook, view)
        return view.ended(measured)


async def run_async(scenario: str, options: Options) -> Run:
    """A quick look: `run` awaited in this process, whose other work may then show in the figures."""
    workbook = Workbook.find()
    facts = prepare(scenario, options.model_copy(update={"workers": 1}), workbook)
    _announce(facts)
    token = token_of(facts.target)
    folder = RunFolder.create(workbook.runs, facts)
    lines, beats = Lines(folder), Beats()  # nothing is drawn in the process that measures

    def report(beat: Beat) -> None:
        beats.add(0, beat)
        lines(beats.progress())

    found = sampler.find(facts.target, options.pid)
    with (
        Spool(requests_spool(folder.path)) as spool,
        Spool(generator_spool(folder.path), GENERATOR_ROW) as health,
        sampler.Sampler(found.source, folder.path) as sampling,
    ):
        worker = Worker(facts, token, spool, health)
        origin_ns = perf_counter_ns()
        sampling.begin(origin_ns)
        try:
            outcome: Outcome | None = await worker.drive(report, origin_ns)
        except asyncio.CancelledError:
            outcome = None
    return _keep(folder, facts.model_copy(update={"memory": found.about}), outcome)


def run_in_process(scenario: str, options: Options) -> Run:
    """`run_async` for plain code, also where an event loop already runs, as in a notebook's cell."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(run_async(scenario, options))
    import nest_asyncio

    nest_asyncio.apply()
    finished: Run = asyncio.get_event_loop().run_until_complete(run_async(scenario, options))
    return finished


@dataclass(frozen=True)
class Floor:
    """The instrument floor: what this machine measures of a server that does nothing. Milliseconds."""

    p50_ms: float | None
    p99_ms: float | None
    requests: int


@cache
def calibrate(duration_s: float = 0.5) -> Floor:
    """Measure the built-in null server with one user: no figure below this floor means anything. Once a process."""
    target = {"name": "null server", "endpoints": [{"path": "/"}]}
    command = [sys.executable, "-m", "perflib.load.null_server"]
    with (
        TemporaryDirectory() as scratch,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        facts = Facts(
            run_id="calibration",
            scenario=Scenario(
                name="calibration", title="", workload=Closed(users=1), duration_s=duration_s, warmup_s=0.1
            ),
            profile="quick",
            target=Target.parse(target | {"base_url": server.stdout.readline().strip()}, "null server"),
            seed=1,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=this_machine(),
        )
        folder = RunFolder.create(Path(scratch), facts)
        return _floor_of(folder, drive_in_processes_of_their_own(facts, folder.path, None, lambda _: None))


def _floor_of(folder: RunFolder, outcome: Outcome | None) -> Floor:
    rows = folder.load().requests
    took_ms = ((rows["end_ns"] - rows["start_ns"]) / 1e6)[rows["error"].isna() & ~rows["warmup"]].to_numpy()
    return Floor(percentile(took_ms, 0.50), percentile(took_ms, 0.99), len(took_ms) if outcome else 0)


def leak_sites(run: Run, seconds: float = 10.0, *, attach: bool = False) -> Allocations:
    """Where a leaking Python target on this machine allocates what it keeps, under the run's load once more.

    memray is put into the target's process for `seconds`; it must be installed in the target's environment. Without
    `attach` that is done only to the sample dashboard.
    """
    pid = run.facts.memory.pid
    if memory_of(run).verdict != "LEAK" and not attach:
        return Allocations(why_not="the target was not found to leak; nothing was attached to it")
    if pid is None:
        return Allocations(why_not=f"the target's process is not known: {run.facts.memory.told}")
    if not psutil.pid_exists(pid):
        return Allocations(why_not=f"process {pid} has ended; start the target anew and measure it again")
    if not (attach or run.facts.sample_target):
        offer = f"perflib.leak_sites(run, {seconds:g}, attach=True)"
        return Allocations(why_not=f"{offer} puts memray into process {pid} and drives the same load again")
    facts = run.facts.model_copy(
        update={"scenario": run.facts.scenario.model_copy(update={"duration_s": seconds, "warmup_s": 0.0})}
    )
    with TemporaryDirectory() as scratch, allocations.attached(pid, seconds) as told:
        folder = RunFolder.create(Path(scratch), facts)
        drive_in_processes_of_their_own(facts, folder.path, token_of(facts.target), lambda _: None)
        return told()


def discover(base_url: str) -> Target:
    """The target that a server's /openapi.json describes.

    Raises:
        InputError: where there is no such document.
    """
    url = base_url_of(base_url, "discover") + "/openapi.json"
    try:
        answer = httpx.get(url, timeout=10)
        document = answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise InputError(f"{url}: no OpenAPI document there ({error}); write a target file by hand") from None
    return target_of(document, base_url)


def record_baselines(
    scenarios: Sequence[str],
    options: Options,
    count: int,
    stored: Sequence[str],
    say: Callable[[str], None],
    pause_s: float = 0.0,
) -> Iterator[str]:
    """Record a baseline of each scenario: of `count` fresh runs, or of the `stored` ones. Yields a line on each.

    The sample dashboard is started anew for every run. Runs back to back share the machine's mood and vary less than
    a later run will: scenarios take turns, and a pause of minutes makes a baseline that alarms less falsely.

    Raises:
        InputError: where a run does not fit a baseline; nothing is recorded of its scenario then.
    """
    if bool(scenarios) == bool(stored):
        raise InputError("baseline record: name scenarios to measure, or stored runs with --from")
    if count < 1:
        raise InputError(f"--runs: {count} is too few; 8 or more make a baseline that verdicts can lean on")
    by_scenario: dict[str, list[Run]] = {}
    for loaded in map(load_run, stored):
        by_scenario.setdefault(loaded.facts.scenario.name, []).append(loaded)
    for number in range(0 if stored else count):
        for name in dict.fromkeys(scenarios):
            if by_scenario and pause_s:
                say(f"{pause_s:g} s of pause")
                time.sleep(pause_s)
            say(f"{name}: run {number + 1} of {count}")
            by_scenario.setdefault(name, []).append(_sound_run(name, options, say))
    for name, some in by_scenario.items():
        entry = baseline_of(some)
        store_baseline(Workbook.find().baselines, entry)
        yield f"recorded {name} of {entry.target}: {len(entry.runs)} runs, {len(entry.endpoints)} endpoints and pages"


def _sound_run(name: str, options: Options, say: Callable[[str], None]) -> Run:
    """A fresh run for a baseline; one that is invalid is measured again, some times."""
    for _ in range(_TRIES):
        measured = run(name, options)
        if measured.facts.interrupted:
            raise KeyboardInterrupt
        if not unfit(measured):
            break
        say(f"{name}: run {measured.facts.run_id} is left out ({'; '.join(unfit(measured))}); once more")
    return measured


def check(names: Sequence[str], options: Options, count: int = 1, most_errors: float = 0.0) -> Check:
    """Judge scenarios, each measured `count` times anew, and stored runs against the stored baselines.

    An interrupted run ends it; what was measured until then is judged where it can be.

    Args:
        names: scenarios, or ids of stored runs.
        most_errors: the share of failed requests above which an endpoint fails.

    Raises:
        InputError: for a name that is neither, before anything is measured.
    """
    if count < 1:
        raise InputError(f"--runs: {count} is too few; 1 or more")
    unknown = next((name for name in names if name not in SCENARIOS and not is_stored(name)), None)
    if unknown is not None:
        raise InputError(
            f"{unknown!r}: neither a scenario ({', '.join(SCENARIOS)}) nor a stored run; see `perflib history`"
        )
    judged = [load_run(name) for name in names if name not in SCENARIOS]
    for name in [name for name in names if name in SCENARIOS for _ in range(count)]:
        judged.append(run(name, options))
        if judged[-1].facts.interrupted:
            return replace(judge_runs(judged, stored_baselines(), most_errors), exit_status=130)
    return judge_runs(judged, stored_baselines(), most_errors)


def is_stored(name: str) -> bool:
    """Whether this is the id of a stored run."""
    return bool(name) and "/" not in name and (Workbook.find().runs / name).is_dir()


def compare_runs(a: str, b: str) -> tuple[FigureVerdict, ...]:
    """Two stored runs by their ids: B over A with verdicts, as far as A's baseline knows the run-to-run noise."""
    return compare_stored(load_run(a), load_run(b), stored_baselines())


def stored_baselines() -> Baselines:
    """The baselines of this workbook."""
    return load_baselines(Workbook.find().baselines)


def load_run(run_id: str) -> Run:
    """A stored run of this workbook. Raises InputError where there is none."""
    return load_stored_run(Workbook.find().runs, run_id)


def runs(
    scenario: str = "", endpoint: str = "", environment: str = "", since: str = "", until: str = ""
) -> pd.DataFrame:
    """All stored runs of this workbook, oldest first: a row a run and endpoint, metadata and figures.

    Args:
        scenario: only runs of this scenario.
        endpoint: only this endpoint or page.
        environment: only machines whose description contains this text, such as "x86_64".
        since, until: only runs started between these dates, such as "2026-03-01", UTC, both included.

    Raises:
        InputError: for a date that is none.
    """
    where = {"environment": environment, "since": since, "until": until}
    return history(Workbook.find().runs, figures_of, scenario=scenario, endpoint=endpoint, **where)


def new_run_id(scenario: str) -> str:
    """A name for a run that starts now: sorts by time, differs from every other."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{scenario}-{secrets.token_hex(3)}"


def _measure(
    name: str,
    options: Options,
    workbook: Workbook,
    report: Callable[[Progress], None],
) -> Run:
    facts = prepare(name, options, workbook)
    _announce(facts)
    token = token_of(facts.target)
    found = sampler.find(facts.target, options.pid)
    facts = facts.model_copy(update={"memory": found.about})
    folder = RunFolder.create(workbook.runs, facts)
    try:
        with sampler.Sampler(found.source, folder.path) as sampling:
            outcome = drive_in_processes_of_their_own(facts, folder.path, token, report, sampling.begin)
    except InputError:
        _keep_what_there_is(folder, facts)
        raise
    except KeyboardInterrupt:  # the second one, or one before the workers listened: what is there is kept at once
        folder.seal(folder.as_left(facts))
        raise
    return _keep(folder, facts, outcome)


def _keep_what_there_is(folder: RunFolder, facts: Facts) -> None:
    """A run that was refused leaves nothing; one that the disk had no more room for keeps its rows."""
    if not len(folder.rows()):
        folder.remove()
        return
    with suppress(InputError):
        folder.seal(folder.as_left(facts))


def _keep(folder: RunFolder, facts: Facts, outcome: Outcome | None) -> Run:
    finished_at = datetime.now(UTC).isoformat(timespec="seconds")
    if outcome is None:
        ended = folder.as_left(facts)
    else:
        floor = calibrate()
        generator = outcome.generator.model_copy(update={"floor_p50_ms": floor.p50_ms, "floor_p99_ms": floor.p99_ms})
        ended = facts.model_copy(
            update={
                "state": "interrupted" if outcome.stopped else "finished",
                "parts": outcome.parts,
                "generator": generator,
                "invalid_reasons": (*generator.invalid_reasons(), *([f"cut: {outcome.cut}"] if outcome.cut else [])),
            }
        )
    folder.seal(ended.model_copy(update={"finished_at": finished_at}))
    kept = folder.load()
    _remember(folder, kept)
    return kept


def _remember(folder: RunFolder, run: Run) -> None:
    """Write the figures of a sealed run for the history. Whatever fails here loses nothing: `runs` makes up for it."""
    try:
        write_figures(folder.path, figures_of(run))
    except Exception as error:
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        sys.stderr.write(f"perflib: {folder.path}: the run is kept, its figures.parquet is not ({why})\n")


def prepare(name: str, options: Options, workbook: Workbook) -> Facts:
    """The facts of a run that is about to begin. Raises InputError for options that do not fit."""
    target = _target(options, workbook)
    scenario = options.scenario(name, target)
    return Facts(
        run_id=options.run_id or new_run_id(name),
        scenario=scenario,
        profile=options.profile,
        target=target,
        sample_target=options.url != "" and options.url == os.environ.get(_SAMPLE_URL),
        seed=options.seed,
        workers=options.workers,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=this_machine(),
        git_commit=_git_commit(workbook.root),
        brief=options.brief,
        note=options.note,
    )


def _target(options: Options, workbook: Workbook) -> Target:
    path = Path(options.target) if options.target else workbook.default_target
    return options.aimed(load_target(path))


def require_consent(scenarios: Sequence[str], options: Options) -> None:
    """Raise InputError where these scenarios would load a host that nobody allowed."""
    if not (options.target or options.url):
        return
    target = _target(options, Workbook.find())
    for name in scenarios:
        check_consent(target, options.scenario(name, target))


def _announce(facts: Facts) -> None:
    """Say on stderr what another host is about to get. Raises InputError where it was not allowed."""
    told = check_consent(facts.target, facts.scenario)
    if told:
        sys.stderr.write(f"{told}\n")


def token_of(target: Target) -> str | None:
    """The value of the target's token variable. Raises InputError where it is not set."""
    if not target.token_env:
        return None
    try:
        return Secret(env=target.token_env).value_in(os.environ)
    except InputError as error:
        raise InputError(f"target {target.name!r}: token_env: {error}") from None


def this_machine() -> Environment:
    """The machine and the versions that matter to a figure."""
    return Environment(
        os=platform.system(),
        arch=platform.machine(),
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        ram_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
        versions={name: version(name) for name in _PACKAGES if name != "uvloop" or sys.platform != "win32"},
    )


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _git_commit(root: Path) -> str | None:
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None if found.returncode == 0 else None
