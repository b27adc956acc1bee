"""Execute the notebooks; write HTML pages and an index.

Example: perflib report light_load spike --profile brief --target data/targets/mine.toml
Exit status: 0 every page is written, whatever the verdicts, 2 wrong use, 3 a kernel died, 70 a cell failed,
130 interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perflib.cli.options import say, takes_run_options
from perflib.spec import Options
from perflib.spec.exits import ExitStatus


@takes_run_options(profile="quick")
def report(
    *scenarios: str, options: Options, out: Annotated[Path | None, Parameter(metavar="DIR")] = None
) -> ExitStatus:
    """Write the report, print its summary.

    Args:
        scenarios: Those to measure; all of them where none is named.
        out: A folder for the pages; default: data/reports/<time>, and data/reports/latest points there.
    """
    from perflib.workbook.report import ReportFailed, write_report

    try:
        written = write_report(scenarios, options, out, say)
    except ReportFailed as error:
        print(f"perflib: {error}", file=sys.stderr)
        return error.status
    print((written / "summary.md").read_text(encoding="utf-8"))
    print(f"report: {written / 'index.html'}")
    return ExitStatus.OK
