"""The experiments on running targets, within a budget of time, that tell why they are slow."""

import random
from collections.abc import Sequence
from contextlib import ExitStack

from perflib.session.drive import aimed, new_run_id, prepare
from perflib.session.inside import Inside
from perflib.session.investigation import Consent, Investigation, Part, Say
from perflib.spec import Facts, InputError, Options
from perflib.spec.diagnosis import Diagnosis
from perflib.store.folders import Workbook
from perflib.watch import sampler
from perflib.watch.process import ProcessTree

_LEAST_BUDGET_S = 10.0


def experiment(
    what: str, sides: Sequence[Options], budget_s: float, consent: Consent, say: Say
) -> tuple[Diagnosis, ...]:
    """Why targets are slow, by experiments on them; kept in data/diagnoses.

    Several are measured round by round in random order, so that whatever the machine does, it does to all. Of all but
    the last, only what can be compared is measured. An interrupt (Ctrl-C, the stop button) keeps what was measured:
    the diagnoses say so.

    Args:
        what: a scenario, whose endpoints are experimented on.
        sides: the options of each target.
        budget_s: how long the experiments may take in all.
        say: called with a line per step.

    Raises:
        InputError: in one line, what is wrong and its mend.
    """
    least_s = _LEAST_BUDGET_S * len(sides)
    if budget_s < least_s:
        raise InputError(f"--budget {budget_s:g}s: too short for experiments; give {least_s:g}s or more")
    workbook = Workbook.find()
    with ExitStack() as stack:
        begun = []
        for place, options in enumerate(sides, start=1):
            at = stack.enter_context(aimed(options, workbook))
            facts = prepare(what, at, workbook).replaced(run_id=new_run_id("why"), setup=None)
            part = Part(budget_s, len(sides), is_last=place == len(sides))
            begun.append(_begin(facts, at, part, consent, say))
        return _measured(begun, begun[-1].seed)


def _begin(facts: Facts, at: Options, part: Part, consent: Consent, say: Say) -> Investigation:
    found = sampler.find(facts.target, at.pid)
    tree = found.source if isinstance(found.source, ProcessTree) else None
    facts = facts.replaced(memory=found.about)
    told = say if part.sides == 1 else lambda line: say(f"{facts.target.base_url}: {line}")
    inside = Inside(tree, consent.attach, unasked=facts.sample_target or at.pid is not None, say=told)
    return Investigation(facts, tree, inside, consent, part, told)


def _measured(sides: Sequence[Investigation], seed: int) -> tuple[Diagnosis, ...]:
    """By turns, a step of each in random order, until all are over."""
    for side in sides:
        side.announce()
    order, under_way = random.Random(seed), [side.steps() for side in sides]
    try:
        while under_way:
            for steps in order.sample(under_way, len(under_way)):
                if next(steps, True):
                    under_way.remove(steps)
    except KeyboardInterrupt:
        for side in sides:
            side.interrupt()
    return tuple(side.diagnosis() for side in sides)
