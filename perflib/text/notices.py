"""Notices: what a reader should know of a run beside its verdict, a sentence each. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from perflib.figures.failures import failures
from perflib.figures.level import level_change
from perflib.figures.phases import SlowReceiving, Why, slow_receiving
from perflib.figures.summary import Summary
from perflib.judge.flattery import flattered
from perflib.judge.fresh import held_of
from perflib.judge.validity import doubtful
from perflib.show.numbers import ms, size
from perflib.spec import Run
from perflib.text.failures import failure_lines, rate_limit_phrase

UNVERIFIED = (
    "The target's certificate is not verified (tls.verify = false in its file): another server may have answered, and "
    "read what was sent."
)
_WHY_SLOW: dict[Why, str] = {
    "delayed acknowledgement": "the server sends its answer in two parts, and the second waits for a delayed "
    "acknowledgement (Nagle); set TCP_NODELAY or write it at once",
    "large": "most of the time is the transfer of a large answer; compress it, or ask for less of it",
    "in pieces": "the server has begun its answer and is still at work on the rest; look at what it does after its "
    "first byte",
}


def notices(run: Run) -> list[str]:
    """The rate that the target bears, what failed and why, where receiving takes most of the time, caches, doubts."""
    limit = rate_limit_phrase(run)
    explained = [one for one in failures(run) if one.reason]
    told = [*([f"{limit[0].upper()}{limit[1:]}."] if limit else []), *(f"{line}." for line in failure_lines(explained))]
    unchecked = [f"{one}." for one in run.facts.generator.unchecked]
    doubts = [f"{one}." for one in doubtful(run.facts.generator)]
    found = (*unverified_lines(run), *level_lines(run), *told, *slow_receiving_lines(run), *flattered([run]))
    return [*found, *unchecked, *doubts, *_held_cores(run), *_clock_steps(run)]


def why_lines(run: Run, summary: Summary) -> list[str]:
    """The command that says why endpoints or pages miss their limits; an invalid run is not judged."""
    missed = [row.endpoint for row in summary.endpoints if row.meets_target is False and run.facts.valid]
    by_command: defaultdict[str, list[str]] = defaultdict(list)
    for name in missed:
        by_command[run.facts.why(name)].append(name)
    return [f"{_missing(names)} Why? {command}" for command, names in by_command.items()]


def _missing(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last} miss their limits." if most else f"{last} misses a limit."


def unverified_lines(run: Run) -> list[str]:
    """That nobody knows who answered, where the target file asked for it."""
    return [UNVERIFIED] if run.facts.target.is_unverified else []


def _held_cores(run: Run) -> list[str]:
    """That the target had to wait for a core, and who had it."""
    told = held_of(run)
    return [f"{told[0].upper()}{told[1:]}."] if told else []


def level_lines(run: Run) -> list[str]:
    """That all endpoints became slower or faster at a moment of a steady run, and whether the machine did it."""
    found = level_change(run)
    if found is None or not found.is_clear:
        return []
    before, after = found.before, found.after
    times = f"p95 {ms(before.p95_ms)} → {ms(after.p95_ms)} ms, {before.per_s:,.0f} → {after.per_s:,.0f} requests/s"
    line = f"At {found.at_s:.1f} s the level changed: {times}; the figures mix both."
    if found.is_of_the_machine is None:
        return [line]
    waited = f"{before.waited_per_ran:.2f} → {after.waited_per_ran:.2f} s per second of its work"
    if found.is_of_the_machine:
        return [f"{line} Other processes held the cores: the target waited for one {waited}."]
    return [f"{line} It was not the machine's cores: the target waited for one {waited}."]


def _clock_steps(run: Run) -> list[str]:
    """When somebody set the system clock, whose times the kernel stamps answers with."""
    steps = [f"by {one.by_s:+,.3f} s at {one.at_s:.1f} s" for one in run.facts.generator.clock_steps]
    late = "; answers that may have arrived just before that end when they were read"
    return [f"The system clock was set {', '.join(steps)}{late}."] if steps else []


def slow_receiving_lines(run: Run) -> list[str]:
    """Which endpoints' answers take longer to come than to begin, and why."""
    return [f"{_phases_of(one)}: {_WHY_SLOW[one.why]}." for one in slow_receiving(run)]


def _phases_of(one: SlowReceiving) -> str:
    large = f" for {size(one.size_bytes)}" if one.why != "delayed acknowledgement" else ""
    return f"{one.endpoint}: waiting {ms(one.waiting_ms)} ms, receiving {ms(one.receiving_ms)} ms{large}"
