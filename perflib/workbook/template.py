"""Templates: the HTML and Markdown of the workbook, with every value escaped."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from perflib.show.table import escape_markdown, harmless, with_code


@cache
def templates(folder: Path) -> Environment:
    """The templates of a folder. A value is text, never markup; a missing one is an error.

    In Markdown a value goes through the filter `md`; in HTML one with commands through `code`.
    """
    found = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    found.filters["code"] = with_code
    found.filters["md"] = lambda text: Markup(escape_markdown(str(text)))
    return found
