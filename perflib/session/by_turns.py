"""Two live systems measured by turns: short blocks of A and B in random order, restart after restart.

Whatever the machine does, it does to both; what the two sides of a restart do not share (memory layout, caches, luck)
is the noise that the verdict is made with.
"""

import math
import os
import random
import secrets
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Literal
from urllib.parse import urlsplit

from perflib.figures.summary import summarize
from perflib.judge.compare import NOISE_SD, Block, Comparison, Restart, Side, is_clear
from perflib.load.consent import check_consent
from perflib.load.engine import drive
from perflib.session.drive import prepare, require_transport
from perflib.session.validity import with_validity
from perflib.spec import Facts, InputError, Options, Target
from perflib.spec.address import target_at
from perflib.spec.workload import is_steady
from perflib.stats.percentile import required_count
from perflib.store.atomic import write_atomically
from perflib.store.comparisons import path_of, read_comparison
from perflib.store.faults import last_line
from perflib.store.folders import Workbook
from perflib.store.runs import RunFolder
from perflib.watch.sampler import Sampler

Say = Callable[[str], None]
At = Callable[[str], Target]
"""The target at a URL of one side."""

SIDES: tuple[Side, Side] = ("a", "b")
_BLOCK_WARMUP_S, _FIRST_WARMUP_S = 0.5, 3.0
_BLOCK_S = (5.0, 30.0)
_NEEDED = 120
"""Requests of the rarest endpoint in a block: a p95 needs 59, and their number varies with the machine's mood."""
_MORE_TRIES = 2
_START_S, _STOP_S = 60.0, 10.0


def compare(
    a: str,
    b: str,
    options: Options | None = None,
    *,
    detect: float = 0.10,
    scenario: str = "light_load",
    pairs: int = 6,
    block_s: float | None = None,
    noise_sd: float = NOISE_SD,
    say: Say = lambda _: None,
) -> Comparison:
    """Measure two URLs, or two commands that are started and restarted, until the answer is clear or the plan is done.

    An interrupt (Ctrl-C, the stop button) keeps what was measured, marked interrupted.

    Args:
        a, b: URLs, or commands that serve on the port they are given as ``{port}``: "uvicorn app:app --port {port}".
        detect: the relative change that the comparison is to see with a power of 90 %.
        scenario: whose load is used; its duration is not.
        pairs: blocks of each side in a restart.
        block_s: how long a block is; unless said, as long as the rarest endpoint needs for a p95, and 30 s at most.
        noise_sd: how much a restart's log ratio is expected to vary; the plan has as many restarts as that takes.
        say: called with a line per restart.

    Raises:
        InputError: where a command does not start, or the scenario does not fit.
    """
    workbook, options = Workbook.find(), options or Options()
    facts = prepare(scenario, options.replaced(url=a if _is_url(a) else ""), workbook)
    alone = _is_url(a) and _is_url(b) and not options.target
    facts = facts.replaced(target=_of_both(facts.target, b)) if alone else facts
    at = partial(_here if alone else _at, facts.target)
    if facts.scenario.isolated or not is_steady(facts.scenario.workload):
        raise InputError(f"{scenario}: its load is not steady; compare under light_load, medium_load or steady_rate")
    if _is_url(a) != _is_url(b):
        raise InputError("compare: one side is a URL and the other is not; give two of a kind")
    workbook.make_data()
    begun = _begun(facts, a, b, detect, pairs, block_s).replaced(noise_sd=noise_sd)
    _check_plan(begun)
    _check_consent(begun, facts, at, say)
    require_transport(facts.target)
    path = path_of(workbook.data, begun.comparison_id)
    return _Turns(begun, facts, path, at, fixed=block_s is not None, say=say).run()


def load_comparison(comparison_id: str) -> Comparison:
    """A stored comparison of two live sides. Raises InputError where there is none.

    >>> import perflib
    >>> perflib.load_comparison("20261127T025346Z-compare-1a2b3c")  # doctest: +SKIP
    """
    data = Workbook.find().data
    return Comparison.parse(read_comparison(data, comparison_id), str(path_of(data, comparison_id)))


def _begun(facts: Facts, a: str, b: str, detect: float, pairs: int, block_s: float | None) -> Comparison:
    """The comparison before its first restart."""
    return Comparison(
        comparison_id=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-compare-{secrets.token_hex(3)}",
        a=a,
        b=b,
        restarted=not _is_url(a),
        scenario=facts.scenario,
        endpoints=tuple(item.name for item in facts.scenario.takes(facts.target)),
        limits_ms={item.name: item.target_ms for item in facts.scenario.takes(facts.target) if item.target_ms},
        detect=detect,
        pairs=pairs,
        block_s=block_s or _BLOCK_S[0],
        seed=facts.seed,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=facts.environment,
    )


