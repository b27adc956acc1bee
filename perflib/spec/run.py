"""The run: what a measurement leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue, model_validator

from perflib.show.table import Table
from perflib.spec.options import OF_THE_TARGET, in_words
from perflib.spec.revision import shown
from perflib.spec.scenario import Scenario
from perflib.spec.scenario_table import Profile
from perflib.spec.setup import LOCAL, Machine, Setup
from perflib.spec.target import Target
from perflib.spec.values import Spec
from perflib.spec.workload import load_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

ERROR_KINDS = (
    *("connect", "reset", "timeout", "protocol", "status", "content"),
    *("dropped", "in_flight", "generator", "closed_idle"),
)
"""Why a request is no success. `dropped`: never sent for want of a connection. `in_flight`: never answered.
`generator`: this machine refused a connection. `closed_idle`: the server ended a kept connection just as a request
went out that may not be repeated. Spools hold their positions: a new one goes to the end.
"""
EXCUSED = frozenset({"generator", "closed_idle"})
"""Failures that say nothing of the target: shown, and outside judged percentiles and the share of errors."""

_FAILURES = {
    "connect": "no connection",
    "reset": "connection reset",
    "timeout": "time-out",
    "protocol": "not HTTP",
    "content": "unexpected content",
    "dropped": "never sent, as no connection was free",
    "in_flight": "unanswered at the end",
    "generator": "connection refused by this machine",
    "closed_idle": "connection closed by the server while idle",
}


def failure_in_words(kind: str, status: int) -> str:
    """A kind of failure in words.

    >>> failure_in_words("status", 500), failure_in_words("timeout", 0)
    ('HTTP 500', 'time-out')
    """
    return f"HTTP {status}" if kind == "status" else _FAILURES.get(kind, kind)


MOST_SAMPLES = 20
"""Of failed answers of an endpoint, kind and status."""
SAMPLE_COLUMNS = ("run_id", "endpoint", "kind", "status", "t_ns", "reason", "content_type", "headers", "body")
"""Of a failed answer: `t_ns`, when it failed, is from the run's start; `headers` are a dictionary."""

MAX_LAG_MS = 25.0
"""What is sent later than this is late."""
LONG_STANDSTILL_S = 0.5
"""A standstill of this length makes a run invalid where it touched a request."""

_RETIRED = ("bodies_checked", "bodies_parsed")

State = Literal["running", "finished", "interrupted", "broken"]
"""`interrupted` by its user, or with the process that drove it; `broken`: ended otherwise, see `invalid_reasons`."""


class Environment(Spec):
    """The machine and the software that measured."""

    os: str
    arch: str
    cpu: str
    cores: int
    """That the load generator may use, by its affinity and its cgroup's quota."""
    ram_bytes: int
    python: str
    versions: dict[str, str]

    @property
    def machine(self) -> Machine:
        """What of it makes two runs alike."""
        return Machine(os=self.os, arch=self.arch, cpu=self.cpu, cores=self.cores)


class Part(Spec):
    """A stretch of a run that drives its own part of the target; most runs have one."""

    items: tuple[str, ...]
    measured_from_ns: int
    """End of this part's warm-up, from the run's start."""
    measured_to_ns: int

    @property
    def duration_s(self) -> float:
        return (self.measured_to_ns - self.measured_from_ns) / 1e9


class MemorySource(Spec):
    """Where the memory samples of a run come from; `told`: how it was found, or why there are none."""

    kind: Literal["process", "prometheus", "none"] = "none"
    pid: int | None = None
    told: str = "it was not looked for"


class ClockStep(Spec):
    """The system clock was set while the load generator read its stamps."""

    at_s: float
    """When that was found, from the run's start."""
    by_s: float


class Standstill(Spec):
    """A stretch in which a worker of the load generator did not run: it was stopped, starved, or its machine slept."""

    worker: int
    at_s: float
    """When it began, from the run's start."""
    lasted_s: float
    touched: int
    """Requests after warm-up that were due or under way, and whose times it may have made a tenth longer, or more.

    Of a short one only those that were sent late, or whose end the kernel's clock did not tell.
    """


class OwnError(Spec):
    """How much of a percentile may be the load generator's own doing rather than the target's."""

    endpoint: str
    percentile: Literal["p50", "p95", "p99"]
    ms: float
    of_ms: float
    """The percentile."""
    limit_ms: float | None
    """Of the endpoint or page."""


