"""`python -m perflib`, and the console script: an installation that cannot even be imported is told in one line."""

import sys
from typing import NoReturn

_FAULT, _INTERRUPTED = 70, 130


def entry() -> NoReturn:
    """Carry a command out, and exit with its status."""
    try:
        from perflib.cli.app import entry as carried_out

        carried_out()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as fault:
        from perflib.store.fault_file import where_kept

        what = " ".join(f"{type(fault).__name__}: {fault}".split())
        mend = f"install it again (in its clone: make clean setup){where_kept(fault)}"
        sys.stderr.write(f"perflib: its installation is broken: {what}; {mend}\n")
        sys.exit(_FAULT)


if __name__ == "__main__":
    entry()
