"""Where response times went: connecting, waiting, receiving."""

import plotly.graph_objects as go

from perflib.figures.phases import Phases
from perflib.figures.phases import phases as phases_of
from perflib.figures.summary import PHASES
from perflib.spec import Run
from perflib.workbook.charts import parts
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Words, label_of

_COLOURS = dict(zip(PHASES, (LIGHT.quiet, COLOURS[4], COLOURS[0], COLOURS[2]), strict=True))
_BAR_PX = 24


def phases(run: Run) -> go.Figure:
    """Mean response time by phase: a stacked bar per endpoint, and one of its slowest 5 %; warm successes.

    >>> import perflib
    >>> [trace.name for trace in perflib.charts.phases(perflib.load_run("sample-28-release-1.4")).data]
    ['waiting', 'receiving']
    """
    words = Words(
        "Where the time goes",
        "Mean response times in milliseconds by phase, of all requests and of the slowest 5 %",
        "Waiting is the target at work. Receiving is a large answer, a slow network, or a server that sends its answer "
        "in parts; connecting is a connection that was not kept. Look which phase the slowest have more of.",
    )
    found = phases_of(run)
    if not found:
        return parts.empty_figure(words.title, "No request succeeded after warm-up.", run)
    bars = [_label(one) for one in found]
    figure = parts.figure_of(words, run)
    for phase in PHASES:
        ms = [one.mean_ms[phase] for one in found]
        if any(ms):
            hover = f"{phase}: %{{x:.3~r}} ms on average of %{{customdata:,}}<extra></extra>"
            bar = {"x": ms, "y": bars, "orientation": "h", "customdata": [one.requests for one in found]}
            figure.add_bar(**bar, name=phase, marker_color=_COLOURS[phase], hovertemplate=hover)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=bars[::-1])
    figure.update_xaxes(title="Response time, ms", rangemode="tozero")
    return figure.update_layout(
        barmode="stack", bargap=0.25, legend_traceorder="normal", height=200 + _BAR_PX * len(bars)
    )


def _label(one: Phases) -> str:
    return f"{label_of(one.endpoint)}{', slowest 5 %' if one.slowest else ''}"
