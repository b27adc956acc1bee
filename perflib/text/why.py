"""A diagnosis as tables: its findings in sentences, then where the time of each endpoint goes."""

from collections.abc import Iterator

from perflib.show.numbers import NOTHING, ms, share
from perflib.show.table import Row, Table, numbers, row, words
from perflib.spec.diagnosis import Anatomy, Ceiling, Diagnosis, Finding, WhatIf

_LIMITED_BY = {
    "cpu": "the CPU",
    "limit": "a limit such as a pool",
    "blocks": "an endpoint that blocks the others",
    "lock": "a lock",
    "unknown": "something that the experiments do not name",
}
_MOST_CHANGES = 12


def diagnosis(found: Diagnosis) -> Table:
    """What was found, the largest effect first; what changed; what the experiments say of the whole."""
    said = [f"{number}. {_sentence(one)}" for number, one in enumerate(found.findings, start=1)]
    changes = [f"Changed: {one.says}." for one in found.changes[:_MOST_CHANGES]]
    if found.against and not changes:
        changes = [f"Nothing changed beyond noise against {found.against}."]
    whole = [_of_what_if(one) for one in found.what_if] + ([_of_ceiling(found.ceiling)] if found.ceiling else [])
    notes = [f"{note[:1].upper()}{note[1:]}." for note in found.notes]
    return Table((), (), _title(found), (*said, *changes, *whole, *notes), id="findings")


def anatomy(found: Diagnosis) -> Table:
    """Where the time of each endpoint goes, alone and in a crowd, and the function that has most of its samples.

    Of a stored run it is its time under the load of the run.
    """
    if not found.live:
        return _observed(found)
    rows = tuple(_row(one, found) for one in found.endpoints)
    columns = numbers("alone p50, ms", "CPU", "waiting", "receiving", "in a crowd, ms", "at once", "cores")
    return Table((*words("Endpoint"), *columns, *words("Most samples in")), rows, "Where the time goes", id="anatomy")


def _observed(found: Diagnosis) -> Table:
    columns = numbers("p50, ms", "waiting", "receiving", "connecting", "requests")
    rows = (
        row(
            one.endpoint,
            ms(_either(one.crowd_p50_ms, one.alone_p50_ms), NOTHING),
            ms(_either(one.crowd_waiting_ms, one.waiting_ms), NOTHING),
            ms(_either(one.crowd_receiving_ms, one.receiving_ms), NOTHING),
            ms(one.connect_ms, NOTHING),
            f"{one.requests:,}",
        )
        for one in found.endpoints
    )
    return Table((*words("Endpoint"), *columns), tuple(rows), "Where the time went", id="anatomy")


def _either(one: float | None, other: float | None) -> float | None:
    return other if one is None else one


def _title(found: Diagnosis) -> str:
    if found.invalid_reasons:
        return f"Why {found.target} is slow cannot be told: {'; '.join(found.invalid_reasons)}"
    if not found.findings:
        how = "in the experiments" if found.live else "in this run; experiments may tell more (`perflib why`)"
        return f"Nothing stands out {how}: no endpoint of {found.target} waits, blocks or computes beyond the others"
    count = len(found.findings)
    return f"Why {found.target} is slow: {count} finding{'s' if count > 1 else ''}, the largest effect first"


def _sentence(one: Finding) -> str:
    where = f" In the code: {one.where}." if one.where else ""
    sure = f"{share(one.effect, 2)} of its time, {share(one.confidence, 2)} of resamples agree"
    return f"{one.says}.{where} ({sure}.) Look at: {one.next}."


def _of_what_if(one: WhatIf) -> str:
    low, high = one.ratio_interval
    return (
        f"What if: without {one.without} in the mix the others' p95 goes from {ms(one.before_p95_ms)} to "
        f"{ms(one.after_p95_ms)} ms (× {low:.2f} to {high:.2f})."
    )


def _of_ceiling(one: Ceiling) -> str:
    low, high = one.interval
    bound = f"; its CPU allows {one.cpu_bound_per_s:,.3g} at most" if one.cpu_bound_per_s else ""
    told = f" ({one.told})" if one.told else ""
    missed = [probe.rate_per_s for probe in one.probes if not probe.met]
    if missed and not any(probe.met for probe in one.probes):
        return f"Ceiling: below {min(missed):,.3g} requests per second, the lowest rate that was tried{bound}{told}."
    return (
        f"Ceiling: every limit holds up to {one.rate_per_s:,.3g} requests per second ({low:,.3g} to {high:,.3g}), "
        f"bound by {_LIMITED_BY[one.limited_by]}{bound}{told}."
    )


def _row(one: Anatomy, found: Diagnosis) -> Row:
    first = next((code for code in found.code if code.endpoint == one.endpoint), None)
    place = f"{first.function} ({first.file}:{first.line}), {share(first.share, 2)}" if first else NOTHING
    return row(one.endpoint, *_figures(one), place)


def _figures(one: Anatomy) -> Iterator[str]:
    for value in (one.alone_p50_ms, one.cpu_ms, one.waiting_ms, one.receiving_ms, one.crowd_p50_ms):
        yield ms(value, NOTHING)
    yield NOTHING if one.at_once is None else f"{one.at_once:.1f} of {one.users}"
    yield NOTHING if one.cores_used is None else f"{one.cores_used:.2f}"
