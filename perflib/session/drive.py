"""Driving a run: prepare, drive, seal. Knows nothing of how it is shown."""

import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from perflib.figures.row import figures_of
from perflib.load.consent import check_consent
from perflib.load.engine import drive
from perflib.load.limits import require_room
from perflib.load.worker import Outcome, in_a_line
from perflib.session.floor import Floor, floor
from perflib.session.machine import git_commit, revision_of, this_machine
from perflib.session.sample import is_sample, require_sample, sample_dashboard
from perflib.session.sending import sent_too
from perflib.session.validity import with_validity
from perflib.spec import Facts, InputError, Options, Run, Scenario, Target
from perflib.spec.auth import Outgoing
from perflib.spec.load import Source
from perflib.spec.run import Generator, setup_of
from perflib.spec.setup import LOCAL, Setup, differences
from perflib.store.atomic import undisturbed
from perflib.store.authorities import tls_context
from perflib.store.figures import write_figures
from perflib.store.folders import Workbook, load_target, portable
from perflib.store.runs import RunFolder, load_run
from perflib.text.notices import UNVERIFIED
from perflib.watch import sampler
from perflib.watch.sampler import Found, Sampler

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Watching(Protocol):
    """Somebody who watches a run."""

    def look(self) -> None:
        """Called several times per second while the run goes."""

    def ended(self, run: Run) -> Run:
        """The run is over and sealed. Returns it."""


class Watch(Protocol):
    """Makes the watcher of a run, given its folder."""

    def __call__(self, folder: RunFolder, /) -> AbstractContextManager[Watching]: ...


class _Nobody:
    def look(self) -> None:
        """Nobody looks."""

    def ended(self, run: Run) -> Run:
        return run


def unwatched(folder: RunFolder) -> AbstractContextManager[Watching]:
    """A run that nobody watches."""
    return nullcontext(_Nobody())


def run(scenario: str, options: Options | None = None, *, watch: Watch = unwatched) -> Run:
    """Measure: drive `scenario` at the target, store the run, return it.

    A stored run named `options.run_id` is returned as it is. Ctrl-C or the stop button ends the run gracefully:
    what was measured is kept and marked interrupted. Without `target` and `url` it measures the workbook's only
    target, or else the sample dashboard.

    Args:
        scenario: a scenario of the brief, such as "light_load", or one that the target file defines.
        options: see `Options`.
        watch: makes the watcher of the run's folder.

    Raises:
        InputError: in one line, what is wrong and its mend.
    """
    workbook, options = Workbook.find(), options or Options()
    if options.run_id and (workbook.runs / options.run_id).exists():
        return _shown_again(scenario, options, workbook)
    if _asks_for_sample(options, workbook):
        require_sample()
    scenario_of(scenario, options, workbook)
    watch = sent_too(watch, options.otlp)
    with aimed(options, workbook) as at:
        facts = prepare(scenario, at, workbook)
        facts = facts.replaced(scenario=at.lengthened(facts.scenario))
        return _measured(facts, sampler.find(facts.target, at.pid), workbook, watch)


@contextmanager
def aimed(options: Options, workbook: Workbook) -> Iterator[Options]:
    """The options with their target; where there is none, the sample dashboard's, which serves meanwhile."""
    if not _asks_for_sample(options, workbook):
        yield options
        return
    if not workbook.sample_target.is_relative_to(workbook.root):
        sys.stderr.write(f"no target file in {workbook.root / 'data/targets'}: the sample dashboard is measured\n")
    with sample_dashboard(workbook) as sample:
        yield options.replaced(url=sample.url, pid=sample.pid)


def _asks_for_sample(options: Options, workbook: Workbook) -> bool:
    return not (options.target or options.url or workbook.own_target)