def _check_plan(comparison: Comparison) -> None:
    """Refuse a change too small to plan for, before anything is measured."""
    try:
        comparison.plan  # noqa: B018 - it is made as it is asked for
    except ValueError as error:
        raise InputError(f"--detect: {error}") from None


def _check_consent(comparison: Comparison, facts: Facts, at: At, say: Say) -> None:
    """Say what other hosts are about to get in all, or raise InputError where that was not allowed."""
    most_s = comparison.plan.restarts * comparison.pairs * _BLOCK_S[1]
    whole = facts.scenario.lasting(most_s)
    for side in (comparison.a, comparison.b):
        told = check_consent(at(side), whole) if _is_url(side) else ""
        if told:
            say(told)


def _at(target: Target, url: str) -> Target:
    return target.at(url, "compare")


def _here(target: Target, url: str) -> Target:
    """The target whose one GET is this very URL; its endpoint bears the name of both sides'."""
    there = target_at(url, "compare")
    endpoint = there.endpoints[0].replaced(name=target.endpoints[0].name)
    return target.replaced(base_url=there.base_url, endpoints=(endpoint,))


def _of_both(target: Target, b: str) -> Target:
    names = dict.fromkeys(one.endpoints[0].name for one in (target, target_at(b, "compare")))
    return target.replaced(endpoints=(target.endpoints[0].replaced(name=" | ".join(names)),))


class _Turns:
    """A comparison under way; what is measured is at `path` after every restart."""

    def __init__(self, comparison: Comparison, facts: Facts, path: Path, at: At, *, fixed: bool, say: Say) -> None:
        self._comparison, self._facts, self._path, self._at = comparison, facts, path, at
        self._fixed, self._say = fixed, say
        path.parent.mkdir(parents=True)
        self._draw = random.Random(comparison.seed)
        self._began_s = time.monotonic()

    def run(self) -> Comparison:
        planned = self._comparison.plan
        state: Literal["finished", "interrupted", "broken"] = "finished"
        broken = ""
        try:
            while len(self._comparison.restarts) < planned.restarts and not is_clear(self._comparison):
                self._keep(restarts=(*self._comparison.restarts, self._restart()))
                self._tell(planned.restarts)
        except KeyboardInterrupt:
            state = "interrupted"
        except _BlockError as error:
            state, broken = "broken", str(error)
        self._keep(state=state, broken=broken)
        return self._comparison

    def _keep(self, **changed: object) -> None:
        self._comparison = self._comparison.replaced(**changed)
        write_atomically(self._path, self._comparison.model_dump_json(indent=1) + "\n")

    def _tell(self, most: int) -> None:
        done = len(self._comparison.restarts)
        left_s = (time.monotonic() - self._began_s) / done * (most - done)
        noun = "restart" if self._comparison.restarted else "group of blocks"
        self._say(f"{noun} {done} of at most {most}; at most {left_s / 60:.0f} min more")

    def _restart(self) -> Restart:
        """Both sides afresh, warmed, then pairs of blocks in random order."""
        told = {"a": self._comparison.a, "b": self._comparison.b}
        blocks: list[Block] = []
        with ExitStack() as serving:
            urls = {side: serving.enter_context(_serving(told[side], self._facts)) for side in self._shuffled()}
            warming_s = min(_FIRST_WARMUP_S, 2 * self._comparison.block_s)
            warm = [self._warm(side, urls, warming_s) for side in self._shuffled()]
            if any(block.is_silent for block in warm) and not (
                self._comparison.restarts or self._facts.target.keep_going
            ):
                return Restart(blocks=tuple(warm))  # it is clear: nothing more is to be measured
            if not self._comparison.restarts:
                self._settle(min(block.requests for block in warm) / warming_s)
            for _ in range(self._comparison.pairs):
                blocks += [self._block(side, urls, self._comparison.block_s) for side in self._shuffled()]
        return Restart(blocks=tuple(blocks))

    def _settle(self, rate_per_s: float) -> None:
        """How long a block is, by the pace of the slower side; say which endpoints have no p95 in so long a block."""
        items = self._facts.scenario.takes(self._facts.target)
        whole = sum(item.weight for item in items)
        each_per_s = {item.name: rate_per_s * item.weight / whole for item in items}
        if not self._fixed:
            self._keep(block_s=_long_enough(min(each_per_s.values())))
        if told := _without_p95(each_per_s, self._comparison.block_s):
            self._say(told)

    def _shuffled(self) -> list[Side]:
        return self._draw.sample(SIDES, 2)

    def _warm(self, side: Side, urls: Mapping[Side, str], duration_s: float) -> Block:
        """A side that answers nothing may be starting still: it is asked twice before that is its verdict."""
        block = self._block(side, urls, duration_s)
        return self._block(side, urls, duration_s) if block.is_silent else block

    def _block(self, side: Side, urls: Mapping[Side, str], duration_s: float) -> Block:
        """Measured again where its load generator was disturbed; the last try, where it always was."""
        block = self._measured(side, urls, duration_s)
        for _ in range(_MORE_TRIES):
            if block.invalid and not block.is_silent:
                self._say(f"a block of {side.upper()} is measured again: {block.invalid}")
                block = self._measured(side, urls, duration_s)
        return block

    def _measured(self, side: Side, urls: Mapping[Side, str], duration_s: float) -> Block:
        scenario = self._facts.scenario.lasting(duration_s, min(_BLOCK_WARMUP_S, duration_s / 4))
        target = self._at(urls[side])
        seed = self._draw.randrange(2**31)
        facts = self._facts.replaced(scenario=scenario, target=target, seed=seed, setup=None)
        with TemporaryDirectory() as scratch, RunFolder.create(Path(scratch), facts) as folder:
            sampling = Sampler(None, folder.path)
            outcome = drive(facts, folder.path, begun=sampling.begin)
            if outcome.stopped:
                raise KeyboardInterrupt
            if outcome.broken:
                raise _BlockError(outcome.broken)
            if outcome.cut:
                raise InputError(f"{urls[side]}: {outcome.cut}; mend that side, or use --keep-going")
            ended = facts.replaced(state="finished", parts=outcome.parts, generator=outcome.generator)
            ended = with_validity(ended, folder, sampling)
            folder.seal(ended)
            rows = summarize(folder.load()).endpoints
        return Block(
            side=side,
            p50_ms={row.endpoint: row.judged_p50_ms for row in rows},
            p95_ms={row.endpoint: row.judged_p95_ms for row in rows},
            requests=sum(row.requests for row in rows),
            errors=sum(row.judged_errors for row in rows),
            invalid="; ".join(ended.invalid_reasons),
        )


