"""Baselines: what a scenario's figures were on this machine, made of several runs. Pure."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import pandas as pd

from perflib.figures.summary import EndpointSummary, counted, summarize, unmeasured
from perflib.spec import Facts, InputError, Run
from perflib.spec.baselines import Baseline, EndpointBaseline, PerRun
from perflib.spec.run import EXCUSED, setup_of
from perflib.spec.setup import differences


def unfit(run: Run) -> tuple[str, ...]:
    """Why a run is neither judged nor made a baseline of; empty for a sound one."""
    state = {"running": ("it is still running",), "interrupted": ("it was interrupted",)}.get(run.facts.state, ())
    why = unmeasured(run)
    return (*run.facts.invalid_reasons, *state, *([why] if why else []))


def baseline_of(runs: Sequence[Run]) -> Baseline:
    """The baseline that these runs of one scenario make.

    Raises:
        InputError: naming the run that does not fit: invalid, interrupted, with errors, given twice, or of another
            setup.
    """
    found = [(run.facts.run_id, unsound(run, runs[:place])) for place, run in enumerate(runs)]
    for name, why in found:
        if why:
            kept = " ".join(other for other, unfitting in found if not unfitting)
            mend = f"`perflib baseline record --from {kept}` takes the others" if kept else "measure anew"
            raise InputError(f"run {name}: no baseline is made of it: {'; '.join(why)}; {mend}")
    last = runs[-1].facts
    summaries = [{row.endpoint: row for row in summarize(run).endpoints} for run in runs]
    return Baseline(
        **_about(last),
        recorded_at=last.finished_at or last.started_at,
        git_commit=last.git_commit,
        versions=last.environment.versions,
        runs=tuple(run.facts.run_id for run in runs),
        endpoints={name: _endpoint_baseline([each[name] for each in summaries]) for name in summaries[0]},
    )


def baseline_of_rows(facts: Facts, rows: pd.DataFrame) -> Baseline:
    """The same of stored runs of the setup of `facts`, by their figures alone: no request is read.

    Args:
        rows: one or more, of sound runs, the oldest first, columns as in `FigureRow`.
    """
    runs = rows["run_id"].drop_duplicates()
    return Baseline(
        **_about(facts),
        recorded_at=rows["started_at"].iloc[-1].isoformat(),
        git_commit=None,
        versions={},
        runs=tuple(runs),
        endpoints={
            str(name): _endpoint_baseline(_as_summaries(own.set_index("run_id").reindex(runs)))
            for name, own in rows.groupby("endpoint", sort=False)
        },
    )


def _as_summaries(rows: pd.DataFrame) -> list[Any]:
    """Rows whose attributes are those of an `EndpointSummary`; of a run that has none, as if nothing was asked."""
    counts = rows.assign(requests=rows["requests"].fillna(0), judged_errors=rows["judged_errors"].fillna(0))
    return list(counts.astype(object).where(counts.notna(), None).itertuples())


def _about(facts: Facts) -> dict[str, Any]:
    """What a baseline is of."""
    return {
        "target": facts.target.name,
        "scenario": facts.scenario.name,
        "workload": facts.scenario.workload,
        "duration_s": facts.scenario.duration_s,
        "environment": facts.environment.machine,
        "setup": setup_of(facts),
    }


def most_tries(count: int) -> int:
    """How many runs are measured at the most for so many sound ones."""
    return count + count // 2 + 2


def unsound(run: Run, earlier: Sequence[Run]) -> list[str]:
    """Why a baseline is not made of a run, beside these earlier ones; empty for a sound one."""
    refusals = [*unfit(run)]
    error = run.requests.loc[counted(run.requests), "error"]
    if failed := int((error.notna() & ~error.isin(list(EXCUSED))).sum()):
        refusals.append(f"it has {failed:,} failed requests")
    if silent := [row.endpoint for row in summarize(run).endpoints if row.unanswered]:
        refusals.append(f"it has unanswered requests of {', '.join(silent)}")
    if run.facts.run_id in [one.facts.run_id for one in earlier]:
        refusals.append("it is given twice")
    if differs := differences(setup_of(run.facts), setup_of(earlier[0].facts)) if earlier else ():
        refusals.append(f"it has another setup than {earlier[0].facts.run_id}: {'; '.join(differs)}")
    return refusals


def _endpoint_baseline(rows: Sequence[EndpointSummary]) -> EndpointBaseline:
    p95_ms, target_ms = _rounded(median_of(row.p95_ms for row in rows)), rows[-1].target_ms
    return EndpointBaseline(
        p50_ms=_rounded(median_of(row.p50_ms for row in rows)),
        p95_ms=p95_ms,
        p99_ms=_rounded(median_of(row.p99_ms for row in rows)),
        max_ms=_rounded(max((row.max_ms for row in rows if row.max_ms is not None), default=None)),
        target_ms=target_ms,
        meets_target=None if p95_ms is None or target_ms is None else p95_ms < target_ms,
        requests=sum(int(row.requests) for row in rows),
        errors=sum(int(row.judged_errors) for row in rows),
        per_run=PerRun(
            p50_ms=tuple(_rounded(row.p50_ms) for row in rows), p95_ms=tuple(_rounded(row.p95_ms) for row in rows)
        ),
    )


def median_of(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _rounded(value_ms: float | None) -> float | None:
    return None if value_ms is None else round(value_ms, 3)
