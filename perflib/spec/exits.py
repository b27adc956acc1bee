"""The exit status of a command, the same for all of them."""

from collections.abc import Collection
from enum import IntEnum


class ExitStatus(IntEnum):
    """What a command tells its caller. Of several, a finding counts before what could not be judged."""

    OK = 0
    FOUND = 1
    """A regression, a missed limit, a leak, failed requests."""
    WRONG_USE = 2
    """Bad input, told in one line."""
    NOT_JUDGED = 3
    """An invalid run, or no clear answer."""
    FAULT = 70
    """A fault of perflib's own, never of the target."""
    INTERRUPTED = 130

    @classmethod
    def of_all(cls, statuses: Collection["ExitStatus"]) -> "ExitStatus":
        """Of several judgements together."""
        return next((one for one in (cls.INTERRUPTED, cls.FOUND, cls.NOT_JUDGED) if one in statuses), cls.OK)
