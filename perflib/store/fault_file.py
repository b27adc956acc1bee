"""The file that keeps what a fault of perflib's own said. Imports nothing of perflib: that may be what is broken."""

import traceback
from contextlib import suppress
from tempfile import NamedTemporaryFile


def where_kept(fault: BaseException) -> str:
    """Writes the traceback to a file, and says in which; empty where none can be written."""
    return where_written("".join(traceback.format_exception(fault)), "the traceback")


def where_written(text: str, what: str) -> str:
    """Writes what was said to a file, and says in which; empty where none can be written."""
    with suppress(OSError), NamedTemporaryFile(prefix="perflib-fault-", suffix=".txt", delete=False) as file:
        file.write(text.encode(errors="replace"))
        return f"; {what} is in {file.name}"
    return ""
