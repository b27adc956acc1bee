"""Charts show what the run holds, stay small, and say so where there is nothing to show."""

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest

from perflib.figures.spike import degradation, recovery
from perflib.figures.summary import summarize
from perflib.spec import ERROR_KINDS, Run
from perflib.spec.allocations import Allocations, Frame, Site
from perflib.stats.percentile import required_count
from perflib.workbook import charts
from perflib.workbook.charts.parts import log_ms_axis
from perflib.workbook.charts.windows import widened
from tests.synthetic import DASHBOARD, make_run, make_spike, make_target, sampled, without_rows, without_successes

ROOT = Path(__file__).parents[3]
OTHERS = [charts.memory, charts.memory_and_load, charts.shift, charts.distributions]
"""They need memory samples, or two runs."""
PUBLIC = [getattr(charts, name) for name in charts.__all__ if name.islower()]
ALL = [one for one in PUBLIC if [*signature(one).parameters] in (["run"], ["runs"]) and one not in OTHERS]
OF_A_SPIKE = [charts.latency_by_active_users, charts.recovery_timeline]
NAMES = [item.name for item in DASHBOARD.items]


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run(failures=0.02, cold=0.02, per_s=100)


def curve(figure: go.Figure, name: str) -> go.Scatter:
    """The endpoint's line, its limit left out."""
    return next(trace for trace in figure.data if trace.legendgroup == name and trace.meta != "limit")


def words(figure: go.Figure) -> str:
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def test_the_percentile_curve_reads_the_same_as_the_table(run: Run) -> None:
    figure = charts.percentiles(run)
    for row in summarize(run).endpoints:
        line = curve(figure, row.endpoint)
        for q, expected in ((50, row.p50_ms), (95, row.p95_ms), (99, row.p99_ms)):
            assert line.y[list(line.customdata).index(q)] == expected


def test_a_percentile_curve_stops_where_the_sample_no_longer_supports_it(run: Run) -> None:
    for row in summarize(run).endpoints:
        shares = curve(charts.percentiles(run), row.endpoint).customdata / 100
        warm = row.requests - row.errors - row.cold.requests
        assert required_count(shares[-1]) <= warm + 1
        assert required_count(1 - (1 - shares[-1]) * 0.98) > warm


def test_an_endpoint_with_too_few_successes_has_a_legend_entry_and_no_curve() -> None:
    figure = charts.percentiles(make_run(make_target("GET /a"), per_s=0.4))
    line = curve(figure, "GET /a")
    assert line.name == "GET /a (too few)"
    assert len(line.y) == 0


def test_how_late_answers_were_read_stands_beside_the_response_times(run: Run) -> None:
    rows = run.requests.assign(read_late_ns=2_000_000, send_ns=50_000)
    figure = charts.lateness(replace(run, requests=rows))
    late, sending = (next(one for one in figure.data if one.name == name) for name in ("answer read late", "sending"))
    assert set(late.y) == {2.0}
    assert set(sending.y) == {0.05}
    assert "The kernel did not report" in words(charts.lateness(replace(run, requests=rows.assign(read_late_ns=-1))))


def test_a_control_character_in_a_name_is_in_no_chart() -> None:
    figure = charts.percentiles(make_run(make_target("GET /a\x08\x1b[31mb"), per_s=50))
    assert "GET /a [31mb" in {trace.name for trace in figure.data}


def test_several_runs_share_colours_and_differ_by_dash() -> None:
    first, second = make_run(), make_run(seed=2, run_id="the-second")
    figure = charts.percentiles(first, second)
    of_health = [trace for trace in figure.data if trace.legendgroup == "GET /health" and trace.meta != "limit"]
    assert len({trace.line.color for trace in of_health}) == 1
    assert len({trace.line.dash for trace in of_health}) == 2
    assert [trace.name.split(" · ")[1] for trace in of_health] == [first.facts.run_id, "the-second"]


