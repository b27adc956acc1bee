"""Record baselines, or show them.

Example: perflib baseline record light_load
Exit status: 0 fine, 2 wrong use, 130 interrupted.
"""

from typing import Annotated

from cyclopts import App, Group, Parameter

from perflib.cli.options import Count, Duration, say, takes_run_options
from perflib.spec import Options

baseline = App("baseline", group_parameters=Group("Options", sort_key=0))


@baseline.command
@takes_run_options(profile="brief")
def record(
    *scenarios: str,
    options: Options,
    runs: Count = 8,
    pause: Duration = 0.0,
    stored: Annotated[list[str] | None, Parameter("--from", metavar="RUN", consume_multiple=True)] = None,
) -> None:
    """Record a baseline of fresh runs, or of stored ones, in performance_baselines.json.

    Example: perflib baseline record light_load --pause 10min
    Exit status: 0 recorded, 2 wrong use, or a run that does not fit a baseline, 130 interrupted.

    Args:
        scenarios: Those to measure.
        runs: Fresh runs per scenario.
        pause: Wait so long between runs, so that they differ from each other as much as later runs will.
        stored: Stored runs instead of fresh ones.
    """
    from perflib.session.drive import require_consent
    from perflib.session.record import record_baselines
    from perflib.workbook.live.views import view_of

    require_consent(scenarios, options)
    for line in record_baselines(scenarios, options, runs, stored or (), say, pause, view_of):
        print(line)


@baseline.command
def show() -> None:
    """Show the baselines as a Markdown table.

    Example: perflib baseline show
    Exit status: 0 shown.
    """
    from perflib.session.stored import stored_baselines
    from perflib.text import tables

    print(tables.baselines(stored_baselines()).markdown())
