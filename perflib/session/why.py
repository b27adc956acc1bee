"""Why it is slow: by experiments on a running target, or by what a stored run shows."""

import sys
from collections.abc import Callable
from typing import Unpack

from perflib.judge.changed import changed
from perflib.judge.observed import observed
from perflib.session.experiment import experiment
from perflib.session.investigation import CROWD, Consent
from perflib.session.stored import is_stored, load_run
from perflib.spec import InputError, Options, parse_duration_s
from perflib.spec.diagnosis import Diagnosis
from perflib.spec.options import Said, options_of
from perflib.store.diagnoses import load_diagnosis, stored_diagnosis
from perflib.store.folders import Workbook


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def why(
    what: str = "light_load",
    options: Options | None = None,
    *,
    budget: float | str = 90.0,
    attach: bool | None = None,
    include_writes: bool = False,
    find_ceiling: bool = False,
    against: str = "",
    say: Callable[[str], None] = _to_stderr,
    **said: Unpack[Said],
) -> Diagnosis:
    """Why a target is slow: by experiments on it, kept in data/diagnoses, or by what a stored run shows.

    An interrupt (Ctrl-C, the stop button) keeps what was measured: the diagnosis says so.

    Args:
        what: a scenario, whose endpoints are experimented on; or the id of a stored run, which is only looked at, or
            of a diagnosis, which is shown again.
        options: run options as one value, in place of the keywords.
        budget: how long the experiments may take, such as "60s".
        attach: whether py-spy may look into a Python target of this machine; None: only into the sample dashboard, or
            into a process that is named by its pid.
        include_writes: whether other methods than GET, HEAD and OPTIONS may be sent.
        find_ceiling: whether a target that is not this machine may be driven to its ceiling.
        against: what it is compared with: of a scenario the URL of another version, or a diagnosis; of a run another.
        say: called with a line per step; default: stderr.
        said: run options, as on the command line.

    Raises:
        InputError: in one line, what is wrong and its mend.
    """
    asked = options or options_of({"profile": "quick", **said})
    try:
        budget_s = float(str(parse_duration_s(budget)))
    except ValueError as error:
        raise InputError(f"budget: {error}") from None
    consent = Consent(attach, include_writes, find_ceiling, users=min(CROWD, asked.users or CROWD))
    if (again := stored_diagnosis(Workbook.find().data, what)) is not None:
        return _compared(load_diagnosis(again), against)
    if is_stored(what):
        return _compared(observed(load_run(what)), against)
    if against.startswith(("http://", "https://")):
        before, found = experiment(what, (asked.replaced(url=against, pid=None), asked), budget_s, consent, say)
        return _against(found, before, against)
    _before(against)  # a name that is none is told before anything is measured
    (found,) = experiment(what, (asked,), budget_s, consent, say)
    return _compared(found, against)


def _compared(found: Diagnosis, against: str) -> Diagnosis:
    return _against(found, before, against) if (before := _before(against)) is not None else found


def _before(against: str) -> Diagnosis | None:
    """What was found of the other side. Raises InputError where it is neither a run nor a diagnosis."""
    if not against:
        return None
    if (path := stored_diagnosis(Workbook.find().data, against)) is not None:
        return load_diagnosis(path)
    if is_stored(against):
        return observed(load_run(against))
    raise InputError(f"--against {against!r}: neither a URL, nor a stored run (`perflib runs`), nor a diagnosis")


def _against(found: Diagnosis, before: Diagnosis, name: str) -> Diagnosis:
    """The diagnosis with what changed; findings that are new come first."""
    known = {(one.kind, one.endpoint) for one in before.findings}
    findings = sorted(found.findings, key=lambda one: (one.kind, one.endpoint) in known)
    notes = found.notes
    if found.live != before.live:
        notes = (*notes, "one side was experimented on, the other only observed: what differs may come from that")
    return found.replaced(against=name, changes=changed(before, found), findings=tuple(findings), notes=notes)
