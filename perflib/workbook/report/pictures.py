"""Pictures of the charts in executed notebooks, for readers that run no script, such as GitHub."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat

from perflib.workbook.report import html
from perflib.workbook.report.page import PLOTLY

_BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_OPTIONS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-breakpad", "--disable-crash-reporter"),
    *("--virtual-time-budget=600000", "--dump-dom"),
)
_PATIENCE_S = 120.0
_NONE = "="
_MADE = re.compile(r'<img class="made" src="data:image/png;base64,([A-Za-z0-9+/=]+)"')


def add_pictures(notebooks: Sequence[Path]) -> str:
    """Put a PNG beside every chart of these notebooks; returns why there are none, empty where there are.

    They are drawn by an installed Chrome or Chromium, all in one page; the notebooks stay as they are without one.
    """
    opened = {path: nbformat.read(path, as_version=4) for path in notebooks}  # type: ignore[no-untyped-call]
    charts = [
        output.data
        for notebook in opened.values()
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if PLOTLY in output.get("data", {})
    ]
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if not charts:
        return ""
    if browser is None:
        return "The notebooks' charts have no pictures: no Chrome or Chromium was found."
    made = _drawn(browser, [chart[PLOTLY] for chart in charts])
    drawn = len([png for png in made if png != _NONE])
    if len(made) != len(charts):
        return f"The notebooks' charts have no pictures: the browser drew {drawn} of {len(charts)}."
    for chart, png in zip(charts, made, strict=True):
        if png != _NONE:
            chart["image/png"] = png
    for path, notebook in opened.items():
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return "" if drawn == len(charts) else f"Some charts have no picture: the browser drew {drawn} of {len(charts)}."


def _drawn(browser: str, figures: list[Any]) -> list[str]:
    """PNGs in base64, as many as the browser came to within its time; `_NONE` for a chart that it could not draw."""
    with TemporaryDirectory() as scratch:
        page = Path(scratch) / "figures.html"
        wanted = [{"data": figure["data"], "layout": html.layout_of(figure)} for figure in figures]
        html.write(page, "pictures.html.j2", {"figures": wanted})
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [browser, *_OPTIONS, *sandbox, f"--user-data-dir={scratch}/profile", page.as_uri()]
        # What a browser needs and no more: should it crash, its dump holds no secret of this process.
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {"HOME": scratch}
        try:
            shown = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=_PATIENCE_S,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
    return _MADE.findall(shown.stdout)
