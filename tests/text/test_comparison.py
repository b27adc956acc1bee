"""A comparison as a person would say it: both sides, who they are, each reason once, and what would tell more."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import perflib
from perflib.cli.app import main
from perflib.judge.compare import FigureVerdict, Seen, compare_stored, verdicts
from perflib.spec import Closed, Options, Run
from perflib.spec.baselines import Baselines
from perflib.stats import Interval
from perflib.stats.verdict import Verdict
from perflib.store.comparisons import path_of
from perflib.text import tables
from perflib.workbook import charts
from tests.judge.test_compare import whole
from tests.synthetic import make_run, make_target


def p95(
    endpoint: str, verdict: Verdict, ratio: float = 1.0, reason: str = "", mde: float | None = 0.1
) -> FigureVerdict:
    """A p95 that took 100 ms in A; its interval reaches 5 % to both sides."""
    interval = None if mde is None else Interval(ratio / 1.05, ratio * 1.05)
    seen = (Seen(100.0, requests=612), Seen(100 * ratio, requests=598))
    return FigureVerdict(endpoint, "p95", verdict, ratio, interval, mde, reason, *seen)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ([], "Nothing was compared."),
        ([p95("/a", Verdict.SAME)], "No difference of more than 5% at 1 endpoint."),
        (
            [p95("/a", Verdict.REGRESSION, 1.52), p95("/b", Verdict.SAME)],
            "B answers /a in 152 ms instead of 100 (p95, +52%, +45% to +60%); nothing else changed by more than 5%.",
        ),
        (
            [p95("/a", Verdict.REGRESSION, 1.2), p95("/b", Verdict.REGRESSION, 4.0), p95("/c", Verdict.IMPROVED, 0.5)],
            "B is slower at 2 of 3 endpoints: /b in 400 ms instead of 100 (p95, 4.00 times, 3.81 times to 4.20 times), "
            "/a; B answers /c in 50.0 ms instead of 100 (p95, -50%, -52% to -48%).",
        ),
        (
            [p95("/a", Verdict.INCONCLUSIVE, 1.3, mde=0.6), p95("/b", Verdict.SAME)],
            "Not clear at 1 of 2 endpoints (/a): runs differ so much by chance that only changes of +60% or more would "
            "show; no difference of more than 5% at 1; largest difference: /a in 130 ms instead of 100 (p95, +30%, "
            "+24% to +37%).",
        ),
        (
            [p95("/a", Verdict.INCONCLUSIVE, 0.07, "one run is too few; record eight", None)],
            "Not clear at 1 of 1 endpoint: one run is too few; largest difference: /a in 7.00 ms instead of 100 (p95, "
            "-93%).",
        ),
    ],
)
def test_the_sentence_says_what_changed_from_what_to_what(figures: list[FigureVerdict], said: str) -> None:
    assert tables.comparison_sentence(figures) == said


def test_a_side_that_fails_is_said_to_fail() -> None:
    failing = replace(p95("/a", Verdict.REGRESSION), b=Seen(math.inf))
    assert tables.comparison_sentence([failing]) == "B answers /a (p95: failed instead of 100)."
    assert "failed" in tables.comparison([failing]).text()


def test_a_reason_is_told_once_however_many_figures_share_it() -> None:
    names = [f"/{number}" for number in range(9)]
    unclear = [p95(name, Verdict.INCONCLUSIVE, 1.0, "one run is too few; record eight", None) for name in names]
    told = tables.comparison([*unclear, p95("/x", Verdict.INCONCLUSIVE, 1.0, "too few requests for p95", None)]).text()
    assert told.count("record eight") == 1
    assert "/x p95: too few requests for p95" in told
    assert tables.comparison(unclear).text().count("one run is too few") == 1


def test_both_sides_stand_in_ms_and_a_p95_without_enough_requests_has_its_bound() -> None:
    few = [make_run(make_target("GET /a"), per_s=4, seed=seed, run_id=f"r{seed}") for seed in (1, 2)]
    p50, bound = compare_stored(*few, Baselines())
    assert None not in (p50.a.ms, p50.b.ms)
    assert bound.b.ms is None
    assert bound.b.at_least_ms is not None
    told = tables.two_runs([p50, bound], *few).text()
    assert told.count("≥ ") >= 2
    assert f"{p50.a.requests} requests of A, {p50.b.requests} of B" in told
    assert "A: r1, started" in told


def test_runs_that_are_not_alike_are_refused_by_what_differs_and_the_whole_command_that_compares_them() -> None:
    a = make_run(make_target("GET /a"), run_id="a")
    b = make_run(make_target("GET /a"), run_id="b")
    b = replace(b, facts=b.facts.replaced(scenario=b.facts.scenario.replaced(workload=Closed(users=50))))
    table = tables.comparison(compare_stored(a, b, Baselines()))
    assert table.title == (
        "Not compared: the runs are not alike: load is 50 users, was 10 users; "
        "`perflib compare a b --although-different` compares them all the same."
    )
    assert "B / A" not in [column.name for column in table.columns]
    assert {row.cells[3].text for row in table.rows} == {"not compared"}


def test_who_the_sides_are_is_told_as_far_as_it_is_known() -> None:
    known = named(make_run(run_id="b"), revision="1.4", brief="PS-9", note="with orders")
    about = tables.about_runs(make_run(run_id="a").facts, known.facts)
    a, b = tables.sides(about)
    assert a == "A: a, started 2026-01-01 00:00, quick profile"
    assert b == "B: b, revision 1.4, started 2026-01-01 00:00, quick profile, brief PS-9, note with orders"


def named(run: Run, **facts: str) -> Run:
    return replace(run, facts=run.facts.replaced(**facts))


def test_live_sides_are_told_by_their_commands_in_ms_and_with_the_command_that_shows_them_again() -> None:
    told = tables.measured(whole(1.25)).text()
    assert "A: old --port {port} (" in told
    assert "requests, 0 failed)" in told
    assert "`perflib show c` shows this again" in told
    assert all(one.a.ms and one.b.ms for one in verdicts(whole(1.25)))


def test_a_stored_comparison_is_shown_again_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    found = whole(1.25)
    (tmp_path / "comparisons" / "c").mkdir(parents=True)
    path_of(tmp_path, "c").write_text(found.model_dump_json())
    assert perflib.load_comparison("c") == found
    assert main(["show", "c"]) == 0
    assert "B answers GET /a in" in capsys.readouterr().out
    with pytest.raises(perflib.InputError, match="no such comparison"):
        perflib.load_comparison("d")


def test_what_stayed_unclear_names_how_many_restarts_would_tell_and_the_command() -> None:
    noisy = whole(1.05, noise=0.12).replaced(state="finished")
    (told,) = tables.remedies(noisy, Options(users=3))
    restarts = int(told.split()[0])
    assert restarts > noisy.plan.restarts
    assert "`perflib compare 'old --port {port}' 'new --port {port}' --scenario light_load --detect 0.1" in told
    assert "--noise " in told
    assert told.endswith("--users 3`")
    assert noisy.plan_at(float(told.split("--noise ")[1].split("%")[0]) / 100).restarts == pytest.approx(
        restarts, rel=0.2
    )
    assert tables.remedies(whole(1.25, noise=0.005).replaced(state="finished"), Options()) == ()


def test_distributions_are_laid_over_each_other_the_largest_change_first() -> None:
    target = make_target("GET /a", "GET /b")
    a, b = make_run(target, seed=1), make_run(target, seed=2)
    slower = make_run(target, seed=2, slowdown=lambda at_s: np.full_like(at_s, 3.0)).requests
    mixed = b.requests.where(b.requests["endpoint"] != "GET /b", slower)
    figure = charts.distributions(a, replace(b, requests=mixed.astype(b.requests.dtypes)))
    headings = [note.text for note in figure.layout.annotations if "p50" in (note.text or "")]
    assert [heading.split(" · ")[0] for heading in headings] == ["GET /b", "GET /a"]
    assert [trace.name for trace in figure.data] == ["A", "B", "A", "B"]
    assert figure.layout.xaxis2.type == "log"
    assert len(charts.distributions(a).layout.annotations) == 1
