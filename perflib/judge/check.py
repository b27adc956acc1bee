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

from perflib.figures.failures import Failure, failures
from perflib.figures.limits import Limit, all_met, limits_of
from perflib.figures.summary import EndpointSummary, Summary, summarize
from perflib.judge.baseline import median_of, unfit
from perflib.judge.flattery import flattered
from perflib.judge.knowledge import ALONE, Beside, Known, known
from perflib.judge.leak import memory_of
from perflib.judge.samples import samples_of
from perflib.judge.validity import LIMIT_SHARE
from perflib.show.numbers import NOTHING, limit, ms, rate_of, seconds
from perflib.show.table import Row, Table, numbers, row, words
from perflib.spec import InputError, Open, Run
from perflib.spec.baselines import Baselines
from perflib.spec.exits import ExitStatus
from perflib.spec.run import Generator, setup_of
from perflib.spec.setup import differences
from perflib.stats.band import ALPHA, THRESHOLD, Change, Insufficient, Judgement, is_clear, judge
from perflib.stats.spending import Look
from perflib.stats.verdict import Verdict

BACKSTOP = 2.0
"""The brief's rule: p95 beyond so many times the baseline's fails, whatever the statistics say."""
FAMILY = (
    f"REGRESSION: p50 or p95 is significantly slower, and by more than matters: {THRESHOLD:.0%}, {LIMIT_SHARE:.0%} of "
    "its limit, and what may be the load generator's own. Where nothing changed, at most "
    f"{ALPHA:.0%} of a scenario's checks have any (Holm, over its endpoints and both percentiles), as far as the runs "
    "it is compared with vary as a new run does."
)
_TIMES = numbers("p95, ms", "Baseline, ms", "Limit, ms")
_COLUMNS = (*words("Scenario", "Endpoint", "Verdict"), *_TIMES, *words("Why"))
_SAME_IN_JSON = (
    *("baseline_p95_ms", "target_ms", "target_p99_ms", "max_errors", "meets_target"),
    *("requests", "errors", "error_share", "unanswered"),
)


@dataclass(frozen=True)
class EndpointVerdict:
    """One endpoint or page.

    `p*_ms` are medians over the runs, each failure counted as infinitely slow; None: too few requests. `figures` are
    p50 and p95 against the baseline; none where there is none.
    """

    scenario: str
    endpoint: str
    verdict: Verdict
    reason: str
    figures: tuple[Change | Insufficient, ...]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    baseline_p95_ms: float | None
    target_ms: float | None
    target_p99_ms: float | None
    max_errors: float | None
    requests: int
    errors: int
    unanswered: int = 0
    unanswered_s: float | None = None
    """The longest of the requests that were unanswered all through their run."""

    @property
    def error_share(self) -> float:
        return self.errors / max(self.requests, 1)

    @property
    def p95_at_least_ms(self) -> float | None:
        """p95, or p50 where a slow server answered too few requests for it: p95 is no smaller."""
        return self.p50_ms if self.p95_ms is None else self.p95_ms

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Its limits, and whether each is met."""
        share = self.error_share if self.requests else None
        return limits_of(self, (self.p50_ms, self.p95_ms, self.p99_ms), share, self.unanswered)

    @property
    def meets_target(self) -> bool | None:
        """Whether all its limits are met."""
        return all_met(self.limits)

    def __repr__(self) -> str:
        return f"<{self.verdict} of {self.endpoint}: {self.reason}>"

    def _repr_html_(self) -> str:
        return Table(_COLUMNS, (_row(self),), f"{self.verdict} of {self.endpoint}").html()

    def change_of(self, figure: str) -> Change | None:
        """What became of "p50" or "p95", where that can be judged."""
        return next((one for one in self.figures if isinstance(one, Change) and one.figure == figure), None)

    @property
    def telling(self) -> Change | None:
        """The figure that the reason names, else p95."""
        named = [self.change_of(figure) for figure in ("p50", "p95") if self.reason.startswith(figure)]
        return next((one for one in (*named, self.change_of("p95"), self.change_of("p50")) if one), None)

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
    p95 = "failed too often" if one.p95_ms == math.inf else ms(one.p95_ms)
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
    unsound = [Finding(name, run.facts.run_id, f"not judged: {'; '.join(unfit(run))}") for run in runs if unfit(run)]
    ids = tuple(run.facts.run_id for run in runs)
    if not sound:
        return Check(ids, {name: Known()}, (), tuple(unsound), (), ExitStatus.NOT_JUDGED)
    _refuse_others(sound)
    first = min((run.facts for run in sound), key=lambda facts: facts.started_at)
    found, summaries = known(first, baselines, beside), [summarize(run) for run in sound]
    rows = _judged(name, summaries, found, [run.facts.generator for run in sound], look)
    findings = [Finding(name, row.endpoint, reason) for row in rows for reason in _reasons(row, most_errors, found)]
    findings += [one for run, summary in zip(sound, summaries, strict=True) for one in _run_findings(run, summary)]
    slow = [row.endpoint for row in rows if row.verdict == Verdict.REGRESSION or row.meets_target is False]
    notes = [*_notes(sound, rows, found), *(f"{one}: {sound[0].facts.why(one)} says why" for one in slow)]
    open_ = [*unsound, *([] if not beside.required else _not_compared(name, rows, found, beside))]
    return Check(
        runs=ids,
        against={name: found},
        endpoints=rows,
        findings=(*findings, *open_),
        notes=tuple(f"{name}: {note}" for note in notes),
        exit_status=ExitStatus.FOUND if findings else ExitStatus.NOT_JUDGED if open_ else ExitStatus.OK,
    )


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


def _judged(
    scenario: str, summaries: Sequence[Summary], found: Known, generators: Sequence[Generator], look: Look
) -> tuple[EndpointVerdict, ...]:
    """A row per endpoint, in the target's order."""
    runs = {some[0].endpoint: some for some in zip(*(summary.endpoints for summary in summaries), strict=True)}
    judgements = {one.endpoint: one for one in judge(samples_of(runs, found, generators), look)}
    return tuple(_verdict(scenario, some, found, judgements.get(name)) for name, some in runs.items())