def test_the_bars_of_a_histogram_sum_to_the_warm_successes(run: Run) -> None:
    bars = [trace for trace in charts.histogram(run).data if trace.type == "bar"]
    expected = [row.requests - row.errors - row.cold.requests for row in summarize(run).endpoints]
    assert [int(sum(trace.y)) for trace in bars] == expected


def test_every_limit_is_drawn_where_the_target_file_puts_it(run: Run) -> None:
    bounds = sorted(item.target_ms for item in DASHBOARD.items if item.target_ms)
    drawn = [trace for trace in charts.percentiles(run).data if trace.meta == "limit"]
    assert sorted(trace.y[0] for trace in drawn) == bounds
    for trace in drawn:
        assert 10 <= trace.x[0] < trace.x[1] <= 100.001


def panel(figure: go.Figure, heading: str) -> list[go.Scatter | go.Bar]:
    """What the panel with this heading shows of the run, limits left out."""
    titles = [note.text for note in figure.layout.annotations if note.y and note.xref == "paper" and note.name is None]
    number = next(place for place, text in enumerate(titles, start=1) if text.startswith(heading))
    axis = "y" if number == 1 else f"y{number}"
    return [trace for trace in figure.data if trace.yaxis == axis and trace.meta != "limit"]


def test_a_window_shows_the_exact_p95_of_its_successes() -> None:
    run = make_run(make_target("GET /a"), per_s=200, warmup_s=0.0)
    rows = run.requests
    inside = rows[rows["intended_ns"].between(3_000_000_000, 3_999_999_999)]
    expected = np.quantile((inside["end_ns"] - inside["intended_ns"]) / 1e6, 0.95, method="inverted_cdf")
    (p95,) = panel(charts.over_time(run), "p95")
    assert dict(zip(p95.x, p95.y, strict=True))[3.5] == pytest.approx(expected)


@pytest.mark.parametrize(("q", "least"), [(0.5, 5), (0.95, 59)])
def test_windows_are_widened_until_each_bears_its_quantile_and_leave_nothing_out(q: float, least: int) -> None:
    rng = np.random.default_rng(5)
    at_s = np.concatenate([rng.uniform(0, 20, 500), rng.uniform(60, 70, 40), [30.0]])  # 30.0 begins a window
    ms = rng.lognormal(size=len(at_s))
    found = widened(at_s, ms, q, begin_s=0.0, width_s=1)
    assert (found["begin_s"].iloc[0], found["end_s"].iloc[-1]) == (0, 70)
    assert found["begin_s"].iloc[1:].tolist() == found["end_s"].iloc[:-1].tolist()
    assert found["count"].sum() == len(ms)
    assert found["count"].min() >= least
    for window in found.itertuples():
        own = (at_s >= window.begin_s) & (at_s < window.end_s)
        assert window.count == own.sum()
        assert window.ms == np.quantile(ms[own], q, method="inverted_cdf")
        last = at_s >= window.end_s - 1
        assert (own & ~last).sum() < least or window.end_s == 70, "no window is wider than it must be"
    assert widened(at_s[: least - 1], ms[: least - 1], q, begin_s=0.0, width_s=1).empty
    assert widened(at_s[:0], ms[:0], q, begin_s=0.0, width_s=1).empty


def test_p95_has_no_hole_where_the_target_is_slow() -> None:
    """Slow answers are fewer: a window of fixed width would hold too few of them just then."""
    run = make_run(make_target("GET /a"), per_s=70, seconds=30)
    stalled = run.requests["intended_ns"].between(11_000_000_000, 21_000_000_000)
    kept = run.requests[~stalled | (np.arange(len(run.requests)) % 7 == 0)].copy()
    kept.loc[stalled, "end_ns"] += 900_000_000
    (p95,) = panel(charts.over_time(Run(run.facts, kept)), "p95")
    assert np.isfinite(p95.y).all()
    assert max(p95.y[(p95.x > 11) & (p95.x < 21)]) > 900
    begins, ends = p95.customdata[:, 1], p95.customdata[:, 2]
    assert begins[0] <= 1
    assert list(begins[1:]) == list(ends[:-1])


