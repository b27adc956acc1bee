"""The scenario: which load, for how long, on which part of the target.

Scenarios are data: a table each, the built-in ones here, others in a target file's ``[scenario.NAME]``.
"""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import PositiveInt

from perflib.show.table import Table
from perflib.spec.abort import AbortOn
from perflib.spec.load import Load, Source, duration_of, merged, where_said, workload_of
from perflib.spec.scenario_table import Profile, ScenarioTable
from perflib.spec.target import Target
from perflib.spec.values import InputError, NonNegativeDuration, PositiveDuration, Spec
from perflib.spec.whole import Item
from perflib.spec.workload import Blocks, Open, Ramp, Workload, is_steady, load_in_words

_DURATION_S = {"quick": 10.0, "brief": 60.0}
_QUICK_STAGES_S = 30.0


class Scenario(Spec):
    """A load on a target. All durations are in seconds; `duration_s` excludes warm-up.

    >>> SCENARIOS["light_load"]["brief"]
    <Scenario light_load: 10 users, 60 s after 5 s of warm-up>
    """

    name: str
    title: str
    workload: Workload
    duration_s: PositiveDuration
    """Of the whole run, or of each endpoint and page where `isolated`."""
    warmup_s: NonNegativeDuration
    timeout_s: PositiveDuration = 30.0
    isolated: bool = False
    """Each endpoint and page alone, one after the other."""
    enough_successes: PositiveInt | None = None
    """Where `isolated`: go on to the next endpoint after so many successes."""
    longest_s: PositiveDuration | None = None
    """Go on until so long, so that each endpoint has the successes of its p99. None: it lasts as long as planned."""
    hot_only: bool = False
    pages: bool = True
    forbid_5xx: bool = False
    """One answer with a 5xx status is a finding."""
    max_connections: PositiveInt | None = None
    """Of an open workload; arrivals beyond it are dropped. None: max(100, 10 s x rate)."""
    endpoints: tuple[str, ...] = ()
    """Only these endpoints and pages; empty: all that the scenario takes."""
    abort_on: AbortOn | None = None
    """What ends a run early, such as ``errors>5%``."""

    def most_connections(self, workload: Open) -> int:
        """The bound on an open workload's connections."""
        return self.max_connections or max(100, math.ceil(10 * workload.rate_per_s))

    def takes(self, target: Target) -> tuple[Item, ...]:
        """The items of `target` that this scenario drives, in its order; all are hot where none is.

        An open load drives no pages: an arrival is one request, or begins a journey.
        """
        alone = (endpoint for endpoint in target.endpoints if not target.saves_in(endpoint))
        wholes = target.wholes if self.pages and not isinstance(self.workload, Open) else target.journeys
        offered: tuple[Item, ...] = tuple(item for item in (*alone, *wholes) if item.weight)
        if self.endpoints:
            return tuple(item for item in offered if item.name in self.endpoints)
        return tuple(item for item in offered if item.hot and self.hot_only) or offered

    def parts(self, target: Target) -> list[tuple[Item, ...]]:
        """What is driven together, one part after the other: each endpoint and page alone where `isolated`."""
        if isinstance(self.workload, Blocks):
            named = {item.name: item for item in target.items}
            return [tuple(named[name] for name in block.items) for block in self.workload.blocks]
        taken = self.takes(target)
        return [(item,) for item in taken] if self.isolated else [taken]

    def part_s(self, number: int) -> float:
        """How long a part is measured, without warm-up."""
        workload = self.workload
        return workload.blocks[number].duration_s if isinstance(workload, Blocks) else self.duration_s

    def lasts_s(self, target: Target) -> float:
        """All parts with their warm-up at the longest, without what is under way at their ends."""
        longer_s = self.most_s - self.duration_s
        return sum(self.warmup_s + self.part_s(number) + longer_s for number, _ in enumerate(self.parts(target)))

    @property
    def most_s(self) -> float:
        """How long it is measured at the longest."""
        return self.longest_s or self.duration_s

    def lengthened(self, most_s: float | None) -> "Scenario":
        """A short steady load that may go on for up to `most_s` more, and three times as long; None: just this.

        Not one that measures each endpoint alone: it has a rule of its own.
        """
        if self.isolated or not is_steady(self.workload) or self.duration_s >= _QUICK_STAGES_S:
            return self
        more_s = 2 * self.duration_s if most_s is None else min(most_s, 2 * self.duration_s)
        return self.replaced(longest_s=self.duration_s + more_s) if more_s else self

    def lasting(self, duration_s: float, warmup_s: float = 0.0) -> "Scenario":
        """The same load for another time; a ramp keeps its shape."""
        workload = self.workload
        if isinstance(workload, Ramp):
            workload = workload.lasting(duration_s)
        changed = {"workload": workload.model_dump(), "duration_s": duration_s, "warmup_s": warmup_s, "longest_s": None}
        return Scenario.parse(self.model_dump() | changed, f"scenario {self.name}")

    def __repr__(self) -> str:
        each = " each" if self.isolated else ""
        lasts = f"{self.duration_s:g} s{each} after {self.warmup_s:g} s of warm-up"
        return f"<Scenario {self.name}: {load_in_words(self.workload)}, {lasts}>"

    def _repr_html_(self) -> str:
        alone = "each endpoint and page alone" if self.isolated else ""
        driven = ", ".join(self.endpoints) or ("hot ones" if self.hot_only else "all")
        facts = {
            "Load": ", ".join(part for part in (load_in_words(self.workload), alone) if part),
            "Workload": self.workload.kind,
            "Duration": f"{self.duration_s:g} s after {self.warmup_s:g} s of warm-up",
            "Time-out": f"{self.timeout_s:g} s",
            "Endpoints": driven + ("" if self.pages else ", no pages"),
        }
        return Table.of_facts(facts, f"Scenario {self.name}").html()


