"""The history's charts show every run, what changed and since when, and stay small."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from perflib.figures.summary import summarize
from perflib.judge.baseline import baseline_of
from perflib.judge.changes import SETUP_WORDS, changes
from perflib.judge.knowledge import baseline_ms
from perflib.spec.baselines import Baselines
from perflib.spec.workload import Closed
from perflib.stats.change_points import change_points
from perflib.workbook.charts import POINTS, history, overlay
from tests.synthetic import make_run, make_target, without_successes

NASTY = "<b>&bold</b>"


def make_history(
    runs: int = 40, endpoints: tuple[str, ...] = ("GET /a", "GET /b"), step_at: int = 25, **others: Any
) -> pd.DataFrame:
    """Stored runs made up: the first endpoint gets 40 % slower at a run."""
    rng = np.random.default_rng(5)
    rows = []
    for number in range(runs):
        for place, endpoint in enumerate(endpoints):
            ms = 100 * (place + 1) * rng.lognormal(0, 0.03) * (1.4 if place == 0 and number >= step_at else 1.0)
            facts = {"target": "made-up", "scenario": "light_load", "profile": "brief", "workload": "10 users, 60 s"}
            facts |= {"environment": "A made-up CPU, 2 cores", "state": "finished", "valid": True, "note": NASTY}
            facts |= {"revision": f"1.{number}", "brief": f"PS-{number}", "run_id": f"run-{number:04}"}
            figures = {"endpoint": endpoint, "p50_ms": ms / 2, "p95_ms": ms, "target_ms": 150.0 * (place + 1)}
            started_at = pd.Timestamp("2026-03-01", tz="UTC") + pd.Timedelta(hours=number)
            rows.append(facts | figures | {"started_at": started_at, "p95_low_ms": np.nan, "p95_high_ms": np.nan})
    frame = pd.DataFrame(rows).astype({"started_at": "datetime64[us, UTC]"}).assign(**others)
    return with_setup(frame)


def with_setup(frame: pd.DataFrame) -> pd.DataFrame:
    """The same runs, alike where the words are."""
    return frame.assign(setup=frame[SETUP_WORDS].agg(" ".join, axis=1) if len(frame) else "")


def dots(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.mode == "markers" and trace.text is not None]


def words(figure: go.Figure) -> str:
    return " | ".join(annotation.text for annotation in figure.layout.annotations)


def test_a_change_names_its_run_revision_and_brief() -> None:
    found = changes(make_history())
    assert set(found["percentile"]) == {"p50_ms", "p95_ms"}
    assert set(found["endpoint"]) == {"GET /a"}
    first = found.iloc[0]
    assert (first["run_id"], first["revision"], first["brief"]) == ("run-0025", "1.25", "PS-25")
    assert first["ratio"] == pytest.approx(1.4, rel=0.05)
    assert first["p_value"] <= 0.01


def test_changes_are_those_of_the_series_in_a_family_of_all_of_them() -> None:
    frame = make_history()
    values = frame.loc[frame["endpoint"] == "GET /a", "p95_ms"].to_numpy()
    (point,) = change_points(values, family=4)
    row = changes(frame).set_index("percentile").loc["p95_ms"]
    assert (row["before_ms"], row["after_ms"], row["p_value"]) == (point.before, point.after, point.p_value)


def test_runs_of_another_setup_never_make_a_change() -> None:
    other_machine = make_history(step_at=99).assign(environment="Another CPU")
    other_machine["p95_ms"] *= 3
    later = with_setup(other_machine).assign(
        run_id="later-" + other_machine["run_id"], started_at=lambda rows: rows["started_at"] + pd.Timedelta(days=30)
    )
    assert changes(pd.concat([make_history(step_at=99), later])).empty


def test_invalid_and_interrupted_runs_are_crosses_and_make_no_change() -> None:
    frame = make_history()
    late = frame["run_id"] >= "run-0025"
    for how in ({"valid": ~late}, {"state": np.where(late, "interrupted", "finished")}):
        unfit = frame.assign(**how)
        assert changes(unfit).empty
        crosses = [trace for trace in dots(history(unfit)) if trace.marker.symbol == "x-thin"]
        assert [len(trace.x) for trace in crosses] == [15, 15]


def test_every_run_is_a_point_in_the_panel_of_its_endpoint() -> None:
    frame = make_history()
    figure = history(frame)
    for endpoint, trace in zip(("GET /a", "GET /b"), [t for t in dots(figure) if len(t.x)], strict=True):
        own = frame[frame["endpoint"] == endpoint]
        assert list(trace.y) == own["p95_ms"].tolist()
        assert list(trace.x) == list(range(1, 41))
    assert "run-0007<br>2026-03-01 07:00 UTC<br>1.7<br>PS-7<br>&lt;b&gt;&amp;bold&lt;/b&gt;" in dots(figure)[0].text


def test_a_change_is_marked_with_ratio_revision_and_brief_and_the_line_steps_there() -> None:
    frame = make_history()
    figure = history(frame)
    own = frame.loc[frame["endpoint"] == "GET /a", "p95_ms"].to_numpy()
    ratio = np.median(own[25:]) / np.median(own[:25])
    assert f"{ratio - 1:+.0%} · 1.25 · PS-25" in words(figure)
    assert [shape.x0 for shape in figure.layout.shapes] == [25.5]
    line = next(trace for trace in figure.data if trace.mode == "lines" and trace.hoverinfo == "skip")
    assert list(line.x) == [0.5, 25.5, 25.5, 40.5]
    assert list(line.y) == [np.median(own[:25])] * 2 + [np.median(own[25:])] * 2


def test_limit_and_baseline_are_lines_and_a_far_limit_stands_in_the_heading() -> None:
    frame = make_history()
    frame.loc[frame["endpoint"] == "GET /b", "target_ms"] = 5000.0
    figure = history(frame, baselines={"GET /a": 99.0})
    drawn = {meta: [t for t in figure.data if t.meta == meta] for meta in ("limit", "baseline")}
    assert [set(trace.y) for trace in drawn["limit"]] == [{150.0}]
    assert [set(trace.y) for trace in drawn["baseline"]] == [{99.0}]
    assert "GET /a · limit 150 ms" in words(figure)
    assert "GET /b · limit 5,000 ms" in words(figure)
    legend = {trace.name for trace in figure.data if trace.showlegend}
    assert {"run", "median of the level", "limit for p95", "baseline"} == legend
    far = history(frame[frame["endpoint"] == "GET /b"])
    assert "limit for p95" not in {trace.name for trace in far.data if trace.showlegend}
    of_p50 = history(frame, percentile="p50_ms")
    assert not [trace for trace in of_p50.data if trace.meta == "limit"]


def test_intervals_are_whiskers_where_runs_have_them() -> None:
    assert all(trace.error_y.array is None for trace in dots(history(make_history())))
    frame = make_history()
    figure = history(frame.assign(p95_low_ms=frame["p95_ms"] - 3, p95_high_ms=frame["p95_ms"] + 5))
    bars = dots(figure)[0].error_y
    assert np.allclose(bars.array, 5)
    assert np.allclose(bars.arrayminus, 3)


def test_the_whisker_of_an_interval_without_an_upper_end_leaves_the_panel() -> None:
    frame = make_history()
    figure = history(frame.assign(p95_low_ms=frame["p95_ms"] - 3, p95_high_ms=np.inf))
    bars, top_ms = dots(figure)[0].error_y, 10 ** figure.layout.yaxis.range[1]
    assert np.isfinite(bars.array).all()
    assert (frame["p95_ms"].iloc[::2].to_numpy() + bars.array > 10 * top_ms).all()


def test_setups_differ_by_colour_and_are_named_by_what_differs() -> None:
    quick = make_history().assign(profile="quick", workload="10 users, 10 s", run_id=lambda rows: "q" + rows["run_id"])
    figure = history(pd.concat([make_history(), with_setup(quick)]))
    named = [trace for trace in dots(figure) if trace.showlegend]
    assert {trace.name for trace in named} == {"brief, 10 users, 60 s", "quick, 10 users, 10 s"}
    assert len({trace.marker.color for trace in named}) == 2
    assert "80 runs · made-up · light_load · A made-up CPU, 2 cores" in figure.layout.title.subtitle.text


def test_setups_alike_in_words_are_drawn_apart_too() -> None:
    one, other = make_history().assign(setup="beef"), make_history().assign(setup="f00d")
    figure = history(pd.concat([one, other.assign(run_id="o" + other["run_id"])]))
    named = [trace for trace in dots(figure) if trace.showlegend]
    assert {trace.name for trace in named} == {"setup beef", "setup f00d"}
    assert len({trace.marker.color for trace in named}) == 2


def test_a_long_description_of_the_setup_goes_over_lines_above_the_panels() -> None:
    short, long = history(make_history()), history(make_history(workload="10 users, only " + "GET /a, " * 40))
    lines = long.layout.title.subtitle.text.split("<br>")
    assert max(map(len, lines)) <= 120
    assert len(lines) > 2
    assert long.layout.margin.t > short.layout.margin.t


def test_a_long_history_shows_its_latest_runs_says_so_and_stays_small() -> None:
    many = tuple(f"GET /{number}" for number in range(7))
    figure = history(make_history(runs=POINTS + 100, endpoints=many, step_at=450))
    assert all(len(trace.x) <= POINTS for trace in dots(figure))
    assert f"the latest {POINTS} of {POINTS + 100} runs" in figure.layout.title.subtitle.text
    assert len(figure.to_json()) < 1_000_000


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (make_history().iloc[:0], "No run is stored, or none passes the filters."),
        (make_history(p95_ms=np.nan), "No run has enough successes for it."),
    ],
)
def test_where_there_is_nothing_to_show_the_chart_says_so(frame: pd.DataFrame, why: str) -> None:
    assert why in words(history(frame))
    assert list(changes(frame.iloc[:0]).columns[-6:]) == [*SETUP_WORDS, "setup"]


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_a_few_runs_are_drawn_without_a_change(runs: int) -> None:
    figure = history(make_history(runs=runs))
    assert len(dots(figure)[0].x) == runs
    assert not figure.layout.shapes


def test_another_percentile_is_refused() -> None:
    with pytest.raises(ValueError, match="'p99_ms' is none of p50_ms, p95_ms"):
        history(make_history(), percentile="p99_ms")


def test_no_name_can_smuggle_markup_into_the_charts() -> None:
    frame = make_history(endpoints=(NASTY, "GET /b")).assign(brief=NASTY, workload=NASTY)
    run = make_run(make_target(NASTY), run_id=NASTY, note=NASTY)
    for figure in (history(frame), overlay(run)):
        figure.layout.meta = None  # the alternative text is no markup
        assert "<b>" not in json.dumps(figure.to_plotly_json(), default=str).replace("<br>", "")


def test_an_overlay_has_a_curve_for_each_run() -> None:
    runs = [make_run(make_target("GET /a", "GET /b"), seed=seed, run_id=f"run-{seed}") for seed in range(9)]
    figure = overlay(*runs, endpoint="GET /b")
    assert [trace.name.split(" · ")[0] for trace in figure.data] == [f"run-{seed}" for seed in range(9)]
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 9
    rows = runs[0].requests
    own = rows[~rows["warmup"] & (rows["endpoint"] == "GET /b")]
    ms = np.sort((own["end_ns"] - own["intended_ns"]).to_numpy() / 1e6)
    assert (figure.data[0].x[0], figure.data[0].x[-1], figure.data[0].y[-1]) == (ms[0], ms[-1], 100)
    assert "GET /b" in figure.layout.title.subtitle.text
    assert "Response time, ms" in figure.layout.xaxis.title.text


def test_failures_keep_an_overlaid_curve_below_100_percent() -> None:
    figure = overlay(make_run(make_target("GET /a"), failures=0.2))
    assert 70 < figure.data[0].y[-1] < 90


def test_an_overlay_takes_the_first_endpoint_in_common_and_leaves_out_runs_without_the_chosen_one() -> None:
    first, second = make_run(make_target("GET /a", "GET /b")), make_run(make_target("GET /b", "GET /c"))
    assert "GET /b" in overlay(first, second).layout.title.subtitle.text
    assert len(overlay(first, second, endpoint="GET /c").data) == 1
    assert "No run drove GET /x." in words(overlay(first, endpoint="GET /x"))
    assert "No run was given." in words(overlay())
    assert len(overlay(without_successes(first)).data[0].x) == 0


def test_an_overlay_of_many_long_runs_stays_small() -> None:
    run = make_run(make_target("GET /a"), per_s=5000)
    assert len(overlay(*[run] * 30).to_json()) < 150_000


@pytest.mark.parametrize("figure", [history(make_history(runs=5)), overlay(make_run())], ids=["history", "overlay"])
def test_a_chart_has_a_title_units_and_a_text_for_those_who_cannot_see_it(figure: go.Figure) -> None:
    assert figure.layout.title.text
    assert "ms" in f"{figure.layout.yaxis.title.text} {figure.layout.xaxis.title.text}"
    assert "milliseconds" in figure.layout.meta["alt"]


def test_the_baseline_is_that_of_the_latest_run_s_own_load() -> None:
    run = make_run()
    stored = Baselines(baselines=(baseline_of([run]),))
    drawn = baseline_ms([make_run(seconds=20.0), run], stored)
    assert drawn == {row.endpoint: pytest.approx(row.p95_ms, rel=1e-3) for row in summarize(run).endpoints}
    users = run.facts.scenario.model_copy(update={"workload": Closed(users=20)})
    another = replace(run, facts=run.facts.model_copy(update={"scenario": users}))
    assert baseline_ms([run, another], stored) == baseline_ms([], stored) == {}


def slow_without_p95(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """As if runs of the slow level had too few successes for a p95, but a bound a tenth below it."""
    slow = (frame["endpoint"] == "GET /a") & (frame["run_id"] >= "run-0025")
    lacking = slow & (np.random.default_rng(3).random(len(frame)) < share)
    return frame.assign(p95_at_least_ms=(0.9 * frame["p95_ms"]).where(lacking), p95_ms=frame["p95_ms"].mask(lacking))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_runs_too_slow_for_their_p95_make_a_change_and_are_arrows(share: float) -> None:
    frame = slow_without_p95(make_history(), share)
    (found,) = changes(frame).query("percentile == 'p95_ms'").to_dict("records")
    assert (found["run_id"], found["at_least"]) == ("run-0025", share == 1.0)
    assert found["ratio"] > 1.2
    figure = history(frame)
    [arrows] = [trace for trace in dots(figure) if trace.marker.symbol == "triangle-up-open"]
    assert len(arrows.x) == frame["p95_at_least_ms"].notna().sum()
    assert "p95 ≥" in arrows.hovertemplate
    assert ("% or more" in words(figure)) == (share == 1.0)


def test_a_bound_below_the_level_before_is_no_improvement() -> None:
    frame = make_history(step_at=99)
    late = frame["run_id"] >= "run-0025"
    hidden = frame.assign(p95_at_least_ms=(0.7 * frame["p95_ms"]).where(late), p95_ms=frame["p95_ms"].mask(late))
    assert changes(hidden).empty
