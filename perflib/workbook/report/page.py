"""An executed notebook as one HTML page that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import papermill
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from plotly.offline import get_plotlyjs
from traitlets.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbformat import NotebookNode

_PLOTLY = "application/vnd.plotly.v1+json"
_DROPPED_TAGS = {"setup", "parameters", "injected-parameters"}
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M1 13h14M3 13V9m4 4V4m4 9V7' stroke='%230b5cad' stroke-width='2' fill='none'/%3E%3C/svg%3E"
)
_CELLS = """
{%- extends 'basic/index.html.j2' -%}
{%- block in_prompt %}{% endblock -%}
{%- block output_area_prompt %}{% endblock -%}
{%- block input_group -%}
<details class="code"><summary>Show the code</summary><pre><code>{{ cell.source | e }}</code></pre></details>
{%- endblock -%}
{%- block stream_stdout -%}
{%- if "\n" in output.text.strip() %}<pre>{{ output.text | ansi2html }}</pre>
{%- else %}<p class="said">{{ output.text | ansi2html }}</p>{% endif -%}
{%- endblock -%}
{%- block stream_stderr -%}
<details class="log"><summary>Show the log</summary><pre>{{ output.text | ansi2html }}</pre></details>
{%- endblock -%}
{%- block data_html -%}<div class="html">{{ output.data['text/html'] }}</div>{%- endblock -%}
{%- block error -%}
<div class="error"><pre>{% for line in output.traceback %}{{ line | ansi2html }}
{% endfor %}</pre></div>
{%- endblock -%}
"""


def write_page(executed: Path, page: Path, title: str, failure: str = "") -> None:
    """Write the page of an executed notebook; `failure` says in red words what stopped it.

    A notebook measures first. Its page opens with what the cells tagged `verdict` show, right below the title, and
    ends with the cells tagged `method`.
    """
    notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    parameters = _parameters(executed, notebook)
    notebook.cells = [cell for cell in notebook.cells if not _DROPPED_TAGS & set(cell.metadata.get("tags", ()))]
    notebook.cells = _as_read(notebook.cells)
    charts = sum(_draw_in_page(output) for cell in notebook.cells for output in cell.get("outputs", ()))
    body, _ = _exporter().from_notebook_node(notebook)
    heading = "" if "<h1" in body else f"<h1>{escape(title)}</h1>"
    failed = f'<p class="failed">This notebook did not run to its end: {escape(failure)}</p>' if failure else ""
    content = f'<nav><a href="index.html">All scenarios</a></nav>{heading}{failed}{body}{parameters}'
    page.write_text(document(title, f"<main>{content}</main>", charts=charts > 0), encoding="utf-8")


def _as_read(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells in a reader's order: title, verdict, evidence, method."""
    places = {"verdict": 1, "method": 3}
    tagged = [next((places[tag] for tag in cell.metadata.get("tags", ()) if tag in places), 2) for cell in cells]
    order = sorted(range(len(cells)), key=lambda at: tagged[at] if at else 0)
    return [cells[at] for at in order]


def document(title: str, body: str, *, charts: bool = False) -> str:
    """A whole HTML document. Only our own scripts can run in it, by their hashes; it can load nothing."""
    scripts = [get_plotlyjs(), _asset("page.js")] if charts else []
    allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts) or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    machinery = (
        "<noscript><p>The charts of this page need JavaScript.</p></noscript>"
        f'<script type="application/gzip" id="plotly">{_packed_plotly()}</script><script>{scripts[1]}</script>'
        if charts
        else ""
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="{_ICON}">
<style>{_asset("page.css")}</style>
</head>
<body>
{body}
{machinery}
</body>
</html>
"""


def _exporter() -> HTMLExporter:
    shown = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]
    config = Config({"NbConvertBase": {"display_data_priority": shown}})
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        config=config, template_name="basic", raw_template=_CELLS, exclude_anchor_links=True, embed_images=True
    )
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)  # type: ignore[no-untyped-call]
    return exporter


def _draw_in_page(output: NotebookNode) -> bool:
    """Replace a plotly figure by the element it is drawn in. True for a chart."""
    figure = output.get("data", {}).get(_PLOTLY)
    if figure is not None:
        output.data = {"text/html": chart(figure)}
    return figure is not None


def chart(figure: Mapping[str, Any]) -> str:
    """The element that a plotly figure, given as JSON, is drawn in; its reading help is folded below it."""
    layout = {key: value for key, value in figure["layout"].items() if key != "width"} | {"autosize": True}
    layout["annotations"] = [note for note in layout.get("annotations", ()) if note.get("name") != "reading"]
    meta, title = layout.get("meta"), layout.get("title")
    words = meta if isinstance(meta, dict) else {}
    alt = words.get("alt") or (title or {}).get("text") or "Chart"
    reading = f"<details><summary>How to read this chart</summary><p>{escape(words.get('reading') or '')}</p></details>"
    height = int(layout.setdefault("height", 420))
    data = _as_inert_json({"data": figure["data"], "layout": layout})
    place = f'<div class="chart" role="img" aria-label="{escape(alt)}" style="height:{height}px"></div>'
    script = f'<script type="application/json">{data}</script>'
    return f"<figure>{place}{script}{reading if words.get('reading') else ''}</figure>"


def _as_inert_json(value: Any) -> str:
    """JSON that no HTML parser can take for markup."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _parameters(executed: Path, notebook: NotebookNode) -> str:
    given = notebook.metadata.get("papermill", {}).get("parameters", {})
    rows = [
        (name, repr(given[name]) if name in given else known["default"], known["help"])
        for name, known in papermill.inspect_notebook(executed).items()
    ]
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Name", "Value", "Meaning"))
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f'<h2>Parameters</h2><div class="wide-content"><table class="plain"><tr>{head}</tr>{body}</table></div>'


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@functools.cache
def _packed_plotly() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
