"""List the stored runs, and where their figures changed.

Example: perflib history --scenario light_load --endpoint "GET /clients" --since 2026-03-01
Exit status: 0 listed, 2 a date that is none.
"""

from typing import Annotated

from cyclopts import Parameter

from perflib.cli.options import in_color

_Date = Annotated[str, Parameter(metavar="DATE", show_default=False)]
_Name = Annotated[str, Parameter(metavar="NAME", show_default=False)]


def history(*, scenario: _Name = "", endpoint: _Name = "", since: _Date = "", until: _Date = "") -> None:
    """Print a line per run, or per run and endpoint.

    Args:
        scenario: Only its runs.
        endpoint: Only this endpoint or page, with its figures per run.
        since: Only runs of this day or later, such as 2026-03-01.
        until: Only runs of this day or earlier.
    """
    from perflib.session.stored import runs
    from perflib.spec.values import as_utf8
    from perflib.text import tables

    found = runs(scenario=str(as_utf8(scenario)), endpoint=str(as_utf8(endpoint)), since=since, until=until)
    print(tables.history(found).text(color=in_color()))
