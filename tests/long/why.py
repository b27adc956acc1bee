"""Plants a cause in a server and asks why it is slow. `python -m tests.long.why --seeds 10 --sound 40 --keep DIR`.

`--again DIR` judges the experiments kept there once more, as after a change of the rules.

Right is a diagnosis whose first two findings name the planted kind and endpoint; of a lock, either of its two. False is
one that holds a server up (see HOLDS_UP) but was not planted: on a sound server any. A line a trial goes to stderr.
"""

from __future__ import annotations

import argparse
import os
import pickle
import random
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from perflib.judge.why import Evidence
from perflib.session import investigation
from perflib.session.why import why
from perflib.spec import Options
from perflib.spec.diagnosis import Diagnosis
from tests.planted import KINDS, SERVERS, Plant, planted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perflib.spec.diagnosis import Finding

SOUND = "sound"
HOLDS_UP = ("blocks", "lock", "limit", "stall", "wait", "transfer")
CALLED = {"block": "blocks", "drip": "transfer"}
"""What a diagnosis calls a planted kind, where it is another word."""
FUNCTIONS = {
    "cpu": "burn",
    "wait": "wait_without_computing",
    "lock": "sleep_holding_the_lock",
    "limit": "sleep_within_the_limit",
    "drip": "sleep_between_pieces",
    "block": "sleep_on_the_event_loop",
}
SIZES_S = {
    "cpu": (0.008, 0.020),
    "wait": (0.010, 0.040),
    "lock": (0.008, 0.020),
    "limit": (0.008, 0.020),
    "drip": (0.020, 0.050),
    "block": (0.015, 0.030),
    "stall": (0.150, 0.400),
}
CPU_S, MOST_CORES = (0.0005, 0.002, 0.007, 0.0085), 1.6
"""Of a request to each endpoint of the sample dashboard in a crowd. A limit that lets through more computing than so
many cores is none on two: the crowd never comes to it."""


@dataclass(frozen=True)
class Trial:
    """What a diagnosis said of a plant."""

    server: str
    kind: str
    seed: int
    right: bool
    function_right: bool | None
    """None: no profiler was to attach, or the cause is no function of an endpoint."""
    effect: float | None
    """Of the finding that is right."""
    false: tuple[str, ...]
    took_s: float
    valid: bool

    def __str__(self) -> str:
        named = {None: "", True: ", function right", False: ", function WRONG"}[self.function_right]
        false = f", false: {'; '.join(self.false)}" if self.false else ""
        valid = "" if self.valid else ", invalid"
        says = "right" if self.right else "WRONG"
        return f"{self.server} {self.kind} {self.seed}: {says}{named}{false}{valid}, {self.took_s:.0f} s"


def plant_of(kind: str, seed: int) -> Plant:
    """Its endpoint and its size, drawn from `seed`."""
    if kind == SOUND:
        return Plant()
    draw = random.Random(f"{kind} {seed}")
    while True:
        at = () if kind == "stall" else tuple(draw.sample(range(4), 2 if kind == "lock" else 1))
        plant = Plant(kind, at, draw.uniform(*SIZES_S[kind]), draw.uniform(1.5, 3.0), draw.choice((2, 3)))
        if kind != "limit" or plant.at_once / plant.size_s * CPU_S[at[0]] < MOST_CORES:
            return plant


def trial(server: str, kind: str, seed: int, asked: argparse.Namespace, folder: Path) -> Trial:
    """Start the planted server, ask why it is slow, and judge what is said. Keeps the diagnosis."""
    plant = plant_of(kind, seed)
    with planted(server, plant, folder) as site:
        (folder / "t.toml").write_text(site.target, encoding="utf-8")
        options = Options(target="t.toml", profile="quick", pid=site.pid, seed=seed)
        attach = site.is_python and not asked.no_attach
        begun_s = time.monotonic()
        with kept_evidence() as seen:
            diagnosis = why("light_load", options, budget=asked.budget, attach=attach, say=lambda _: None)
        took_s = time.monotonic() - begun_s
    if asked.keep:
        kept = asked.keep / f"{server}-{kind}-{seed}.json"
        kept.write_text(diagnosis.model_dump_json(indent=1), encoding="utf-8")
        kept.with_suffix(".pickle").write_bytes(pickle.dumps((seen[-1], site.paths)))
    return judged(server, kind, seed, diagnosis, site.paths, attach, took_s)


def judged(
    server: str, kind: str, seed: int, diagnosis: Diagnosis, paths: Sequence[str], attach: bool, took_s: float
) -> Trial:
    """Whether a diagnosis is right."""
    plant = plant_of(kind, seed)
    named = [f"GET {paths[number]}" for number in plant.at]
    hits = [finding for finding in diagnosis.findings[:2] if _is_of(finding, plant, named)]
    return Trial(
        server,
        kind,
        seed,
        right=bool(hits) or kind == SOUND,
        function_right=_function_right(diagnosis, plant, named) if attach else None,
        effect=hits[0].effect if hits else None,
        false=tuple(_false(diagnosis, plant, named)),
        took_s=took_s,
        valid=diagnosis.valid,
    )


