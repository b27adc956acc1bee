"""Judge scenarios or stored runs against limits, baselines and earlier runs; for CI.

Example: perflib check light_load --runs 3 --format markdown --target data/targets/mine.toml
Exit status: 0 passed, 1 a missed limit, failures, a regression or a leak, 2 wrong use, 3 not judged, 130 interrupted.
"""

import json
from typing import Annotated, Literal

from cyclopts import Parameter

from perflib.cli.options import Count, Duration, Share, in_color, say, takes_run_options
from perflib.spec import Options
from perflib.spec.exits import ExitStatus


@takes_run_options(profile="brief")
def check(
    names: Annotated[list[str], Parameter(name="SCENARIO|RUN")],
    /,
    options: Options,
    *,
    format_: Literal["table", "markdown", "short", "junit", "json"] = "table",
    runs: Count | None = None,
    budget: Duration = 300.0,
    max_errors: Share = 0.0,
    against: str = "",
    require_baseline: bool = False,
) -> ExitStatus:
    """Judge `names`, print the verdicts.

    Args:
        names: Scenarios, which are measured anew, and ids of stored runs.
        format_: What is printed; short: Markdown for a pull request or a chat, the table folded.
        runs: Exactly so many fresh runs per scenario, judged together and once.
        budget: Measure each scenario until the check is clear, at most so long (default: 5min; 0: one run).
        max_errors: Share of failed requests that is allowed.
        against: baseline, history (the last like runs) or a stored run; default: the baseline that fits, else the
            history, which then fails no check.
        require_baseline: Exit with 3 where no baseline fits, or nothing of what --against names.
    """
    from perflib.session import check as checking
    from perflib.text import tables
    from perflib.workbook.live.views import view_of

    found = checking.check(
        names,
        options,
        runs,
        max_errors,
        budget_s=budget,
        against=against,
        require_baseline=require_baseline,
        watch=view_of,
        say=say,
    )
    if format_ == "json":
        print(json.dumps(found.as_json(), allow_nan=False))
    else:
        print(tables.junit(found) if format_ == "junit" else tables.check(found).write(format_, color=in_color()))
    return found.exit_status