def _shown_again(scenario: str, options: Options, workbook: Workbook) -> Run:
    """The stored run of this name. Raises InputError where it is not what these options ask for."""
    facts = RunFolder(workbook.runs / options.run_id).read_facts()
    if facts.scenario.name != scenario:
        other = f"is a run of {facts.scenario.name}, not of {scenario}"
        raise InputError(f"run_id {options.run_id!r}: {other}; choose another name")
    if options.asks_for_a_setup():
        target, machine = target_of(options, workbook), setup_of(facts).machine
        asked = Setup.of(target, scenario_of(scenario, options, workbook), machine, options.workers, options.engine)
        if differs := differences(asked, setup_of(facts)):
            raise InputError(f"run_id {options.run_id!r}: is stored, and differs: {'; '.join(differs)}; rename it")
    return load_run(workbook.runs, options.run_id)


def _measured(facts: Facts, found: Found, workbook: Workbook, watch: Watch) -> Run:
    _announce(facts)
    if not (workbook.is_here and (workbook.is_made or workbook.data.exists())):
        sys.stderr.write(f"no workbook here: runs are kept in {workbook.data}; `perflib init DIR` makes a workbook\n")
    require_secrets(facts.target)
    require_transport(facts.target)
    facts, least = facts.replaced(memory=found.about), floor()
    with RunFolder.create(workbook.runs, facts) as folder, watch(folder) as watching:
        sampling = Sampler(found.source, folder.path)
        try:
            outcome = drive(facts, folder.path, begun=sampling.begin, look=watching.look)
        except KeyboardInterrupt:  # the second one, or one before the workers listened: what is there is kept at once
            sealed(folder, facts, None, least, sampling)
            raise
        except Exception as error:
            if len(folder.rows()):  # unforeseen: what was measured is kept
                sealed(folder, facts, Outcome((), Generator(), stopped=False, broken=in_a_line(error)), least, sampling)
            else:  # refused
                with undisturbed(), sampling:
                    folder.remove()
            raise
        return watching.ended(sealed(folder, facts, outcome, least, sampling))


def sealed(folder: RunFolder, facts: Facts, outcome: Outcome | None, least: Floor, sampling: Sampler) -> Run:
    """The run that is over, on disk. Nothing that fails, or is interrupted, stands between its last row and its seal.

    Args:
        outcome: None where the run was interrupted before anybody could say more.
    """
    with undisturbed():
        with sampling:
            ended = _ended(folder, facts, outcome or Outcome((), Generator(), stopped=True), least)
            ended = with_validity(ended, folder, sampling)
        try:
            folder.seal(ended)
        except InputError:
            if ended.state != "broken":
                raise
            return replace(folder.load(), facts=ended)  # its disk is full: that is what is told
        kept = folder.load()
        _remember(folder, kept)
    for told in (*ended.generator.unchecked, *_without_revision(ended)):
        sys.stderr.write(f"perflib: {told}\n")
    return kept


def _without_revision(facts: Facts) -> list[str]:
    header = facts.target.revision.header if facts.target.revision else None
    return [f"target.revision: no answer had the header {header}"] if header and not facts.revision else []


