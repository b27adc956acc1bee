"""In which functions a target was seen while an endpoint was under load."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

import plotly.graph_objects as go

from perflib.spec.diagnosis import Diagnosis
from perflib.workbook.charts.diagnosed import empty_figure, figure_of, not_measured
from perflib.workbook.charts.look import COLOURS, LIGHT
from perflib.workbook.charts.parts import Words, label_of

_MOST_NODES, _MOST_LEVELS = 300, 28
_BAR_PX, _TEXT_PX = 22, 11
Path = tuple[str, ...]


def flame(found: Diagnosis, endpoint: str = "") -> go.Figure:
    """A flame graph: a bar's width is its share of the samples, the callee below its caller; a click enlarges it.

    The target's own functions are coloured; frames of others above one of them are folded.

    Args:
        endpoint: under whose crowd the samples were taken; empty: that of the first finding that has some.

    >>> import perflib
    >>> perflib.charts.flame(perflib.why("light_load", attach=True))  # doctest: +SKIP
    """
    words = Words(
        "Where in the code",
        "Flame graph of the target's call stacks by place in the source.",
        "Look for the widest coloured bar that nothing coloured below it explains: there the time goes. What hangs "
        "below it in grey is the library that it calls.",
    )
    profiled = dict.fromkeys(stack.endpoint for stack in found.stacks)
    asked = [one.endpoint for one in found.findings if one.endpoint in profiled]
    chosen = endpoint or next(iter([*asked, *profiled]), "")
    stacks = [stack for stack in found.stacks if stack.endpoint == chosen]
    if not stacks:
        of = f" of {endpoint}" if endpoint else ""
        none = f"No profile{of} was taken: the notes say why." if found.live else not_measured(found)
        return empty_figure(words.title, none, found)
    own = {one.file for one in found.code}
    seen: Counter[Path] = Counter()
    for stack in stacks:
        path = tuple(_folded(stack.frames, own))
        seen.update({path[:depth]: stack.samples for depth in range(len(path) + 1)})
    kept = sorted(seen, key=lambda path: (-seen[path], len(path)))[:_MOST_NODES]  # no callee comes before its caller
    return _icicle(figure_of(words, found), label_of(chosen), {path: seen[path] for path in kept}, own, len(seen))


def _folded(frames: Iterable[str], own: set[str]) -> Iterator[str]:
    """The frames, where several of others that stand above one of the target's own are one."""
    runs = [(mine, list(some)) for mine, some in groupby(frames, key=lambda frame: _file(frame) in own)]
    for place, (mine, some) in enumerate(runs, start=1):
        yield from some if mine or len(some) == 1 or place == len(runs) else [f"… {len(some)} frames"]


def _file(frame: str) -> str:
    return frame.rpartition(" (")[2].rpartition(":")[0]


def _icicle(figure: go.Figure, root: str, kept: dict[Path, int], own: set[str], nodes: int) -> go.Figure:
    levels = min(1 + max(map(len, kept)), _MOST_LEVELS)
    figure.add_icicle(
        ids=["\n".join(("all", *path)) for path in kept],
        labels=[label_of(path[-1].split(" (")[0]) if path else root for path in kept],
        text=[label_of(path[-1]) if path else root for path in kept],
        textinfo="text",
        parents=["\n".join(("all", *path[:-1])) if path else "" for path in kept],
        values=[*kept.values()],
        branchvalues="total",
        tiling={"orientation": "v"},
        leaf={"opacity": 1},
        maxdepth=_MOST_LEVELS,
        marker={"colors": [COLOURS[5] if path and _file(path[-1]) in own else LIGHT.edge for path in kept]},
        textfont={"size": _TEXT_PX, "color": LIGHT.ink},
        pathbar={"visible": False},
        hovertemplate="%{text}<br>%{percentRoot:.1%} of the samples (%{value:,})<extra></extra>",
    )
    folded = nodes - len(kept)
    more = f" · {folded:,} narrower bars left out" if folded else ""
    figure.update_layout(title_subtitle_text=f"{figure.layout.title.subtitle.text} ·<br>{root}{more}")
    margin = {"l": 8, "r": 8, "t": 92, "b": 16}
    height = margin["t"] + margin["b"] + _BAR_PX * levels
    return figure.update_layout(height=height, margin=margin, uniformtext={"minsize": _TEXT_PX, "mode": "hide"})
