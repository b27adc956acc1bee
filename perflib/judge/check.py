"""Regression: the verdict on fresh runs against their baseline. Pure.

Three questions, in this order: are targets met and errors rare (asked of any run), did p95 double (the brief's rule,
of recorded baselines), and did anything change beyond what earlier runs vary by (`perflib.stats.band`, one family per
scenario). `perflib.judge.knowledge` says which earlier runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from perflib.figures.failures import Failure, failures
from perflib.figures.limits import AT_LEAST, Limit, all_met, limits_of
from perflib.figures.summary import Summary, summarize
from perflib.judge.baseline import median_of, unfit
from perflib.judge.flattery import flattered
from perflib.judge.fresh import ALL, CPU, Fresh, cpu_after, cpu_before, held_of
from perflib.judge.knowledge import ALONE, Beside, Known, known
from perflib.judge.leak import memory_of
from perflib.judge.samples import samples_of
from perflib.judge.validity import LIMIT_SHARE
from perflib.show.numbers import INSUFFICIENT, NOTHING, limit, ms, no_less, rate_of, seconds
from perflib.show.table import Row, Table, numbers, row, words
from perflib.spec import InputError, Open, Run
from perflib.spec.baselines import Baselines
from perflib.spec.exits import ExitStatus
from perflib.spec.run import setup_of
from perflib.spec.setup import differences
from perflib.stats import Floats
from perflib.stats.band import ALPHA, THRESHOLD, Change, Insufficient, Judgement, is_clear, judge
from perflib.stats.spending import Look
from perflib.stats.verdict import Verdict

BACKSTOP = 2.0
"""The brief's rule: p95 beyond so many times the baseline's fails, whatever the statistics say; what the target's wait
for a core explains of it is taken off."""
FAMILY = (
    f"REGRESSION: p50, p95 or the target's {CPU} is significantly larger, and by more than matters: {THRESHOLD:.0%}, "
    f"{LIMIT_SHARE:.0%} of its limit, and what may be the load generator's own. Where nothing changed, at most "
    f"{ALPHA:.0%} of a scenario's checks have any (Holm, over its endpoints and their figures), as far as the runs "
    "it is compared with vary as a new run does."
)
_FIGURES = ("p95", "p50", CPU)
_TIMES = numbers("p95, ms", "Baseline, ms", "Limit, ms")
_COLUMNS = (*words("Scenario", "Endpoint", "Verdict"), *_TIMES, *words("Why"))
_SAME_IN_JSON = (
    *("baseline_p95_ms", "target_ms", "target_p99_ms", "max_errors", "meets_target"),
    *("requests", "errors", "error_share", "unanswered", "cpu_ms_per_request", "baseline_cpu_ms_per_request"),
)


@dataclass(frozen=True)
class EndpointVerdict:
    """One endpoint or page, or `ALL` requests, of which nothing but the CPU is judged.

    `p*_ms` are medians over the runs, each failure counted as infinitely slow; None: too few requests. So is
    `p95_at_least_ms`, a run that lacks requests for its p95 having the bound of it. `figures` are p50, p95 and `CPU`
    against the baseline; none where there is none.
    """

    scenario: str
    endpoint: str
    verdict: Verdict
    reason: str
    figures: tuple[Change | Insufficient, ...]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p95_at_least_ms: float | None
    baseline_p95_ms: float | None
    target_ms: float | None
    target_p99_ms: float | None
    max_errors: float | None
    requests: int
    errors: int
    unanswered: int = 0
    unanswered_s: float | None = None
    """The longest of the requests that were unanswered all through their run."""
    cpu_ms_per_request: float | None = None
    """The median over the runs; None: not compared."""
    baseline_cpu_ms_per_request: float | None = None

    @property
    def error_share(self) -> float:
        return self.errors / max(self.requests, 1)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Its limits, and whether each is met."""
        share = self.error_share if self.requests else None
        return limits_of(self, (self.p95_at_least_ms, self.p95_ms, self.p99_ms), share, self.unanswered)

    @property
    def meets_target(self) -> bool | None:
        """Whether all its limits are met."""
        return all_met(self.limits)

    def __repr__(self) -> str:
        return f"<{self.verdict} of {self.endpoint}: {self.reason}>"

    def _repr_html_(self) -> str:
        return Table(_COLUMNS, (_row(self),), f"{self.verdict} of {self.endpoint}").html()

    def change_of(self, figure: str) -> Change | None:
        """What became of "p50", "p95" or `CPU`, where that can be judged."""
        return next((one for one in self.figures if isinstance(one, Change) and one.figure == figure), None)

    @property
    def telling(self) -> Change | None:
        """The figure that the reason names, else p95."""
        named = [self.change_of(figure) for figure in _FIGURES if self.reason.startswith(figure)]
        return next((one for one in (*named, *map(self.change_of, _FIGURES)) if one), None)

    def as_json(self) -> dict[str, Any]:
        """Its object in what `perflib check --format json` prints."""
        told = self.telling
        return {
            "scenario": self.scenario,
            "endpoint": self.endpoint,
            "verdict": self.verdict,
            "reason": self.reason,
            **(_change_as_json(told) if told else dict.fromkeys(("figure", "ratio", "interval", "mde"))),
            "figures": [_change_as_json(one) for one in self.figures if isinstance(one, Change)],
            "p95_ms": _finite(self.p95_ms),
            "p95_at_least_ms": _finite(self.p95_at_least_ms),
            "p99_ms": _finite(self.p99_ms),
            **{name: getattr(self, name) for name in _SAME_IN_JSON},
        }


