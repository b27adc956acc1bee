"""Remove stored runs for good.

Example: perflib rm 20260301-101500-light_load-3f2a
Exit status: 0 removed, or left after all; 2 no such run, one under way, or one that a baseline was made from.
"""

from perflib.cli.options import confirmed, say


def rm(run: str, /, *more: str, yes: bool = False) -> None:
    """Ask, then remove them.

    Args:
        run: Its id; see `perflib runs`.
        more: Further ones.
        yes: Do not ask.
    """
    from perflib.session import removal

    found = removal.of_runs((run, *more))
    if confirmed(f"Remove {', '.join(found.run_ids)}", found.size_bytes, yes=yes):
        found.carry_out()
        say(f"removed {len(found.run_ids)}")
