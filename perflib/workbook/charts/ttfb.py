"""Where an answer's time goes: waiting for its first byte, then receiving it."""

import plotly.graph_objects as go

from perflib.figures.ttfb import ttfb as figures_of
from perflib.spec import Run
from perflib.workbook.charts.parts import Words, figure_of


def ttfb(run: Run) -> go.Figure:
    """Waiting and receiving of each endpoint at the median, one bar each.

    >>> import perflib
    >>> perflib.charts.ttfb(perflib.load_run("sample-28-release-1.4")).data[0].name
    'waiting'
    """
    words = Words(
        "Waiting and receiving",
        "Bars of the median time to the first byte and from there to the last, by endpoint, in milliseconds",
        "Waiting is the target at work; receiving is the network, or a server that sends its answer in pieces.",
    )
    figure, found = figure_of(words, run), figures_of(run)
    for name, field in (("waiting", "waiting_p50_ms"), ("receiving", "receiving_p50_ms")):
        figure.add_bar(name=name, x=[one.endpoint for one in found], y=[getattr(one, field) for one in found])
    return figure.update_layout(barmode="stack", yaxis_title="ms")
