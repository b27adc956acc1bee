"""Standard streams and the terminal: whatever they are, a command says what it has to say, or its status does."""

import os
import pty
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shelled(words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`perflib WORDS` as a shell starts it: `words` may redirect."""
    script = f"{shlex.quote(sys.executable)} -P -m perflib {words}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "status"), [("runs", 0), ("--help", 0), ("rum", 2)])
def test_a_closed_stream_changes_no_status_and_ends_nothing(closed: str, words: str, status: int) -> None:
    done = shelled(f"{words} {closed}")
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "fault" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("words", ["runs", "--help", "show sample-28-release-1.4"])
def test_output_that_a_full_disk_refused_is_told_in_one_line_and_is_no_success(words: str) -> None:
    done = shelled(f"{words} >/dev/full")
    told = "perflib: the output cannot be written (No space left on device); runs are kept\n"
    assert (done.returncode, done.stderr) == (2, told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_messages_that_nobody_takes_leave_the_status_as_it_is() -> None:
    assert shelled("rum 2>/dev/full").returncode == 2
    assert shelled("runs 2>/dev/full").returncode == 0


@pytest.mark.parametrize("columns", ["0", "5", "-1", "text", "²", "9" * 20])
def test_any_width_gets_a_help_that_ends(columns: str) -> None:
    done = shelled("run --help", COLUMNS=columns, LINES=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: perflib run" in done.stdout


def test_a_terminal_of_one_column_gets_a_help_that_ends() -> None:
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "columns", "1"], stdin=theirs, check=True)
    command = [sys.executable, "-P", "-m", "perflib", "--help"]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as helped:
        os.close(theirs)
        told = b""
        with suppress(OSError):  # EIO: the other end is closed
            while some := os.read(ours, 65_536):
                told += some
        assert helped.wait(timeout=60) == 0
    os.close(ours)
    assert b"Usage" in told
