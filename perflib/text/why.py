"""Why: a diagnosis as a table. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from perflib.show.numbers import NOTHING, ms, share
from perflib.show.table import Cell, Row, Table, numbers, row, words
from perflib.spec.diagnosis import Anatomy, Ceiling, CodeShare, Diagnosis, Finding, Interference, Slow, WhatIf

_MATTERS = 1.2
_MOST_PAIRS, _MOST_CODE, _MOST_CHANGES = 8, 3, 12
_SOUND = "Nothing stands out: no endpoint is held up by more than its own work, as far as was looked"
_NONE = "Nothing was measured: no request was answered after warm-up"
_PARTS = (
    "Alone: one user. Crowd: several users, or the load of the run. At once: how many requests were truly served at "
    "the same time, by Little's law. Medians per request; below them 95 % intervals, by how the blocks differ."
)


def tables(found: Diagnosis) -> tuple[Table, ...]:
    """All that is told of a diagnosis, in its order; a table without a row is left out.

    The slowest requests are those of a stored run: experiments have put together what was under way.
    """
    more = (anatomy(found),) if found.live else (anatomy(found), slowest(found))
    return (diagnosis(found), *(one for one in more if one.rows))


def diagnosis(found: Diagnosis) -> Table:
    """The findings as numbered sentences, the largest first; then who holds up whom, the code, the ceiling, notes."""
    rows = (_row for number, one in enumerate(found.findings, 1) for _row in _finding_rows(number, one))
    return Table(
        (*numbers("No."), *words("Finding")),
        tuple(rows),
        _title(found),
        tuple(map(_sentence, _notes(found))),
        "diagnosis",
        head=False,
    )


def anatomy(found: Diagnosis) -> Table:
    """Where the time of each endpoint goes, and the intervals below it; columns that no endpoint has are left out."""
    some = _measured(found)
    columns = _columns(some)
    return Table(
        columns=(*words("Endpoint"), *numbers(*(one.title for one in columns))),
        rows=tuple(row_ for one in some for row_ in _anatomy_rows(one, columns)),
        title="Where the time of a request goes",
        notes=(_PARTS,),
        id="anatomy",
    )


def slowest(found: Diagnosis) -> Table:
    """The slowest requests, and what was under way as each began."""
    times = numbers("Second", "ms", "Waiting, ms", "Receiving, ms", "Connecting, ms")
    return Table(
        (*words("Endpoint"), *times, *words("Under way")),
        tuple(_slow_row(one) for one in found.slowest),
        "The slowest requests" if found.slowest else "No request was answered.",
        id="slowest-requests",
    )


def _finding_rows(number: int, one: Finding) -> tuple[Row, Row]:
    where = f", in {one.where}" if one.where else ""
    sure = f"{share(one.effect, 2)} of the time, {share(one.confidence, 2)} sure"
    return row(f"{number}.", _sentence(f"{one.says}{where} ({sure})")), row("", _sentence(f"Look at: {one.next}"))


def _measured(found: Diagnosis) -> list[Anatomy]:
    return [one for one in found.endpoints if one.alone_p50_ms is not None or one.crowd_p50_ms is not None]


def _slow_row(one: Slow) -> Row:
    parts = (ms(value) for value in (one.ms, one.waiting_ms, one.receiving_ms, one.connect_ms))
    return row(one.endpoint, f"{one.at_s:,.2f}", *parts, _under_way(one) or NOTHING)


def _under_way(one: Slow) -> str:
    return ", ".join(f"{count} × {name}" for name, count in one.under_way.items())


def _title(found: Diagnosis) -> str:
    """The answer in a sentence."""
    reasons = "; ".join(found.invalid_reasons)
    doubt = f" (invalid: {reasons})" if reasons else "" if found.valid else " (invalid)"
    if found.findings:
        one = found.findings[0]
        more = f"; {len(found.findings) - 1} more below" if len(found.findings) > 1 else ""
        return f"Why {found.target} is slow{doubt}: {_in_words(one)}{more}"
    return f"{_SOUND if _measured(found) else _NONE}{doubt}"


_KINDS = {
    "cpu": "it computes",
    "wait": "it waits",
    "transfer": "its answers are long in coming",
    "blocks": "it blocks the server",
    "lock": "a lock",
    "limit": "a limit on how many are served at once",
    "stall": "stalls",
    "saturated": "its CPU is the bound",
    "queue": "requests queue",
    "cold": "cold answers",
    "errors": "failures",
    "rate_limited": "a rate limit",
    "connect": "new connections",
    "level_change": "a change during the run",
}


def _in_words(one: Finding) -> str:
    return f"{one.endpoint}: {_KINDS[one.kind]}" if one.endpoint else _KINDS[one.kind]


def _notes(found: Diagnosis) -> Iterable[str]:
    yield from map(_what_if, found.what_if)
    yield from (_code(one) for one in sorted(found.code, key=lambda one: -one.share)[:_MOST_CODE])
    if found.ceiling is not None:
        yield _ceiling(found.ceiling)
    yield from map(_pair, _that_matter(found.interference))
    yield from (f"Changed: {one.says}" for one in found.changes[:_MOST_CHANGES])
    if found.against and not found.changes:
        yield f"nothing changed beyond noise against {found.against}"
    yield from found.notes
    if found.live:
        yield f"kept: `perflib why {found.diagnosis_id}` shows this again"


@dataclass(frozen=True)
class _Column:
    """A figure of `Anatomy` by its title, and how it is written."""

    title: str
    name: str
    form: Callable[[float], str] = ms

    def cell(self, one: Anatomy) -> str:
        """Empty where it is not known."""
        value = getattr(one, self.name)
        return "" if value is None or (self.name == "users" and not value) else self.form(value)

    def between(self, one: Anatomy) -> str:
        """Its interval; empty where it is not known."""
        ends = one.intervals.get(self.name) if self.cell(one) else None
        return "" if ends is None else f"{self.form(ends.low)} to {self.form(ends.high)}"


_COLUMNS = (
    _Column("Alone p50, ms", "alone_p50_ms"),
    _Column("CPU, ms", "cpu_ms"),
    _Column("Ready, ms", "queue_ms"),
    _Column("Waiting, ms", "waiting_ms"),
    _Column("Receiving, ms", "receiving_ms"),
    _Column("Connecting, ms", "connect_ms"),
    _Column("Crowd p50, ms", "crowd_p50_ms"),
    _Column("Crowd CPU, ms", "crowd_cpu_ms"),
    _Column("Crowd waiting, ms", "crowd_waiting_ms"),
    _Column("Crowd receiving, ms", "crowd_receiving_ms"),
    _Column("Users", "users", "{:.0f}".format),
    _Column("At once", "at_once", "{:.1f}".format),
    _Column("Cores", "cores_used", "{:.2f}".format),
    _Column("Requests", "requests", "{:,.0f}".format),
)


def _columns(some: list[Anatomy]) -> list[_Column]:
    """Those that an endpoint has; without connecting where connections were kept."""
    cells = {one: {one.cell(endpoint) for endpoint in some} - {""} for one in _COLUMNS}
    return [one for one, told in cells.items() if told - ({"0.00"} if one.name == "connect_ms" else set())]


def _anatomy_rows(one: Anatomy, columns: list[_Column]) -> Iterable[Row]:
    yield row(one.endpoint, *(column.cell(one) or Cell(NOTHING, "quiet") for column in columns))
    between = [column.between(one) for column in columns]
    if any(between):
        yield row(Cell("95 %", "quiet"), *(Cell(text, "quiet") for text in between))


def _that_matter(pairs: Iterable[Interference]) -> list[Interference]:
    """Pairs that are surely apart, the largest first."""
    some = [one for one in pairs if one.ratio >= _MATTERS and one.interval[0] > 1]
    return sorted(some, key=lambda one: -one.ratio)[:_MOST_PAIRS]


def _pair(one: Interference) -> str:
    low, high = one.interval
    added = "" if one.added_ms is None else f", {ms(one.added_ms)} ms more"
    return f"{one.victim} beside {one.aggressor}: × {one.ratio:.2f} ({low:.2f} to {high:.2f}){added}"


def _code(one: CodeShare) -> str:
    return f"{one.endpoint}: {share(one.share, 2)} of the samples were in {one.function} ({one.file}:{one.line})"


def _ceiling(one: Ceiling) -> str:
    low, high = one.interval
    by = "what limits it is not known" if one.limited_by == "unknown" else f"limited by: {one.limited_by}"
    bound = "" if one.cpu_bound_per_s is None else f"; its CPU would allow {one.cpu_bound_per_s:,.0f}/s"
    told = f"; {one.told}" if one.told else ""
    missed = [probe.rate_per_s for probe in one.probes if not probe.met]
    if missed and len(missed) == len(one.probes):
        return f"A limit is missed at {min(missed):,.0f} requests/s already, the lowest rate that was tried{told}"
    return f"Every limit holds up to {one.rate_per_s:,.0f} requests/s ({low:,.0f} to {high:,.0f}), {by}{bound}{told}"


def _what_if(one: WhatIf) -> str:
    low, high = one.ratio_interval
    before, after = ms(one.before_p95_ms), ms(one.after_p95_ms)
    return f"Without {one.without} the p95 of the others went from {before} to {after} ms (× {low:.2f} to {high:.2f})"


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "?", "!")) else f"{text}."
