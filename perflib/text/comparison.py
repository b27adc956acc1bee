"""A comparison of A and B: a sentence, who they are, a row per figure, what would tell more. Pure."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from perflib.judge.compare import FIGURES, Comparison, FigureVerdict, Seen, by_endpoint, noise_seen, verdicts
from perflib.judge.compare import notes as notes_of
from perflib.show.numbers import NOTHING, ms, no_less
from perflib.show.table import Cell, Row, Table, numbers, row, words
from perflib.spec import Facts, Options, Run
from perflib.spec.options import in_words
from perflib.spec.revision import shown
from perflib.stats.percentile import required_count
from perflib.stats.verdict import Verdict
from perflib.text import cells

_NAMED = 5
"""So many endpoints are named in a sentence."""
_OVER = "B / A above 1: B is slower."
_BOUND = "≥: too few requests for the percentile; it is no less than this with 95 % confidence."
_DETECTABLE = "Detectable: the smallest change that this comparison finds in 9 of 10 cases."


def comparison(figures: Sequence[FigureVerdict], notes: Sequence[str] = ()) -> Table:
    """B against A: the answer, both sides of every figure, then what else to know."""
    said, judged = comparison_sentence(figures), any(one.interval for one in figures)
    bounded = any(side.at_least_ms is not None for one in figures for side in (one.a, one.b))
    over = () if all(one.refused for one in figures) else numbers("B / A", *(["Interval"] if judged else []))
    legend = [line for line, needed in ((_OVER, bool(over)), (_BOUND, bounded), (_DETECTABLE, judged)) if needed]
    return Table(
        columns=(
            *words("Figure"),
            *numbers("A, ms", "B, ms"),
            *over,
            *words("Verdict"),
            *(numbers("Detectable") if judged else ()),
        ),
        rows=tuple(_row(one, judged=judged) for one in figures),
        title=said,
        notes=(*_reasons(figures), *notes, *([" ".join(legend)] if legend else [])),
        id="comparison",
    )


def two_runs(figures: Sequence[FigureVerdict], *runs: Run) -> Table:
    """Two stored runs, A and B: the same, with who they are; without any, that nothing was compared."""
    a_and_b = [run.facts for run in runs]
    return comparison(figures, sides(about_runs(*a_and_b)) if a_and_b else ())


def measured(found: Comparison, more: Sequence[str] = ()) -> Table:
    """Two live sides measured by turns: the same, with who they are and how they were measured."""
    told = (*sides(about_measured(found)), *more, *notes_of(found))
    return comparison(verdicts(found), told).with_id("measured")


def _row(one: FigureVerdict, *, judged: bool) -> Row:
    a, b = one.a.requests, one.b.requests
    told = "" if a is None or b is None else f": {a:,} requests of A, {b:,} of B"
    between = NOTHING if one.interval is None else f"{_times(one.interval.low)} to {_times(one.interval.high)}"
    over = [NOTHING if one.ratio is None else _times(one.ratio), *([between] if judged else [])]
    detectable = NOTHING if one.mde is None else f"{one.mde:+.0%}"
    return row(
        one.figure,
        _side(one.a, one.figure),
        _side(one.b, one.figure),
        *([] if one.refused else over),
        _verdict(one),
        *([detectable] if judged else []),
        group=f"{one.endpoint}{told}",
    )


def _verdict(one: FigureVerdict) -> Cell:
    if one.refused or one.verdict is None:
        return Cell("not compared" if one.refused else "not clear yet", "quiet")
    return cells.verdict(one.verdict)


def _side(seen: Seen, figure: str) -> Cell:
    """A time; where the requests are too few for it, its bound, or how many there were of those it takes."""
    if math.inf in (seen.ms, seen.at_least_ms):
        return Cell("failed", "bad")
    few = NOTHING if seen.requests is None else f"{seen.requests} of {required_count(int(figure[1:]) / 100)}"
    return cells.figure(seen.ms, no_less(seen.at_least_ms) or few)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def comparison_sentence(figures: Sequence[FigureVerdict]) -> str:
    """How B compares with A, as a person would say it."""
    if refused := next((one.reason for one in figures if one.refused), ""):
        return f"Not compared: {refused}."
    if silent := next((one.reason for one in figures if one.silent), ""):
        return f"{silent}."
    found = by_endpoint(figures)
    changed = [part for verdict in (Verdict.REGRESSION, Verdict.IMPROVED) for part in _changed(figures, verdict)]
    rest = [one for one in figures if found[one.endpoint] not in (Verdict.REGRESSION, Verdict.IMPROVED)]
    said = "; ".join([*changed, *_others(rest, len(found))]) or "nothing was compared"
    largest = max(rest, key=_size, default=None)
    if Verdict.INCONCLUSIVE in found.values() and not changed and largest and _size(largest) > math.log(1.05):
        said += f"; largest difference: {_told(largest)}"
    return f"{said[0].upper()}{said[1:]}."


def _changed(figures: Sequence[FigureVerdict], verdict: Verdict) -> list[str]:
    """The endpoints of this verdict, the largest change first and with its figures: p95, unless only p50 changed."""
    own = {one.endpoint: one for one in figures if one.verdict == verdict}
    if not own:
        return []
    most, *more = sorted(own.values(), key=_size, reverse=True)
    how = "slower" if verdict == Verdict.REGRESSION else "faster"
    which = f"is {how} at {len(own)} of {_count(len(by_endpoint(figures)))}:" if more else "answers"
    return [", ".join([f"B {which} {_told(most)}", *([_named([one.endpoint for one in more])] if more else [])])]


def _others(rest: Sequence[FigureVerdict], endpoints: int) -> list[str]:
    """What is to be said of the endpoints that were found neither slower nor faster."""
    found, reasons = by_endpoint(rest), _unclear(rest)
    same = [name for name, verdict in found.items() if verdict == Verdict.SAME]
    unclear = [name for name in found if name not in same]
    said = []
    if unclear:
        why = "; ".join(reason.partition("; ")[0] for reason in reasons) if len(reasons) < 3 else ""
        which = _named(unclear) if len(unclear) < endpoints else ""
        where = f"not clear at {len(unclear)} of {_count(endpoints)}"
        said.append(f"{where}{f' ({which})' if which and why else ''}: {why or which or f'{len(reasons)} reasons'}")
    if same:
        most = f"more than {_largest([one for one in rest if one.endpoint in same])}"
        if len(same) == endpoints or unclear:
            where = _count(endpoints) if len(same) == endpoints else f"{len(same)}"
            said.append(f"no difference of {most} at {where}")
        else:
            said.append(f"nothing else changed by {most}")
    return said


def _told(one: FigureVerdict) -> str:
    """A figure of both sides, as in "GET /a in 41.2 ms instead of 27.0 (p95, +52%, +40% to +65%)"."""
    a, b = one.a.ms, one.b.ms
    if a is None or b is None or one.ratio is None or math.inf in (a, b):
        return (
            f"{one.endpoint} ({one.figure}: {_side(one.b, one.figure).text} instead of {_side(one.a, one.figure).text})"
        )
    in_times, between = one.ratio >= 2, one.interval
    ratios = [one.ratio] if between is None else [one.ratio, between.low, between.high]
    change, *ends = [f"{_times(ratio)} times" if in_times else f"{ratio - 1:+.0%}" for ratio in ratios]
    told = ", ".join([one.figure, change, *([" to ".join(ends)] if ends else [])])
    return f"{one.endpoint} in {ms(b)} ms instead of {ms(a)} ({told})"


def _size(one: FigureVerdict) -> float:
    return abs(math.log(one.ratio)) if one.ratio and math.isfinite(one.ratio) else -1.0


def _largest(figures: Sequence[FigureVerdict]) -> str:
    """The largest change that the intervals leave possible, in whole percent."""
    ends = [end for one in figures if one.interval for end in (one.interval.high, 1 / one.interval.low)]
    return f"{math.ceil(100 * (max(ends) - 1) - 1e-9)}%"


def _reasons(figures: Sequence[FigureVerdict]) -> list[str]:
    """Why figures are not clear, each reason once; of a single one what the sentence has not said."""
    found = {} if any(one.refused for one in figures) else _unclear(figures)
    if len(found) == 1 and Verdict.INCONCLUSIVE in by_endpoint(figures).values():
        return list(filter(None, (reason.partition("; ")[2] for reason in found)))
    every = {figure: [one.endpoint for one in figures if one.figure == figure] for figure in FIGURES}
    lines = []
    for reason, of in found.items():
        names = {figure: [one.endpoint for one in of if one.figure == figure] for figure in FIGURES}
        wholly = [f"all {figure}" for figure, some in names.items() if some == every[figure]]
        others = [f"{one.endpoint} {one.figure}" for one in of if names[one.figure] != every[one.figure]]
        lines.append(f"{', '.join([*wholly, *others])}: {reason}")
    return lines


def _unclear(figures: Sequence[FigureVerdict]) -> dict[str, list[FigureVerdict]]:
    """What is not clear, by the reason."""
    found: dict[str, list[FigureVerdict]] = {}
    open_ = [one for one in figures if one.verdict in (None, Verdict.INCONCLUSIVE)]
    mdes = sorted(one.mde for one in open_ if one.mde is not None)
    least = " to ".join(dict.fromkeys(f"{mde:+.0%}" for mde in (mdes[:1] + mdes[-1:])))
    noisy = f"runs differ so much by chance that only changes of {least} or more would show"
    for one in open_:
        found.setdefault(one.reason if one.mde is None else noisy, []).append(one)
    return found


def _count(endpoints: int) -> str:
    return f"{endpoints} endpoint{'s' if endpoints != 1 else ''}"


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join([*names[:_NAMED], *([f"{more} more"] if more > 0 else [])])


def about_runs(a: Facts, b: Facts) -> dict[str, dict[str, Any]]:
    """Who A and B are, of two stored runs."""
    return {side: _about_run(facts) for side, facts in (("a", a), ("b", b))}


def _about_run(facts: Facts) -> dict[str, Any]:
    told = ("run_id", "started_at", "profile", "brief", "note")
    return {"revision": facts.version} | {name: getattr(facts, name) for name in told}


def about_measured(measured: Comparison) -> dict[str, dict[str, Any]]:
    """Who A and B are, of two live sides: the URL or the command, and how many requests it got."""
    kind, found = "command" if measured.restarted else "url", {}
    for side, told in (("a", measured.a), ("b", measured.b)):
        blocks = [block for restart in measured.restarts for block in restart.blocks if block.side == side]
        found[side] = {
            kind: told,
            **{name: sum(getattr(one, name) for one in blocks) for name in ("requests", "errors")},
        }
    return found


def sides(about: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Who A and B are, a line each."""
    return tuple(f"{side.upper()}: {_said(told)}" for side, told in about.items())