@contextmanager
def kept_evidence() -> Iterator[list[Evidence]]:
    """What an investigation rests on, the newest last."""
    seen: list[Evidence] = []

    def keeping(*parts: object) -> Evidence:
        seen.append(Evidence(*parts))
        return Evidence(*parts)

    with patch.object(investigation, "Evidence", keeping):
        yield seen


def again(folder: Path) -> Iterator[Trial]:
    """The trials that were kept there, by the rules of now."""
    for path in sorted(folder.glob("*.pickle")):
        server, kind, seed = path.stem.split("-")
        evidence, paths = pickle.loads(path.read_bytes())  # noqa: S301 - written by this module
        diagnosis = Diagnosis.model_validate_json(path.with_suffix(".json").read_text(encoding="utf-8"))
        now = diagnosis.replaced(findings=evidence.findings())
        yield judged(server, kind, int(seed), now, paths, attach=bool(diagnosis.code), took_s=diagnosis.span_s)


def _is_of(finding: Finding, plant: Plant, named: Sequence[str]) -> bool:
    """Whether this finding is the planted cause."""
    if finding.kind != CALLED.get(plant.kind, plant.kind):
        return False
    if plant.kind == "lock":
        return {finding.endpoint, *finding.others} == {*named}
    return finding.endpoint == (named[0] if named else None)


def _false(diagnosis: Diagnosis, plant: Plant, named: Sequence[str]) -> Iterator[str]:
    """Findings that hold up what was not planted; what is planted does make its own endpoint wait."""
    for finding in diagnosis.findings:
        waits = finding.kind == "wait" and finding.endpoint in named and plant.kind in ("lock", "limit", "block")
        if finding.kind in HOLDS_UP and not waits and not _is_of(finding, plant, named):
            yield " ".join(filter(None, (finding.kind, finding.endpoint)))


def _function_right(diagnosis: Diagnosis, plant: Plant, named: Sequence[str]) -> bool | None:
    if plant.kind not in FUNCTIONS:
        return None
    return any(
        FUNCTIONS[plant.kind] in share.function
        for name in named
        for share in [share for share in diagnosis.code if share.endpoint == name][:3]
    )


def table(trials: Sequence[Trial]) -> str:
    """Markdown: of each server and kind how many were right, of how many tried."""
    heads = ("server", "planted", "right", "tried", "function right", "with false kinds", "invalid")
    lines = [f"| {' | '.join((*heads, 'median effect', 'seconds'))} |", "|---|---|" + "---:|" * 7]
    by = sorted(trials, key=lambda one: (one.server, one.kind))
    for (server, kind), group in groupby(by, key=lambda one: (one.server, one.kind)):
        some = list(group)
        effects = [one.effect for one in some if one.effect is not None]
        functions = [one.function_right for one in some if one.function_right is not None]
        counts = (sum(bool(one.false) for one in some), sum(not one.valid for one in some))
        right = "" if kind == SOUND else sum(one.right for one in some)
        where = f"{sum(functions)} of {len(functions)}" if functions else ""
        effect = f"{statistics.median(effects):.2f}" if effects else ""
        took_s = f"{statistics.median(one.took_s for one in some):.0f}"
        lines.append(
            "| " + " | ".join(map(str, (server, kind, right, len(some), where, *counts, effect, took_s))) + " |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    asked = _asked()
    if asked.again:
        kept = list(again(asked.again))
        sys.stderr.writelines(f"{one}\n" for one in kept)
        sys.stdout.write(table(kept))
        return
    if asked.keep:
        asked.keep = asked.keep.absolute()
        asked.keep.mkdir(parents=True, exist_ok=True)
    done: list[Trial] = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "pyproject.toml").touch()
        os.chdir(name)
        os.environ.pop("PERFLIB_DATA", None)
        try:
            for server, kind, seed in _wanted(asked):
                done.append(trial(server, kind, seed, asked, Path(name)))
                sys.stderr.write(f"{done[-1]}\n")
        finally:
            sys.stdout.write(table(done))
            os.chdir("/")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="trials of each kind")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--sound", type=int, default=40, help="trials of a sound server")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS), metavar="cpu,wait,…")
    parser.add_argument("--servers", type=lambda text: text.split(","), default=["sample"], metavar=",".join(SERVERS))
    parser.add_argument("--budget", type=float, default=90.0, help="seconds of a diagnosis")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep each diagnosis as JSON")
    parser.add_argument("--again", type=Path, metavar="DIR", help="judge what was kept there")
    parser.add_argument("--no-attach", action="store_true")
    return parser.parse_args()


def _wanted(asked: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Kinds by turns, so that a trial that is ended early has some of each. A cluster has no lock of its own."""
    for number in range(max(asked.seeds, asked.sound)):
        kinds = [*(asked.kinds if number < asked.seeds else ()), *([SOUND] if number < asked.sound else ())]
        for server in asked.servers:
            for kind in kinds:
                if (server, kind) != ("cluster", "lock"):
                    yield server, kind, asked.first + number


if __name__ == "__main__":
    main()
