"""Why it is slow: experiments on a running target, or a look at a stored run."""

from collections.abc import Callable, Sequence

from perflib.figures.blocks import Measured
from perflib.figures.picture import median
from perflib.judge.why import Evidence
from perflib.load.consent import check_consent
from perflib.session.bench import Bench
from perflib.session.drive import aimed, new_run_id, prepare, require_secrets, require_transport
from perflib.session.plan import Plan, pilot, plan
from perflib.session.stored import is_stored
from perflib.spec import Endpoint, Facts, InputError, Options
from perflib.spec.diagnosis import Diagnosis
from perflib.store.atomic import write_atomically
from perflib.store.folders import Workbook
from perflib.watch import sampler
from perflib.watch.process import ProcessTree

Say = Callable[[str], None]
CROWD = 8
"""Users of a crowd; another machine never gets more."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_MOST_REQUESTS = 1_000_000
_LEAST_BUDGET_S = 10.0
_SHARE_OF_ROUNDS = 0.6
"""Of the budget; the rest is for the ceiling, the code, and what if."""
_LEAST_VALID = 0.5
_SLOW_PILOT_S = 2.0


def why(
    what: str = "light_load",
    options: Options | None = None,
    *,
    budget_s: float = 90.0,
    attach: bool | None = None,
    include_writes: bool = False,
    find_ceiling: bool = False,
    against: str = "",
    say: Say = lambda _: None,
) -> Diagnosis:
    """Why a target is slow: by experiments on it, or, of a stored run, by what was observed.

    An interrupt (Ctrl-C, the stop button) keeps what was measured: the diagnosis says so.

    Args:
        what: a scenario, whose endpoints are looked at, or the id of a stored run.
        budget_s: how long the experiments may take.
        attach: whether a profiler may attach to a Python target; None: to the sample dashboard and `--pid` alone.
        include_writes: whether other methods than GET, HEAD and OPTIONS may be sent.
        find_ceiling: whether a target that is not this machine may be driven to its ceiling.
        against: a stored run, a URL or a diagnosis to say what changed since.
        say: called with a line per step.

    Raises:
        InputError: in one line, what is wrong and its mend.
    """
    workbook, options = Workbook.find(), options or Options(profile="quick")
    if is_stored(what):
        raise NotImplementedError
    if budget_s < _LEAST_BUDGET_S:
        raise InputError(f"--budget {budget_s:g}s: too short for an experiment; give {_LEAST_BUDGET_S:g}s or more")
    with aimed(options, workbook) as at:
        facts = prepare(what, at, workbook).replaced(run_id=new_run_id("why"), setup=None)
        found = sampler.find(facts.target, at.pid)
        tree = found.source if isinstance(found.source, ProcessTree) else None
        investigation = _Investigation(facts.replaced(memory=found.about), tree, workbook, budget_s, say)
        return investigation.run(_asked(facts, include_writes=include_writes))


def _asked(facts: Facts, *, include_writes: bool) -> tuple[str, ...]:
    """The endpoints that are experimented on. Raises InputError where there is none."""
    taken = [item for item in facts.scenario.takes(facts.target) if isinstance(item, Endpoint)]
    some = tuple(item.name for item in taken if include_writes or item.method in _SAFE)
    if some:
        return some
    if taken:
        writes = ", ".join(item.name for item in taken)
        raise InputError(f"{facts.scenario.name}: sends {writes} alone; allow that with --include-writes")
    raise InputError(f"{facts.scenario.name}: drives pages and journeys alone; name endpoints with --endpoint")


class _Investigation:
    """Experiments on a target within a budget of time."""

    def __init__(self, facts: Facts, tree: ProcessTree | None, workbook: Workbook, budget_s: float, say: Say) -> None:
        self._facts, self._budget_s, self._say = facts, budget_s, say
        self._folder = workbook.data / "diagnoses" / facts.run_id
        self._most = facts.target.max_requests or _MOST_REQUESTS
        self._knows_cpu, self._users = tree is not None, min(CROWD, facts.target.max_requests or CROWD)
        workbook.make_data()
        self._bench = Bench(facts, self._folder, tree, self._most)
        self._blocks = list[Measured]()
        self._notes: list[str] = []
        self._invalid: list[str] = []

    def run(self, names: Sequence[str]) -> Diagnosis:
        """Experiment, and say what was found."""
        self._announce(names)
        try:
            self._experiment(names)
        except KeyboardInterrupt:
            self._invalid.append(f"interrupted after {self._bench.spent_s:.0f} s")
        diagnosis = self._diagnosis(tuple(names))
        write_atomically(self._folder / "diagnosis.json", diagnosis.model_dump_json(indent=1) + "\n")
        return diagnosis

    def _announce(self, names: Sequence[str]) -> None:
        """Say what will be sent, before it is. Raises InputError where that is not allowed."""
        target = self._facts.target
        if told := check_consent(target, self._facts.scenario):
            self._say(told)
        require_secrets(target)
        require_transport(target)
        some = f"{len(names)} endpoint{'s' if len(names) != 1 else ''} of {target.name}"
        bound = f"at most {self._users} users at a time and {self._most:,} requests"
        self._say(f"experiments on {some} for up to {self._budget_s:.0f} s, {bound}")

    def _experiment(self, names: Sequence[str]) -> None:
        p50_s = self._pilot(names)
        within_s = _SHARE_OF_ROUNDS * self._budget_s - self._bench.spent_s
        planned = plan(p50_s, self._users, within_s, self._facts.seed)
        self._notes += planned.left_out
        self._measure(planned)

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
            raise InputError(f"{self._facts.target.base_url}: no request succeeded; is it up? try `perflib run` on it")
        return p50_s

    def _measure(self, planned: Plan) -> None:
        """All rounds, as far as the budget goes; blocks that the load generator spoiled are measured again."""
        spoiled = []
        for number, blocks in enumerate(planned.rounds):
            self._say(f"round {number + 1} of {len(planned.rounds)}: {len(blocks)} blocks")
            measured = self._bench.measure(blocks)
            self._blocks += measured
            spoiled += [block for block, one in zip(blocks, measured, strict=False) if not one.is_valid]
            if self._bench.spent_s > self._budget_s:
                self._notes.append(f"{number + 1} of {len(planned.rounds)} rounds were made: the budget was used up")
                break
        if spoiled and self._bench.spent_s < self._budget_s:
            self._say(f"{len(spoiled)} blocks are measured again: the load generator was late")
            self._blocks += self._bench.measure(spoiled)

    def _diagnosis(self, names: tuple[str, ...]) -> Diagnosis:
        facts = self._facts
        valid = [block for block in self._blocks if block.is_valid]
        if len(valid) < _LEAST_VALID * len(self._blocks) or not valid:
            self._invalid.append(f"the load generator spoiled {len(self._blocks) - len(valid)} blocks")
        evidence = Evidence(tuple(self._blocks), names, self._bench.processes, facts.seed)
        if not self._knows_cpu:
            self._notes.append(f"computing and waiting are not told apart: {facts.memory.told}")
        return Diagnosis(
            diagnosis_id=facts.run_id,
            target=facts.target.name,
            run_ids=(facts.run_id,),
            live=True,
            budget_s=self._budget_s,
            valid=not self._invalid,
            invalid_reasons=tuple(self._invalid),
            findings=evidence.findings(),
            endpoints=tuple(evidence.anatomy(name) for name in names),
            interference=evidence.interference,
            stalls=evidence.stalls,
            span_s=self._bench.spent_s,
            notes=(*self._notes, f"{self._bench.sent:,} requests were sent in {self._bench.spent_s:.0f} s"),
        )
