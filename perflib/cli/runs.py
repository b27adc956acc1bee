"""List the newest runs.

Example: perflib runs --last 5
Exit status: 0 listed.
"""

from perflib.cli.options import Count, in_color


def runs(*, last: Count = 20) -> None:
    """Print a line per run.

    Args:
        last: How many.
    """
    from perflib.session.stored import runs
    from perflib.text import tables

    print(tables.runs(runs(), last).text(color=in_color()))
