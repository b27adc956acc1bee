"""An executed notebook as one HTML page that needs nothing else: no server, no network, no other file."""

from pathlib import Path
from typing import Any

import nbformat
import papermill
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from traitlets.config import Config

from perflib.workbook.report import html

PLOTLY = "application/vnd.plotly.v1+json"
_DROPPED_TAGS = {"setup", "parameters", "injected-parameters"}
_PLACES = {"verdict": 1, "method": 3}
_SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]


def write_page(executed: Path, page: Path, title: str, failure: str = "") -> None:
    """Write the page of an executed notebook; `failure` says in red words what stopped it.

    A notebook measures first. Its page opens with what the cells tagged `verdict` show, right below the title, and
    ends with the cells tagged `method`.
    """
    notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    parameters = _parameters(executed, notebook)
    notebook.cells = _as_read([cell for cell in notebook.cells if not _DROPPED_TAGS & _tags(cell)])
    charts = [_draw_in_page(output) for cell in notebook.cells for output in cell.get("outputs", ())]
    cells, _ = _exporter().from_notebook_node(notebook)
    shown = {"title": title, "failure": failure, "cells": Markup(cells), "parameters": parameters}
    html.write(page, "page.html.j2", shown | {"charts": any(charts)})


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def _as_read(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells in a reader's order: title, verdict, evidence, method."""
    rest = sorted(cells[1:], key=lambda cell: next((at for tag, at in _PLACES.items() if tag in _tags(cell)), 2))
    return cells[:1] + rest


def _draw_in_page(output: NotebookNode) -> bool:
    """Replace a plotly figure by the element it is drawn in. True for a chart."""
    figure = output.get("data", {}).get(PLOTLY)
    if figure is not None:
        output.data = {"text/html": html.chart(figure)}
    return figure is not None


def _exporter() -> HTMLExporter:
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        config=Config({"NbConvertBase": {"display_data_priority": _SHOWN}}),
        template_name="basic",
        raw_template=(html.TEMPLATES / "cells.html.j2").read_text(encoding="utf-8"),
        exclude_anchor_links=True,
        embed_images=True,
    )
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)  # type: ignore[no-untyped-call]
    return exporter


def _parameters(executed: Path, notebook: NotebookNode) -> list[dict[str, Any]]:
    """Those that were given another value than their default."""
    given = notebook.metadata.get("papermill", {}).get("parameters", {})
    known = papermill.inspect_notebook(executed)
    return [
        {"name": name, "value": repr(value), "meaning": known.get(name, {}).get("help", "")}
        for name, value in given.items()
        if repr(value) != known.get(name, {}).get("default", "").replace('"', "'")
    ]
