"""Nothing leaks: secrets are planted, and every byte that is left behind is searched, failures and crashes included."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import psutil
import pytest

from perflib.cli.app import main
from perflib.load.request import encode
from perflib.session import drive as session
from perflib.session.by_turns import compare
from perflib.spec import InputError, Options
from perflib.store.folders import load_target, target_as_toml
from tests.servers import answer, answering, closed_port, scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SECRETS = {"PLANTED_TOKEN": "tok-5e0f9c3b7a61", "PLANTED_KEY": "key-8d24c6f10b95", "PLANTED_HEADER": "hdr-17a3e9d2c480"}
TARGET = """\
[target]
name = "t"
base_url = "http://127.0.0.1:1"
token_env = "PLANTED_TOKEN"
[[endpoint]]
path = "/a"
params = { q = "plain", key = { env = "PLANTED_KEY" } }
headers = { X-Key = { env = "PLANTED_HEADER" } }
expect = { keys = ["data"] }
"""
READABLE = {
    ".json",
    ".html",
    ".ipynb",
    ".md",
    ".toml",
    ".parquet",
    ".spool",
    ".sqlite",
    ".css",
    ".js",
    ".py",
    ".dat",
    ".txt",
    "",
}
"""What may be left behind: kinds of files whose bytes say what is in them, Parquet being read as a table too."""


@pytest.fixture
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook of its own, in a home of its own, the secrets in the environment."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "t.toml").write_text(TARGET)
    (tmp_path / "notebooks").mkdir()
    source = Path(__file__).parents[2] / "notebooks/02_light_load.ipynb"
    shutil.copy(source, tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def spellings(secret: str) -> Iterator[bytes]:
    """A secret as it is, and inside of Base64 at each of its three alignments."""
    yield secret.encode()
    for shift in range(3):
        yield base64.b64encode(b" " * shift + secret.encode())[4:-4]


def leaks(text: bytes) -> list[str]:
    return [name for name, value in SECRETS.items() if any(one in text for one in spellings(value))]


def leaking_files(folder: Path) -> dict[str, list[str]]:
    """Of all files in a folder those that hold a secret. What cannot be read is as bad."""
    found = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        text = path.read_bytes() + str(path).encode()
        if path.suffix == ".parquet":
            text += pd.read_parquet(path).to_csv().encode() if text.startswith(b"PAR1") else b""
        if leaks(text) or path.suffix not in READABLE:
            found[str(path.relative_to(folder))] = leaks(text) or ["not searched"]
    return found


def listed() -> bytes:
    """The process list."""
    lines = []
    for process in psutil.process_iter():
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return "\n".join(lines).encode()


class Done:
    """A command that has ended: all it said, and the process list while it ran."""

    def __init__(
        self, *command: str, kill_when: Callable[[], bool] = lambda: False, extra: Mapping[str, str] | None = None
    ) -> None:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-m", "perflib", *command], stdout=pipe, stderr=pipe, env=os.environ | (extra or {})
        )
        began_s, seen = time.monotonic(), [listed()]
        while process.poll() is None and time.monotonic() - began_s < 60:
            seen.append(listed())
            if kill_when():
                process.send_signal(signal.SIGKILL)
            time.sleep(0.2)
        out, error = process.communicate(timeout=20)
        self.status, self.said, self.processes = process.returncode, out + error, b"\n".join(seen)


RUN = ("run", "light_load", "--target", "t.toml", "--duration", "0.4s", "--warmup", "0", "--users", "2")


def hold_nothing(done: Done, workbook: Path) -> None:
    assert leaks(done.said) == []
    assert leaks(done.processes) == []
    assert b"perflib.load.worker" in done.processes
    assert leaking_files(workbook) == {}


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    token = SECRETS["PLANTED_TOKEN"]
    (tmp_path / "plain.json").write_text(f'{{"x": "{token}"}}')
    (tmp_path / "coded.html").write_bytes(base64.b64encode(f"12345{token}678".encode()))
    (tmp_path / "strange.zip").write_text("?")
    pd.DataFrame({"a": [f"{number} {token}" for number in range(99)]}).to_parquet(tmp_path / "table.parquet")
    assert set(leaking_files(tmp_path)) == {"plain.json", "coded.html", "strange.zip", "table.parquet"}


def test_a_run_sends_its_secrets_and_leaves_none(workbook: Path) -> None:
    with scripted([(answer(),)] * 9999) as server:
        done = Done(*RUN, "--url", server.url)
    assert done.status == 0, done.said
    request = server.requests[0]
    assert request.startswith(b"GET /a?q=plain&key=" + SECRETS["PLANTED_KEY"].encode())
    assert b"Authorization: Bearer " + SECRETS["PLANTED_TOKEN"].encode() in request
    assert SECRETS["PLANTED_HEADER"].encode() in request
    assert list(workbook.glob("data/runs/*/requests.parquet"))
    hold_nothing(done, workbook)


def test_a_server_that_is_away_brings_nothing_to_light(workbook: Path) -> None:
    done = Done(*RUN, "--url", closed_port())
    assert b"connect" in done.said
    hold_nothing(done, workbook)


def has_spooled(workbook: Path) -> bool:
    """Its first second is on the disk."""
    return any(path.stat().st_size for path in workbook.glob("data/runs/*/requests.0.spool"))


def test_a_killed_run_leaves_no_secret(workbook: Path) -> None:
    with answering(answer()) as server:
        done = Done(*RUN, "--url", server.url, "--duration", "30s", kill_when=lambda: has_spooled(workbook))
    assert done.status == -signal.SIGKILL
    assert list(workbook.glob("data/runs/*/*.spool"))
    hold_nothing(done, workbook)


def test_the_traceback_of_a_crash_holds_no_secret(workbook: Path) -> None:
    (workbook / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'perflib.load.worker' in sys.orig_argv:\n"
        "    from perflib.load.wire import Connection\n"
        "    Connection.send = lambda self, request, answered: 1 / 0\n"
    )
    with answering(answer()) as server:
        done = Done(*RUN, "--url", server.url, extra={"PYTHONPATH": str(workbook), "PYTHONDONTWRITEBYTECODE": "1"})
    assert b"ZeroDivisionError" in done.said
    hold_nothing(done, workbook)


def test_a_report_of_a_server_that_sends_secrets_back_and_fails_holds_none(workbook: Path) -> None:
    echo = " ".join(spelled.decode() for value in SECRETS.values() for spelled in spellings(value))
    kept = answer(b"x" * 480 + echo.encode(), f"X-Echo: {echo}", f"Set-Cookie: a={echo}", status="500 Oops")
    with answering(kept) as server:
        done = Done("report", *RUN[1:], "--url", server.url, "--out", "report")
    assert done.status == 0, done.said
    assert len(pd.read_parquet(next(workbook.glob("data/runs/*/failures.parquet")))) == 20
    assert list(workbook.glob("report/light_load.html"))
    hold_nothing(done, workbook)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_is_not_set_is_named_and_nothing_is_sent(
    workbook: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name)
    with answering(answer()) as server:
        with pytest.raises(InputError, match=f"the variable {name} is not set; export it first"):
            session.run("light_load", Options(target="t.toml", url=server.url, duration=1))
        assert server.requests == []
    assert not list(workbook.glob("data/runs/*"))


@pytest.mark.parametrize("ending", ["é", "\n", "\r\nX: y"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_no_header_can_hold_is_refused_without_being_told(
    workbook: Path, name: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, SECRETS[name] + ending)
    known = load_target(workbook / "t.toml")
    with pytest.raises(InputError) as refused:
        encode(known, known.endpoints[0])
    assert f"the variable {name} holds what no header can" in str(refused.value)
    assert leaks(str(refused.value).encode()) == []


def test_a_command_to_compare_that_prints_its_token_is_quoted_without_it(workbook: Path) -> None:
    """What a server says as it fails is shown, so that one can mend it."""
    failing = (
        f"""{sys.executable} -c "import os; print('bad token', os.environ['PLANTED_TOKEN']); print({{port}} / 0)" """
    )
    failing = failing.replace("; print({port} / 0)", "; exit({port} and 3)")
    with pytest.raises(InputError, match=r"ended with status 3 before it listened: bad token \*\*\*"):
        compare(failing, failing, Options(target="t.toml"))


def test_a_target_file_keeps_the_name_of_a_secret_and_shows_no_more(workbook: Path) -> None:
    known = load_target(workbook / "t.toml")
    (workbook / "again.toml").write_text(target_as_toml(known))
    assert load_target(workbook / "again.toml") == known
    assert known.secrets == tuple(SECRETS)
    assert leaks(known.model_dump_json().encode() + repr(known).encode()) == []


def test_a_secret_is_named_and_never_written_in_the_target_file(
    workbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workbook / "t.toml").write_text(TARGET.replace('{ env = "PLANTED_KEY" }', '{ value = "x" }'))
    assert main(["run", "light_load", "--target", "t.toml"]) == 2
    assert "endpoint[1].params.key" in capsys.readouterr().err


def test_nothing_here_reads_or_writes_pickles() -> None:
    package = Path(session.__file__).parent
    words = ("pickle", "joblib", "marshal", "shelve", "dill")
    for path in package.rglob("*.py"):
        assert not [word for word in words if word in path.read_text()], path
