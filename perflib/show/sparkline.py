"""The sparkline: a series as an SVG path, from zero up (Tufte 2006, Beautiful Evidence)."""

from collections.abc import Iterable

_MARGIN = 2
"""Above and below, for the width of the line."""


def height_of(value: float, highest: float, height: float) -> float:
    """Where a value lies, from the top.

    >>> [height_of(value, 10.0, 28) for value in (0.0, 10.0)]
    [26.0, 2.0]
    """
    return height - _MARGIN - (height - 2 * _MARGIN) * value / (highest or 1.0)


def path_of(points: Iterable[tuple[float, float | None]], highest: float, height: float) -> str:
    """The path through points of a place from the left and a value; None: a gap.

    >>> path_of([(0.0, 0.0), (5.0, None), (9.0, 10.0), (10.0, 10.0)], 10.0, 28)
    'M0.0,26.0M9.0,2.0L10.0,2.0'
    """
    path, pen = "", "M"
    for x, value in points:
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{x:.1f},{height_of(value, highest, height):.1f}"
        pen = "L"
    return path
