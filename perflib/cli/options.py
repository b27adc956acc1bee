"""Options of the command line: the run options, read off `Options`, and numbers that are checked as they are read."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter, Token
from cyclopts.validators import Number
from pydantic.fields import FieldInfo

from perflib.spec import Options, Profile, parse_duration_s
from perflib.spec.exits import ExitStatus
from perflib.spec.options import option_of
from perflib.spec.values import parse_share

Command = Callable[..., ExitStatus | None]

_RUN_OPTIONS = Group("Run options", sort_key=1)
_LEFT_OUT = {"run_id"}
"""Names one run, where a command may measure many."""


def takes_run_options(profile: Profile) -> Callable[[Command], Command]:
    """Give a command an option per field of `Options`; it gets them validated, as its argument `options`.

    Args:
        profile: the command's default.
    """
    offered = {name: field for name, field in Options.model_fields.items() if name not in _LEFT_OUT}
    parameters = [
        _parameter(name, field, profile if name == "profile" else field.default) for name, field in offered.items()
    ]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_options(*words: Any, **given: Any) -> ExitStatus | None:
            chosen = {name: given.pop(name) for name in offered if name in given}
            options = Options.parse({"profile": profile} | chosen, "run options")
            if options.url and not options.target:
                options = _described(options)
            if options.told_of_url:
                say(options.told_of_url)
            return command(*words, options=options, **given)

        own = [one for one in inspect.signature(command).parameters.values() if one.name != "options"]
        with_options.__signature__ = inspect.Signature([*own, *parameters])  # type: ignore[attr-defined]
        return with_options

    return decorate


def _described(options: Options) -> Options:
    from perflib.session.discover import described
    from perflib.store.folders import Workbook

    return described(options, Workbook.find(), say)


def _parameter(option: str, field: FieldInfo, default: object) -> inspect.Parameter:
    name, parts = option_of(option), _parts(field.annotation)
    kind: Any = next((part for part in parts if part is bool or get_origin(part) is Literal), str)
    if get_origin(field.annotation) is tuple and str in parts:
        kind = list[str]
    shown = Parameter(
        name=f"--{name}",
        help=" ".join((field.description or "").split()),
        metavar=None if kind is bool else "N" if int in parts else name.rpartition("-")[2].upper(),
        show_default=str(default) if default else False,
        group=_RUN_OPTIONS,
    )
    return inspect.Parameter(
        option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, shown]
    )


def _parts(annotation: Any) -> list[Any]:
    return [annotation, *(part for inner in get_args(annotation) for part in _parts(inner))]


def _read_count(_: object, tokens: Sequence[Token]) -> int:
    text = tokens[0].value
    if text.isdecimal() and int(text):
        return int(text)
    raise ValueError(f"{text!r} is no whole number from 1 on")


def _read_share(_: object, tokens: Sequence[Token]) -> object:
    return parse_share(tokens[0].value)


def _read_duration(_: object, tokens: Sequence[Token]) -> object:
    return parse_duration_s(tokens[0].value)


Count = Annotated[int, Parameter(metavar="N", converter=_read_count)]
Share = Annotated[float, Parameter(metavar="1%", converter=_read_share, show_default="{:.0%}".format)]
"""0 to 1; read from "1%" or "0.01"."""
Duration = Annotated[float, Parameter(metavar="60s", converter=_read_duration, show_default=False)]
"""Seconds; read from "60s", "2min"."""
Phases = Annotated[bool, Parameter(negative="")]
"""Whether a table tells the phases of its response times apart."""
ABOVE_0 = Parameter(validator=Number(gt=0))


def say(line: str) -> None:
    """Tell the user on stderr what goes on."""
    from perflib.show.table import one_line

    print(one_line(line), file=sys.stderr, flush=True)


def in_color() -> bool:
    """Whether stdout is a terminal that shows colours, and its user wants them (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def confirmed(what: str, size_bytes: int, *, yes: bool) -> bool:
    """Ask on the terminal whether to go on. Raises InputError where there is none to ask on."""
    from perflib.show.numbers import size
    from perflib.spec.values import InputError

    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(f"{what}? There is no terminal to answer on; --yes goes on without asking")
    print(f"{what}, {size(size_bytes)}? [y/N] ", end="", file=sys.stderr, flush=True)
    agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        say("nothing was removed")
    return agreed
