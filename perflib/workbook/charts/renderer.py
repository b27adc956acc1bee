"""How plotly shows a figure: as PLOTLY_RENDERER says, where that is of use."""

import os
import sys

import plotly.io

_VARIABLE = "PLOTLY_RENDERER"
_IN_THE_NOTEBOOK = "plotly_mimetype"
_BROWSERS = {"browser", "chrome", "chromium", "firefox"}


def settle() -> None:
    """Choose what shows figures; say in a line where that is not what the variable asks for."""
    asked = os.environ.get(_VARIABLE, "")
    try:
        chosen = plotly.io.renderers.default
    except ValueError:  # plotly cannot be imported with it
        del os.environ[_VARIABLE]
        chosen = plotly.io.renderers.default
        _say(asked, "plotly has no such renderer")
    if (
        not asked and chosen == "plotly_mimetype+notebook"
    ):  # before plotly 7: all of plotly.js in each figure, some 4 MB
        plotly.io.renderers.default = _IN_THE_NOTEBOOK
    elif asked and _BROWSERS & set(chosen.split("+")) and _in_a_kernel():
        plotly.io.renderers.default = _IN_THE_NOTEBOOK
        _say(asked, "charts would be missing in the notebook; set plotly.io.renderers.default to have it all the same")


def _in_a_kernel() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _say(asked: str, why: str) -> None:
    sys.stderr.write(f"perflib: {_VARIABLE}={asked} is not heeded: {why}\n")
