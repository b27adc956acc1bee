"""A run's rows of figures, as they are kept for the history. Pure."""

from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from perflib.figures.spent import Effort, efforts_of
from perflib.figures.summary import series_of, summarize
from perflib.spec import Blocks, Environment, Facts, Open, Ramp, Run, Scenario
from perflib.spec.figures import FigureRow
from perflib.spec.run import setup_of
from perflib.stats.bootstrap import intervals


def figures_of(run: Run) -> tuple[FigureRow, ...]:
    """A row per endpoint and page that the run drove.

    >>> import perflib
    >>> [(row.endpoint, row.errors) for row in figures_of(perflib.load_run("sample-28-release-1.4"))][:2]
    [('GET /health', 0), ('GET /snapshot', 0)]
    """
    about, efforts = _about(run.facts), efforts_of(run)
    return tuple(
        FigureRow(**about, **_same(row), **_ends(run, row.endpoint), **asdict(efforts.get(row.endpoint, Effort())))
        for row in summarize(run).endpoints
    )


def _about(facts: Facts) -> dict[str, Any]:
    started_at = datetime.fromisoformat(facts.started_at)
    return {
        **_same(facts),
        **_same(facts.environment),
        "scenario": facts.scenario.name,
        "target": facts.target.name,
        "workload": _workload(facts.scenario),
        "environment": _machine(facts.environment),
        "started_at": started_at if started_at.tzinfo else started_at.replace(tzinfo=UTC),
        "revision": facts.version,
        "setup": setup_of(facts).hash,
    }


def _same(other: object) -> dict[str, Any]:
    """What a row has by the same names."""
    return {field.name: getattr(other, field.name) for field in fields(FigureRow) if hasattr(other, field.name)}


def _ends(run: Run, name: str) -> dict[str, Any]:
    """The intervals of an endpoint's judged percentiles, by column."""
    series = series_of(run, name)
    estimates = () if series is None else intervals(series, (0.50, 0.95))
    return {
        f"p{estimate.q * 100:.0f}_{end}_ms": getattr(estimate.interval, end)
        for estimate in estimates
        if estimate.interval is not None
        for end in ("low", "high")
    }


def _workload(scenario: Scenario) -> str:
    """The load in words."""
    load = scenario.workload
    match load:
        case Open():
            words = f"{load.rate_per_s:g} requests/s, {load.arrivals}"
        case Blocks():
            words = f"blocks of up to {load.most_users} users"
        case Ramp():
            words = f"ramp to {load.most_users} users"
        case _:
            words = f"{load.users} user{'' if load.users == 1 else 's'}"
            words += f", thinking {load.think_time_s:g} s" if load.think_time_s else ""
    only = f", only {', '.join(scenario.endpoints)}" if scenario.endpoints else ""
    return f"{words}, {scenario.duration_s:g} s{only}"


def _machine(environment: Environment) -> str:
    return f"{environment.cpu}, {environment.cores} cores, {environment.os} {environment.arch}"
