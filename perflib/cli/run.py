"""Measure one run of a scenario.

Example: perflib run light_load --target data/targets/mine.toml --users 20 --duration 60s
Exit status: 0 measured, 1 a memory leak, or a 5xx in steady_rate, 2 wrong use, 3 an invalid run, 130 interrupted.
"""

import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from perflib.cli.options import Phases, in_color, takes_run_options
from perflib.spec import Options
from perflib.spec.exits import ExitStatus

if TYPE_CHECKING:
    from perflib.spec import Run

AsJson = Annotated[bool, Parameter("--json")]


@takes_run_options(profile="quick")
def run(scenario: str, /, options: Options, *, as_json: AsJson = False, phases: Phases = False) -> ExitStatus:
    """Measure, print the table.

    Args:
        scenario: baseline, light_load, medium_load, spike, sustained, steady_rate, or one of the target file.
        as_json: Print one JSON object instead of the table.
        phases: Add how long answers were waited for, how long they took to come, and their size.
    """
    from perflib.figures.summary import summarize
    from perflib.judge.leak import memory_of
    from perflib.text import tables
    from perflib.workbook.live import run

    measured = run(scenario, options)
    if as_json:
        print(json_of(measured))
    else:
        print(tables.verdict(measured, phases=phases).text(color=in_color()))
    if measured.facts.interrupted:
        return ExitStatus.INTERRUPTED
    if not measured.facts.valid:
        return ExitStatus.NOT_JUDGED
    fails = measured.facts.scenario.forbid_5xx and summarize(measured).server_errors
    return ExitStatus.FOUND if fails or memory_of(measured).verdict == "LEAK" else ExitStatus.OK


def json_of(run: "Run") -> str:
    """A run as one JSON object: what it was, its figures, failures, notices and memory."""
    from perflib.figures import failures
    from perflib.figures import summary as figures
    from perflib.judge.leak import memory_of
    from perflib.text.notices import notices

    found = failures.as_json(failures.failures(run))
    told = {"failures": found, "notices": notices(run), "memory": memory_of(run).as_json()}
    return json.dumps(figures.as_json(run, figures.summarize(run)) | told, allow_nan=False)
