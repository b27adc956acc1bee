"""The performance workbook: drive load at an HTTP API, measure it truthfully, judge it, show it.

Measure, which starts the sample dashboard where no target is named:

>>> import perflib
>>> run = perflib.run("light_load", perflib.Options(profile="quick"))  # doctest: +SKIP
>>> run = await perflib.run_async("light_load", perflib.Options(profile="quick"))  # doctest: +SKIP
>>> perflib.compare("http://127.0.0.1:8420", "http://127.0.0.1:8421")  # doctest: +SKIP
>>> perflib.leak_sites(run)  # doctest: +SKIP

Look at what was stored, and judge it:

>>> perflib.runs(scenario="light_load")["run_id"].iloc[0]
'sample-01-release-1.0'
>>> run = perflib.load_run("sample-28-release-1.4")
>>> perflib.summarize(run).frame()["target_ms"].to_dict()
{'GET /health': 50.0, 'GET /snapshot': 500.0, 'GET /clients': 200.0, 'GET /signals': 200.0}
>>> perflib.check(["sample-28-release-1.4"], perflib.Options()).exit_status
0
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
    from perflib.figures.summary import summarize
    from perflib.session.by_turns import compare
    from perflib.session.drive import check, leak_sites, load_run, run, run_async, runs, stored_baselines
    from perflib.spec import InputError, Options, Run
    from perflib.text import tables
    from perflib.verdict.changes import changes
    from perflib.verdict.check import baseline_ms
    from perflib.verdict.compare import compare_stored, shifts, verdicts
    from perflib.verdict.leak import memory_of
    from perflib.workbook import charts
    from perflib.workbook.live import attach

_HOMES = {
    "InputError": "perflib.spec",
    "attach": "perflib.workbook.live",
    "baseline_ms": "perflib.verdict.check",
    "changes": "perflib.verdict.changes",
    "check": "perflib.session.drive",
    "compare": "perflib.session.by_turns",
    "compare_stored": "perflib.verdict.compare",
    "stored_baselines": "perflib.session.drive",
    "shifts": "perflib.verdict.compare",
    "verdicts": "perflib.verdict.compare",
    "Options": "perflib.spec",
    "Run": "perflib.spec",
    "leak_sites": "perflib.session.drive",
    "load_run": "perflib.session.drive",
    "memory_of": "perflib.verdict.leak",
    "run": "perflib.session.drive",
    "run_async": "perflib.session.drive",
    "runs": "perflib.session.drive",
    "summarize": "perflib.figures.summary",
}
_MODULES = {"charts": "perflib.workbook.charts", "tables": "perflib.text.tables"}

__all__ = [
    "InputError",
    "Options",
    "Run",
    "attach",
    "baseline_ms",
    "changes",
    "charts",
    "check",
    "compare",
    "compare_stored",
    "leak_sites",
    "load_run",
    "memory_of",
    "run",
    "run_async",
    "runs",
    "shifts",
    "stored_baselines",
    "summarize",
    "tables",
    "verdicts",
]


def __getattr__(name: str) -> object:
    """Import on first use, so that the generator's process starts fast and stays small."""
    if name == "__version__":
        return version("perflib")
    if name in _MODULES:
        if name == "charts":
            import_module("perflib.spec.extras").require_extra("workbook", "perflib.charts")
        return import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'perflib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
