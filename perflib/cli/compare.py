"""Compare A with B: stored runs, URLs or commands.

Example: perflib compare "uvicorn old:app --port {port}" "uvicorn new:app --port {port}" --detect 5%
Exit status: 0 B is the same or faster, 1 B is slower, 2 wrong use, 3 no clear answer, 130 interrupted.
"""

import json
from typing import Annotated, Literal

from perflib.cli.options import ABOVE_0, Count, Duration, Share, in_color, say, takes_run_options
from perflib.spec import Options
from perflib.spec.exits import ExitStatus


@takes_run_options(profile="brief")
def compare(
    a: str,
    b: str,
    /,
    options: Options,
    *,
    detect: Annotated[Share, ABOVE_0] = 0.1,
    scenario: str = "light_load",
    pairs: Count = 6,
    block: Annotated[Duration | None, ABOVE_0] = None,
    noise: Annotated[Share, ABOVE_0] = 0.05,
    although_different: bool = False,
    format_: Literal["table", "markdown", "short", "json"] = "table",
) -> ExitStatus:
    """Compare `a` with `b`, print the verdicts.

    Args:
        a: The id of a stored run, a URL, or a command with {port} in it.
        b: The same for the other side.
        detect: Smallest slowdown that must be detected.
        scenario: Its load is used, in short blocks.
        pairs: Blocks per side after each start.
        block: Length of a block; default: what a p95 needs, 5 to 30 s.
        noise: How much restarts are expected to vary; what varies more than that takes more of them.
        although_different: Compare stored runs of different setups all the same.
        format_: What is printed; short: Markdown for a pull request or a chat, the table folded.
    """
    from perflib.judge import compare as verdict
    from perflib.session import by_turns, stored
    from perflib.text import tables

    ended_early = None
    if stored.is_stored(a) and stored.is_stored(b):
        figures = stored.compare_runs(a, b, although_different=although_different)
        about = tables.about_runs(stored.facts_of(a), stored.facts_of(b))
        notes: tuple[str, ...] = ()
    else:
        measured = by_turns.compare(
            a, b, options, detect=detect, scenario=scenario, pairs=pairs, block_s=block, noise_sd=noise, say=say
        )
        figures, about = verdict.verdicts(measured), tables.about_measured(measured)
        notes = (*tables.remedies(measured, options), *verdict.notes(measured))
        ended_early = {"interrupted": ExitStatus.INTERRUPTED, "broken": ExitStatus.NOT_JUDGED}.get(measured.state)
    status = ended_early or verdict.exit_status(figures)
    if status == ExitStatus.FOUND:
        notes += tables.why_slower(a, b, options)
    if format_ == "json":
        said = {"exit": status, "sentence": tables.comparison_sentence(figures), "about": about}
        print(json.dumps(verdict.as_json(figures, notes) | said))
    else:
        print(tables.comparison(figures, (*tables.sides(about), *notes)).write(format_, color=in_color()))
    return status
