"""A workbook of a test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def entered(folder: Path, monkeypatch: pytest.MonkeyPatch, target: str, **variables: str) -> Path:
    """`folder` as the workbook that commands find: `target` in t.toml, runs in data/runs, these variables set."""
    (folder / "pyproject.toml").touch()
    (folder / "t.toml").write_text(target)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return folder
