"""What became of one scenario's notebook."""

from dataclasses import dataclass
from functools import cached_property

from perflib.figures.summary import Summary, summarize
from perflib.judge.leak import Memory, memory_of
from perflib.spec import Run, Target
from perflib.spec.exits import ExitStatus


@dataclass(frozen=True)
class Outcome:
    """What became of one scenario's notebook."""

    scenario: str
    page: str
    """File name of its page; empty where nothing ran."""
    run: Run | None = None
    failure: str = ""
    """In one line, why the notebook did not run to its end; empty where it did."""
    interrupted: bool = False
    status: ExitStatus = ExitStatus.OK
    """What a failed notebook makes of its report."""

    @property
    def title(self) -> str:
        return self.run.facts.scenario.title if self.run else titled(self.scenario)

    @property
    def unfit(self) -> str:
        """Why it is told, never judged; empty for a sound one."""
        if self.failure:
            return "its notebook failed"
        if self.run is None:
            return "no run was recorded"
        if not self.run.facts.valid:
            return f"the run is {'broken' if self.run.facts.state == 'broken' else 'invalid'}"
        return "the run was interrupted" if self.run.facts.interrupted else ""

    @cached_property
    def summary(self) -> Summary | None:
        return summarize(self.run) if self.run else None

    @cached_property
    def memory(self) -> Memory | None:
        return memory_of(self.run) if self.run else None


def titled(scenario: str, target: Target | None = None) -> str:
    """A scenario's title: as the target file says, else its name."""
    table = target.scenarios.get(scenario) if target else None
    return (table and table.title) or scenario.replace("_", " ").capitalize()