def _said(told: Mapping[str, Any]) -> str:
    if "run_id" not in told:
        return f"{told.get('command') or told['url']} ({told['requests']:,} requests, {told['errors']:,} failed)"
    parts = {name: f"{name} {told[name]}" for name in ("brief", "note") if told[name]}
    revision = [f"revision {shown(told['revision'])}"] if told["revision"] else []
    started = f"started {str(told['started_at'])[:16].replace('T', ' ')}"
    return ", ".join([told["run_id"], *revision, started, f"{told['profile']} profile", *parts.values()])


def why_slower(a: str, b: str, options: Options) -> tuple[str, ...]:
    """The command that says why B is slower, where a command can: of stored runs and of URLs."""
    urls = [side.startswith(("http://", "https://")) for side in (a, b)]
    if urls == [True, True]:
        said = shlex.join(["--url", b, "--against", a])
        more = in_words(options.replaced(url="").as_call())
        return (f"`perflib why {' '.join(filter(None, (said, more)))}` says why",)
    return (
        ()
        if any("{port}" in side for side in (a, b)) or any(urls)
        else (f"`perflib why {shlex.join([b, '--against', a])}` says why",)
    )


def remedies(measured: Comparison, options: Options) -> tuple[str, ...]:
    """The command that makes clear what stayed unclear, and how long it takes; none where all is clear."""
    noise_sd = noise_seen(measured)
    if noise_sd is None or measured.state != "finished":
        return ()
    try:
        restarts = measured.plan_at(noise_sd).restarts
    except ValueError as error:
        return (str(error),)
    minutes = restarts * measured.pairs * 2 * measured.block_s / 60
    vary = f"{math.ceil(100 * noise_sd)}%"
    said = {
        "scenario": measured.scenario.name,
        "detect": f"{measured.detect:.3g}",
        "pairs": measured.pairs,
        "noise": vary,
    }
    flags = [word for name, value in said.items() for word in (f"--{name}", str(value))]
    command = " ".join(
        filter(None, ("perflib compare", shlex.join([measured.a, measured.b, *flags]), in_words(options.as_call())))
    )
    nouns = "restarts" if measured.restarted else "groups of blocks"
    return (
        f"{restarts} {nouns} would make it clear, as they vary by {vary}; that takes about "
        f"{minutes:.0f} min: `{command}`",
    )
