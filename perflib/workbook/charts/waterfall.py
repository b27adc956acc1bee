"""One load of a page: its parts, from the moment when it was due."""

import pandas as pd
import plotly.graph_objects as go

from perflib.spec import Run
from perflib.workbook.charts import parts
from perflib.workbook.charts.diagnosed import add_part, bars, short
from perflib.workbook.charts.parts import Words, label_of


def waterfall(run: Run, page: str = "") -> go.Figure:
    """The parts of the median load of a page, each from when it was due: late, connecting, waiting, receiving.

    Args:
        page: empty: the first page of the target that the run drove.

    >>> import perflib
    >>> run = perflib.load_run("sample-28-release-1.4")
    >>> perflib.charts.waterfall(run, "Dashboard home (all data)").layout.annotations[0].text
    'The run has no whole load of a page.'
    """
    words = Words(
        "A page, part by part",
        "Time of the parts of one load of a page in milliseconds, from the moment when it was due",
        "Look for the bar that ends last: the page waits for it. Parts that begin late had no connection free; bars "
        "that all end together may wait for each other.",
    )
    pages = [page] if page else [one.name for one in run.facts.target.pages]
    loads = run.requests.query("kind == 'page' and end_ns >= 0 and not warmup and error.isna()")
    known = [loads[loads["endpoint"] == name] for name in pages]
    own = next((some for some in known if len(some)), None)
    if own is None:
        return parts.empty_figure(words.title, "The run has no whole load of a page.", run)
    load = own.loc[(own["end_ns"] - own["intended_ns"]).sort_values().index[len(own) // 2]]
    rows = _parts_of(load, run)
    figure = parts.figure_of(words, run)
    begun_ms = (rows["intended_ns"] - load["intended_ns"]) / 1e6
    for part, ms in _phases(rows).items():
        add_part(
            figure,
            part,
            ms.tolist(),
            base=begun_ms.tolist(),
            hovertemplate=f"{part}: %{{customdata:.3~r}} ms<extra></extra>",
            customdata=ms,
        )
        begun_ms = begun_ms + ms
    bars(figure, [short(name) for name in rows["endpoint"]]).update_layout(barmode="overlay")
    took_ms = (load["end_ns"] - load["intended_ns"]) / 1e6
    told = f"{label_of(str(load['endpoint']))}, the median of {len(own):,} loads: {took_ms:,.4g} ms"
    figure.update_layout(title_subtitle_text=f"{figure.layout.title.subtitle.text} ·<br>{told}", margin_t=96)
    return figure.update_xaxes(title="Since the load was due, ms")


def _parts_of(load: pd.Series, run: Run) -> pd.DataFrame:
    """The requests of a load, in the order of their start."""
    rows = run.requests
    same = (rows["page"] == load["endpoint"]) & (rows["user"] == load["user"]) & (rows["end_ns"] >= 0)
    within = (rows["start_ns"] >= load["start_ns"]) & (rows["end_ns"] <= load["end_ns"])
    own: pd.DataFrame = rows[same & within]
    return own.sort_values(["start_ns", "end_ns"], kind="stable")


def _phases(rows: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    sent_ns = rows["start_ns"] + rows["connect_ns"]
    first_ns = rows["first_byte_ns"].where(rows["first_byte_ns"] >= 0, rows["end_ns"])
    ns = {
        "late": rows["start_ns"] - rows["intended_ns"],
        "connecting": rows["connect_ns"],
        "waiting": first_ns - sent_ns,
        "receiving": rows["end_ns"] - first_ns,
    }
    return {part: took / 1e6 for part, took in ns.items()}
