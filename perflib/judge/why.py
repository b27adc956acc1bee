"""Why a target is slow: findings from the blocks of an experiment. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from perflib.figures.blocks import Gap, Measured
from perflib.figures.picture import Picture, gaps_by_endpoint, picture_of
from perflib.judge.causes import WAITING, Cause, added_ms, agreeing, causes_of, waiting
from perflib.judge.sentences import Sentences
from perflib.spec.diagnosis import (
    MOST_FINDINGS,
    Anatomy,
    Finding,
    Interference,
    Interval,
    Limit,
    Stall,
    UslPoint,
    WhatIf,
)
from perflib.stats import Floats
from perflib.stats.bootstrap import expanded

_DRAWS, _SURE = 100, 0.75
_LEAST_STALLS, _IDLE = 4, 0.6
_FAILING, _CPU_BOUND = 0.01, 0.8


@dataclass(frozen=True)
class Evidence:
    """The blocks of an experiment on some endpoints, and what follows from them."""

    blocks: tuple[Measured, ...]
    endpoints: tuple[str, ...]
    processes: int = 1
    """Of the target that compute."""
    seed: int = 1
    watched: tuple[Measured, ...] = ()
    """All blocks that were measured, also those for something else: a silence may be in any of them."""

    @cached_property
    def picture(self) -> Picture:
        return picture_of(self.blocks)

    @cached_property
    def draws(self) -> tuple[Picture, ...]:
        """Pictures that resamples of the blocks and of their answers draw (Efron 1979)."""
        draw = np.random.default_rng(self.seed)
        return tuple(picture_of(self.blocks, draw) for _ in range(_DRAWS))

    @cached_property
    def causes(self) -> dict[Cause, float]:
        """What holds endpoints up, and how many of the resamples agree: those that most do."""
        rule = partial(causes_of, processes=self.processes)
        every = agreeing(rule(self.picture), self.draws, rule)
        found = {cause: share for cause, share in every.items() if share >= _SURE}
        sharing = {name for one in found if one.kind == "lock" for name in one.others}
        for cause in [one for one in every if one not in found]:  # what it waits for is not clear; that it waits may be
            share = float(np.mean([cause.endpoint in waiting(picture) for picture in self.draws]))
            if cause.kind in WAITING and share >= _SURE and cause.endpoint not in sharing:
                found[Cause("wait", cause.endpoint)] = share
        return found

    @cached_property
    def stalls(self) -> tuple[Stall, ...]:
        """Stretches in which an idle target answered nothing, whatever was asked; none where one endpoint has them."""
        idle = {
            name: [gap for gap in gaps if not gap.busy_share > _IDLE]
            for name, gaps in gaps_by_endpoint(self._watched).items()
        }
        some = [gap for gaps in idle.values() for gap in gaps]
        most = max((len(gaps) for name, gaps in idle.items() if name), default=0)
        if len(some) < _LEAST_STALLS or most > len(some) / 2 or self._holds_all(some):
            return ()
        return tuple(Stall(at_s=gap.at_s, lasted_s=gap.lasted_s) for gap in sorted(some, key=lambda gap: gap.at_s))

    @property
    def _watched(self) -> tuple[Measured, ...]:
        return self.watched or self.blocks

    def _holds_all(self, gaps: Sequence[Gap]) -> bool:
        """Whether gaps are no longer than an endpoint that blocks the others takes."""
        blocking = [one.endpoint for one in self.causes if one.kind == "blocks"]
        longest_ms = max((self.picture.alone[name].p50_ms for name in blocking), default=0.0)
        users = max((crowd.users for crowd in self.picture.crowd.values()), default=1)
        return 1e3 * float(np.median([gap.lasted_s for gap in gaps])) <= users * longest_ms

    def anatomy(self, name: str) -> Anatomy:
        """Where the time of an endpoint goes, each figure with its interval where two blocks or more tell it."""
        figures, drawn = self.picture.figures(name), [one.figures(name) for one in self.draws]
        blocks = min((self._count(role, name) for role in ("alone", "crowd") if self._count(role, name)), default=0)
        spans = {
            figure: _interval([one.get(figure, np.nan) for one in drawn], value, blocks)
            for figure, value in figures.items()
            if blocks > 1
        }
        told: dict[str, object] = {figure: _known(value) for figure, value in figures.items()}
        if name in self.picture.crowd:
            told["users"] = self.picture.crowd[name].users
        intervals = {figure: span for figure, span in spans.items() if span is not None}
        told |= {"alone_interval_ms": spans.get("alone_p50_ms"), "at_once_interval": spans.get("at_once")}
        sent = sum(block.sent for block in self.blocks if block.endpoint == name)
        return Anatomy.model_validate({"endpoint": name, "requests": sent, "intervals": intervals} | told)

    @property
    def mix(self) -> tuple[UslPoint, ...]:
        """What all endpoints together get through, by the number of users."""
        some = [block for block in self.blocks if block.role == "mix" and block.is_valid]
        some += [block for block in self.blocks if block.role == "alone" and len(self.endpoints) == 1]
        return tuple(
            UslPoint(
                users=users,
                throughput_per_s=float(np.median([block.throughput_per_s for block in some if block.users == users])),
            )
            for users in sorted({block.users for block in some})
        )

    @property
    def limited_by(self) -> Limit:
        """What a crowd on all endpoints comes up against."""
        crowds = [block for block in self.blocks if block.role == "mix" and block.users > 1 and block.is_valid]
        busiest = max((block.cpu_s / block.duration_s for block in crowds), default=np.nan)
        if busiest >= _CPU_BOUND:
            return "cpu"
        kinds = {one.kind for one in self.findings()}
        some: tuple[Limit, ...] = ("blocks", "lock", "limit")
        return next((kind for kind in some if kind in kinds), "unknown")

    def cpu_bound_per_s(self, cores: int) -> float | None:
        """By the utilization law: cores over the CPU time of a request, the mean of all endpoints."""
        used_ms = [one.cpu_ms for one in self.picture.alone.values()]
        mean_ms = float(np.mean(used_ms)) if used_ms else np.nan
        return 1e3 * cores / mean_ms if mean_ms > 0 else None

    @property
    def interference(self) -> tuple[Interference, ...]:
        """What each crowd does to the other endpoints."""
        added, found = added_ms(self.picture), []
        for (victim, aggressor), more_ms in added.items():
            ratio = _ratio(self.picture, victim, aggressor)
            ratios = [_ratio(one, victim, aggressor) for one in self.draws]
            span = _interval(ratios, ratio, max(2, self._count("beside", aggressor)))
            if span is not None:
                found.append(
                    Interference(
                        victim=victim,
                        aggressor=aggressor,
                        ratio=ratio,
                        interval=(span.low, span.high),
                        added_ms=more_ms,
                    )
                )
        return tuple(found)

    def findings(self) -> tuple[Finding, ...]:
        """The causes as sentences, the largest effect on the whole mix first, at most seven."""
        words = Sentences(self.picture)
        some = [words.of(cause, share) for cause, share in self.causes.items()]
        if self.stalls:
            lasted_s = sum(block.duration_s for block in self._watched if block.role != "idle")
            some.append(words.of_stalls(self.stalls, lasted_s))
        some += [
            words.of_failures(name, failed, limited, sent)
            for name, (failed, limited, sent) in self._failures().items()
            if failed > _FAILING * sent
        ]
        some.sort(key=lambda weighed: -weighed.weight)
        return tuple(weighed.finding for weighed in some[:MOST_FINDINGS])

    def _failures(self) -> dict[str, tuple[int, int, int]]:
        """Failed answers, those of them that a rate limit refused, and all, by endpoint."""
        found = {}
        for name in self.endpoints:
            failed = sum(block.failed.get(name, 0) for block in self.blocks)
            good = sum(len(block.answers[name].whole_ms) for block in self.blocks if name in block.answers)
            found[name] = failed, sum(block.limited.get(name, 0) for block in self.blocks), failed + good
        return found

    def _count(self, role: str, name: str) -> int:
        """Valid blocks of a kind."""
        return sum(block.is_valid and (block.role, block.endpoint) == (role, name) for block in self.blocks)


def _interval(drawn: Sequence[float], value: float, blocks: int) -> Interval | None:
    """Of a figure that is not negative, by its resamples of so many blocks; None where some lack it."""
    if not np.isfinite([value, *drawn]).all():
        return None
    span = expanded(np.array(drawn), value, blocks)
    return Interval(low=max(0.0, span.low), high=span.high)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _ratio(picture: Picture, victim: str, aggressor: str) -> float:
    """NaN where a resample lacks one of the two."""
    alone = picture.alone.get(victim)
    return np.nan if alone is None else picture.beside_ms.get((victim, aggressor), np.nan) / alone.p50_ms


def what_if(name: str, blocks: Sequence[Measured], seed: int = 1) -> tuple[WhatIf, ...]:
    """What the others' p95 is without an endpoint, from blocks of the mix with and without it; none without answers."""
    before, after = _others_ms(name, blocks, asked=True), _others_ms(name, blocks, asked=False)
    if not len(before) or not len(after):
        return ()
    draw = np.random.default_rng(seed)
    ratios = [_p95(draw.choice(after, len(after))) / _p95(draw.choice(before, len(before))) for _ in range(_DRAWS)]
    low, high = np.quantile(ratios, [0.025, 0.975])
    span = float(low), float(high)
    return (WhatIf(without=name, before_p95_ms=_p95(before), after_p95_ms=_p95(after), ratio_interval=span),)


def _others_ms(name: str, blocks: Sequence[Measured], *, asked: bool) -> Floats:
    """Times of all endpoints but one, in valid blocks whose mix has it, or lacks it."""
    some = [block.answers for block in blocks if block.is_valid and (name in block.answers) is asked]
    times = [one.whole_ms for answers in some for other, one in answers.items() if other != name]
    return np.concatenate([np.empty(0), *times])


def _p95(values: Floats) -> float:
    return float(np.quantile(values, 0.95))
