"""From the first command to a report, as its user types it: in a new workbook, by the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from tests.session.test_secrets import spellings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SHORT = ("--users", "4", "--duration", "1s", "--warmup", "0.3s")


@dataclass
class FirstReport:
    """A workbook in a new folder, and what its commands came to.

    Args:
        secrets: environment variables, whose values no byte may hold.
    """

    folder: Path
    secrets: dict[str, str]
    commands: int = 0
    took_s: float = 0
    said: str = ""
    """All that the commands wrote."""
    other_secrets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.perflib("init", ".")

    def perflib(self, *words: str) -> None:
        """One command, which ends well."""
        environment = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"} | self.secrets
        begun_s = time.monotonic()
        command = [sys.executable, "-m", "perflib", *words]
        done = subprocess.run(command, check=False, cwd=self.folder, env=environment, capture_output=True, text=True)
        self.took_s += time.monotonic() - begun_s
        self.commands += 1
        self.said += done.stdout + done.stderr
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def written(self) -> str:
        """The target file."""
        return (self.folder / "data/targets/api.toml").read_text(encoding="utf-8")

    def write(self, target: str) -> None:
        (self.folder / "data/targets/api.toml").write_text(target, encoding="utf-8")

    def report(self, *scenarios: str) -> None:
        """The last command: the report is there."""
        self.perflib("report", *scenarios, *SHORT)
        assert (self.folder / "data/reports/latest/index.html").is_file()

    @property
    def run(self) -> Path:
        """The folder of the only run."""
        [facts] = self.folder.glob("data/runs/*/run.json")
        return facts.parent

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.run / "run.json").read_text(encoding="utf-8"))
        return facts

    @property
    def requests(self) -> pd.DataFrame:
        """Those of the endpoints."""
        rows = pd.read_parquet(self.run / "requests.parquet")
        return rows[rows["kind"] == "request"]

    def leaks(self) -> list[str]:
        """The files in this workbook that hold a secret, and the terminal if it showed one."""
        secrets = [*self.secrets.values(), *self.other_secrets]
        found = [str(path) for path in self.folder.rglob("*") if path.is_file() and holds(path, secrets)]
        return found + (["the terminal"] if any(secret in self.said for secret in secrets) else [])


def holds(path: Path, secrets: Iterable[str]) -> bool:
    """Whether any byte of a file, or a cell of its table, has a secret in any of its forms."""
    text = path.read_bytes()
    if text.startswith(b"PAR1"):
        text += pd.read_parquet(path).to_csv().encode()
    forms = (one for secret in secrets for one in (*spellings(secret), quote(secret, safe="").encode()))
    return any(one in text for one in forms)
