"""List the newest runs.

Example: perflib runs --last 5
Exit status: 0 listed.
"""

from perflib.cli.options import Count


def runs(*, last: Count = 20) -> None:
    """Print a line per run.

    Args:
        last: How many.
    """
    from perflib.session.stored import runs
    from perflib.text.tables import runs_as_text

    print(runs_as_text(runs(), last))
