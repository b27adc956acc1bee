"""The first notebook in a real kernel, where an event loop runs already."""

import json
from pathlib import Path

import pytest

from perflib.workbook.report import execute

ROOT = Path(__file__).parents[3]


def test_the_first_notebook_runs_headlessly_and_its_quick_look_is_driven_by_the_kernel_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    executed = tmp_path / "start.ipynb"
    said: list[str] = []
    execute(ROOT / "notebooks/00_start_here.ipynb", executed, {}, said.append)
    cells = {cell["id"]: cell for cell in json.loads(executed.read_text())["cells"] if cell["cell_type"] == "code"}
    assert all(cell["execution_count"] for cell in cells.values())
    [shown] = cells["quick-look"]["outputs"]
    assert "finished" in "".join(shown["data"]["text/html"])
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/run.json")]
    assert sorted(run["scenario"]["duration_s"] for run in runs) == [2, 10]
    assert {run["sample_target"] for run in runs} == {True}
    assert "perflib-live" not in executed.read_text(), "plain lines, and no panel"
    assert any(" · 10 active · " in line for line in said)