@dataclass(frozen=True)
class Finding:
    """Why a check is not sound; `about` is an endpoint, a page or a run."""

    scenario: str
    about: str
    reason: str


@dataclass(frozen=True)
class Check:
    """The verdict on runs, of one scenario or several.

    `findings` say why `exit_status` is not 0, `notes` what a reader should know besides. `against` has what each
    scenario was compared with.
    """

    runs: tuple[str, ...]
    against: dict[str, Known]
    endpoints: tuple[EndpointVerdict, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    exit_status: ExitStatus
    failures: dict[str, tuple[Failure, ...]] = field(default_factory=dict)
    """What failed, by the run; those without a failure are left out."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The findings, a line each."""
        several = len(self.against) > 1
        return tuple(f"{one.scenario + ', ' if several else ''}{one.about}: {one.reason}" for one in self.findings)

    @property
    def baselines(self) -> dict[str, str | None]:
        """When each scenario's baseline was recorded; None where none fits."""
        return {name: one.recorded_at for name, one in self.against.items()}

    @property
    def compared(self) -> dict[str, Known]:
        """What the scenarios were compared with that were."""
        judged = {row.scenario for row in self.endpoints if row.verdict != Verdict.NO_BASELINE}
        return {name: one for name, one in self.against.items() if name in judged}

    @property
    def mdes(self) -> tuple[float, ...]:
        """The smallest detectable changes of p95, of the endpoints that can be compared."""
        found = [row.change_of("p95") for row in self.endpoints]
        return tuple(one.mde for one in found if one is not None)

    def is_clear(self, scenario: str) -> bool:
        """Whether more runs of a scenario have nothing to tell."""
        return all(is_clear(row.verdict, row.figures) for row in self.endpoints if row.scenario == scenario)

    def as_json(self) -> dict[str, Any]:
        """The object that `perflib check --format json` prints. `mde` is the largest of all endpoints' p95."""
        return {
            "exit": int(self.exit_status),
            "mde": _finite(max(self.mdes, default=None)),
            "family": FAMILY,
            "runs": list(self.runs),
            "baseline": next((at for at in self.baselines.values() if at), None),
            "baselines": self.baselines,
            "against": next((one.as_json() for one in self.against.values() if one.baseline), None),
            "against_by_scenario": {name: one.as_json() for name, one in self.against.items()},
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "endpoints": [row.as_json() for row in self.endpoints],
        }

    def __repr__(self) -> str:
        said = "; ".join(self.reasons) or "nothing found"
        return f"<Check of {', '.join(self.runs)}: exit {self.exit_status}, {said}>"

    def _repr_html_(self) -> str:
        return Table(_COLUMNS, tuple(map(_row, self.endpoints)), f"Check of {', '.join(self.runs)}").html()


def _row(one: EndpointVerdict) -> Row:
    p95 = "failed too often" if one.p95_ms == math.inf else ms(one.p95_ms, no_less(one.p95_at_least_ms) or INSUFFICIENT)
    times = (p95, ms(one.baseline_p95_ms, NOTHING), limit(one))
    return row(one.scenario, one.endpoint, one.verdict, *times, one.reason)


def check(
    runs: Sequence[Run],
    baselines: Baselines,
    most_errors: float = 0.0,
    looks: Mapping[str, Look] = MappingProxyType({}),
    beside: Beside = ALONE,
) -> Check:
    """Judge runs. Several of one scenario are judged together, as several looks at the same thing.

    Args:
        most_errors: the share of failed requests above which an endpoint fails.
        looks: by scenario, where runs are added until the check is clear: which look at them this is.
        beside: what else they may be compared with.

    Raises:
        InputError: for no run, or runs of one scenario that are not looks at the same thing.
    """
    if not runs:
        raise InputError("check: there is no run to judge; name a scenario or a stored run")
    groups: dict[str, list[Run]] = {}
    for run in {run.facts.run_id: run for run in runs}.values():
        groups.setdefault(run.facts.scenario.name, []).append(run)
    parts = [_check(some, baselines, most_errors, looks.get(name, Look()), beside) for name, some in groups.items()]
    rows = tuple(row for part in parts for row in part.endpoints)
    return Check(
        runs=tuple(run for part in parts for run in part.runs),
        against={name: one for part in parts for name, one in part.against.items()},
        endpoints=rows,
        findings=tuple(finding for part in parts for finding in part.findings),
        notes=(*(note for part in parts for note in part.notes), *_causes([some[0] for some in groups.values()], rows)),
        exit_status=ExitStatus.of_all([part.exit_status for part in parts]),
        failures={run.facts.run_id: found for some in groups.values() for run in some if (found := failures(run))},
    )


def _check(runs: list[Run], baselines: Baselines, most_errors: float, look: Look, beside: Beside) -> Check:
    """The check of the runs of one scenario. Those unfit to be judged are told and left out."""
    name, sound = runs[0].facts.scenario.name, [run for run in runs if not unfit(run)]
    unsound = [Finding(name, run.facts.run_id, f"not judged: {_why(run)}") for run in runs if unfit(run)]
    ids = tuple(run.facts.run_id for run in runs)
    if not sound:
        return Check(ids, {name: Known()}, (), tuple(unsound), (), ExitStatus.NOT_JUDGED)
    _refuse_others(sound)
    first = min((run.facts for run in sound), key=lambda facts: facts.started_at)
    found, summaries = known(first, baselines, beside), [summarize(run) for run in sound]
    rows = _judged(name, [*map(Fresh.of, sound, summaries)], found, look)
    findings = [Finding(name, row.endpoint, reason) for row in rows for reason in _reasons(row, most_errors, found)]
    findings += [one for run, summary in zip(sound, summaries, strict=True) for one in _run_findings(run, summary)]
    slow = [row.endpoint for row in rows if row.verdict == Verdict.REGRESSION or row.meets_target is False]
    notes = [*_notes(sound, rows, found), *_commands(slow, sound[0])]
    open_ = [*unsound, *([] if not beside.required else _not_compared(name, rows, found, beside))]
    return Check(
        runs=ids,
        against={name: found},
        endpoints=rows,
        findings=(*findings, *open_),
        notes=tuple(f"{name}: {note}" for note in notes),
        exit_status=ExitStatus.FOUND if findings else ExitStatus.NOT_JUDGED if open_ else ExitStatus.OK,
    )


def _commands(slow: Sequence[str], run: Run) -> list[str]:
    """Those that say why endpoints are slow, or what all requests compute."""
    found: dict[str, list[str]] = {}
    for name in slow:
        found.setdefault(run.facts.again("why") if name == ALL else run.facts.why(name), []).append(name)
    return [f"{', '.join(names)}: {command} says why" for command, names in found.items()]


def _why(run: Run) -> str:
    """Why a run is not judged, and who kept its target from a core."""
    return "; ".join(filter(None, (*unfit(run), held_of(run))))


def _not_compared(name: str, rows: Sequence[EndpointVerdict], found: Known, beside: Beside) -> list[Finding]:
    """What was to be compared, and was not; of nothing asked for, with a recorded baseline."""
    if found.kind == "history" and not beside.against:
        return [Finding(name, name, f"compared with the history alone: {found.why_not}")]
    lacking = {row.reason: row.endpoint for row in rows if row.verdict == Verdict.NO_BASELINE}
    return [Finding(name, endpoint if found.baseline else name, reason) for reason, endpoint in lacking.items()]


def _refuse_others(runs: Sequence[Run]) -> None:
    first = runs[0].facts
    for run in runs:
        if differs := differences(setup_of(run.facts), setup_of(first)):
            told = f"of another setup than {first.run_id}, though both are {first.scenario.name}: {'; '.join(differs)}"
            raise InputError(f"run {run.facts.run_id}: {told}; check them apart")


def _judged(scenario: str, runs: Sequence[Fresh], found: Known, look: Look) -> tuple[EndpointVerdict, ...]:
    """A row per endpoint, in the target's order, and one of all requests where their CPU is judged."""
    judged = {one.endpoint: one for one in judge(samples_of(runs, found), look)}
    names = [*runs[0].rows, *([ALL] if ALL in judged else [])]
    return tuple(_verdict(scenario, name, runs, found, judged.get(name)) for name in names)


def _verdict(
    scenario: str, name: str, runs: Sequence[Fresh], found: Known, judgement: Judgement | None
) -> EndpointVerdict:
    some, baseline = [run.rows[name] for run in runs if name != ALL], found.baseline
    entry = None if baseline is None else baseline.endpoints.get(name)
    limits = some[0] if some else None
    asked = some or [row for run in runs for row in run.rows.values()]
    cpu_ms = _cpu_ms(name, runs, found) if judgement and CPU in [one.figure for one in judgement.figures] else {}
    return EndpointVerdict(
        scenario=scenario,
        endpoint=name,
        verdict=Verdict.NO_BASELINE if judgement is None else judgement.verdict,
        reason=_reason(judgement, cpu_ms, _held(name, runs, found)) if judgement else found.lacking,
        figures=() if judgement is None else judgement.figures,
        p50_ms=median_of(row.judged_p50_ms for row in some),
        p95_ms=median_of(row.judged_p95_ms for row in some),
        p99_ms=median_of(row.judged_p99_ms for row in some),
        p95_at_least_ms=median_of(
            row.p95_at_least_ms if row.judged_p95_ms is None else row.judged_p95_ms for row in some
        ),
        baseline_p95_ms=None if entry is None else entry.p95_ms,
        target_ms=limits.target_ms if limits else None,
        target_p99_ms=limits.target_p99_ms if limits else None,
        max_errors=limits.max_errors if limits else None,
        requests=sum(row.requests for row in asked),
        errors=sum(row.judged_errors for row in some),
        unanswered=sum(row.unanswered for row in some),
        unanswered_s=max((row.unanswered_s for row in some if row.unanswered_s), default=None),
        **cpu_ms,
    )


def _cpu_ms(name: str, runs: Sequence[Fresh], found: Known) -> dict[str, float | None]:
    return {
        "cpu_ms_per_request": _median(cpu_after(name, runs)),
        "baseline_cpu_ms_per_request": _median(cpu_before(name, found.baseline)),
    }


def _held(name: str, runs: Sequence[Fresh], found: Known) -> str:
    """Who kept the target from its cores, where that hinders the comparison: no run of before waited so long."""
    entry = found.noise.endpoints.get(name) if found.noise else None
    before = [one for one in (entry and entry.per_run.waited_per_ran) or () if one is not None]
    longest = max(before, default=0.0)
    return next((run.held for run in runs if (run.effort(name).waited_per_ran or 0.0) > longest), "")


def _reason(judgement: Judgement, cpu_ms: Mapping[str, float | None], held: str) -> str:
    """Why; a figure that counts as infinite is told in words, and the CPU by its values."""
    if judgement.verdict == Verdict.INCONCLUSIVE:
        return f"{held}; {judgement.reason}" if held else judgement.reason
    for one in judgement.figures:
        if isinstance(one, Change) and judgement.reason.startswith(one.figure):
            if one.ratio == math.inf:
                return f"{one.figure} is infinite: more requests failed than it allows"
            if one.figure == CPU:
                by = (100 * (ratio - 1) for ratio in (one.ratio, one.interval.low, one.interval.high))
                values = f"{ms(cpu_ms['baseline_cpu_ms_per_request'])} -> {ms(cpu_ms['cpu_ms_per_request'])} ms"
                return "{} {} ({:+.0f} %, {:.0f} % to {:.0f} %)".format(CPU, values, *by)
    return judgement.reason


def _reasons(row: EndpointVerdict, most_errors: float, known: Known) -> list[str]:
    """Why an endpoint fails a check."""
    said = []
    most_errors = most_errors if row.max_errors is None else row.max_errors
    timed = [one for one in row.limits if one.of != "failed"]
    if row.unanswered_s is not None:
        bound = f", which misses its limit of {timed[0].bound:,g} ms" if timed else ""
        said.append(f"unanswered for {seconds(row.unanswered_s)}, all through the measured time{bound}")
    if row.error_share > most_errors:
        allowed = f"at most {100 * most_errors:g} % may" if most_errors else "none may"
        said.append(f"{row.errors:,} of {row.requests:,} requests failed, {allowed}")
    said += [
        f"{_as_found(one.of, one.by, one.found)} misses its limit of {one.bound:,g} ms"
        for one in timed
        if one.found is not None and one.found >= one.bound
    ]
    recorded_ms = row.baseline_p95_ms if known.kind == "baseline" else None
    by_wait = max(1.0, change.by_wait if (change := row.change_of("p95" if row.p95_ms is not None else "p50")) else 1.0)
    most_ms = BACKSTOP * by_wait * recorded_ms if recorded_ms else math.inf
    doubled = [one for one in (("p95", row.p95_ms), (AT_LEAST, row.p95_at_least_ms)) if (one[1] or 0.0) > most_ms]
    for by, p95_ms in doubled[:1]:
        shown = _as_found("p95", by, p95_ms or 0.0)
        said.append(f"{shown} is more than {BACKSTOP:g} x its baseline of {recorded_ms:,.2f} ms")
    if row.verdict == Verdict.REGRESSION and known.asked:
        said.append(row.reason)
    return said


def _as_found(figure: str, by: str, value_ms: float) -> str:
    """A judged percentile, or what it is no smaller than."""
    shown = {figure: figure, AT_LEAST: f"{figure} of at least"}.get(by, f"{by}, and so {figure},")
    return f"{figure} (failed too often)" if value_ms == math.inf else f"{shown} {value_ms:,.2f} ms"


def _run_findings(run: Run, summary: Summary) -> list[Finding]:
    """What fails a check of a run as a whole."""
    scenario = run.facts.scenario
    growths = memory_of(run).series.items()
    said = [
        f"the target leaks {name}, at least {rate_of(name)(growth.at_least_per_h)}"
        for name, growth in growths
        if growth.verdict == Verdict.LEAK
    ]
    if scenario.forbid_5xx and summary.server_errors:
        said.append(f"{summary.server_errors:,} answers with a 5xx, none is allowed")
    return [Finding(scenario.name, run.facts.run_id, reason) for reason in said]


def _notes(runs: Sequence[Run], rows: Sequence[EndpointVerdict], found: Known) -> list[str]:
    few = [row.endpoint for row in rows if row.requests and any(one.meets is None for one in row.limits)]
    never = [row.endpoint for row in rows if not (row.requests or row.unanswered)]
    said = found.notes(runs)
    slower = [f"{row.endpoint}: {row.reason}" for row in rows if row.verdict == Verdict.REGRESSION]
    if slower and not found.asked:
        command = runs[0].facts.again("check --against history")
        said.append(f"slower than the history, which fails no check unless asked for: {'; '.join(slower)}; {command}")
    said += [f"too few requests to judge the limit of {', '.join(few)}"] if few else []
    said += [f"not asked after warm-up: {', '.join(never)}"] if never else []
    return [*said, *flattered(runs)]


def _causes(first_runs: Sequence[Run], rows: Sequence[EndpointVerdict]) -> list[str]:
    """What a slower endpoint in a closed mix says of its cause: nothing, unless others were looked at apart."""
    scenarios = {run.facts.scenario.name: run.facts.scenario for run in first_runs}
    apart = [name for name, one in scenarios.items() if one.isolated or isinstance(one.workload, Open)]
    slower = [row for row in rows if row.verdict == Verdict.REGRESSION and row.endpoint != ALL]
    causes = sorted({row.endpoint for row in slower if row.scenario in apart})
    told = f"in {' and '.join(apart)}, {', '.join(causes) or 'none'} was found slower"
    return [
        f"{name}: endpoints under one closed load slow or relieve each other; {told}"
        for name in dict.fromkeys(row.scenario for row in slower if row.scenario not in apart)
        if apart and sum(row.scenario == name for row in rows) > 1
    ]


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _change_as_json(one: Change) -> dict[str, Any]:
    low, high = _finite(one.interval.low), _finite(one.interval.high)
    return {"figure": one.figure, "ratio": _finite(one.ratio), "interval": [low, high], "mde": _finite(one.mde)}
