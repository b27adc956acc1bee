"""An investigation: the experiments on one target, a step at a time, and the diagnosis that they lead to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from perflib.figures.blocks import Measured
from perflib.figures.picture import median
from perflib.judge.why import Evidence, what_if
from perflib.load.consent import check_consent
from perflib.session.bench import Bench
from perflib.session.ceiling import find_ceiling
from perflib.session.drive import require_secrets, require_transport
from perflib.session.inside import Inside
from perflib.session.plan import Plan, pilot, plan, without
from perflib.spec import Closed, Endpoint, Facts, InputError
from perflib.spec.diagnosis import Ceiling, Diagnosis, WhatIf
from perflib.spec.endpoint import SAFE
from perflib.spec.setup import is_here
from perflib.store.diagnoses import folder_of, keep
from perflib.store.folders import Workbook
from perflib.watch.process import ProcessTree

Say = Callable[[str], None]
CROWD = 8
"""Users of a crowd."""
_MOST_REQUESTS = 1_000_000
_SHARE_OF_ROUNDS, _SHARE_OF_BOTH, _LATEST_SHARE = 0.5, 0.7, 0.75
"""Of the budget: for the rounds of blocks, of one or of several sides; and what has not begun then is left out."""
_SLOW_PILOT_S, _LEAST_CEILING_S = 2.0, 10.0
_LEAST_VALID = 0.5
_MOST_LOOKS = 3
_OF_ITSELF = ("transfer", "connect", "errors", "rate_limited")
"""What holds up nobody else."""


@dataclass(frozen=True)
class Consent:
    """What a user allows beyond asking a target of this machine for what changes nothing."""

    attach: bool | None = None
    """To look into its processes; None: only into the sample dashboard, or a process named by --pid."""
    include_writes: bool = False
    """Methods besides GET, HEAD and OPTIONS."""
    find_ceiling: bool = False
    """To drive a target that is not this machine to its ceiling."""
    users: int = CROWD
    """Of a crowd, at most."""


@dataclass(frozen=True)
class Part:
    """Of a budget of time that sides share: what one of them may do with it."""

    budget_s: float
    sides: int
    is_last: bool


def _asked(facts: Facts, consent: Consent) -> tuple[str, ...]:
    """The endpoints that are experimented on. Raises InputError where there is none."""
    taken = [item for item in facts.scenario.takes(facts.target) if isinstance(item, Endpoint)]
    some = tuple(item.name for item in taken if consent.include_writes or item.method in SAFE)
    if not taken:
        raise InputError(f"{facts.scenario.name}: drives pages and journeys alone; name endpoints with --endpoint")
    if not some:
        writes = ", ".join(item.name for item in taken)
        raise InputError(f"{facts.scenario.name}: sends {writes} alone; allow that with --include-writes")
    return some


def _left_out(facts: Facts, names: Sequence[str]) -> list[str]:
    """Which endpoints are not experimented on, and how they are."""
    whole = facts.scenario.replaced(endpoints=()).takes(facts.target)
    others = [item for item in whole if isinstance(item, Endpoint) and item.name not in names]
    writes = ", ".join(item.name for item in others if item.method not in SAFE)
    told = [
        f"{writes}: not experimented on, as no other methods than {', '.join(SAFE)} are sent; --include-writes does"
    ]
    beside = [item.name for item in others if item.method in SAFE]
    asks_all = f"whether another endpoint holds these up is not known; `perflib why {facts.scenario.name}` asks all"
    return [
        *(told if writes else []),
        *([f"{asks_all}, without --endpoint"] if beside and facts.scenario.endpoints else []),
    ]


class Investigation:
    """Experiments on a target within a budget of time."""

    def __init__(
        self, facts: Facts, tree: ProcessTree | None, inside: Inside, consent: Consent, part: Part, say: Say
    ) -> None:
        self._names, workbook = _asked(facts, consent), Workbook.find()
        workbook.make_data()
        self._facts, self._inside, self._consent = facts, inside, consent
        self._part, self._budget_s, self._say = part, part.budget_s, say
        self._folder = folder_of(workbook.data, facts.run_id)
        self._most = (facts.target.max_requests or _MOST_REQUESTS) // part.sides
        self._bench = Bench(facts, self._folder, tree, self._most)
        self._knows_cpu = tree is not None
        self._blocks = list[Measured]()
        self._notes, self._invalid = _left_out(facts, self._names), list[str]()
        self._what_ifs = tuple[WhatIf, ...]()
        self._ceiling: Ceiling | None = None
        self._interrupted = False

    @property
    def seed(self) -> int:
        return self._facts.seed

    def announce(self) -> None:
        """Say what will be sent, before it is. Raises InputError where that is not allowed."""
        target, load, count = self._facts.target, Closed(users=self._consent.users), len(self._names)
        whole = {"workload": load, "duration_s": self._budget_s, "warmup_s": 0.0, "isolated": False}
        if told := check_consent(target, self._facts.scenario.replaced(**whole)):
            self._say(told)
        require_secrets(target)
        require_transport(target)
        some = f"{count} endpoint{'s' if count != 1 else ''} of {target.name}"
        shared = ", by turns with the other version" if self._part.sides > 1 else ""
        bound = f"at most {self._consent.users} users at a time and {self._most:,} requests"
        self._say(f"experiments on {some} for up to {self._budget_s:.0f} s{shared}, {bound}")

    def steps(self) -> Iterator[None]:
        """Experiment, a step at a time."""
        try:
            yield from self._experiments()
        except InputError as error:
            if not self._blocks:
                raise
            self._invalid.append(str(error))  # what was measured until then is told

    def interrupt(self) -> None:
        """Its user stopped it: the diagnosis says so."""
        self._interrupted = True
        self._invalid.append(f"interrupted after {self._bench.spent_s:.0f} s")

    def _experiments(self) -> Iterator[None]:
        p50_s = self._pilot(self._names)
        yield
        share = _SHARE_OF_ROUNDS if self._part.sides == 1 else _SHARE_OF_BOTH
        within_s = (share * self._budget_s - self._bench.spent_s) / self._part.sides
        planned = plan(p50_s, self._consent.users, within_s, self._facts.seed)
        self._notes += planned.left_out
        yield from self._measure(planned)
        evidence = self._evidence()
        if self._has_time():
            self._inside.look(_worth_a_look(evidence), self._consent.users, self._bench, evidence.picture)
        else:
            self._notes.append("no code was looked into: the budget was used up; --budget gives more")
        if self._part.is_last:
            yield
            self._ask_what_if(evidence)
            self._find_ceiling(evidence)

    def _find_ceiling(self, evidence: Evidence) -> None:
        """The highest rate at which all limits hold; of another machine only where its user asked for it."""
        target, left_s = self._facts.target, self._budget_s - self._bench.spent_s
        if not (self._consent.find_ceiling or target.unix_socket or is_here(target.base_url)):
            self._notes.append("the target is on another machine: its ceiling is looked for with --find-ceiling alone")
        elif left_s < _LEAST_CEILING_S or not evidence.mix or not self._bench.requests_left:
            self._notes.append("the ceiling was not looked for: the budget was used up; --budget gives more")
        else:
            try:
                self._ceiling = self._searched(evidence, left_s)
            except InputError as error:
                self._notes.append(f"the ceiling was not found: {error}")

    def _searched(self, evidence: Evidence, left_s: float) -> Ceiling | None:
        target, alone = self._facts.target, evidence.picture.alone
        found = find_ceiling(
            self._facts.replaced(target=target.replaced(max_requests=self._bench.requests_left)),
            list(alone),
            about_per_s=max(point.throughput_per_s for point in evidence.mix),
            budget_s=left_s,
            alone_p50_ms={name: one.p50_ms for name, one in alone.items()},
            points=evidence.mix,
            limited_by=evidence.limited_by,
            cpu_bound_per_s=evidence.cpu_bound_per_s(self._facts.environment.cores),
            include_writes=self._consent.include_writes,
            elsewhere=self._consent.find_ceiling,
            say=self._say,
        )
        if found is None:
            self._notes.append("the ceiling was not found: the load generator was disturbed at every rate it tried")
        return found

    def _has_time(self) -> bool:
        return self._bench.spent_s < _LATEST_SHARE * self._budget_s

    def _pilot(self, names: Sequence[str]) -> dict[str, float]:
        """How long each endpoint takes alone, in seconds; those that never succeed are left out."""
        first = self._bench.measure(pilot(names))
        unanswered = [block.endpoint for block in first if not (block.answers or block.failed)]
        first += self._bench.measure(pilot(unanswered, _SLOW_PILOT_S))
        p50_s = {
            block.endpoint: median(block.answers[block.endpoint].whole_ms) / 1e3
            for block in first
            if block.endpoint in block.answers
        }
        failing = [name for name in names if name not in p50_s]
        if failing:
            self._blocks += [block for block in first if block.endpoint in failing]
            self._notes.append(f"no experiment was made on {', '.join(failing)}: no request succeeded")
        if not p50_s:
            again = self._facts.again("run")
            raise InputError(f"{self._facts.target.base_url}: no request succeeded; is it up? {again} tells why")
        return p50_s

    def _measure(self, planned: Plan) -> Iterator[None]:
        """All rounds, as far as the budget goes; blocks that the load generator spoiled are measured again."""
        spoiled = []
        for number, blocks in enumerate(planned.rounds, start=1):
            self._say(f"round {number} of {len(planned.rounds)}: {len(blocks)} blocks")
            measured = self._bench.measure(blocks, self._blocks)
            spoiled += [block for block, one in zip(blocks, measured, strict=False) if not one.is_valid]
            if self._bench.spent_s > self._budget_s:
                self._notes.append(f"{number} of {len(planned.rounds)} rounds were made: the budget was used up")
                break
            yield
        if not self._bench.requests_left:
            self._notes.append("the experiments ended early: the budget of requests was used up (--max-requests)")
        if spoiled and self._has_time():
            some = f"{len(spoiled)} block{'s' if spoiled[1:] else ''}"
            self._say(f"measuring {some} again: the load generator was late")
            self._bench.measure(spoiled, self._blocks)
            yield

    def _ask_what_if(self, evidence: Evidence) -> None:
        """The mix without the endpoint of the first finding: what it costs the others."""
        first = next((one.endpoint for one in evidence.findings() if one.endpoint and one.kind not in _OF_ITSELF), None)
        names = [name for name in evidence.endpoints if name in evidence.picture.alone]
        if first in names and len(names) > 1 and self._has_time():
            self._say(f"all endpoints, with and without {first}")
            blocks = self._bench.measure(without(first, names, self._consent.users, self._facts.seed))
            self._what_ifs = what_if(first, blocks, self._facts.seed)

    def _evidence(self) -> Evidence:
        every = tuple(self._bench.measured)
        return Evidence(tuple(self._blocks), self._names, self._bench.processes, self._facts.seed, every)

    def diagnosis(self) -> Diagnosis:
        """What was found; kept."""
        facts, evidence = self._facts, self._evidence()
        valid = sum(block.is_valid for block in self._blocks)
        if not valid or valid < _LEAST_VALID * len(self._blocks):
            self._invalid.append(
                f"the load generator spoiled {len(self._blocks) - valid} of {len(self._blocks)} blocks"
            )
        if not self._knows_cpu:
            self._notes.append(f"computing and waiting could not be separated: {facts.memory.told}")
        findings = (one.replaced(where=self._inside.where(one.endpoint)) for one in evidence.findings())
        sent = f"{self._bench.sent:,} requests were sent in {self._bench.spent_s:.0f} s"
        found = Diagnosis(
            diagnosis_id=facts.run_id,
            target=facts.target.name,
            run_ids=(facts.run_id,),
            live=True,
            budget_s=self._budget_s,
            valid=not self._invalid,
            interrupted=self._interrupted,
            invalid_reasons=tuple(self._invalid),
            findings=tuple(findings),
            endpoints=tuple(evidence.anatomy(name) for name in self._names),
            interference=evidence.interference,
            stalls=evidence.stalls,
            code=self._inside.code,
            stacks=self._inside.stacks,
            slowest=tuple(self._bench.slowest),
            what_if=self._what_ifs,
            ceiling=self._ceiling,
            span_s=self._bench.spent_s,
            notes=(*self._notes, *self._inside.notes, sent),
        )
        keep(self._folder, found)
        return found


def _worth_a_look(evidence: Evidence) -> list[str]:
    """The endpoints of the findings, then those that take longest."""
    alone = evidence.picture.alone
    slow = sorted(alone, key=lambda name: -alone[name].p50_ms)
    named = [one.endpoint for one in evidence.findings() if one.endpoint in alone]
    return list(dict.fromkeys([*filter(None, named), *slow]))[:_MOST_LOOKS]