def _ended(folder: RunFolder, facts: Facts, outcome: Outcome, least: Floor) -> Facts:
    """The facts of a run that is over."""
    generator = outcome.generator.replaced(floor_p50_ms=least.p50_ms, floor_p99_ms=least.p99_ms)
    cut = f"stopped early: {outcome.cut}" if outcome.cut else outcome.broken
    reasons = (cut,) if cut and outcome.state == "broken" else ()
    return facts.replaced(
        state=outcome.state,
        parts=outcome.parts or folder.parts(facts),
        generator=generator,
        revision=facts.revision or outcome.revision,
        invalid_reasons=reasons,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _remember(folder: RunFolder, run: Run) -> None:
    """Write the figures of a sealed run for the history. Whatever fails here loses nothing: `runs` makes up for it."""
    try:
        write_figures(folder.path, figures_of(run))
    except Exception as error:
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        sys.stderr.write(f"perflib: {folder.path}: the run is kept, its figures.parquet is not ({why})\n")


def new_run_id(scenario: str) -> str:
    """A name for a run that starts now: sorts by time, differs from every other."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{scenario}-{secrets.token_hex(3)}"


def prepare(name: str, options: Options, workbook: Workbook) -> Facts:
    """The facts of a run that is about to begin. Raises InputError for options that do not fit."""
    target, scenario, machine = target_of(options, workbook), scenario_of(name, options, workbook), this_machine()
    return Facts(
        run_id=options.run_id or new_run_id(name),
        scenario=scenario,
        profile=options.profile,
        target=target,
        sample_target=is_sample(options.url),
        seed=options.seed,
        workers=options.workers,
        engine=options.engine,
        setup=Setup.of(target, scenario, machine.machine, options.workers, options.engine),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=machine,
        git_commit=git_commit(workbook.root) if is_sample(options.url) else None,
        revision=options.revision or revision_of(target),
        asked=_call_of(options, workbook),
        brief=options.brief,
        note=options.note,
    )


def _call_of(options: Options, workbook: Workbook) -> dict[str, Any]:
    """What asks for this target and load once more, whatever other target files there will be."""
    file = options.target or ("" if options.url else str(workbook.own_target or ""))
    url = "" if is_sample(options.url) else options.url
    return options.replaced(target=portable(file, workbook), url=url).as_call()


def target_of(options: Options, workbook: Workbook) -> Target:
    """The target that these options name."""
    file = _target_file(options, workbook)
    return options.aimed(load_target(file)) if file else options.target_here()


def scenario_of(name: str, options: Options, workbook: Workbook) -> Scenario:
    """The scenario as these options ask for it, at their target. Raises InputError where this machine has no room."""
    target, file = target_of(options, workbook), str(_target_file(options, workbook) or "--url")
    scenario = options.scenario(name, target, file)
    said = _connections_said(name, options, target, file)
    if said and options.engine == LOCAL:
        require_room(scenario, target, options.workers, said)
    return scenario


def _connections_said(name: str, options: Options, target: Target, file: str) -> str:
    """What asks for a number of connections, as its source writes it; empty where the scenario's own number holds."""
    table = target.scenarios.get(name)
    for source in (Source(options, "--"), *([Source(table, f"{file}: scenario.{name}.")] if table else [])):
        said = source.load.said()
        for option in ("max_connections", "stages", "users"):
            if option in said:
                number = f" {said[option]}" if option != "stages" else ""
                return source.spelled(option) + number
    return ""


def _target_file(options: Options, workbook: Workbook) -> Path | None:
    """None: the URL alone is the target, unless the sample dashboard serves there."""
    if options.target:
        return Path(options.target)
    if options.url and not is_sample(options.url):
        return None
    return (not options.url and workbook.own_target) or workbook.sample_target


def require_consent(scenarios: Sequence[str], options: Options) -> None:
    """Raise InputError for an unknown scenario, or where one would load a host that nobody allowed."""
    workbook = Workbook.find()
    for name in scenarios:
        check_consent(target_of(options, workbook), scenario_of(name, options, workbook))


def _announce(facts: Facts) -> None:
    """Say on stderr what another host is about to get. Raises InputError where it was not allowed."""
    if told := check_consent(facts.target, facts.scenario):
        unused = " and ".join(name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower()))
        sys.stderr.write(f"{told}{f'; no proxy is used, although {unused} is set' if unused else ''}\n")


def require_transport(target: Target) -> None:
    """Raise InputError for a certificate, a key or a socket that cannot be used; say what nobody checks."""
    try:
        if urlsplit(target.base_url).scheme == "https":
            tls_context(target.tls, target.folder)
    except InputError as error:
        raise InputError(f"target {target.name!r}: {error}") from None
    if target.is_unverified:
        sys.stderr.write(f"perflib: {UNVERIFIED}\n")


def require_secrets(target: Target) -> None:
    """Raise InputError where a variable that authentication needs is not set; only a worker reads its value."""
    if target.caller is None:
        return
    try:
        target.caller.apply(Outgoing(), os.environ)
    except InputError as error:
        key = "token_env" if target.token_env else "auth"
        raise InputError(f"target {target.name!r}: {key}: {error}") from None
