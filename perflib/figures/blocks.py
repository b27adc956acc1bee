"""Blocks: what each block of an experiment measured. Pure."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from perflib.spec import Blocks, Run
from perflib.spec.run import Part
from perflib.spec.ticks import Ticks
from perflib.spec.workload import Block
from perflib.stats import Floats

Role = Literal["idle", "alone", "crowd", "beside", "mix"]
MAX_LOST_SHARE, MIN_LOST_MS = 0.25, 1.0
"""A block whose users lost more of their time to the load generator, and so long a request, did not offer its load."""
_LEAST_STALL_MS, _STALL_TIMES, _FEW = 80.0, 4.0, 3
"""A stretch without an answer is looked at where it is longer than both: this, and so many usual answers."""


@dataclass(frozen=True)
class Answers:
    """Successes of an endpoint in a block. Milliseconds, shape (answers,)."""

    whole_ms: Floats
    receiving_ms: Floats
    connect_ms: Floats
    """0: the connection was kept."""


@dataclass(frozen=True)
class Gap:
    """A stretch in which nothing was answered, though users waited all the time."""

    at_s: float
    """From the beginning of the experiment."""
    lasted_s: float
    busy_share: float
    """How much of it the target computed, or was ready to without a core. NaN: not known."""


@dataclass(frozen=True)
class Measured:
    """One block."""

    role: Role
    endpoint: str
    """That the block is about; empty: all of its mix, or none."""
    users: int
    duration_s: float
    answers: dict[str, Answers]
    """By endpoint. The probing users of a block beside never ask for its own."""
    ended: int
    """Successes that ended in the block, of the first crew."""
    failed: dict[str, int]
    """By endpoint."""
    limited: dict[str, int]
    """Answers with status 429, by endpoint."""
    sent: int
    cpu_s: float
    """Of the target; NaN: not known."""
    queue_s: float
    lost_share: float
    lost_ms: float
    gaps: tuple[Gap, ...]

    @property
    def is_valid(self) -> bool:
        """Whether the load generator offered its load."""
        return self.lost_share <= MAX_LOST_SHARE or self.lost_ms <= MIN_LOST_MS

    @property
    def throughput_per_s(self) -> float:
        return self.ended / self.duration_s


def role_of(block: Block) -> Role:
    """What a block is for, by its crews."""
    if not block.crews:
        return "idle"
    if len(block.crews) > 1:
        return "beside"
    if len(block.items) > 1:
        return "mix"
    return "alone" if block.users == 1 else "crowd"


def measured_blocks(run: Run, ticks: Ticks, begun_s: float = 0.0) -> tuple[Measured, ...]:
    """The blocks of a run that were measured, the one under way at an early end left out.

    Args:
        begun_s: when the run began, from the beginning of the experiment.
    """
    workload = run.facts.scenario.workload
    assert isinstance(workload, Blocks)
    whole = len(run.facts.parts) if run.facts.state == "finished" else max(0, len(run.facts.parts) - 1)
    pairs = list(zip(workload.blocks, run.facts.parts, strict=False))[:whole]
    return tuple(_measured(run, block, part, ticks, begun_s) for block, part in pairs)


def _measured(run: Run, block: Block, part: Part, ticks: Ticks, begun_s: float) -> Measured:
    requests = run.requests
    from_ns, to_ns = part.measured_from_ns, part.measured_to_ns
    within = requests[requests["start_ns"].between(from_ns, to_ns, inclusive="left")]
    begun = pd.concat([within, _early(run, block, part, within)])
    good = begun[begun["error"].isna()]
    first = block.crews[0].users if block.crews else 0
    ends = requests[requests["error"].isna() & requests["end_ns"].between(from_ns, to_ns, inclusive="left")]
    ours = ends[ends["user"] < first]
    spent, role = ticks.between(from_ns, to_ns), role_of(block)
    failed = begun[begun["error"].notna()]
    lost_ns = _lost_ns(within)
    return Measured(
        role=role,
        endpoint=block.crews[0].items[0] if role in ("alone", "crowd", "beside") else "",
        users=first,
        duration_s=(to_ns - from_ns) / 1e9,
        answers=_answers(good),
        ended=len(ours),
        failed=_counts(failed),
        limited=_counts(failed[failed["status"] == 429]),
        sent=len(within),
        cpu_s=spent.cpu_s,
        queue_s=spent.waited_s,
        lost_share=lost_ns / max(1, (to_ns - from_ns) * block.users),
        lost_ms=lost_ns / 1e6 / max(1, len(within)),
        gaps=_gaps(run, part, ticks, begun_s) if block.crews else (),
    )


def _early(run: Run, block: Block, part: Part, within: pd.DataFrame) -> pd.DataFrame:
    """Requests that began in the warm-up of a block, of those endpoints of which none began after it: slow ones."""
    begin_ns = part.measured_from_ns - round(1e9 * run.facts.scenario.warmup_s)
    early = run.requests[run.requests["start_ns"].between(begin_ns, part.measured_from_ns, inclusive="left")]
    return early[early["endpoint"].isin(set(block.items) - set(within["endpoint"]))]


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(name): int(count) for name, count in rows["endpoint"].value_counts().items() if count}


def _answers(good: pd.DataFrame) -> dict[str, Answers]:
    """By endpoint."""
    found = {}
    for name, rows in good.groupby("endpoint"):
        start_ns, first_ns, end_ns = (rows[column].to_numpy() for column in ("start_ns", "first_byte_ns", "end_ns"))
        found[str(name)] = Answers(
            (end_ns - start_ns) / 1e6, (end_ns - first_ns) / 1e6, rows["connect_ns"].to_numpy() / 1e6
        )
    return found


def _lost_ns(begun: pd.DataFrame) -> int:
    """The users' time between an answer and their next request."""
    rows = begun.sort_values(["user", "start_ns"])
    same = rows["user"].to_numpy()[1:] == rows["user"].to_numpy()[:-1]
    idle_ns = rows["start_ns"].to_numpy()[1:] - rows["end_ns"].to_numpy()[:-1]
    return int(idle_ns[same & (rows["end_ns"].to_numpy()[:-1] >= 0)].clip(0).sum())