class CoresUsed(Spec):
    """Who used the cores that the load generator may use, on average while a run was driven. None: not known."""

    target: float | None
    generator: float
    others: float | None
    of: int


class Repeats(Spec):
    """What the answers of an endpoint had in common: some of its successes, in warm-up and as parts of pages too."""

    endpoint: str
    answers: int
    """That were looked at."""
    cached: int
    """Of them, those that came from a cache, as a header of theirs says."""
    cache: str
    """The first such header: "X-Cache: HIT"."""
    same: int = 0
    """Of them, those that had the bytes of the one looked at before."""
    body_bytes: int = 0
    """Of the last."""

    @classmethod
    def of_all(cls, some: Iterable[Repeats]) -> tuple[Repeats, ...]:
        """Those of several workers, or runs, an endpoint each."""
        found: dict[str, Repeats] = {}
        for one in some:
            before = found.get(one.endpoint)
            found[one.endpoint] = one if before is None else before._and(one)
        return tuple(found.values())

    def _and(self, other: Repeats) -> Repeats:
        return self.replaced(
            answers=self.answers + other.answers,
            cached=self.cached + other.cached,
            cache=self.cache or other.cache,
            body_bytes=max(self.body_bytes, other.body_bytes),
            same=self.same + other.same,
        )


class Generator(Spec):
    """What the load generator knows of itself, over the whole run."""

    cpu_s: float = 0.0
    """Of all workers."""
    wall_s: float = 0.0
    busiest_share: float = 0.0
    """Of a core, that the busiest worker used."""
    requests: int = 0
    loop_lag_p99_ms: float | None = None
    """How late the event loop ran a timer: what the instrument may have added to a latency."""
    clock: Literal["kernel", "read"] = "read"
    """Whose time the end of an answer is: the kernel's, as its last byte arrived, or ours, as we read it."""
    read_late_p99_ms: float | None = None
    """How late answers were read; None by the read clock."""
    schedule_lag_p99_ms: float | None = None
    """How late requests of an open workload went out. None for a closed one."""
    lost_share: float | None = None
    """Of the virtual users' time: waiting for the load generator to send their next request. None: not known."""
    lost_users: float | None = None
    """So many users did nothing else, on average."""
    lost_ms: float | None = None
    """So long waited a user before a request, on average."""
    late_share: float | None = None
    """Of the arrivals of an open workload: those that went out more than `MAX_LAG_MS` late. None: not known."""
    own_errors: tuple[OwnError, ...] = ()
    """The worst of each percentile, by the kernel's clock."""
    cores_used: CoresUsed | None = None
    floor_p50_ms: float | None = None
    """The instrument floor: what this machine measures of a built-in server that does nothing."""
    floor_p99_ms: float | None = None
    retries: int = 0
    """Safe retries of requests that met a connection the server had just closed."""
    clock_steps: tuple[ClockStep, ...] = ()
    """The first ones; answers that may have arrived before one end by the read clock."""
    standstills: tuple[Standstill, ...] = ()
    """The longest ones."""
    refusals: int = 0
    """Connections that this machine refused the load generator: see `refusal`."""
    refusal: str = ""
    """Why the last of them, and the mend."""
    unchecked: tuple[str, ...] = ()
    """What was not judged: an endpoint each, with the reason."""
    repeats: tuple[Repeats, ...] = ()
    """An endpoint each."""

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, data: Any) -> Any:
        """Runs of earlier versions also hold how many bodies were checked: now all of them are."""
        return {key: data[key] for key in data if key not in _RETIRED} if isinstance(data, dict) else data

    @classmethod
    def of_all(cls, workers: Sequence[Generator]) -> Generator:
        """The workers of a run as one: work adds up, a lag is that of the worst."""

        def worst(lags: list[float | None]) -> float | None:
            return max((lag for lag in lags if lag is not None), default=None)

        return cls(
            cpu_s=sum(one.cpu_s for one in workers),
            wall_s=max(one.wall_s for one in workers),
            busiest_share=max(one.busiest_share for one in workers),
            requests=sum(one.requests for one in workers),
            loop_lag_p99_ms=worst([one.loop_lag_p99_ms for one in workers]),
            clock="kernel" if all(one.clock == "kernel" for one in workers) else "read",
            read_late_p99_ms=worst([one.read_late_p99_ms for one in workers]),
            schedule_lag_p99_ms=worst([one.schedule_lag_p99_ms for one in workers]),
            retries=sum(one.retries for one in workers),
            clock_steps=tuple(step for one in workers for step in one.clock_steps),
            standstills=tuple(still for one in workers for still in one.standstills),
            refusals=sum(one.refusals for one in workers),
            refusal=next((one.refusal for one in workers if one.refusal), ""),
            unchecked=tuple(dict.fromkeys(told for one in workers for told in one.unchecked)),
            repeats=Repeats.of_all(told for one in workers for told in one.repeats),
        )

    def as_json(self) -> dict[str, Any]:
        """The generator block of `perflib run --json`."""
        return {
            "cpu_s_per_request": self.cpu_s / self.requests if self.requests else None,
            "cpu_share": self.cpu_s / self.wall_s if self.wall_s else None,
            **self.model_dump(exclude={"cpu_s", "wall_s", "busiest_share", "requests"}),
        }


