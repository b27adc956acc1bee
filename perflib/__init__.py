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
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from perflib import charts, tables
    from perflib.comparison import compare_stored, shifts, verdicts
    from perflib.history import changes
    from perflib.interleaved import compare
    from perflib.live import attach
    from perflib.memory import memory_of
    from perflib.model import InputError, Options, Run
    from perflib.regression import baseline_ms
    from perflib.session import check, leak_sites, load_run, run, run_async, runs, stored_baselines
    from perflib.summary import summarize

_HOMES = {
    "InputError": "perflib.model",
    "attach": "perflib.live",
    "baseline_ms": "perflib.regression",
    "changes": "perflib.history",
    "check": "perflib.session",
    "compare": "perflib.interleaved",
    "compare_stored": "perflib.comparison",
    "stored_baselines": "perflib.session",
    "shifts": "perflib.comparison",
    "verdicts": "perflib.comparison",
    "Options": "perflib.model",
    "Run": "perflib.model",
    "leak_sites": "perflib.session",
    "load_run": "perflib.session",
    "memory_of": "perflib.memory",
    "run": "perflib.session",
    "run_async": "perflib.session",
    "runs": "perflib.session",
    "summarize": "perflib.summary",
}
_MODULES = ("charts", "tables")

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
    if name in _MODULES:
        return import_module(f"perflib.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'perflib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
