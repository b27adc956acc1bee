"""The look of all charts: a palette for a light ground and one for a dark ground, a template made of each."""

from dataclasses import asdict, dataclass
from typing import Any

import plotly.graph_objects as go

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Palette:
    """The colours of one ground, each by its role; `heat` from few to many."""

    paper: str
    ink: str
    quiet: str
    grid: str
    edge: str
    shade: str
    glass: str
    heat: tuple[str, ...]
    series: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        """In one order for every palette."""
        return [one for role in asdict(self).values() for one in ([role] if isinstance(role, str) else role)]


LIGHT = Palette(
    paper="#FFFFFF",
    ink="#24292F",
    quiet="#6E7781",
    grid="#E8EBEE",
    edge="#C9CED4",
    shade="#8C959F",
    glass="rgba(255, 255, 255, 0.8)",
    heat=("#E3EEF5", "#7FB7DA", "#0072B2", "#00263D"),
    series=("#0047C0", "#8A2C00", "#0F9D6E", "#7A2E78", "#C1870A", "#0A98DC", "#000000"),
)
"""Series safe for the colour-blind, after Okabe & Ito 2008, and darker: each has a contrast of 3 to 1 to the paper."""
DARK = Palette(
    paper="#111111",
    ink="#E6EDF3",
    quiet="#9DA7B3",
    grid="#2A2F36",
    edge="#4A525C",
    shade="#8B949E",
    glass="rgba(17, 17, 17, 0.8)",
    heat=("#14293A", "#1F5F8B", "#57ABDD", "#E3F3FF"),
    series=("#3D7BEF", "#DB4A1B", "#18BA7A", "#B74A98", "#FBA600", "#6CC8FF", "#F4F6F8"),
)
"""Its paper is that of JupyterLab's dark theme."""
COLOURS, DARK_COLOURS = LIGHT.series, DARK.series


def _template(palette: Palette) -> go.layout.Template:
    family = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
    quiet, note = {"size": 12.5, "color": palette.quiet}, {"size": 11.5, "color": palette.quiet}
    box = {"bgcolor": palette.paper, "bordercolor": palette.edge}
    hover = box | {"font": {"color": palette.ink, "size": 12.5}}
    line = {"gridcolor": palette.grid, "linecolor": palette.edge, "showline": True, "zeroline": False}
    ticks = {"ticks": "outside", "ticklen": 4, "tickcolor": palette.edge, "automargin": True}
    axis = line | ticks | {"title": {"font": quiet, "standoff": 8}}
    corner = {"x": 0, "xref": "paper", "xanchor": "left", "y": 0.985, "yref": "container", "yanchor": "top"}
    foot = {"x": 0, "xref": "paper", "y": 0.01, "yref": "container", "yanchor": "bottom"}
    scale = [[place, colour] for place, colour in zip((0.0, 0.35, 0.7, 1.0), palette.heat, strict=True)]
    ground = {"paper_bgcolor": palette.paper, "plot_bgcolor": palette.paper, "colorway": palette.series}
    place = {"margin": {"l": 64, "r": 28, "t": 78, "b": 96}, "legend": foot | {"orientation": "h"}, "bargap": 0.0}
    layout = {
        "font": {"family": family, "size": 13, "color": palette.ink},
        "title": corner | {"font": {"size": 17}, "subtitle": {"font": quiet}, "pad": {"t": 6}},
        "hoverlabel": hover,
        "annotationdefaults": {"font": note, "hoverlabel": hover, "showarrow": False},
        "shapedefaults": {"line": {"color": palette.quiet, "width": 1, "dash": "dot"}},
        "updatemenudefaults": box | {"font": note},
    }
    traces = {
        "heatmap": [{"colorscale": scale, "colorbar": {"title": {"font": quiet}}}],
        "icicle": [{"root": {"color": palette.grid}}],
        "scatter": [{"textfont": note}],
    }
    return go.layout.Template(layout=layout | ground | place | {"xaxis": axis, "yaxis": axis}, data=traces)


TEMPLATE, _DARK_TEMPLATE = _template(LIGHT), _template(DARK)
"""The look of every chart: plain ground, quiet grid, legend below. `dark` has its other form."""
_AT_NIGHT = dict(zip(LIGHT.all, DARK.all, strict=True))


def night() -> dict[str, Any]:
    """What a page needs to show any chart on a dark ground: the dark colour of each light one, and the template."""
    return {"colours": _AT_NIGHT, "template": _DARK_TEMPLATE.to_plotly_json()}


def dark(figure: go.Figure) -> go.Figure:
    """The same chart for a dark ground, such as JupyterLab's dark theme; the one given stays as it is.

    It gets the dark template; a mark that has a colour of the light palette gets the one of the same role.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.dark(perflib.charts.rates(run)).layout.template.layout.paper_bgcolor
    '#111111'
    """
    night = go.Figure(_repainted(figure.to_plotly_json()))
    return night.update_layout(template=_DARK_TEMPLATE)


def _repainted(part: Any, attribute: str = "") -> Any:
    """Only attributes that hold a colour: a name, a label or a hover text may well look like one."""
    if isinstance(part, dict):
        return {key: value if key in {"meta", "template"} else _repainted(value, key) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_repainted(value, attribute) for value in part]
    is_colour = isinstance(part, str) and attribute.endswith(("color", "colors", "colorscale", "colorway"))
    return _AT_NIGHT.get(part, part) if is_colour else part
