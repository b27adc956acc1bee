"""Write a target file from a server's OpenAPI document.

Example: perflib discover http://127.0.0.1:8000 -o data/targets/mine.toml
Exit status: 0 written or printed, 2 no OpenAPI document there, or FILE exists.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def discover(
    url: str, /, *, output: Annotated[Path | None, Parameter(name=("--output", "-o"), metavar="FILE")] = None
) -> None:
    """Print or write the target file.

    Args:
        url: The server's base URL; its document is read from URL/openapi.json.
        output: A new file. Without it the target file is printed.
    """
    from perflib.cli.options import say
    from perflib.session.discover import discover
    from perflib.store.folders import target_as_toml, write_target

    found = discover(url)
    say(found.in_words)
    if output is None:
        print(target_as_toml(found.target), end="")
        return
    write_target(output, found.target)
    print(f"wrote {output}; check its limits, then: perflib report --target {output}")