def _gaps(run: Run, part: Part, ticks: Ticks, begun_s: float) -> tuple[Gap, ...]:
    """Stretches between answers that are much longer than an answer usually takes here; none of this machine's own."""
    requests = run.requests
    ended = requests[requests["end_ns"].between(part.measured_from_ns, part.measured_to_ns + 1_000_000_000)]
    ended = ended[ended["start_ns"] < part.measured_to_ns]
    if len(ended) < _FEW:
        return ()
    usual_ms = float(((ended["end_ns"] - ended["start_ns"]) / 1e6).median())
    ends_ns = np.sort(np.r_[part.measured_from_ns, ended["end_ns"].to_numpy()])
    long = np.flatnonzero(np.diff(ends_ns) / 1e6 > max(_LEAST_STALL_MS, _STALL_TIMES * usual_ms))
    found = (_gap(int(ends_ns[place]), int(ends_ns[place + 1]), ticks) for place in long)
    some = (gap for gap in found if gap is not None and not _is_own(gap, run))
    return tuple(replace(gap, at_s=begun_s + gap.at_s) for gap in some)


def _gap(from_ns: int, to_ns: int, ticks: Ticks) -> Gap | None:
    """None where nobody ticked for half of it: the machine stood still."""
    seen_ns = ticks.t_ns[(ticks.t_ns > from_ns) & (ticks.t_ns < to_ns)]
    if len(ticks.t_ns) and np.diff(np.r_[from_ns, seen_ns, to_ns]).max() > (to_ns - from_ns) / 2:
        return None
    spent, lasted_s = ticks.between(from_ns, to_ns), (to_ns - from_ns) / 1e9
    return Gap(from_ns / 1e9, lasted_s, (spent.cpu_s + spent.waited_s) / lasted_s)


def _is_own(gap: Gap, run: Run) -> bool:
    """Whether the load generator itself stood still meanwhile."""
    standstills = run.facts.generator.standstills
    return any(one.at_s < gap.at_s + gap.lasted_s and gap.at_s < one.at_s + one.lasted_s for one in standstills)
