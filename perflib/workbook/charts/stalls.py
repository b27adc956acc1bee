"""When nothing was answered at all."""

import plotly.graph_objects as go

from perflib.spec.diagnosis import Diagnosis
from perflib.workbook.charts.diagnosed import empty_figure, figure_of
from perflib.workbook.charts.parts import Words, scatter, series_line


def stalls(found: Diagnosis) -> go.Figure:
    """The moments when nothing was answered though endpoints of all kinds were asked, and how long they lasted.

    >>> import perflib
    >>> perflib.charts.stalls(perflib.why("sample-28-release-1.4"))  # doctest: +SKIP
    """
    words = Words(
        "Stalls",
        "Length of stalls in milliseconds by moment.",
        "Look for even distances and equal heights: a timer, a garbage collector, a checkpoint. A single one at the "
        "start is a warm-up.",
    )
    if not found.stalls:
        seen = f"No stall was seen in {found.span_s:,.0f} s." if found.span_s else "Stalls were not looked for."
        return empty_figure(words.title, seen, found)
    figure = figure_of(words, found)
    x, y = [], []
    for stall in found.stalls:
        x += [stall.at_s, stall.at_s, None]
        y += [0, 1000 * stall.lasted_s, None]
    line = series_line(0, 3)
    dot = {"color": line["color"], "size": 7}
    figure.add_trace(scatter(x, y, "%{y:,.3~r} ms at %{x:.4~g} s", line=line, marker=dot))
    end_s = max(stall.at_s + stall.lasted_s for stall in found.stalls)
    figure.update_xaxes(title="Seconds since the start of the run", range=[0, 1.02 * max(found.span_s, end_s)])
    return figure.update_yaxes(title="Lasted, ms", rangemode="tozero").update_layout(height=320)
