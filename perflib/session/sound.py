"""Sound runs: a fresh run that its load generator made invalid is measured again, within bounds."""

from collections.abc import Callable, Sequence

from perflib.judge.baseline import unfit
from perflib.judge.validity import may_pass
from perflib.session.drive import Watch, run
from perflib.spec import Options, Run

_SPARE = 2


class SoundRuns:
    """Measures a scenario `count` times; invalid runs are measured again, half as many at the most, or two.

    Not where that cannot help: the run was cut or interrupted, this machine refused connections, its name is given.
    """

    def __init__(self, name: str, options: Options, count: int, say: Callable[[str], None], watch: Watch) -> None:
        self._name, self._options, self._say, self._watch = name, options, say, watch
        self.left_out: list[str] = []
        """Which runs were, and why, a line each."""
        self._spare = 0 if options.run_id else max(_SPARE, count // 2)

    def measure(self) -> Run:
        """The next run; the last try of it where all of them were invalid."""
        while True:
            measured = run(self._name, self._options, watch=self._watch)
            facts = measured.facts
            if facts.valid or facts.state != "finished" or not self._spare or not may_pass(facts.generator):
                return measured
            self._spare -= 1
            self._leave_out(measured)
            self._say(f"{self._name}: once more")

    def without_unfit(self, runs: Sequence[Run]) -> list[Run]:
        """Those that can be judged, where they are half of them and none was broken off; else all of them."""
        fit = [one for one in runs if not unfit(one)]
        broken = any(one.facts.state == "broken" for one in runs)
        if broken or len(fit) == len(runs) or 2 * len(fit) < len(runs):
            return list(runs)
        for one in runs:
            if unfit(one):
                self._leave_out(one)
        return fit

    def _leave_out(self, one: Run) -> None:
        self.left_out.append(f"{self._name}: run {one.facts.run_id} is left out: {'; '.join(unfit(one))}")
        self._say(self.left_out[-1])
