"""Serve the sample dashboard."""

from typing import Annotated

from cyclopts import App, Parameter

demo = App("demo", help_flags=(), version_flags=())


@demo.default
def serve(*switches: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Hand everything on to the sample dashboard, `--help` too."""
    from perflib.spec.extras import require_extra

    require_extra("demo", "perflib demo")
    from perflib.sample.__main__ import main

    return main(list(switches))
