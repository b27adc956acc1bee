"""The revision: which version of the target answers, in its own words. Pure."""

import re
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from perflib.spec.secret import Header, Variable
from perflib.spec.values import Spec, must

_OF_GIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_HOLDS_CREDENTIALS = re.compile("cookie|authoriz|authenticat", re.IGNORECASE)
_SHOWN = 10


class Revision(Spec):
    """Where a target's revision is found: one of the four; text alone is the revision itself.

    >>> Revision.model_validate("2.4.1").text
    '2.4.1'
    """

    text: Annotated[str, Field(max_length=200)] = ""
    header: Annotated[Header, must(lambda name: not _HOLDS_CREDENTIALS.search(name), "holds credentials")] | None = None
    """Of the target's answers."""
    git: str | None = None
    """A folder, from the target file's: the commit that is checked out there."""
    env: Variable | None = None
    """Its value is stored: no secret."""

    @model_validator(mode="before")
    @classmethod
    def _as_table(cls, data: Any) -> Any:
        return {"text": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(list(filter(None, dict(self).values()))) != 1:
            raise ValueError('write text, { header = "X-Version" }, { git = "../api" } or { env = "GITHUB_SHA" }')
        return self


def shown(revision: object) -> str:
    """A revision as tables and charts show it: a commit by its beginning; empty where none is known.

    >>> shown("0123456789abcdef0123456789abcdef01234567"), shown("2.4.1"), shown(None)
    ('0123456789', '2.4.1', '')
    """
    told = revision if isinstance(revision, str) else ""
    return told[:_SHOWN] if _OF_GIT.fullmatch(told) else told
