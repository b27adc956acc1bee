"""The command line: its commands in the order of an average day, and what becomes of an error."""

import ast
import errno
import os
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.help import DefaultFormatter, PanelSpec
from rich.box import Box

from perflib.cli import streams

COMMANDS = (
    *("demo", "init", "discover", "run", "why", "report", "baseline", "check", "compare"),
    *("runs", "show", "history", "query", "rm", "prune", "calibrate"),
)
"""Each is `perflib.cli.NAME:NAME`, imported when it is called; the docstring of its module is its help."""

app = App(
    "perflib",
    help="""Measure an HTTP API under load, and judge and show what was measured.

Example: perflib run light_load
Exit status: 0 fine, 1 something was found, 2 wrong use, 3 not judged, 70 a fault of perflib's own, 130 interrupted.""",
    version=partial(version, "perflib"),
    help_format="plaintext",
    help_formatter=DefaultFormatter(panel_spec=PanelSpec(box=Box("    \n" * 8))),
    group_parameters=Group("Options", sort_key=0),
    default_parameter=Parameter(negative="", allow_repeating=True),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
_REFUSALS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
}
"""By these the machine refuses something; any other error of the system is a fault of perflib's own."""

for place, name in enumerate(COMMANDS):
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source))
    app.command(f"perflib.cli.{name}:{name}", name=name, help=text, sort_key=place)
app.register_install_completion_command(help="Teach this shell to complete commands and options.")


def entry() -> NoReturn:
    """The console script. SIGTERM ends a run as gracefully as Ctrl-C; no variable and no terminal ends one."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.simplefilter("ignore")
    _bound_width()
    out = streams.take_over()
    status = main(sys.argv[1:])
    if out.broken and not isinstance(out.broken, BrokenPipeError):
        print(f"perflib: the output cannot be written ({out.broken.strerror}); runs are kept", file=sys.stderr)
        status = status or 2  # what was measured stands, yet nobody has read it
    sys.exit(status)


def _bound_width() -> None:
    """A width that texts can be broken to: in a terminal of one column that never ends."""
    columns = shutil.get_terminal_size().columns
    if "COLUMNS" in os.environ or columns < 20:
        os.environ["COLUMNS"] = str(min(max(columns, 20), 500))
    os.environ.pop("LINES", None)


def main(argv: Sequence[str]) -> int:
    """Carry a command out; returns its `ExitStatus`. An error is one line on stderr."""
    try:
        status = int(app(argv) or 0)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error)
    return status


def _may_start_threads() -> bool:
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return False
    return True


def _failed(error: BaseException) -> int:
    from perflib.show.table import one_line
    from perflib.spec.exits import ExitStatus
    from perflib.spec.values import InputError
    from perflib.store.fault_file import where_kept
    from perflib.store.faults import ChildFault, is_short

    match error:
        case KeyboardInterrupt() if not _may_start_threads():  # as OpenBLAS interrupts the process that loads it
            line, status = (
                "this machine: not enough processes; end other programs, or raise `ulimit -u`",
                ExitStatus.WRONG_USE,
            )
        case KeyboardInterrupt():
            line, status = "interrupted", ExitStatus.INTERRUPTED
        case InputError():
            line, status = str(error), ExitStatus.WRONG_USE
        case CycloptsError():
            command = " ".join(("perflib", *(error.command_chain or ())))
            what = str(error).partition(" Available commands:")[0].removesuffix(".")
            line, status = f"{what}; see `{command} --help`", ExitStatus.WRONG_USE
        case OSError() if error.errno in _REFUSALS:
            mend = "mend that, or point PERFLIB_DATA and TMPDIR at folders that can be written"
            line, status = f"{error.filename or 'this machine'}: {error.strerror}; {mend}", ExitStatus.WRONG_USE
        case _ if is_short(error):
            lacks = "memory" if isinstance(error, MemoryError) else f"memory or processes ({error})"
            line, status = f"this machine: not enough {lacks}; end other programs", ExitStatus.WRONG_USE
        case _:
            words = str(error) if isinstance(error, ChildFault) else f"{type(error).__name__}: {error}"
            line, status = f"a fault of perflib's own: {words}{where_kept(error)}", ExitStatus.FAULT
    print("perflib:", one_line(line), file=sys.stderr)
    return status
