"""The load: how much is sent, how, and for how long. Every option of a load is declared here, once, with its help.

A target file's ``[scenario.NAME]``, the command line, `Options` and the notebooks read it from here. Sources are laid
over each other, the weakest first: the scenario's own table, the target file's, the caller's options.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, PositiveFloat, PositiveInt

from perflib.spec.abort import AbortOn
from perflib.spec.stages import Stages, highest, length_s, scaled
from perflib.spec.values import InputError, NonNegativeDuration, PositiveDuration, Spec
from perflib.spec.workload import Closed, Open, Ramp, Workload

_OPEN = "is an open workload; use rate"
_CLOSED = "is a closed workload; use users"
_OF_OPEN_ALONE = {"rate": _CLOSED, "max_connections": _CLOSED, "arrivals": _CLOSED}
NOT_TAKEN: dict[str, dict[str, str]] = {
    "open": {"users": _OPEN, "think_time": _OPEN},
    "closed": _OF_OPEN_ALONE,
    "ramp": _OF_OPEN_ALONE | {"think_time": "is a ramp of users, who do not pause; leave it out"},
}
"""The options that a kind of workload has no use for, and what to write instead."""
_CONSTANT = ("users", "rate", "think_time", "duration")
"""What stages replace: a weaker source's numbers of a load that does not change."""


class Load(Spec):
    """A load, as far as one source says it; None: left to a weaker source."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    users: PositiveInt | None = None
    """Virtual users; of a ramp, at its peak."""
    rate: PositiveFloat | None = None
    """Arrivals per second of an open workload; of stages, at their peak."""
    arrivals: Literal["poisson", "constant"] | None = None
    """How the arrivals of an open workload are spaced (default poisson)."""
    max_connections: PositiveInt | None = None
    """Connections of an open workload; arrivals beyond them are dropped (default: 10 s x rate, at least 100)."""
    think_time: NonNegativeDuration | None = None
    """How long a user waits after an answer before its next request, such as 1s."""
    stages: Stages = ()
    """Change users (or rate) over time: 5-100:10s, 100-100:30s means from 5 to 100 within 10 s, then 100 for 30 s."""
    duration: PositiveDuration | None = None
    """How long to measure, without warm-up, such as 60s or 2min."""
    warmup: NonNegativeDuration | None = None
    """How long to warm up before (default: 10 % of the duration, 5 s at most)."""
    timeout: PositiveDuration | None = None
    """How long one request may take before it counts as failed (default 30s)."""
    abort_on: AbortOn | None = None
    """End the run early once more requests have failed: errors>5%, judged over 100 requests or more."""

    def said(self) -> dict[str, Any]:
        """The options that this source says, by name."""
        return {name: value for name, value in self if name in Load.model_fields and value not in (None, ())}

    def over(self, weaker: "Load") -> "Load":
        """This load, what it leaves open taken from a weaker source; stages replace a constant load as a whole."""
        dropped = (*_CONSTANT, "stages") if self.stages else ()
        kept = {name: value for name, value in weaker.said().items() if name not in dropped}
        return Load.model_validate(kept | self.said())


@dataclass(frozen=True)
class Source:
    """A load and where it was said; `where` begins a message: "--", or "shop.toml: scenario.light_load."."""

    load: Load
    where: str

    def spelled(self, name: str) -> str:
        """The option as its source writes it."""
        return self.where + (name.replace("_", "-") if self.where == "--" else name)


def merged(sources: tuple[Source, ...]) -> Load:
    """Sources laid over each other, the weakest first."""
    whole = Load()
    for source in sources:
        whole = source.load.over(whole)
    return whole


def where_said(sources: tuple[Source, ...], *names: str) -> str:
    """How the strongest source that says one of these options spells it; empty: none does."""
    found = ((source, name) for source in reversed(sources) for name in names)
    return next((source.spelled(name) for source, name in found if name in source.load.said()), "")


def workload_of(name: str, sources: tuple[Source, ...]) -> Workload:
    """The workload that sources make of a scenario; the first one is the scenario's own.

    Raises:
        InputError: naming the option and its source, where one does not fit the scenario's kind of workload.
    """
    load, own = merged(sources), sources[0].load
    if own.rate is not None or own.arrivals is not None:
        _refuse(name, "open", load, sources)
        stages = scaled(load.stages, load.rate, load.duration) if load.stages else ()
        rate = highest(stages) if stages else load.rate
        arrivals = load.arrivals or "poisson"
        where = where_said(sources, "stages", "rate")
        return Open.parse({"rate_per_s": rate, "arrivals": arrivals, "stages": stages}, where)
    _refuse(name, "ramp" if load.stages else "closed", load, sources)
    if not load.stages:
        return Closed(users=load.users or 1, think_time_s=load.think_time or 0.0)
    ramp = Ramp.parse({"stages": scaled(load.stages, load.users, load.duration)}, where_said(sources, "stages"))
    if own.stages and not ramp.rises:
        where = where_said(sources, "users", "stages")
        lowest = own.stages[0].start
        raise InputError(f"{where}: {name} would have no rise; give more than {lowest:g} users, or stages that rise")
    return ramp


def duration_of(load: Load, default_s: float) -> float:
    """How long a load lasts, stages included."""
    return load.duration or (length_s(load.stages) if load.stages else default_s)


def _refuse(name: str, kind: str, load: Load, sources: tuple[Source, ...]) -> None:
    for option in load.said():
        if why := NOT_TAKEN[kind].get(option):
            raise InputError(f"{where_said(sources, option)}: {name} {why}")
