"""The performance workbook: drive load at an HTTP API, measure it truthfully, judge it, show it.

Measure, which starts the sample dashboard where no target is named:

>>> import perflib
>>> run = perflib.run("light_load", users=20, duration="30s")  # doctest: +SKIP
>>> run = await perflib.run_async("light_load", target="mine.toml")  # doctest: +SKIP
>>> run = perflib.run_in_process("light_load", target="mine.toml")  # doctest: +SKIP
>>> perflib.compare("http://127.0.0.1:8420", "http://127.0.0.1:8421")  # doctest: +SKIP
>>> perflib.leak_sites(run)  # doctest: +SKIP
>>> perflib.why("light_load", target="mine.toml", attach=True)  # doctest: +SKIP

Look at what was stored, and judge it:

>>> perflib.runs(scenario="light_load")["run_id"].iloc[0]
'sample-01-release-1.0'
>>> run = perflib.load_run("sample-28-release-1.4")
>>> perflib.summarize(run).frame()["target_ms"].to_dict()
{'GET /health': 50.0, 'GET /snapshot': 500.0, 'GET /clients': 200.0, 'GET /signals': 200.0}
>>> perflib.check(["sample-28-release-1.4"], perflib.Options()).exit_status
<ExitStatus.OK: 0>
>>> sorted(one.scenario for one in perflib.stored_baselines().baselines)
['baseline', 'light_load']
>>> perflib.load_run("no-such-run")  # doctest: +IGNORE_EXCEPTION_DETAIL
Traceback (most recent call last):
perflib.InputError: …/no-such-run/run.json: no such run; `perflib history` lists the stored ones
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from perflib.figures.summary import summarize as summarize
    from perflib.judge.changes import changes as changes
    from perflib.judge.compare import shifts as shifts
    from perflib.judge.compare import verdicts as verdicts
    from perflib.judge.knowledge import baseline_ms as baseline_ms
    from perflib.judge.leak import memory_of as memory_of
    from perflib.session.by_turns import compare as compare
    from perflib.session.by_turns import load_comparison as load_comparison
    from perflib.session.check import verdict as verdict
    from perflib.session.in_process import run_async as run_async
    from perflib.session.in_process import run_in_process as run_in_process
    from perflib.session.leaks import leak_sites as leak_sites
    from perflib.session.stored import compare_stored as compare_stored
    from perflib.session.stored import load_run as load_run
    from perflib.session.stored import runs as runs
    from perflib.session.stored import sql as sql
    from perflib.session.stored import stored_baselines as stored_baselines
    from perflib.session.why import why as why
    from perflib.spec import InputError as InputError
    from perflib.spec import Options as Options
    from perflib.spec import Run as Run
    from perflib.text import tables as tables
    from perflib.workbook import charts as charts
    from perflib.workbook.live import attach as attach
    from perflib.workbook.live import check as check
    from perflib.workbook.live import run as run

_ROOMS = {
    "figures.summary": ("summarize",),
    "session.by_turns": ("compare", "load_comparison"),
    "session.check": ("verdict",),
    "session.in_process": ("run_async", "run_in_process"),
    "session.leaks": ("leak_sites",),
    "session.stored": ("compare_stored", "load_run", "runs", "sql", "stored_baselines"),
    "session.why": ("why",),
    "spec": ("InputError", "Options", "Run"),
    "text": ("tables",),
    "judge.changes": ("changes",),
    "judge.compare": ("shifts", "verdicts"),
    "judge.knowledge": ("baseline_ms",),
    "judge.leak": ("memory_of",),
    "workbook": ("charts",),
    "workbook.live": ("attach", "check", "run"),
}
"""The public names, by the room that has them."""

__all__ = sorted(name for names in _ROOMS.values() for name in names)  # noqa: PLE0605 - the names above, once


def __getattr__(name: str) -> object:
    """Import on first use, so that the generator's process starts fast and stays small."""
    if name == "__version__":
        return version("perflib")
    room = next((room for room, names in _ROOMS.items() if name in names), None)
    if room is None:
        raise AttributeError(f"module 'perflib' has no attribute {name!r}")
    if name == "charts":
        import_module("perflib.spec.extras").require_extra("workbook", "perflib.charts")
    home = import_module(f"perflib.{room}")
    return getattr(home, name) if hasattr(home, name) else import_module(f"perflib.{room}.{name}")


def __dir__() -> list[str]:
    return list(__all__)
