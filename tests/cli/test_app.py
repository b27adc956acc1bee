"""The command line itself: its help, its errors, and what it costs to start."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import perflib
import perflib.session.stored
from perflib.cli.app import COMMANDS, app, main
from perflib.cli.options import in_color
from perflib.spec import Options
from perflib.spec.exits import ExitStatus

ROOT = Path(__file__).parents[2]
PAGES = [[], *([name] for name in COMMANDS if name != "demo"), ["baseline", "record"], ["baseline", "show"]]
URLS = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
HEAVY = ("numpy", "pandas", "scipy", "pydantic", "httpx", "plotly", "papermill")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def helped(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*words, "--help"]) == 0
    return " ".join(capsys.readouterr().out.split())


def failing(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status, and the only line that was written."""
    status, said = main(words), capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    return status, said.err.strip()


def started(*words: str, stdout: int = subprocess.PIPE, **variables: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, *words]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=stdout, stderr=pipe, text=True)


def test_perflib_alone_prints_the_help_with_a_sentence_per_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    alone = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == alone
    assert "run Measure one run of a scenario." in " ".join(alone.split())
    assert all(f"  {name} " in alone for name in COMMANDS)


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_each_help_has_an_example_that_is_understood_and_the_exit_statuses(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [example] = [line.removeprefix("Example: perflib ") for line in lines if line.startswith("Example: perflib ")]
    app.parse_args(shlex.split(example), exit_on_error=False, print_error=False)
    assert any(line.startswith("Exit status: 0 ") for line in lines)


def test_every_field_of_the_options_is_an_option_of_run_with_its_description(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = helped("run", capsys=capsys)
    singular = {"allow_hosts": "allow_host", "endpoints": "endpoint"}
    for name, field in Options.model_fields.items():
        assert field.description, f"{name} has no docstring"
        shown = (
            f"--{singular.get(name, name).replace('_', '-')} " in page and " ".join(field.description.split()) in page
        )
        assert shown is (name != "run_id")


def test_choices_and_defaults_stand_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    profiles = {name: helped(name, capsys=capsys) for name in ("run", "report", "check")}
    assert "[choices: quick, brief] [default: quick]" in profiles["run"]
    assert "[choices: quick, brief] [default: quick]" in profiles["report"]
    assert "[choices: quick, brief] [default: brief]" in profiles["check"]
    assert "[choices: table, markdown, short, junit, json] [default: table]" in profiles["check"]
    assert "[default: 10%]" in helped("compare", capsys=capsys)


def test_the_help_of_demo_is_the_sample_dashboards_own() -> None:
    said, _ = started("-m", "perflib", "demo", "--help").communicate(timeout=60)
    assert said.startswith("usage: perflib demo")
    assert "--cold-cache" in said


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == main(["run", "--version"]) == 0
    assert capsys.readouterr().out == f"{perflib.__version__}\n" * 2


def test_a_shell_can_complete_the_run_options() -> None:
    assert "--keep-going" in app.generate_completion(shell="bash")


def test_the_help_imports_nothing_heavy_and_no_room_of_the_pipeline() -> None:
    code = "import sys; from perflib.cli.app import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    _, modules = started("-c", code).communicate(timeout=60)
    loaded = set(modules.split())
    assert "perflib.cli.app" in loaded
    assert not loaded & set(HEAVY)
    assert {name for name in loaded if name.startswith("perflib.")} == {
        *("perflib.cli", "perflib.cli.app", "perflib.cli.streams")
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["run", "light_load", "--usres", "3"],
            "Unknown option: --usres. Did you mean --users?; see `perflib run --help`",
        ),
        (["run"], 'Command "run" parameter SCENARIO requires an argument; see `perflib run --help`'),
        (["run", "light_load", "spike"], "['spike']; see `perflib run --help`"),
        (["ru"], 'Unknown command "ru". Did you mean "run"?; see `perflib --help`'),
        (["check"], "SCENARIO|RUN requires an argument; see `perflib check --help`"),
        (
            ["check", "light_load", "--format", "yaml"],
            'Choose from: "table", "markdown", "short", "junit", "json"; see',
        ),
        (["check", "light_load", "--runs", "0"], "--runs: '0' is no whole number from 1 on; see"),
        (["check", "light_load", "--max-errors", "101%"], "--max-errors: '101%' is no share; write 1%; see"),
        (["check", "light_load", "--max-errors", "nan"], "--max-errors: 'nan' is no share; write 1%; see"),
        (["baseline", "record", "light_load", "--runs", "-1"], "--runs: '-1' is no whole number from 1 on; see"),
        (["baseline", "record", "light_load", "--pause", "soon"], "--pause: 'soon' is not a duration"),
        (["baseline", "record", "light_load", "--pause=-1s"], "--pause: '-1s' is not a duration"),
        (["compare", *URLS, "--pairs", "0"], "--pairs: '0' is no whole number from 1 on; see"),
        (["compare", *URLS, "--pairs", "2.5"], "--pairs: '2.5' is no whole number from 1 on; see"),
        (["compare", *URLS, "--block", "0s"], 'Invalid value "0.0" for --block. Must be > 0; see'),
        (["compare", *URLS, "--detect", "0%"], 'Invalid value "0.0" for --detect. Must be > 0; see'),
        (["compare", *URLS, "--detect", "nan"], "--detect: 'nan' is no share; write 1%; see"),
        (["compare", *URLS, "--detect", "0.5%"], "--detect: a change of 0.5% does not show in 1,000 restarts"),
        (["runs", "--last", "0"], "--last: '0' is no whole number from 1 on; see"),
        (["show", "no-such-run"], "no such run"),
        (["history", "--since", "soon"], "since: 'soon' is no date"),
    ],
)
def test_wrong_use_is_told_in_one_line_with_its_mend(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    status, line = failing(words, capsys)
    assert status == ExitStatus.WRONG_USE
    assert line.startswith("perflib: ")
    assert says in line


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """`perflib runs` raises a ValueError; this is the folder for temporary files."""

    def fail() -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(perflib.session.stored, "runs", fail)
    return tmp_path


def test_a_fault_of_perflibs_own_is_no_finding_and_keeps_its_traceback_in_a_file(
    fault: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = failing(["runs"], capsys)
    [kept] = fault.iterdir()
    assert status == ExitStatus.FAULT == 70
    assert line == f"perflib: a fault of perflib's own: ValueError: two lines; the traceback is in {kept}"
    assert 'raise ValueError("two\\nlines")' in kept.read_text(encoding="utf-8")


def test_a_fault_is_told_where_no_file_can_be_written_too(
    fault: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(fault / "no-such-folder"))
    told = "perflib: a fault of perflib's own: ValueError: two lines"
    assert failing(["runs"], capsys) == (ExitStatus.FAULT, told)


def test_what_the_machine_refuses_is_no_fault_and_names_the_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / ("x" * 300)))
    status, line = failing(["history"], capsys)
    assert status == ExitStatus.WRONG_USE
    assert line.startswith(f"perflib: {tmp_path}/xxx")
    assert ": File name too long; " in line