class Facts(Spec):
    """One page of facts about a run: its run.json."""

    run_id: str
    state: State = "running"
    scenario: Scenario
    profile: Profile
    target: Target
    sample_target: bool = False
    """True where the workbook started its own sample dashboard."""
    seed: int
    workers: int = 1
    """Processes that drove the load."""
    engine: str = LOCAL
    """What drove them."""
    setup: Setup | None = None
    """What makes two runs alike; None where it was recorded before setups were: see `setup_of`."""
    started_at: str
    finished_at: str | None = None
    environment: Environment
    git_commit: str | None = None
    """Of the workbook: what the sample dashboard was measured at."""
    revision: str = ""
    """Of the target, in its own words; empty: not known. See `version`."""
    asked: dict[str, JsonValue] | None = None
    """The run options that ask for this target and load, see `Options.as_call`; None: of a version that kept none."""
    brief: str = ""
    note: str = ""
    parts: tuple[Part, ...] = ()
    generator: Generator = Generator()
    memory: MemorySource = MemorySource()
    invalid_reasons: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Which version of the target was measured; empty: not known. The workbook's commit is the sample's alone."""
        return self.revision or (self.sample_target and self.git_commit) or ""

    @property
    def named(self) -> str:
        """Its id, and the version that it measured."""
        return f"{self.run_id}, revision {shown(self.version)}" if self.version else self.run_id

    def again(self, command: str, scenario: str = "", endpoints: Sequence[str] = ()) -> str:
        """A perflib command on the same target, and its load unless it is on another scenario or some endpoints."""
        asked = self.asked if self.asked is not None or self.sample_target else {"target": "FILE"}
        other = scenario not in ("", self.scenario.name)
        said = {name: value for name, value in (asked or {}).items() if name in OF_THE_TARGET or not other}
        said |= {"endpoints": list(endpoints)} if endpoints else {}
        return " ".join(filter(None, (f"`perflib {command} {scenario or self.scenario.name}", in_words(said)))) + "`"

    def why(self, name: str) -> str:
        """The command that says why an endpoint, or a page's parts, are slow.

        Where others were asked at the same time, they may be the cause: it asks all of the scenario.
        """
        if not self.scenario.isolated:
            return self.again("why")
        loads = next((whole.loads for whole in self.target.wholes if whole.name == name), (name,))
        return self.again("why", endpoints=[*dict.fromkeys(loads)])

    @property
    def valid(self) -> bool:
        return not self.invalid_reasons

    @property
    def interrupted(self) -> bool:
        return self.state == "interrupted"

    @property
    def duration_s(self) -> float:
        """Measured time, warm-up excluded."""
        return sum(part.duration_s for part in self.parts)


def setup_of(facts: Facts) -> Setup:
    """The setup of a run; of one that was recorded before setups were, as its other facts tell it.

    Such a run counted all cores of its machine, not those that it might use.
    """
    if facts.setup is not None:
        return facts.setup
    return Setup.of(facts.target, facts.scenario, facts.environment.machine, facts.workers, facts.engine)


def asked_alone(requests: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are no part of a page and no step of a journey. Runs of versions before 0.3 have no journeys."""
    alone = requests["page"].isna()
    return alone & requests["journey"].isna() if "journey" in requests else alone


