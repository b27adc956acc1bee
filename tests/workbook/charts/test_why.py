"""Charts of a diagnosis show what it holds, fit a phone, and say so where there is nothing to show."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
from markupsafe import Markup
from playwright.sync_api import Browser

from perflib.spec.diagnosis import Diagnosis, Interference, Interval, Stack
from perflib.workbook import charts
from perflib.workbook.charts.look import LIGHT
from perflib.workbook.report import html
from tests.browser import chromium, opened
from tests.diagnoses import BLOCKS, LONG, NAMES, OWN, make_diagnosis
from tests.synthetic import make_run

ALL = [charts.anatomy, charts.ceiling, charts.flame, charts.interference, charts.slowest, charts.stalls]
NOTHING = make_diagnosis(
    endpoints=(), ceiling=None, interference=(), stacks=(), code=(), stalls=(), slowest=(), findings=()
)
OUT_OF_FRAME = """() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll("svg text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
  }).map((text) => text.textContent);
})"""

each = pytest.mark.parametrize("chart", ALL, ids=lambda chart: chart.__name__)
Chart = Callable[[Diagnosis], go.Figure]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@each
def test_it_has_a_short_title_a_text_for_those_who_cannot_see_it_and_a_help_to_read_it(chart: Chart) -> None:
    figure = chart(make_diagnosis())
    assert 0 < len(figure.layout.title.text) <= 34
    assert figure.layout.title.subtitle.text.startswith("target dashboard, by experiments")
    assert figure.layout.meta["alt"].endswith(".")
    assert 8 <= len(figure.layout.meta["reading"].split()) <= 60


@each
def test_where_nothing_was_found_it_says_why_and_what_would_tell(chart: Chart) -> None:
    for found in (NOTHING, NOTHING.model_copy(update={"live": False})):
        figure = chart(found)
        assert not figure.data
        assert len(figure.layout.annotations[0].text) > 10


@each
def test_it_goes_into_the_dark(chart: Chart) -> None:
    assert LIGHT.paper not in charts.dark(chart(make_diagnosis())).to_json()


@pytest.mark.parametrize("width", [1200, 390])
def test_no_label_of_a_diagnosis_runs_out_of_its_frame(browser: Browser, tmp_path: Path, width: int) -> None:
    figures = [*(chart(make_diagnosis()) for chart in ALL), charts.waterfall(make_run())]
    cells = Markup("").join(html.chart(json.loads(figure.to_json())) for figure in figures)
    shown = {"title": "Why", "failure": "", "cells": cells, "parameters": [], "charts": True}
    html.write(tmp_path / "why.html", "page.html.j2", shown)
    with opened(browser, tmp_path / "why.html", width) as seen:
        assert seen.page.evaluate(OUT_OF_FRAME) == []
        assert not seen.errors
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_parts_of_a_bar_are_stacked_to_its_time_alone_and_in_the_crowd() -> None:
    found = make_diagnosis()
    bars = [trace for trace in charts.anatomy(found).data if trace.type == "bar"]
    (whole,) = [trace for trace in charts.anatomy(found).data if trace.type == "scatter"]
    sums = [sum(trace.x[row] or 0 for trace in bars) for row in range(2 * len(NAMES))]
    assert sums == pytest.approx([ms for one in found.endpoints for ms in (one.alone_p50_ms, one.crowd_p50_ms)])
    assert list(whole.x) == pytest.approx(sums)


def test_a_part_tells_its_interval_under_the_mouse() -> None:
    one = make_diagnosis().endpoints[0].replaced(intervals={"cpu_ms": Interval(low=1.1, high=1.3)})
    (cpu,) = [trace for trace in charts.anatomy(make_diagnosis(endpoints=(one,))).data if trace.name == "CPU"]
    assert list(cpu.customdata) == ["<br>1.10 to 1.30 ms", ""]
    assert "%{customdata}" in cpu.hovertemplate


def test_an_endpoint_that_was_only_measured_alone_has_one_bar() -> None:
    (alone,) = make_diagnosis().endpoints[:1]
    crowdless = {"crowd_p50_ms": None, "crowd_cpu_ms": None, "crowd_waiting_ms": None, "crowd_receiving_ms": None}
    figure = charts.anatomy(make_diagnosis(endpoints=(alone.model_copy(update=crowdless),)))
    assert list(figure.layout.yaxis.ticktext) == ["GET /health"]


def test_a_name_too_long_for_a_phone_keeps_its_ends_and_is_whole_under_the_mouse() -> None:
    figure = charts.anatomy(make_diagnosis())
    label = next(text for text in figure.layout.yaxis.ticktext if "…" in text)
    assert label.startswith("GET /")
    assert label.endswith("/positions")
    assert any(LONG in text for text in figure.data[-1].hovertext)


def test_two_long_names_that_look_alike_keep_rows_of_their_own() -> None:
    twins = [f"GET /api/v1/a-very-long-way-{side}/to-the-same-end-of-it" for side in ("left", "right")]
    pairs = [Interference(victim=a, aggressor=b, ratio=2.0, interval=(1.5, 2.5)) for a, b in (twins, twins[::-1])]
    assert len(charts.interference(make_diagnosis(endpoints=(), interference=tuple(pairs))).data[0].z) == 2


def test_slower_and_faster_by_the_same_factor_are_as_far_from_the_neutral_colour() -> None:
    pairs = [Interference(victim="a", aggressor=b, ratio=r, interval=(r, r)) for b, r in (("b", 5.0), ("c", 0.2))]
    heat = charts.interference(make_diagnosis(endpoints=(), interference=tuple(pairs))).data[0]
    assert heat.zmin == -heat.zmax
    assert heat.z[0][0] == pytest.approx(-heat.z[0][1])


def test_only_a_ratio_whose_interval_leaves_out_1_is_bold() -> None:
    heat = charts.interference(make_diagnosis()).data[0]
    bold = {text for row in heat.text for text in row if text.startswith("<b>")}
    assert bold == {"<b>×22</b>"}
    assert f"beside {BLOCKS}<br>× 21.7, from 17.4 to 26" in heat.hovertext[0][2]


def test_the_ceiling_stands_between_what_held_and_what_did_not() -> None:
    by_name = {trace.name: trace for trace in charts.ceiling(make_diagnosis()).data}
    (band,) = [trace for name, trace in by_name.items() if name.startswith("ceiling 145 per second")]
    assert (min(band.x), max(band.x)) == (138.0, 151.0)
    assert max(by_name["every limit held"].x) < min(by_name["a limit was missed"].x)
    assert "CPU allows 190" in by_name


def test_a_rate_at_which_hardly_anything_was_answered_is_drawn_above_all_others() -> None:
    found = make_diagnosis().ceiling
    assert found is not None
    worst = found.probes[2].model_copy(update={"worst": float("inf")})
    missed = charts.ceiling(make_diagnosis(ceiling=found.model_copy(update={"probes": (*found.probes, worst)})))
    heights = next(trace.y for trace in missed.data if trace.name == "a limit was missed")
    assert max(heights) == heights[-1] < float("inf")


def test_a_ceiling_without_a_fit_or_without_a_search_shows_the_other() -> None:
    found = make_diagnosis().ceiling
    assert found is not None
    for left_out in ({"usl": None}, {"probes": ()}):
        assert charts.ceiling(make_diagnosis(ceiling=found.model_copy(update=left_out))).data
    told = found.model_copy(update={"usl": None, "probes": (), "told": "no endpoint has a limit"})
    assert "no endpoint has a limit" in charts.ceiling(make_diagnosis(ceiling=told)).layout.annotations[0].text


def test_the_fit_goes_through_points_that_obey_it() -> None:
    curve, points = charts.ceiling(make_diagnosis()).data[-2:]
    near = [min(abs(x - users) for x in curve.x) for users in points.x]
    assert max(near) < 0.2
    assert max(curve.y) == pytest.approx(max(points.y), rel=0.02)


def test_the_target_s_own_functions_stand_out_in_a_flame_graph_and_what_leads_to_them_is_folded() -> None:
    flame = charts.flame(make_diagnosis()).data[0]
    colour = dict(zip(flame.text, flame.marker.colors, strict=True))
    assert colour[OWN] != colour["encode (json/encoder.py:205)"]
    assert "… 28 frames" in colour
    assert "iterencode (json/encoder.py:5)" in colour


def test_a_flame_graph_stays_small_and_whole_however_many_stacks_there_are() -> None:
    many = [
        Stack(endpoint=BLOCKS, frames=(OWN, *(f"f{n % (5 * d + 5)} (lib/a.py:{d})" for d in range(40))), samples=1)
        for n in range(500)
    ]
    figure = charts.flame(make_diagnosis(stacks=tuple(many)))
    flame = figure.data[0]
    assert len(flame.ids) <= 300
    assert set(flame.parents) - {""} <= set(flame.ids)
    assert figure.layout.height < 800
    assert "narrower bars left out" in figure.layout.title.subtitle.text


def test_a_flame_graph_is_of_the_endpoint_that_was_asked_for_else_of_the_first_finding_s() -> None:
    other = Stack(endpoint="GET /health", frames=(OWN,), samples=5)
    found = make_diagnosis(stacks=(other, *make_diagnosis().stacks))
    assert charts.flame(found).data[0].labels[0] == BLOCKS
    assert charts.flame(found, "GET /health").data[0].labels[0] == "GET /health"
    assert "GET /none" in charts.flame(found, "GET /none").layout.annotations[0].text


def test_every_stall_is_as_high_as_it_lasted() -> None:
    figure = charts.stalls(make_diagnosis())
    assert [y for y in figure.data[0].y if y] == [250.0] * 8
    assert figure.layout.xaxis.range[1] > 20


def test_without_a_stall_the_chart_says_how_long_it_looked() -> None:
    assert "in 20 s" in charts.stalls(make_diagnosis(stalls=())).layout.annotations[0].text


def test_the_slowest_requests_tell_what_was_under_way() -> None:
    figure = charts.slowest(make_diagnosis())
    assert f"with 6 × {BLOCKS} +1" in figure.layout.yaxis.ticktext[0]
    assert ">alone<" in figure.layout.yaxis.ticktext[1]
    assert "1 × GET /health" in figure.data[0].customdata[0]


def test_the_parts_of_the_median_load_of_a_page_end_with_the_page() -> None:
    run = make_run()
    figure = charts.waterfall(run)
    page = run.facts.target.pages[0]
    loads = run.requests.query("kind == 'page' and end_ns >= 0 and not warmup")
    median_ms = ((loads["end_ns"] - loads["intended_ns"]) / 1e6).median()
    ends = [base + ms for trace in figure.data for base, ms in zip(trace.base, trace.x, strict=True)]
    assert max(ends) == pytest.approx(median_ms, rel=0.05)
    assert sorted(figure.layout.yaxis.ticktext) == sorted(page.loads)


def test_a_run_without_a_page_has_no_waterfall() -> None:
    assert "no whole load" in charts.waterfall(make_run(), "GET /health").layout.annotations[0].text


def test_no_name_smuggles_markup_into_a_chart_of_a_diagnosis() -> None:
    text = make_diagnosis().model_dump_json().replace("GET /patterns", "<img>").replace("render", "<svg>")
    found = Diagnosis.model_validate_json(text)
    for chart in ALL:
        shown = chart(found).update_traces(ids=None, parents=None, selector={"type": "icicle"})
        drawn = shown.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert not [tag for tag in ("<img>", "<svg>") if tag in drawn], chart.__name__
