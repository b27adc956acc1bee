"""A scenario as a table: what the built-in scenarios and a target file's ``[scenario.NAME]`` say."""

from typing import Any, Literal

from pydantic import PositiveInt

from perflib.spec.load import Load

Profile = Literal["quick", "brief"]


class Quick(Load):
    """What the quick profile of a scenario changes."""

    enough_successes: PositiveInt | None = None


class ScenarioTable(Load):
    """A scenario as a table. Its own numbers are the brief profile's; the quick profile keeps its own duration.

    Over a built-in scenario a target file's table changes some of it; under another name it is a scenario of its own.
    None: as the built-in scenario says, else as described.
    """

    title: str | None = None
    """What the scenario is, in a few words; the load is added."""
    endpoints: tuple[str, ...] | None = None
    """Only these endpoints and pages (all)."""
    isolated: bool | None = None
    """Each endpoint and page alone, one after the other (no)."""
    enough_successes: PositiveInt | None = None
    """Where isolated: go on to the next endpoint after so many successes."""
    hot_only: bool | None = None
    """Only what the target file calls hot (no)."""
    pages: bool | None = None
    """Whether pages are part of the load (yes)."""
    forbid_5xx: bool | None = None
    """Whether one answer with a 5xx status is a finding (no)."""
    quick: Quick = Quick()
    """What the quick profile changes, such as ``{ duration = "10s" }``."""

    def load(self, profile: Profile, quick_s: float | None = None) -> Load:
        """The load of a profile. `quick_s`: how long the quick profile is where this table does not say."""
        if profile == "brief":
            return Load.model_validate(self.said())
        own = {name: value for name, value in self.said().items() if name != "duration"}
        lasting = {"duration": quick_s} if quick_s and (self.stages or self.duration) else {}
        return self.quick.over(Load.model_validate(own | lasting))

    def traits(self, profile: Profile) -> dict[str, Any]:
        """What this table says beside its load."""
        names = set(ScenarioTable.model_fields) - set(Load.model_fields) - {"quick"}
        said = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if profile == "quick" and self.quick.enough_successes:
            said["enough_successes"] = self.quick.enough_successes
        return said