def _no_samples() -> pd.DataFrame:
    import pandas as pd  # the generator's process does without it

    return pd.DataFrame(columns=list(SAMPLE_COLUMNS))


@dataclass(frozen=True)
class Run:
    """A recorded run.

    `requests` has one row per request and one per page load, columns as in `perflib.store.runs.REQUESTS`;
    times are nanoseconds from the run's start, -1 for what never happened. `memory` has one row per sample of the
    target's processes, columns as in `perflib.store.spool.MEMORY_ROW`; None where they could not be sampled.
    `failures` has one row per sample of a failed answer, columns as in `SAMPLE_COLUMNS`;
    none in runs of versions before 0.3.

    >>> import perflib
    >>> perflib.load_run("sample-28-release-1.4")
    <Run sample-28-release-1.4: 512 rows in 6 s>
    """

    facts: Facts
    requests: pd.DataFrame
    memory: pd.DataFrame | None = None
    failures: pd.DataFrame = field(default_factory=_no_samples)

    def slowest(self, count: int = 10) -> pd.DataFrame:
        """The requests that took longest, the slowest first, and where their time went. Milliseconds.

        They began after warm-up, or in it and were unanswered all through the measured time.
        `response_ms`, from the intended start to the last byte, is the sum of `late_ms` (before it was sent),
        `connect_ms` (0: a connection was reused), `waiting_ms` (until the first byte) and `receiving_ms`. A request
        that was never answered is none of them. `page` and `error` are empty where there is none.

        >>> import perflib
        >>> perflib.load_run("sample-28-release-1.4").slowest(2)["endpoint"].tolist()
        ['GET /signals', 'GET /signals']
        """
        rows = self.requests.query("kind == 'request' and end_ns >= 0 and first_byte_ns >= 0")
        over_ns = {name: part.measured_to_ns for part in self.facts.parts for name in part.items}
        early = rows[rows["warmup"]]
        owner = early["page"].astype(object)
        for name in ("journey", "endpoint"):
            owner = owner.fillna(early[name].astype(object)) if name in early else owner
        rows = rows.drop(early.index[~(early["end_ns"] > owner.map(over_ns))])
        took_ns = (rows["end_ns"] - rows["intended_ns"]).nlargest(count)
        rows = rows.loc[took_ns.index]
        answered_ns = rows["first_byte_ns"] - rows["start_ns"] - rows["connect_ns"]
        shown = rows.assign(
            at_s=rows["intended_ns"] / 1e9,
            response_ms=took_ns / 1e6,
            late_ms=(rows["start_ns"] - rows["intended_ns"]) / 1e6,
            connect_ms=rows["connect_ns"] / 1e6,
            waiting_ms=answered_ns / 1e6,
            receiving_ms=(rows["end_ns"] - rows["first_byte_ns"]) / 1e6,
        )
        order = ["endpoint", "page", "at_s", "response_ms", "late_ms", "connect_ms", "waiting_ms", "receiving_ms"]
        shown = shown[[*order, "status", "error", "bytes", "user"]].reset_index(drop=True).round(3)
        return shown.astype({"page": object, "error": object}).fillna({"page": "", "error": ""})

    def __repr__(self) -> str:
        state = "" if self.facts.state == "finished" else f", {self.facts.state}"
        return f"<Run {self.facts.run_id}: {len(self.requests):,} rows in {self.facts.duration_s:.0f} s{state}>"

    def _repr_html_(self) -> str:
        facts = self.facts
        state = facts.state if facts.valid else f"{facts.state}, invalid: {'; '.join(facts.invalid_reasons)}"
        shown = {
            "Scenario": f"{facts.scenario.name} ({facts.profile} profile): {load_in_words(facts.scenario.workload)}",
            "Target": f"{facts.target.name} at {facts.target.base_url}",
            "Measured": f"{facts.duration_s:,.0f} s, {len(self.requests):,} rows with warm-up",
            "Started": facts.started_at,
            "State": state,
            "Memory": f"{len(self.memory):,} samples" if self.memory is not None else "not sampled",
            "Brief": facts.brief,
            "Note": facts.note,
        }
        return Table.of_facts(shown, f"Run {facts.run_id}").html()
