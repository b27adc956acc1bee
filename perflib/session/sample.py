"""The sample dashboard: started for whoever names no target, in a process of its own."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

from perflib.load.engine import PYTHON
from perflib.spec import InputError
from perflib.spec.exits import ExitStatus
from perflib.spec.extras import require_extra
from perflib.store.faults import all_of, did_not_start, last_line
from perflib.store.folders import Workbook

_SAMPLE_URL = "PERFLIB_SAMPLE_URL"
"""Tells the kernels of a report that the URL they are given is the sample dashboard's."""


@dataclass(frozen=True)
class SampleDashboard:
    """A running sample dashboard."""

    url: str
    pid: int


def require_sample() -> None:
    """Raise InputError where the sample dashboard is not installed."""
    mend = "name your API (--url URL, or --target FILE, which `perflib discover URL -o FILE` writes)"
    require_extra("demo", f"{mend}; without one the sample dashboard is measured, which")


@contextmanager
def sample_dashboard(workbook: Workbook, switches: tuple[str, ...] = ()) -> Iterator[SampleDashboard]:
    """Start the sample dashboard on a free port, its random token in this process's environment; end it afterwards.

    Raises:
        InputError: where it does not start, or is not installed.
    """
    require_sample()
    token_env = "PERF_API_TOKEN"
    before = {name: os.environ.get(name) for name in (token_env, _SAMPLE_URL)}
    os.environ[token_env] = secrets.token_urlsafe(24)
    workbook.make_data()
    database = workbook.data / "dashboard.sqlite"
    command = [*PYTHON, "-m", "perflib.sample", "--port", "0", "--database", str(database), *switches]
    pipe = subprocess.PIPE  # the end of its stdin ends it, however this process dies
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        server = subprocess.Popen(
            [*command, "--end-with-stdin"],
            stdin=pipe,
            stdout=pipe,
            stderr=said,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            url = os.environ[_SAMPLE_URL] = _served_at(server, said)
            yield SampleDashboard(url, server.pid)
        finally:
            server.terminate()
            server.communicate()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def _served_at(server: subprocess.Popen[str], said: IO[str]) -> str:
    assert server.stdout is not None
    begin = "perflib demo: serving on "
    url = next((line.removeprefix(begin).strip() for line in server.stdout if line.startswith(begin)), "")
    if not url and server.wait() == ExitStatus.WRONG_USE:
        raise InputError(f"sample dashboard: {last_line(said).removeprefix('perflib demo: ')}")
    if not url:
        raise did_not_start("sample dashboard", all_of(said))
    return url


def is_sample(url: str) -> bool:
    """Whether the sample dashboard, started by this process or by the one that started it, serves at this URL."""
    return url != "" and url == os.environ.get(_SAMPLE_URL)