def default_warmup_s(duration_s: float) -> float:
    """Warm-up of a run of this length: min(5 s, 10 % of the duration)."""
    return min(5.0, 0.1 * duration_s)


BUILT_IN: dict[str, ScenarioTable] = {
    name: ScenarioTable.model_validate(table)
    for name, table in {
        "baseline": {
            "users": 1,
            "isolated": True,
            "enough_successes": 1000,
            "duration": "60s",
            "quick": {"duration": "8s", "enough_successes": 300},
        },
        "light_load": {"users": 10, "duration": "60s"},
        "medium_load": {"users": 50, "hot_only": True, "duration": "120s"},
        "spike": {
            "stages": "5-5:15s, 5-100:10s, 100-100:30s, 5-5:30s",
            "quick": {"stages": "5-5:5s, 5-100:10s, 100-100:5s, 5-5:10s"},
        },
        "sustained": {"users": 20, "duration": "30min", "quick": {"duration": "30s"}},
        "steady_rate": {
            "rate": 50,
            "pages": False,
            "forbid_5xx": True,
            "duration": "120s",
            "quick": {"duration": "15s"},
        },
    }.items()
}
"""The brief's scenarios."""


def scenario_names(tables: Mapping[str, ScenarioTable]) -> list[str]:
    """The scenarios there are: the built-in ones, then those that a target file's tables define."""
    return list(dict.fromkeys((*BUILT_IN, *tables)))


def scenario_of(
    name: str,
    profile: Profile,
    tables: Mapping[str, ScenarioTable],
    asked: Source,
    where: str = "target file",
    *,
    endpoints: tuple[str, ...] = (),
) -> Scenario:
    """The scenario `name`, its load as far as `asked` says it, else as the target file's table, else its own.

    Args:
        name: one of `scenario_names`.
        tables: the target file's ``[scenario.NAME]``.
        where: the target file, for messages.
        endpoints: only these; empty: as the tables say.

    Raises:
        InputError: for an option that does not fit its workload, naming who said it.
    """
    own, over, said_there = BUILT_IN.get(name), tables.get(name), f"{where}: scenario.{name}"
    if own is None:
        sources = [Source(_defined(tables[name], profile, said_there), f"{said_there}.")]
    else:
        sources = [Source(own.load(profile, _DURATION_S["quick"]), f"scenario {name}: ")]
        if over is not None:
            quick_s = duration_of(sources[0].load, _DURATION_S["quick"])
            sources.append(Source(over.load(profile, quick_s), f"{said_there}."))
    traits = (own.traits(profile) if own else {}) | (over.traits(profile) if over else {})
    if endpoints:
        traits["endpoints"] = endpoints
    return _scenario(name, profile, (*sources, asked), traits)


def _defined(table: ScenarioTable, profile: Profile, where: str) -> Load:
    """The load of a scenario that a target file defines."""
    if not (table.users or table.rate or table.stages):
        raise InputError(f"{where}: no built-in scenario, and says no load of its own; give users, rate or stages")
    longest_s = _QUICK_STAGES_S if table.stages else _DURATION_S["quick"]
    return table.load(profile, min(longest_s, duration_of(table, _DURATION_S["brief"])))


def _scenario(name: str, profile: Profile, sources: tuple[Source, ...], traits: dict[str, Any]) -> Scenario:
    load, workload = merged(sources), workload_of(name, sources)
    if traits.get("isolated") and load.stages:
        raise InputError(f"{where_said(sources, 'stages')}: {name} measures each endpoint alone; leave it out")
    duration_s = duration_of(load, _DURATION_S[profile])
    label = traits.pop("title", name.replace("_", " ").capitalize())
    scenario = Scenario(
        name=name,
        title=label,
        workload=workload,
        duration_s=workload.duration_s if isinstance(workload, Ramp) else duration_s,
        warmup_s=default_warmup_s(duration_s) if load.warmup is None else load.warmup,
        timeout_s=load.timeout or 30.0,
        max_connections=load.max_connections,
        abort_on=load.abort_on,
        **traits,
    )
    return scenario.replaced(title=f"{label}: {_driven(scenario)}")


def _driven(scenario: Scenario) -> str:
    """What the scenario drives, as its title says it."""
    workload = scenario.workload
    parts = [load_in_words(workload)]
    if isinstance(workload, Ramp) and workload.rises:
        parts = [workload.in_words()]
    if scenario.isolated:
        parts.append("each endpoint alone")
    elif scenario.endpoints:
        parts.append(f"only {', '.join(scenario.endpoints)}")
    elif not isinstance(workload, Ramp | Open):
        parts.append("hot endpoints" if scenario.hot_only else "all endpoints")
    return ", ".join([*parts, *(["without a 5xx"] if scenario.forbid_5xx else [])])


SCENARIOS: dict[str, dict[Profile, Scenario]] = {
    name: {profile: scenario_of(name, profile, {}, Source(Load(), "--")) for profile in ("brief", "quick")}
    for name in BUILT_IN
}
"""The brief's scenarios as they are without a target file or options, by name and profile."""
