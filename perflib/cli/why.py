"""Say why a target is slow, by a minute of experiments on it, or by what a stored run shows.

Example: perflib why light_load --target data/targets/mine.toml --attach
Exit status: 0 measured, 2 wrong use, 3 too little was measured, or the load generator was overloaded, 130 interrupted.
"""

import json
from typing import Annotated

from cyclopts import Parameter

from perflib.cli.options import ABOVE_0, Duration, in_color, say, takes_run_options
from perflib.spec import Options
from perflib.spec.exits import ExitStatus


@takes_run_options(profile="quick")
def why(
    what: str = "light_load",
    /,
    *,
    options: Options,
    budget: Annotated[Duration, ABOVE_0] = 90.0,
    attach: Annotated[bool | None, Parameter(negative="--no-attach")] = None,
    include_writes: bool = False,
    find_ceiling: bool = False,
    against: str = "",
    as_json: Annotated[bool, Parameter("--json")] = False,
) -> ExitStatus:
    """Experiment, print the findings and where the time goes.

    Args:
        what: A scenario, whose endpoints are experimented on; or a stored run, or a diagnosis.
        budget: How long the experiments may take (default: 90s).
        attach: Look into a Python target with py-spy (default: only into the sample dashboard, or --pid).
        include_writes: Send other methods than GET, HEAD and OPTIONS too.
        find_ceiling: Drive a target that is not this machine to its ceiling.
        against: A URL, a stored run or a diagnosis to tell what changed since.
        as_json: Print one JSON object instead of the findings.
    """
    from perflib.session.why import why
    from perflib.text import why as words

    found = why(
        what,
        options,
        budget=budget,
        attach=attach,
        include_writes=include_writes,
        find_ceiling=find_ceiling,
        against=against,
        say=say,
    )
    if as_json:
        print(json.dumps(found.as_json(), allow_nan=False))
    else:
        print("\n\n".join(table.text(color=in_color()) for table in words.tables(found)))
    if found.interrupted:
        return ExitStatus.INTERRUPTED
    return ExitStatus.OK if found.valid else ExitStatus.NOT_JUDGED
