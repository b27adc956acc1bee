"""The parts of perflib that are installed only where they are asked for."""

from importlib.util import find_spec

from perflib.spec.values import InputError

_BRINGS = {
    "workbook": ("nbconvert", "papermill", "plotly"),
    "demo": ("fastapi", "uvicorn"),
    "query": ("duckdb",),
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
}
"""Some packages of each extra of pyproject.toml, by which it is known to be there."""


def require_extra(extra: str, what: str) -> None:
    """Raise InputError, with the command that installs it, where the extra that `what` needs is not installed.

    >>> require_extra("workbook", "perflib report")
    """
    if not all(map(_is_there, _BRINGS[extra])):
        raise InputError(f"{what} needs the {extra} extra: pip install 'perflib[{extra}]'")


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # what it would lie in
        return False
