"""How many runs are valid where JupyterLab and a browser that watches them share the cores? Prints a table.

    python -m tests.long.tours --runs 20

The run of notebook 00, cell after cell, in a real JupyterLab whose live panel is open in headless Chromium.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

sys.path.insert(0, str(Path(__file__).parents[2]))

from perflib.store.folders import Workbook
from perflib.store.runs import RunFolder
from tests.browser import chromium
from tests.workbook.live.test_lab import AT_THE_ROOT, KERNEL, ROOT, Lab, ended, open_notebook, run_all, served_at

if TYPE_CHECKING:
    from perflib.spec import Facts

RUN_S = 60
"""Each takes less, on the busiest machine."""


def tour(folder: Path, count: int) -> None:
    """Drive the runs in a workbook in this folder, watched."""
    cells = ["import perflib", *['perflib.run("light_load", profile="quick")'] * count]
    (folder / "notebooks").mkdir(parents=True)
    (folder / "data/targets").mkdir(parents=True)
    shutil.copy(ROOT / "data/targets/dashboard.toml", folder / "data/targets")
    (folder / "performance_baselines.json").write_text('{"schema_version": 1, "baselines": []}')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=KERNEL)
    nbformat.write(notebook, folder / "notebooks/tours.ipynb")
    token, runtime = secrets.token_urlsafe(16), folder / "runtime"
    command = [sys.executable, "-m", "jupyterlab", f"--IdentityProvider.token={token}", "--no-browser", "--allow-root"]
    own = {"JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    with (folder / "log").open("w") as log:
        started = subprocess.Popen([*command, *AT_THE_ROOT.split()], cwd=folder, env=os.environ | own, stderr=log)
        with ended(started) as server, chromium() as browser:
            lab = Lab(served_at(runtime, server, folder / "log"), token, folder, "")
            page = open_notebook(browser, lab, "tours.ipynb")
            run_all(page)
            until_s = time.monotonic() + count * RUN_S
            while len(measured_in(folder)) < count and time.monotonic() < until_s:
                page.wait_for_timeout(1000)


def measured_in(folder: Path) -> list[Facts]:
    """The runs that are over, the oldest first."""
    paths = sorted(Workbook(folder).runs.glob("*/run.json"))
    return [facts for path in paths if (facts := RunFolder(path.parent).read_facts()).state == "finished"]


def table(folder: Path) -> str:
    """A line per run."""
    lines = ["| run | valid | requests | users' lost share | who used the cores |", "| --- | --- | --- | --- | --- |"]
    measured = measured_in(folder)
    for number, facts in enumerate(measured, 1):
        told, cores = facts.generator, facts.generator.cores_used
        shares = {} if cores is None else {"target": cores.target, "generator": cores.generator, "others": cores.others}
        used = ", ".join(f"{name} {share:.2f}" for name, share in shares.items() if share is not None)
        valid = "yes" if facts.valid else "; ".join(facts.invalid_reasons)
        lines.append(f"| {number} | {valid} | {told.requests:,} | {told.lost_share or 0:.1%} | {used} |")
    return "\n".join([*lines, "", f"Valid: {sum(facts.valid for facts in measured)} of {len(measured)}."])


def main() -> int:
    """Drive the runs, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tour(Path(scratch), given.runs)
        sys.stdout.write(f"{table(Path(scratch))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
