"""The whole: a page or a journey, which consist of endpoints."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from perflib.spec.endpoint import Endpoint, Weight
from perflib.spec.values import NonNegativeDuration, Share, Spec

PAGE_CONNECTIONS = 6
"""So many parts of a page are on their way at a time, as in a browser."""


class Page(Spec):
    """Endpoints fetched in parallel, as a browser would; its time is the last answer's."""

    name: Annotated[str, Field(min_length=1)]
    loads: Annotated[tuple[str, ...], Field(min_length=1)]
    weight: Weight = 1
    target_ms: PositiveFloat | None = None
    target_p99_ms: PositiveFloat | None = None
    max_errors: Share | None = None
    hot: bool = False


def _check_think_time(value: object) -> object:
    """ "1s" or "1s-3s" as seconds, from and to."""
    ends = [part.strip() for part in value.split("-")] if isinstance(value, str) else value
    if not isinstance(ends, list | tuple):
        ends = [ends]
    if len(ends) not in (1, 2):
        raise ValueError('not a time or a range of times; write "2s" or "1s-3s"')
    return ends[0], ends[-1]


class Journey(Spec):
    """Endpoints asked one after the other by one user; its time is that of its steps together, without the pauses."""

    name: Annotated[str, Field(min_length=1)]
    steps: Annotated[tuple[str, ...], Field(min_length=1)]
    think_time: Annotated[tuple[NonNegativeDuration, NonNegativeDuration], BeforeValidator(_check_think_time)] = (0, 0)
    """Between two steps, in seconds: from and to; each pause is drawn evenly between them."""
    weight: Weight = 1
    target_ms: PositiveFloat | None = None
    target_p99_ms: PositiveFloat | None = None
    max_errors: Share | None = None
    hot: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.think_time[0] > self.think_time[1]:
            raise ValueError("think_time: the range ends before it begins; write the shorter time first")
        return self

    @property
    def loads(self) -> tuple[str, ...]:
        """Its endpoints, as a page has them."""
        return self.steps


Whole = Page | Journey
"""What consists of endpoints."""
Item = Endpoint | Page | Journey
"""What a scenario drives."""