def test_an_endpoint_too_rare_for_any_p95_shows_its_answers_one_by_one() -> None:
    run = make_run(make_target("GET /a"), per_s=2, seconds=10)
    (marks,) = panel(charts.over_time(run), "p95")
    assert marks.mode == "markers"
    assert len(marks.x) == len(run.requests)


def test_percentiles_count_from_zero_on_a_linear_axis_that_a_button_makes_logarithmic(run: Run) -> None:
    figure = charts.over_time(run)
    assert (figure.layout.yaxis.rangemode, figure.layout.yaxis.type) == ("tozero", None)
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["linear", "log"]
    assert menu.buttons[1].args[0] == {"yaxis.type": "log", "yaxis2.type": "log", "yaxis5.type": "log"}


def test_a_limit_is_drawn_over_time_where_the_times_come_near_it(run: Run) -> None:
    figure = charts.over_time(run)
    highest = max(max(trace.y) for trace in panel(figure, "p95"))
    drawn = {trace.y[0] for trace in figure.data if trace.meta == "limit"}
    assert drawn == {item.target_ms for item in DASHBOARD.items if item.target_ms and item.target_ms < 1.3 * highest}


def test_warm_up_is_shaded_in_every_panel_and_named_once(run: Run) -> None:
    figure = charts.over_time(run)
    assert len([shape for shape in figure.layout.shapes if (shape.x0, shape.x1) == (0, 1)]) == 6
    assert words(figure).count("warm-up") == 1
    for trace in panel(figure, "p95"):
        assert not [x for x in trace.customdata if x[1] < 1 < x[2]], "no window mixes warm-up with what is judged"