def _verdict(
    scenario: str, some: tuple[EndpointSummary, ...], found: Known, judgement: Judgement | None
) -> EndpointVerdict:
    name, baseline = some[0].endpoint, found.baseline
    entry = None if baseline is None else baseline.endpoints.get(name)
    return EndpointVerdict(
        scenario=scenario,
        endpoint=name,
        verdict=Verdict.NO_BASELINE if judgement is None else judgement.verdict,
        reason=_reason(judgement) if judgement else found.lacking,
        figures=() if judgement is None else judgement.figures,
        p50_ms=median_of(row.judged_p50_ms for row in some),
        p95_ms=median_of(row.judged_p95_ms for row in some),
        p99_ms=median_of(row.judged_p99_ms for row in some),
        baseline_p95_ms=None if entry is None else entry.p95_ms,
        target_ms=some[0].target_ms,
        target_p99_ms=some[0].target_p99_ms,
        max_errors=some[0].max_errors,
        requests=sum(row.requests for row in some),
        errors=sum(row.judged_errors for row in some),
        unanswered=sum(row.unanswered for row in some),
        unanswered_s=max((row.unanswered_s for row in some if row.unanswered_s), default=None),
    )


def _reason(judgement: Judgement) -> str:
    """Why; a figure that counts as infinite is told in words."""
    infinite = [one.figure for one in judgement.figures if isinstance(one, Change) and one.ratio == math.inf]
    told = next((figure for figure in infinite if judgement.reason.startswith(figure)), None)
    return f"{told} is infinite: more requests failed than it allows" if told else judgement.reason


def _reasons(row: EndpointVerdict, most_errors: float, known: Known) -> list[str]:
    """Why an endpoint fails a check."""
    said, p95_ms = [], row.p95_at_least_ms
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
    if p95_ms is not None and recorded_ms and p95_ms > BACKSTOP * recorded_ms:
        shown = _as_found("p95", "p50" if row.p95_ms is None else "p95", p95_ms)
        said.append(f"{shown} is more than {BACKSTOP:g} x its baseline of {recorded_ms:,.2f} ms")
    if row.verdict == Verdict.REGRESSION and known.asked:
        said.append(row.reason)
    return said


def _as_found(figure: str, by: str, value_ms: float) -> str:
    """A judged percentile, or a smaller one in its place."""
    shown = figure if by == figure else f"{by}, and so {figure},"
    return f"{shown} (failed too often)" if value_ms == math.inf else f"{shown} {value_ms:,.2f} ms"


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
    slower = [row for row in rows if row.verdict == Verdict.REGRESSION]
    causes = sorted({row.endpoint for row in slower if row.scenario in apart})
    told = f"in {' and '.join(apart)}, {', '.join(causes) or 'none'} was found slower"
    return [
        f"{name}: endpoints under one closed load slow or relieve each other; {told}"
        for name in dict.fromkeys(row.scenario for row in slower if row.scenario not in apart)
        if apart and sum(row.scenario == name for row in rows) > 1
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _change_as_json(one: Change) -> dict[str, Any]:
    low, high = _finite(one.interval.low), _finite(one.interval.high)
    return {"figure": one.figure, "ratio": _finite(one.ratio), "interval": [low, high], "mde": _finite(one.mde)}