class _BlockError(Exception):
    """A block that the load generator did not measure to its end."""


def _long_enough(rarest_per_s: float) -> float:
    """A block in which the rarest endpoint gets `_NEEDED` requests; within bounds, whole seconds."""
    least, most = _BLOCK_S
    return float(min(most, max(least, math.ceil(_NEEDED / rarest_per_s)))) if rarest_per_s else most


def _without_p95(each_per_s: Mapping[str, float], block_s: float) -> str:
    """Which endpoints get too few requests in a block for a p95, and how long a block would have to be."""
    needed = required_count(0.95)
    few = {name: per_s * block_s for name, per_s in each_per_s.items() if per_s * block_s < needed}
    if not few:
        return ""
    counts = ", ".join(f"{name} about {count:.0f}" for name, count in few.items())
    rarest_per_s = min(each_per_s.values())
    mend = f"; --block {math.ceil(_NEEDED / rarest_per_s)}s has enough" if rarest_per_s else ""
    return f"in a block of {block_s:g} s a p95 needs {needed} requests, but {counts} come: p50 judges alone there{mend}"


def _is_url(side: str) -> bool:
    return side.startswith(("http://", "https://"))


@contextmanager
def _serving(side: str, facts: Facts) -> Iterator[str]:
    """The base URL of a side; a command is started, on a free port, and ended afterwards with all its processes."""
    if _is_url(side):
        yield side
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    if facts.target.token_env and not os.environ.get(facts.target.token_env):
        os.environ[facts.target.token_env] = secrets.token_urlsafe(24)  # for the command and the load generator alike
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            command = shlex.split(side.replace("{port}", str(port)))
            server = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{side!r}: cannot be started ({error}); give a URL, a stored run, or a command") from None
        try:
            _wait_until_up(_Started(side, server, said, facts.target.secrets), port)
            yield f"http://127.0.0.1:{port}{urlsplit(facts.target.base_url).path}"
        finally:
            _end(server)


@dataclass(frozen=True)
class _Started:
    """A command that was started; `secrets` are the variables whose values are shown in no message of ours."""

    command: str
    process: subprocess.Popen[bytes]
    said: IO[str]
    secrets: tuple[str, ...]

    def last_line(self) -> str:
        last = last_line(self.said)
        for value in filter(None, map(os.environ.get, self.secrets)):
            last = last.replace(value, "***")
        return last


def _wait_until_up(started: _Started, port: int) -> None:
    until_s, process = time.monotonic() + _START_S, started.process
    while time.monotonic() < until_s:
        if process.poll() is not None:
            told = f"ended with status {process.returncode} before it listened: {started.last_line()}"
            raise InputError(f"{started.command!r}: {told}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    mend = "" if "{port}" in started.command else "; let it listen on {port}"
    raise InputError(f"{started.command!r}: does not listen on 127.0.0.1:{port} after {_START_S:.0f} s{mend}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask the command's process group to end; make it, if it does not."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(subprocess.TimeoutExpired):
            with suppress(ProcessLookupError):
                os.killpg(server.pid, how)
            server.wait(timeout=_STOP_S)
            return
