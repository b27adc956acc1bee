"""The command line: its commands in the order of an average day, and what becomes of an error."""

import ast
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NoReturn

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.help import DefaultFormatter, PanelSpec
from rich.box import Box

COMMANDS = (
    *("demo", "discover", "run", "report", "baseline", "check", "compare"),
    *("runs", "show", "history", "calibrate"),
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
for place, name in enumerate(COMMANDS):
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source))
    app.command(f"perflib.cli.{name}:{name}", name=name, help=text, sort_key=place)
app.register_install_completion_command(help="Teach this shell to complete commands and options.")


def entry() -> NoReturn:
    """The console script. SIGTERM ends a run as gracefully as Ctrl-C; a character that cannot be shown becomes "?"."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Carry a command out; returns its `ExitStatus`. An error is one line on stderr."""
    try:
        status = int(app(argv) or 0)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error)
    return status


def _failed(error: BaseException) -> int:
    from perflib.spec.exits import ExitStatus
    from perflib.spec.values import InputError

    match error:
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitStatus.OK
        case KeyboardInterrupt():
            line, status = "interrupted", ExitStatus.INTERRUPTED
        case InputError():
            line, status = str(error), ExitStatus.WRONG_USE
        case CycloptsError():
            command = " ".join(("perflib", *(error.command_chain or ())))
            what = str(error).partition(" Available commands:")[0].removesuffix(".")
            line, status = f"{what}; see `{command} --help`", ExitStatus.WRONG_USE
        case _:
            line, status = f"a fault of perflib's own: {_kept(error)}", ExitStatus.FAULT
    print("perflib:", " ".join(line.split()), file=sys.stderr)
    return status


def _kept(fault: BaseException) -> str:
    """The fault in words, and the file that its traceback was written to."""
    words = f"{type(fault).__name__}: {fault}"
    with suppress(OSError), NamedTemporaryFile(prefix="perflib-fault-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(fault)).encode(errors="replace"))
        words += f"; the traceback is in {file.name}"
    return words
