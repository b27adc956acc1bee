"""The report's templates, with what its pages share: the style, the scripts, plotly."""

import base64
import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from perflib.store.atomic import write_atomically
from perflib.workbook.charts.look import night
from perflib.workbook.template import templates

TEMPLATES = Path(__file__).with_name("templates")


def write(file: Path, template: str, values: Mapping[str, Any]) -> None:
    """Write a page of the report. One with charts says so by `charts`."""
    write_atomically(file, _report().get_template(template).render(values))


def chart(figure: Mapping[str, Any]) -> Markup:
    """The element that a plotly figure, given as JSON, is drawn in; how to read it is folded below."""
    layout = {"height": 420} | layout_of(figure)
    layout.pop("width", None)
    meta, title = layout.get("meta"), layout.get("title") or {}
    words = meta if isinstance(meta, dict) else {}
    values = {
        "alt": words.get("alt") or title.get("text") or "Chart",
        "reading": words.get("reading"),
        "height": int(layout["height"]),
        "figure": {"data": figure["data"], "layout": layout | {"autosize": True}},
    }
    return Markup(_report().get_template("chart.html.j2").render(values))


def layout_of(figure: Mapping[str, Any]) -> dict[str, Any]:
    """A figure's layout without the mark for a mouse that has its reading help."""
    notes = [note for note in figure["layout"].get("annotations", ()) if note.get("name") != "reading"]
    return {**figure["layout"], "annotations": notes}


@cache
def _report() -> Environment:
    found = templates(TEMPLATES)
    found.filters["sha256"] = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    found.globals |= {
        "style": Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        "script": Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        "sorting": Markup((TEMPLATES / "sort.js").read_text(encoding="utf-8")),
        "night": night,
        "plotly": get_plotlyjs,
        "packed_plotly": _packed_plotly,
    }
    return found


@cache
def _packed_plotly() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
