"""What is kept of a fault of perflib's own. Imports nothing of perflib: its installation may be what is broken."""

import traceback
from contextlib import suppress
from tempfile import NamedTemporaryFile


def where_kept(fault: BaseException) -> str:
    """Writes the traceback to a file, and says in which; empty where none can be written."""
    with suppress(OSError), NamedTemporaryFile(prefix="perflib-fault-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(fault)).encode(errors="replace"))
        return f"; the traceback is in {file.name}"
    return ""