def test_when_requests_waited_that_were_never_answered_is_shaded_as_one_stretch() -> None:
    run = make_run()
    rows = run.requests.copy()
    for number, (error, begin_s, end_ns) in enumerate(
        [("timeout", 3.0, 5_000_000_000), ("timeout", 4.5, 7_000_000_000), ("in_flight", 8.0, -1)]
    ):
        rows.loc[rows.index[number], ["intended_ns", "end_ns"]] = [int(begin_s * 1e9), end_ns]
        rows.loc[rows.index[number], "error"] = error
    figure = charts.over_time(replace(run, requests=rows))
    ends = {(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.x0 >= 3}
    assert (3.0, 7.0) in ends
    assert {begin for begin, _ in ends} == {3.0, 8.0}
    assert words(figure).count("unanswered requests waiting") == 1


def test_cold_answers_stand_out_where_the_target_can_tell_them(run: Run) -> None:
    cold = {trace.legendgroup: len(trace.x) for trace in panel(charts.over_time(run), "Single cold answers")}
    own = run.requests[run.requests["page"].isna() & run.requests["cold"] & run.requests["error"].isna()]
    assert cold == {name: n for name, n in own["endpoint"].value_counts().items() if n}
    assert cold["GET /snapshot"] > 0
    assert "cold" not in words(charts.over_time(make_run()))


def test_the_users_are_those_of_the_workload_and_the_connections_those_in_use() -> None:
    (line,) = panel(charts.over_time(make_run()), "Active users")
    assert set(line.y) == {10}
    (line,) = panel(charts.over_time(make_spike(5.0)), "Active users")
    at = dict(zip(line.x, line.y, strict=True))
    assert (at[0], at[16.0], at[21.0]) == (5, 100, 5), "from the end of a warm-up of one second"
    (line,) = panel(charts.over_time(make_run(scenario="steady_rate")), "Connections used")
    assert set(line.y) == {10}


def test_every_completed_request_is_in_the_throughput(run: Run) -> None:
    figure = charts.over_time(run)
    layers = [trace for trace in panel(figure, "Completed") if trace.stackgroup]
    wire = run.requests[(run.requests["kind"] == "request") & run.requests["error"].isna()]
    assert sum(int(trace.customdata.sum()) for trace in layers) == len(wire)
    mean = next(trace for trace in figure.data if trace.name == "mean after warm-up")
    assert mean.y[0] == pytest.approx(summarize(run).throughput_per_s)


def test_every_failure_is_in_the_chart_of_failures_by_its_kind_and_status(run: Run) -> None:
    wire = run.requests[run.requests["kind"] == "request"]
    refused = wire.index[wire["error"] == "status"][:20]
    status = run.requests["status"].mask(run.requests.index.isin(refused), 429)
    mixed = replace(run, requests=run.requests.assign(status=status))
    drawn = {trace.name: int(sum(trace.y)) for trace in panel(charts.over_time(mixed), "Failed requests")}
    by_kind = {kind: n for kind in ERROR_KINDS if (n := int((wire["error"] == kind).sum()))}
    assert drawn == by_kind | {"HTTP 429": 20, "HTTP 500": by_kind.pop("status") - 20}


def test_the_targets_cpu_and_memory_stand_on_the_same_time_axis() -> None:
    run = sampled(make_run(), 2.0)
    figure = charts.over_time(run)
    (cores,), (held,) = panel(figure, "CPU of the target"), panel(figure, "Memory of the target")
    assert set(cores.y) == {0.5}
    assert set(held.y) == {100.0}
    assert "of the target" not in words(charts.over_time(make_run()))


def test_a_change_of_level_is_marked_where_it_is() -> None:
    changed = make_run(slowdown=lambda at_s: np.where(at_s < 5.0, 1.0, 3.0), per_s=400)
    figure = charts.over_time(changed)
    [note] = [one for one in figure.layout.annotations if "as long" in (one.text or "")]
    assert note.x == pytest.approx(5.0, abs=1.0)
    assert re.fullmatch(r"from here on [23]\.\d\d × as long", note.text)
    assert "as long" not in words(charts.over_time(make_run(per_s=400)))


def test_a_run_without_failures_says_so() -> None:
    run = make_run()
    figure = charts.over_time(run)
    assert "Completed requests per second · none failed" in words(figure)
    assert "Failed requests" not in words(figure)


def test_a_few_failures_are_counted_in_whole_numbers() -> None:
    run = make_run()
    rows = run.requests.copy()
    rows.loc[[100, 300], "error"] = "status"
    assert charts.over_time(Run(run.facts, rows)).layout.yaxis5.dtick == 1


@pytest.mark.parametrize("chart", ALL)
@pytest.mark.parametrize("empty", [without_rows, without_successes])
def test_a_run_with_nothing_to_show_draws_a_figure_all_the_same(
    chart: Callable[[Run], go.Figure], empty: Callable[[Run], Run]
) -> None:
    figure = chart(empty(make_run(per_s=5)))
    assert figure.layout.meta["alt"]
    assert words(figure) or any(trace.name for trace in figure.data)


@pytest.mark.parametrize("chart", ALL)
def test_a_run_of_a_single_endpoint_and_an_isolated_run_draw(chart: Callable[[Run], go.Figure]) -> None:
    for run in (make_run(endpoints=("GET /clients",)), make_run(scenario="baseline", per_s=20, seconds=4)):
        assert json.loads(chart(run).to_json())["data"] or words(chart(run))


def test_an_isolated_run_shows_its_endpoints_one_after_another_each_with_its_warm_up() -> None:
    figure = charts.over_time(make_run(scenario="baseline", per_s=100, seconds=8))
    lines = panel(figure, "p50")
    assert [trace.customdata[0, 1] for trace in lines] == pytest.approx([9 * n for n in range(len(NAMES))], abs=0.2)
    ends = sorted({shape.x1 for shape in figure.layout.shapes})
    assert ends == pytest.approx([9 * n + 1 for n in range(len(NAMES))])


@pytest.mark.parametrize("chart", ALL)
def test_a_figure_stays_small_however_many_rows_its_run_has(chart: Callable[[Run], go.Figure]) -> None:
    run = make_run(make_target("GET /a", "GET /b"), seconds=1000, per_s=300, failures=0.01)
    assert len(run.requests) > 500_000
    figure = chart(run)
    assert all(len(trace.x) <= charts.POINTS for trace in figure.data)
    assert len(figure.to_json()) < 60_000


@pytest.mark.parametrize("chart", ALL)
def test_every_chart_has_a_title_units_and_a_text_for_those_who_cannot_see_it(
    chart: Callable[[Run], go.Figure], run: Run
) -> None:
    figure = chart(make_spike(5.0) if chart in OF_A_SPIKE else run)
    assert figure.layout.title.text
    assert "run 2026-01-01T00-00-00-" in figure.layout.title.subtitle.text
    assert figure.layout.meta["alt"].endswith(".")
    titles = [axis.title.text for axis in figure.select_yaxes() if axis.categoryarray is None]  # names need no unit
    titles += [axis.title.text for axis in figure.select_xaxes() if axis.showticklabels is not False]
    units = ("ms", "%", "seconds", "per second", "window", "connections", "Requests", "Percentile", "users", "Seconds")
    assert all(any(unit in title for unit in units) for title in titles)


def test_an_endpoint_keeps_its_colour_over_all_charts(run: Run) -> None:
    colours = {name: curve(charts.percentiles(run), name).line.color for name in NAMES}
    assert len(set(colours.values())) == len(NAMES)
    bars = [trace.marker.color for trace in charts.histogram(run).data if trace.type == "bar"]
    assert bars == list(colours.values())
    layers = [trace for trace in panel(charts.over_time(run), "Completed") if trace.stackgroup]
    assert {trace.name: trace.line.color for trace in layers}.items() <= colours.items()
    alone = charts.percentiles(make_run(endpoints=("GET /signals",)))
    assert curve(alone, "GET /signals").line.color == colours["GET /signals"]


def test_a_name_cannot_smuggle_markup_into_a_chart() -> None:
    run = make_run(make_target("<b>GET</b> /a"))
    assert curve(charts.percentiles(run), "<b>GET</b> /a").name == "&lt;b&gt;GET&lt;/b&gt; /a"
    assert "<b>" not in words(charts.histogram(run))


def test_an_invalid_run_is_marked_in_every_chart() -> None:
    run = make_run(invalid_reasons=("the generator was saturated",))
    assert all("invalid" in chart(run).layout.title.subtitle.text for chart in ALL)


@pytest.mark.parametrize("chart", OF_A_SPIKE)
def test_a_spike_is_drawn_small(chart: Callable[[Run], go.Figure]) -> None:
    figure = chart(make_spike(5.0, stages_s=(300.0, 10.0, 300.0, 400.0), per_s=20, failures=0.01))
    assert all(len(trace.x) <= charts.POINTS for trace in figure.data)
    assert len(figure.to_json()) < 60_000


@pytest.mark.parametrize("chart", OF_A_SPIKE)
def test_a_run_without_a_ramp_has_no_spike_to_draw(chart: Callable[[Run], go.Figure], run: Run) -> None:
    assert words(chart(run)) == "The load of this run has no ramp."


def test_the_curve_over_active_users_reads_the_same_as_the_table() -> None:
    run = make_spike(5.0)
    p95 = next(trace for trace in charts.latency_by_active_users(run).data if trace.name == "p95")
    assert list(p95.x) == ["5", "6–10", "11–20", "21–40", "41–60", "61–80", "81–100"]
    assert list(p95.y) == [band.p95_ms for band in degradation(run)]


def test_a_band_with_too_few_requests_says_so() -> None:
    figure = charts.latency_by_active_users(make_spike(5.0, per_s=3))
    assert "p95: too few" in words(figure)


def test_the_timeline_marks_the_band_and_the_moment_of_recovery() -> None:
    run = make_spike(5.0)
    found, figure = recovery(run), charts.recovery_timeline(run)
    band = next(trace for trace in figure.data if trace.meta == "band")
    assert (min(band.y), max(band.y)) == found.band_ms
    assert found.after_s is not None
    assert [shape.x0 for shape in figure.layout.shapes] == [20.0 + found.after_s]
    assert f"recovered after {found.after_s:.3g} s" in words(figure)
    never = charts.recovery_timeline(make_spike(99.0))
    assert not never.layout.shapes
    assert "recovered" not in words(never)


def test_active_users_jump_where_the_ramp_jumps() -> None:
    users = next(trace for trace in charts.recovery_timeline(make_spike(5.0)).data if trace.name == "active users")
    at = dict(zip(users.x, users.y, strict=True))
    assert (at[0], at[10.0], at[15.0], at[20.0], at[40.0]) == (5, 5, 100, 5, 5)
    assert max(at) == 40.0


def test_every_request_is_due_sent_and_completed_or_dropped() -> None:
    run = make_run(scenario="steady_rate", dropped=0.05, failures=0.02)
    rows = run.requests
    figure = charts.rates(run)
    width = (rows[["intended_ns", "end_ns"]].max().max() / 1e9) - 10
    counts = {
        trace.name: sum(y * (width if x > 10 else 1) for x, y in zip(trace.x, trace.y, strict=True))
        for trace in figure.data
    }
    assert counts == pytest.approx(
        {
            "due (intended start)": len(rows),
            "sent": (rows["start_ns"] >= 0).sum(),
            "completed": rows["error"].isna().sum(),
            "dropped": (rows["error"] == "dropped").sum(),
        }
    )
    assert "offered: 50/s" in words(figure)


def test_response_time_is_judged_and_ends_above_service_time_by_the_lag() -> None:
    run = make_run(scenario="steady_rate", lag_ms=500.0, warmup_s=1.0)
    response, service = charts.response_and_service(run).data
    assert "judged" in response.name
    assert "judged" not in service.name
    assert np.asarray(response.y) - np.asarray(service.y) == pytest.approx(500.0)


def test_the_heat_map_counts_every_success_outside_pages(run: Run) -> None:
    (trace,) = charts.heatmap(run).data
    rows = run.requests
    own = rows[rows["page"].isna() & (rows["kind"] == "request") & rows["error"].isna() & ~rows["cold"]]
    assert int(np.asarray(trace.customdata).sum()) == len(own)
    ms = (own["end_ns"] - own["intended_ns"]) / 1e6
    column = np.asarray(trace.customdata)[:, 3]
    assert column.sum() == own["intended_ns"].between(3_000_000_000, 3_999_999_999).sum()
    assert min(trace.y) == pytest.approx(ms.min(), rel=0.15)


def test_a_run_of_pages_alone_is_charted_by_its_page_loads() -> None:
    run = make_run(endpoints=("Dashboard home (all data)",))
    (trace,) = charts.heatmap(run).data
    assert int(np.asarray(trace.customdata).sum()) == (run.requests["kind"] == "page").sum()


MACHADO = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
"""What is left of linear RGB at full severity, Machado et al. 2009, table 1."""
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
GROUNDS = {"light": (charts.COLOURS, "#FFFFFF"), "dark": (charts.DARK_COLOURS, "#111111")}


def linear(colour: str) -> np.ndarray:
    share = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, white being D65."""
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    low, high = sorted(TO_XYZ[1] @ linear(colour) for colour in (one, other))
    return float((high + 0.05) / (low + 0.05))


@pytest.mark.parametrize("sight", MACHADO)
@pytest.mark.parametrize("ground", GROUNDS)
def test_colours_differ_to_every_eye(ground: str, sight: str) -> None:
    seen = [lab(np.array(MACHADO[sight]) @ linear(colour)) for colour in GROUNDS[ground][0]]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 25


@pytest.mark.parametrize("ground", GROUNDS)
def test_lines_stand_out_from_the_ground(ground: str) -> None:
    colours, paper = GROUNDS[ground]
    assert min(contrast(colour, paper) for colour in colours) >= 3


def colours_in(part: object) -> set[str]:
    """Every colour written anywhere in a figure."""
    return set(re.findall(r"#[0-9A-F]{6}\b|rgba\([^)]*\)", json.dumps(part)))


@pytest.mark.parametrize("chart", [*ALL, charts.memory_and_load], ids=lambda chart: chart.__name__)
def test_every_chart_has_a_dark_form_of_the_same_marks(chart: Callable[[Run], go.Figure], run: Run) -> None:
    light = chart(make_spike(5.0) if chart in OF_A_SPIKE else run)
    drawn = light.to_json()
    night = charts.dark(light)
    assert light.to_json() == drawn
    assert not colours_in(json.loads(night.to_json())) & colours_in(json.loads(drawn))
    assert len(night.data) == len(light.data)
    assert night.layout.template.layout.font.color != light.layout.template.layout.font.color
    assert contrast(night.layout.template.layout.font.color, night.layout.template.layout.paper_bgcolor) > 7


def test_what_only_reads_like_a_colour_stays_as_it_is_in_the_dark() -> None:
    colour = charts.COLOURS[0]
    figure = charts.percentiles(make_run(make_target("#FFFFFF", colour)))
    figure.update_traces(text=[colour], hovertemplate=colour, customdata=[colour])
    figure.add_annotation(text="#000000", hovertext="#24292F")
    figure.update_layout(title_text="#6E7781", xaxis_ticktext=["#E8EBEE"], meta={"colour": "#FFFFFF"})
    night = charts.dark(figure)
    assert [trace.name for trace in night.data] == [trace.name for trace in figure.data]
    assert {trace.legendgroup for trace in night.data} == {"#FFFFFF", colour}
    assert {trace.text[0] for trace in night.data} == {colour}
    assert {trace.hovertemplate for trace in night.data} == {colour}
    assert {trace.customdata[0] for trace in night.data} == {colour}
    assert (night.layout.annotations[-1].text, night.layout.annotations[-1].hovertext) == ("#000000", "#24292F")
    assert (night.layout.title.text, night.layout.xaxis.ticktext[0]) == ("#6E7781", "#E8EBEE")
    assert night.layout.meta == {"colour": "#FFFFFF"}
    assert {trace.line.color for trace in night.data} == set(charts.DARK_COLOURS[:2])


def test_a_colour_of_the_user_s_own_is_kept_in_the_dark(run: Run) -> None:
    figure = charts.percentiles(run).update_traces(line_color="tomato")
    assert {trace.line.color for trace in charts.dark(figure).data} == {"tomato"}


@pytest.mark.parametrize(
    ("chosen", "environment", "kept"),
    [
        ("plotly_mimetype+notebook", "", "plotly_mimetype"),
        ("plotly_mimetype+notebook", "plotly_mimetype+notebook", "plotly_mimetype+notebook"),
        ("png", "", "png"),
    ],
)
def test_a_figure_in_a_notebook_carries_no_copy_of_plotly_unless_the_user_chose_so(
    chosen: str, environment: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plotly.io.renderers, "default", chosen)
    monkeypatch.setenv("PLOTLY_RENDERER", environment)
    if not environment:
        monkeypatch.delenv("PLOTLY_RENDERER")
    importlib.reload(charts)
    assert plotly.io.renderers.default == kept


CELL = """
import perflib
perflib.charts.over_time(perflib.load_run("sample-28-release-1.4"))
"""


@pytest.mark.parametrize("asked", ["nonsense", "browser"])
def test_a_notebook_holds_its_charts_whatever_renderer_the_environment_asks_for(tmp_path: Path, asked: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbformat.write(notebook, tmp_path / "one.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--inplace", "one.ipynb"]
    environment = os.environ | {"PLOTLY_RENDERER": asked, "PERFLIB_DATA": str(ROOT / "data")}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    told, chart = nbformat.read(tmp_path / "one.ipynb", as_version=4).cells[0].outputs
    assert told.text.startswith(f"perflib: PLOTLY_RENDERER={asked} is not heeded: ")
    assert "application/vnd.plotly.v1+json" in chart.data


def test_charts_are_made_though_plotly_does_not_know_the_renderer_that_the_environment_asks_for() -> None:
    environment = os.environ | {"PLOTLY_RENDERER": "png+nonsense", "PERFLIB_DATA": str(ROOT / "data")}
    command = [sys.executable, "-P", "-c", f"{CELL.rstrip()}.to_json()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert "PLOTLY_RENDERER=png+nonsense is not heeded: plotly has no such renderer" in done.stderr


@pytest.mark.parametrize("chart", [*ALL, charts.memory_and_load], ids=lambda chart: chart.__name__)
def test_how_to_read_a_chart_comes_with_it_and_says_nothing_of_what_was_found(
    chart: Callable[[Run], go.Figure], run: Run
) -> None:
    drawn = [chart(some) for some in ((make_spike(5.0), make_spike(2.0)) if chart in OF_A_SPIKE else (run, make_run()))]
    if chart is charts.memory_and_load:
        assert not drawn[0].layout.meta["reading"], "there is nothing to read where memory was not sampled"
        return
    reading = {figure.layout.meta["reading"] for figure in drawn}
    assert len(reading) == 1
    assert 8 <= len(reading.pop().split()) <= 60
    (mark,) = (note for note in drawn[0].layout.annotations if note.name == "reading")
    assert mark.text == "How to read"
    assert mark.hovertext.replace("<br>", " ") == drawn[0].layout.meta["reading"]


def test_titles_are_as_short_as_a_phone_needs(run: Run) -> None:
    """34 letters are some 310 pixels, of the 390 that a phone has."""
    assert not [chart.__name__ for chart in [*ALL, charts.memory_and_load] if len(chart(run).layout.title.text) > 34]


def test_an_axis_too_short_for_round_ticks_gets_plotly_s_own() -> None:
    assert log_ms_axis([21.0, 23.0], few=True)["tickmode"] == "auto"
    assert log_ms_axis([9.0, 120.0])["tickvals"]


def test_a_small_axis_with_one_power_of_ten_on_it_has_the_ticks_between() -> None:
    assert {200.0, 500.0, 1000.0} <= set(log_ms_axis([190.0, 2000.0], few=True)["tickvals"])
    assert set(log_ms_axis([0.9, 2000.0], few=True)["tickvals"]) >= {1.0, 10.0, 100.0, 1000.0}
    assert 500.0 not in log_ms_axis([0.9, 2000.0], few=True)["tickvals"]


def test_labels_of_limits_stand_inside_the_plot(run: Run) -> None:
    figure = charts.percentiles(run)
    labelled = [trace for trace in figure.data if trace.meta == "limit" and any(trace.text or ())]
    assert sorted({trace.y[0] for trace in labelled}) == sorted({i.target_ms for i in DASHBOARD.items if i.target_ms})
    assert all(trace.textposition == "middle left" and trace.text[0] for trace in labelled)


def test_every_level_of_a_deep_flame_graph_is_high_enough_to_read_its_place() -> None:
    stack = tuple(Frame("call", "app.py", line) for line in range(30))
    figure = charts.allocations(Allocations(1, 10.0, 5000, (Site(5000, 1, stack),)))
    assert figure.layout.height >= 30 * 20
    assert "call (app.py:29)" in figure.data[0].text
