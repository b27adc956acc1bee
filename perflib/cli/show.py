"""Show the table of a stored run again.

Example: perflib show sample-28-release-1.4
Exit status: 0 shown, 2 no such run.
"""


def show(run: str, /) -> None:
    """Print the table.

    Args:
        run: Its id; see `perflib runs`.
    """
    from perflib.figures.summary import summarize
    from perflib.session.stored import load_run
    from perflib.text.tables import as_text
    from perflib.verdict.leak import memory_of

    stored = load_run(run)
    print(as_text(stored, summarize(stored), memory_of(stored)))