def test_a_folder_that_is_gone_or_has_no_name_in_utf8_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", os.fsdecode(b"/tmp/caf\xe9"))
    assert "is not UTF-8" in failing(["runs"], capsys)[1]
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    told = "perflib: the current folder is gone; change to one that exists"
    assert failing(["runs"], capsys) == (ExitStatus.WRONG_USE, told)


def test_an_interrupt_is_told_and_is_no_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(perflib.session.stored, "runs", interrupt)
    assert failing(["runs"], capsys) == (ExitStatus.INTERRUPTED, "perflib: interrupted")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    history = started("-m", "perflib", "history", stdout=write)
    os.close(read)
    os.close(write)
    _, said = history.communicate(timeout=60)
    assert (history.returncode, said) == (0, "")


@pytest.mark.parametrize("command", [["history"], ["show", "sample-28-release-1.4"]])
def test_a_terminal_without_unicode_gets_question_marks_and_the_status(command: list[str]) -> None:
    shown = started("-m", "perflib", *command, PYTHONIOENCODING="latin-1")
    said, errors = shown.communicate(timeout=60)
    assert (shown.returncode, errors) == (0, "")
    assert "?" in said


def test_what_an_error_quotes_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]52;c;QUJD\x07\x9b31m\u202egnp.\u200b\U000e0041"
    assert main(["run", "light_load", "--target", f"{hostile}.toml"]) == 2
    assert main([hostile]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert all(sign == "\n" or sign.isprintable() for sign in said)


def test_an_empty_no_color_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    seen = {}
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        seen[value] = in_color()
    assert seen == {"": True, "1": False}
