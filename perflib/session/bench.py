"""The bench: drives the blocks of an experiment, a run each time, and says what each block measured."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from perflib.figures.blocks import Measured, measured_blocks
from perflib.figures.slow import MOST, in_company, slowest
from perflib.load.engine import drive
from perflib.session.plan import WARMUP_S
from perflib.spec import Facts, InputError
from perflib.spec.diagnosis import Slow
from perflib.spec.workload import Block, Blocks
from perflib.store.runs import RunFolder
from perflib.watch.process import ProcessTree
from perflib.watch.tree_clock import TreeClock


class Bench:
    """Measures blocks at the target of `facts`; its runs are kept in `folder`.

    `sent` counts the requests so far; they stay within `most_requests` in all.
    """

    def __init__(self, facts: Facts, folder: Path, tree: ProcessTree | None, most_requests: int) -> None:
        self._facts, self._folder, self._tree, self._most = facts, folder, tree, most_requests
        self._begun_s = perf_counter()
        self.sent = self._runs = 0
        self.processes = 1
        """Of the target that compute."""
        self.measured = list[Measured]()
        """All blocks so far, whatever for."""
        self.slowest = list[Slow]()
        """Of those in which several endpoints were asked."""

    @property
    def spent_s(self) -> float:
        """Since it was made."""
        return perf_counter() - self._begun_s

    @property
    def requests_left(self) -> int:
        return max(0, self._most - self.sent)

    def measure(self, blocks: Sequence[Block], into: list[Measured] | None = None) -> tuple[Measured, ...]:
        """Drive blocks, one after the other; those that were measured to their end.

        Args:
            into: where they are put too, also where this raises.

        Raises:
            InputError: where the load generator, or the target, gave up.
            KeyboardInterrupt: where its user asked it to stop.
        """
        if not blocks or not self.requests_left:
            return ()
        self._runs += 1
        facts = self._facts_of(blocks)
        begun_s = self.spent_s
        with RunFolder.create(self._folder, facts) as folder, TreeClock(self._tree) as clock:
            outcome = drive(facts, folder.path, begun=clock.begin)
            ended = {"state": outcome.state, "parts": outcome.parts, "generator": outcome.generator}
            folder.seal(facts.replaced(**ended))
            run = folder.load()
        self.sent += len(run.requests)
        measured = measured_blocks(run, clock.ticks, begun_s)
        self.measured += measured
        self.slowest = sorted([*self.slowest, *slowest(in_company(run), begun_s)], key=lambda one: -one.ms)[:MOST]
        if into is not None:
            into += measured
        if outcome.stopped:
            raise KeyboardInterrupt
        if outcome.broken or (outcome.cut and self.requests_left):
            raise InputError(f"{facts.target.name}: {outcome.broken or outcome.cut}")
        self.processes = max(self.processes, clock.ticks.processes)
        return measured

    def _facts_of(self, blocks: Sequence[Block]) -> Facts:
        workload = Blocks(blocks=tuple(blocks))
        scenario = self._facts.scenario.replaced(
            workload=workload,
            duration_s=workload.duration_s,
            warmup_s=WARMUP_S,
            isolated=False,
            enough_successes=None,
            abort_on=None,
        )
        target = self._facts.target.replaced(max_requests=max(1, self.requests_left), keep_going=True)
        name, seed = f"{self._facts.run_id}-{self._runs}", self._facts.seed + self._runs
        return self._facts.replaced(run_id=name, scenario=scenario, target=target, seed=seed, setup=None)
