"""Show the table of a stored run, or of a comparison by turns, again.

Example: perflib show sample-28-release-1.4
Exit status: 0 shown, 2 no such run.
"""

from perflib.cli.options import Phases, in_color


def show(run: str, /, *, bodies: bool = False, phases: Phases = False) -> None:
    """Print the table.

    Args:
        run: Its id; see `perflib runs`. Or the id of a comparison, which `perflib compare` tells.
        bodies: Then the samples of failed answers: their headers, and the first 512 bytes of their bodies.
        phases: Add how long answers were waited for, how long they took to come, and their size.
    """
    from perflib.session.by_turns import load_comparison
    from perflib.session.stored import load_run
    from perflib.store.comparisons import is_comparison
    from perflib.store.folders import Workbook
    from perflib.text import tables

    if is_comparison(Workbook.find().data, run):
        print(tables.measured(load_comparison(run)).text(color=in_color()))
        return
    stored = load_run(run)
    print(tables.verdict(stored, phases=phases).text(color=in_color()))
    if bodies:
        print(f"\n{tables.samples(stored).text(color=in_color())}")
