"""Stages: a level (users, or requests per second) that changes over time, linearly within each stage."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, NonNegativeFloat, NonNegativeInt, model_validator

from perflib.spec.values import PositiveDuration, Spec

_STAGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*:\s*(\S+)\s*")


class Stage(Spec):
    """A part of a load: its level goes linearly from `start` to `end`.

    >>> Stage.model_validate("5-100:10s")
    Stage(start=5, end=100, duration_s=10.0)
    """

    start: NonNegativeInt | NonNegativeFloat
    end: NonNegativeInt | NonNegativeFloat
    duration_s: PositiveDuration

    def __str__(self) -> str:
        return f"{self.start:g}-{self.end:g}:{self.duration_s:g}s"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        match = _STAGE.fullmatch(data)
        if match is None:
            raise ValueError(f"{data!r} is not a stage; write 5-100:10s for a level from 5 to 100 within 10 s")
        start, end = (float(level) if "." in level else int(level) for level in match.groups()[:2])
        return {"start": start, "end": end, "duration_s": match[3]}


def _listed(stages: Any) -> Any:
    return [part for part in stages.split(",") if part.strip()] if isinstance(stages, str) else stages


Stages = Annotated[tuple[Stage, ...], BeforeValidator(_listed)]
"""One after the other; validation also takes "5-5:15s, 5-100:10s"."""


def level_at(stages: tuple[Stage, ...], at_s: float) -> float:
    """The level that stages ask for at a moment from their start: linear within a stage, the last one's end after it.

    start ──╱── end     level(t) = start + (end - start) · t / duration
    """
    for stage in stages:
        if at_s < stage.duration_s:
            return stage.start + (stage.end - stage.start) * max(at_s, 0.0) / stage.duration_s
        at_s -= stage.duration_s
    return float(stages[-1].end)


def highest(stages: tuple[Stage, ...]) -> int | float:
    """The highest level of stages."""
    return max(max(stage.start, stage.end) for stage in stages)


def length_s(stages: tuple[Stage, ...]) -> float:
    """How long stages last in all."""
    return sum(stage.duration_s for stage in stages)


def scaled(stages: tuple[Stage, ...], peak: float | None, duration_s: float | None) -> tuple[Stage, ...]:
    """The same shape with another peak, another length, or both. The other levels stay below the new peak."""
    times = 1.0 if duration_s is None else duration_s / length_s(stages)
    was = highest(stages)

    def level(of: float) -> float:
        return of if peak is None else peak if of == was else min(of, peak)

    return tuple(
        Stage(start=level(stage.start), end=level(stage.end), duration_s=stage.duration_s * times) for stage in stages
    )
