"""List the stored runs, the newest first, and where their figures changed.

Example: perflib history --scenario light_load --endpoint "GET /clients" --since 2026-03-01
Exit status: 0 listed, 2 a date that is none, or filters that leave no run.
"""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from perflib.cli.options import Count, in_color

_Date = Annotated[str, Parameter(metavar="DATE", show_default=False)]
_Name = Annotated[str, Parameter(metavar="NAME", show_default=False)]


def history(
    *,
    scenario: _Name = "",
    endpoint: _Name = "",
    target: _Name = "",
    since: _Date = "",
    until: _Date = "",
    last: Count = 20,
    format_: Literal["table", "markdown", "csv", "json"] = "table",
) -> None:
    """Print a line per run; changes are looked for in all runs that the filters leave.

    Args:
        scenario: Only its runs.
        endpoint: Only this endpoint or page, with its figures per run.
        target: Only runs of the target of this name, or of this target file.
        since: Only runs of this day or later, such as 2026-03-01.
        until: Only runs of this day or earlier.
        last: How many runs are listed.
        format_: How the table is printed.
    """
    from perflib.session.stored import runs
    from perflib.spec.values import InputError, as_utf8
    from perflib.store.folders import load_target
    from perflib.text import tables

    if target.endswith(".toml"):
        target = load_target(Path(target)).name
    named = {"scenario": scenario, "endpoint": endpoint, "target": target}
    found = runs(**{name: str(as_utf8(text)) for name, text in named.items()}, since=since, until=until)
    if none := found.attrs["none"]:
        raise InputError(none)
    print(tables.history(found, last).write(format_, color=in_color()))
