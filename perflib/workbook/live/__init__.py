"""Live: a run shown while it is measured, and picked up again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from perflib.spec import InputError
from perflib.store.folders import Workbook
from perflib.store.runs import FACTS, OWNER, RunFolder, load_run
from perflib.store.spool import generator_spool
from perflib.workbook.live.follow import Follower
from perflib.workbook.live.views import View, view_of

if TYPE_CHECKING:
    from pathlib import Path

    from perflib.spec import Run

__all__ = ["View", "attach", "view_of"]

_POLL_S = 1.0
_QUIET_S = 3.0
"""Workers whose owner died get a moment to stop; after so long without a word they are gone."""


def attach(run_id: str = "") -> Run:
    """Pick up a run again, as after a page reload or a dead kernel: show it until it ends, and return it.

    A run whose process died ends as interrupted, with all that was spooled. Stopping here (Ctrl-C, the stop button)
    ends the watching, not a run that another process drives: that is returned as far as it has come.

    Args:
        run_id: of a stored run of this workbook; empty: the one under way, or else the last.

    Raises:
        InputError: where there is no such run.

    >>> import perflib
    >>> perflib.attach("sample-28-release-1.4")
    <Run sample-28-release-1.4: 512 rows in 6 s>
    """
    runs = Workbook.find().runs
    folder = RunFolder(runs / (run_id or _latest(runs)))
    with view_of(folder) as view:
        try:
            _watch(folder, view)
        except KeyboardInterrupt:
            return view.ended(folder.load())
        return view.ended(load_run(runs, folder.path.name))


def _watch(folder: RunFolder, view: View) -> None:
    """Until the run is sealed, or left by all who drove it."""
    follower = Follower(folder)
    while folder.read_facts().state == "running":
        if news := follower.news():
            view.show(news)
        if folder.is_abandoned() and _is_quiet(folder):
            return
        time.sleep(_POLL_S)


def _is_quiet(folder: RunFolder) -> bool:
    spool = generator_spool(folder.path)
    return not spool.exists() or time.time() - spool.stat().st_mtime > _QUIET_S


def _latest(runs: Path) -> str:
    found = [path.parent for path in runs.glob(f"*/{FACTS}")]
    if not found:
        raise InputError(f"{runs}: no stored run yet; perflib.run makes one")
    return max(found, key=lambda path: ((path / OWNER).exists(), path.stat().st_mtime)).name
