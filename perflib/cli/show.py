"""Show the table of a stored run, or of a comparison by turns, again.

Example: perflib show sample-28-release-1.4
Exit status: 0 shown, 2 no such run.
"""

from typing import Literal

from perflib.cli.options import Phases, in_color
from perflib.cli.run import json_of


def show(
    run: str,
    /,
    *,
    bodies: bool = False,
    phases: Phases = False,
    format_: Literal["table", "markdown", "short", "csv", "json"] = "table",
) -> None:
    """Print the table.

    Args:
        run: Its id; see `perflib runs`. Or the id of a comparison, which `perflib compare` tells.
        bodies: Then the samples of failed answers: their headers, and the first 512 bytes of their bodies.
        phases: Add how long answers were waited for, how long they took to come, and their size.
        format_: How it is printed; short: Markdown for a pull request or a chat, the table folded.
    """
    from perflib.session.by_turns import load_comparison
    from perflib.session.stored import load_run
    from perflib.store.comparisons import is_comparison
    from perflib.store.folders import Workbook
    from perflib.text import tables

    if is_comparison(Workbook.find().data, run):
        print(tables.measured(load_comparison(run)).write(format_, color=in_color()))
        return
    stored = load_run(run)
    if format_ == "json":
        print(json_of(stored))
        return
    print(tables.verdict(stored, phases=phases).write(format_, color=in_color()))
    if bodies:
        print(f"\n{tables.samples(stored).write(format_, color=in_color())}")
