"""Remove all stored runs but the newest, and those that a baseline was made from.

Example: perflib prune --keep 100
Exit status: 0 removed, or left after all; 2 wrong use.
"""

from perflib.cli.options import Count, confirmed, say


def prune(*, keep: Count = 100, yes: bool = False) -> None:
    """Say how many would go, ask, then remove them.

    Args:
        keep: How many of the newest stay, whatever their scenario.
        yes: Do not ask.
    """
    from perflib.session import removal

    found = removal.beyond(keep)
    if found.spared:
        say(f"older runs that stay, because baselines were made from them: {found.spared}")
    if not found.run_ids:
        say(f"nothing to remove: no other run is older than the newest {keep}")
        return
    span = f"{found.run_ids[0]} … {found.run_ids[-1]}"
    if confirmed(
        f"Remove {len(found.run_ids):,} run{'s' if found.run_ids[1:] else ''} ({span})", found.size_bytes, yes=yes
    ):
        found.carry_out()
        say(f"removed {len(found.run_ids):,}")
