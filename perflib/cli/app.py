"""The command line: parses, calls the session, prints, and chooses the exit status."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from perflib.spec import SCENARIOS, InputError, Options, parse_duration_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perflib.verdict.compare import Comparison

OK, FOUND, WRONG_USE, INVALID, INTERRUPTED = 0, 1, 2, 3, 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def entry() -> NoReturn:
    """The console script. SIGTERM ends a run as gracefully as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Carry a command out.

    Returns:
        0 fine, 1 something was found, 2 wrong use or bad input, 3 not to be judged, 130 interrupted.
    """
    if argv[:1] == ["demo"]:
        return _demo(argv[1:])
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except InputError as error:
        print(f"perflib: {error}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print("perflib: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="perflib", description="Measure an HTTP API under load, and judge and show what was measured."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    commands.add_parser("demo", help="serve the sample dashboard (see `perflib demo --help`)", add_help=False)
    for add in (_add_discover, _add_run, _add_report, _add_baseline, _add_check, _add_compare, _add_others):
        add(commands)
    return parser


def _add_discover(commands: argparse._SubParsersAction[_Parser]) -> None:
    discover = commands.add_parser("discover", help="write a target file from a server's /openapi.json")
    discover.add_argument("url", metavar="URL")
    discover.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: print it")
    discover.set_defaults(command=_discover)


def _add_run(commands: argparse._SubParsersAction[_Parser]) -> None:
    run = commands.add_parser("run", parents=[_run_options()], help="one run of a scenario")
    run.add_argument("scenario", metavar="SCENARIO", choices=list(SCENARIOS), help=", ".join(SCENARIOS))
    run.add_argument("--json", action="store_true", help="only one JSON object on stdout")
    run.set_defaults(command=_run)


def _add_report(commands: argparse._SubParsersAction[_Parser]) -> None:
    report = commands.add_parser(
        "report", parents=[_run_options()], help="execute the notebooks, write HTML pages and an index"
    )
    report.add_argument("scenarios", metavar="SCENARIO", nargs="*", help="default: all")
    report.add_argument("--out", metavar="DIR", type=Path, help="default: data/reports/<time>, and data/reports/latest")
    report.set_defaults(command=_report, profile="quick")


def _add_baseline(commands: argparse._SubParsersAction[_Parser]) -> None:
    baseline = commands.add_parser("baseline", help="record or show baselines")
    actions = baseline.add_subparsers(required=True, metavar="record|show")
    record = actions.add_parser("record", parents=[_run_options()], help="a baseline of fresh runs, or of stored ones")
    record.add_argument("scenarios", metavar="SCENARIO", nargs="*", choices=[[], *SCENARIOS])
    record.add_argument("--runs", metavar="K", type=int, default=8, help="fresh runs a scenario (default 8)")
    record.add_argument("--pause", metavar="10min", default="0s", help="between runs, so that they differ as days do")
    record.add_argument("--from", metavar="RUN", nargs="+", default=[], dest="stored", help="stored runs instead")
    record.set_defaults(command=_record_baseline)
    show = actions.add_parser("show", help="the baselines as a Markdown table")
    show.set_defaults(command=_show_baselines)


def _add_check(commands: argparse._SubParsersAction[_Parser]) -> None:
    check = commands.add_parser("check", parents=[_run_options()], help="judge a scenario, or stored runs; for CI")
    check.add_argument("names", metavar="SCENARIO|RUN", nargs="+", help="measured anew, or a stored run's id")
    check.add_argument("--format", choices=["table", "markdown", "junit", "json"], default="table")
    check.add_argument("--runs", metavar="K", type=int, default=1, help="fresh runs a scenario (default 1)")
    check.add_argument("--max-errors", metavar="1%", default="0%", help="share of failures allowed (default 0%%)")
    check.set_defaults(command=_check)


def _add_compare(commands: argparse._SubParsersAction[_Parser]) -> None:
    compare = commands.add_parser(
        "compare", parents=[_run_options()], help="A against B: stored runs, URLs or commands"
    )
    compare.add_argument("a", metavar="A", help="a stored run's id, a URL, or a command with {port} in it")
    compare.add_argument("b", metavar="B")
    compare.add_argument("--detect", metavar="10%", default="10%", help="the change to be seen")
    compare.add_argument("--scenario", choices=list(SCENARIOS), default="light_load", help="its load, in short blocks")
    compare.add_argument("--pairs", metavar="N", type=int, default=6, help="blocks a side in a restart (default 6)")
    compare.add_argument("--block", metavar="5s", help="length of a block; default: enough for a p95, 5 to 30 s")
    compare.add_argument("--format", choices=["table", "markdown", "json"], default="table")
    compare.set_defaults(command=_compare)


def _add_others(commands: argparse._SubParsersAction[_Parser]) -> None:
    calibrated = commands.add_parser("calibrate", help="the instrument floor of this machine")
    calibrated.set_defaults(command=_calibrate)

    history = commands.add_parser("history", help="the stored runs")
    history.add_argument("--scenario", choices=list(SCENARIOS), default="")
    history.add_argument("--endpoint", metavar="NAME", default="", help="its figures by run")
    history.add_argument("--since", metavar="DATE", default="", help="such as 2026-03-01")
    history.add_argument("--until", metavar="DATE", default="", help="its whole day included")
    history.set_defaults(command=_history)


def _run_options() -> _Parser:
    """Run options: their names are those of `Options`, which validates them."""
    parser = _Parser(add_help=False)
    group = parser.add_argument_group("run options")
    group.add_argument("--target", metavar="FILE", help="a target file (default: data/targets/dashboard.toml)")
    group.add_argument("--url", help="replaces the target file's base_url")
    group.add_argument("--profile", help="quick or brief (durations)")
    group.add_argument("--users", metavar="N", help="virtual users")
    group.add_argument("--rate", metavar="R", help="arrivals per second of an open workload")
    group.add_argument("--arrivals", metavar="HOW", help="poisson or constant, of an open workload")
    group.add_argument("--think-time", metavar="1s", help="of a user, from an answer to its next request")
    group.add_argument("--stages", metavar="5-100:10s,...", help="of users or of the rate: from, to, how long")
    group.add_argument("--max-connections", metavar="N", help="of an open workload; default max(100, 10 s x rate)")
    group.add_argument("--duration", metavar="60s", help="without warm-up")
    group.add_argument("--warmup", metavar="5s", help="default: min(5 s, 10 %% of the duration)")
    group.add_argument("--timeout", metavar="30s", help="of one request")
    group.add_argument(
        "--allow-host",
        metavar="HOST",
        action="append",
        dest="allow_hosts",
        help="may get load though it is not this machine; repeatable",
    )
    group.add_argument(
        "--allow-plain-token", action="store_true", default=None, help="send it to another host over http"
    )
    group.add_argument("--max-requests", metavar="N", help="sent at most; default 1,000,000 to another host")
    group.add_argument("--keep-going", action="store_true", default=None, help="past 5 s of nothing but errors")
    group.add_argument("--endpoint", metavar="NAME", action="append", dest="endpoints", help="repeatable")
    group.add_argument("--workers", metavar="N", help="processes that drive the load (default 1)")
    group.add_argument("--pid", metavar="N", help="the target's process")
    group.add_argument("--brief", metavar="ID", help="recorded with the run")
    group.add_argument("--note", metavar="TEXT", help="recorded with the run")
    group.add_argument("--seed", metavar="N")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    given = {
        name: value for name, value in vars(arguments).items() if name in Options.model_fields and value is not None
    }
    return Options.parse(given, "run options")


def _demo(argv: Sequence[str]) -> int:
    from perflib.sample.__main__ import main as serve

    return serve(list(argv))


def _discover(arguments: argparse.Namespace) -> int:
    from perflib.session.drive import discover
    from perflib.store.folders import target_as_toml

    text = target_as_toml(discover(arguments.url))
    if arguments.output is None:
        print(text, end="")
    elif arguments.output.exists():
        raise InputError(f"{arguments.output}: exists; choose another name or remove it first")
    else:
        arguments.output.write_text(text)
        print(f"wrote {arguments.output}; check its bounds, then: perflib report --target {arguments.output}")
    return OK


def _run(arguments: argparse.Namespace) -> int:
    from perflib.figures.summary import as_json, summarize
    from perflib.session.drive import run
    from perflib.text import tables
    from perflib.verdict.leak import memory_of

    measured = run(arguments.scenario, _options(arguments))
    summary, memory = summarize(measured), memory_of(measured)
    if arguments.json:
        print(json.dumps(as_json(measured, summary) | {"memory": memory.as_json()}, allow_nan=False))
    else:
        print(tables.verdict(measured).text(color=_color()))
    if measured.facts.interrupted:
        return INTERRUPTED
    if not measured.facts.valid:
        return INVALID
    fails = measured.facts.scenario.forbid_5xx and summary.server_errors
    return FOUND if fails or memory.verdict == "LEAK" else OK


def _calibrate(_: argparse.Namespace) -> int:
    from perflib.session.drive import calibrate

    floor = calibrate(2.0)
    print(f"instrument floor: p50 {floor.p50_ms:.3f} ms, p99 {floor.p99_ms:.3f} ms ({floor.requests:,} requests)")
    return OK


def _report(arguments: argparse.Namespace) -> int:
    from perflib.session.drive import require_consent
    from perflib.workbook.report import ReportFailed, write_report

    options, scenarios = _options(arguments), arguments.scenarios or list(SCENARIOS)
    require_consent(scenarios, options)
    try:
        written = write_report(scenarios, options, arguments.out, _say)
    except ReportFailed as error:
        print(f"perflib: {error}", file=sys.stderr)
        return FOUND
    print((written / "summary.md").read_text())
    print(f"report: {written / 'index.html'}")
    return OK


def _record_baseline(arguments: argparse.Namespace) -> int:
    from perflib.session.drive import record_baselines

    pause_s = _parsed("--pause", arguments.pause, parse_duration_s)
    chosen, count = (arguments.scenarios, _options(arguments)), arguments.runs
    for line in record_baselines(*chosen, count, arguments.stored, _say, pause_s):
        print(line)
    return OK


def _check(arguments: argparse.Namespace) -> int:
    from perflib.session.drive import check
    from perflib.text import tables

    most_errors = _parsed("--max-errors", arguments.max_errors, _share)
    found = check(arguments.names, _options(arguments), arguments.runs, most_errors)
    if arguments.format == "json":
        print(json.dumps(found.as_json(), allow_nan=False))
    else:
        junit = arguments.format == "junit"
        print(tables.junit(found) if junit else tables.check(found).write(arguments.format, color=_color()))
    return found.exit_status


def _compare(arguments: argparse.Namespace) -> int:
    from perflib.session.drive import compare_runs, is_stored
    from perflib.text import tables
    from perflib.verdict import compare as comparison

    if is_stored(arguments.a) and is_stored(arguments.b):
        notes: tuple[str, ...] = ("two stored runs, one a side",)
        figures = compare_runs(arguments.a, arguments.b)
        status = comparison.exit_status(figures)
    else:
        measured = _compare_live(arguments)
        figures, notes = comparison.verdicts(measured), comparison.notes(measured)
        status = INTERRUPTED if measured.state == "interrupted" else comparison.exit_status(figures)
    if arguments.format == "json":
        print(json.dumps(comparison.as_json(figures, notes) | {"exit": status}))
    else:
        print(tables.comparison(figures, notes).write(arguments.format, color=_color()))
    return status


def _compare_live(arguments: argparse.Namespace) -> Comparison:
    from perflib.session.by_turns import compare

    return compare(
        arguments.a,
        arguments.b,
        _options(arguments),
        detect=_parsed("--detect", arguments.detect, _share),
        scenario=arguments.scenario,
        pairs=arguments.pairs,
        block_s=_parsed("--block", arguments.block, parse_duration_s) if arguments.block else None,
        say=_say,
    )


def _parsed(name: str, text: str, parse: Callable[[str], object]) -> float:
    try:
        return float(parse(text))  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def _share(text: str) -> float:
    """A share from "1%" or "0.01"."""
    with suppress(ValueError):
        share = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
        if 0 <= share <= 1:
            return share
    raise ValueError(f"{text!r} is no share; write 1%")


def _show_baselines(_: argparse.Namespace) -> int:
    from perflib.session.drive import stored_baselines
    from perflib.text import tables

    print(tables.baselines(stored_baselines()).markdown())
    return OK


def _history(arguments: argparse.Namespace) -> int:
    from perflib.session.drive import runs
    from perflib.text import tables

    chosen = {name: getattr(arguments, name) for name in ("scenario", "endpoint", "since", "until")}
    print(tables.history(runs(**chosen)).text(color=_color()))
    return OK


def _color() -> bool:
    """Whether stdout is a terminal that shows colours, and its user wants them (no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
