"""A report and its options: each goes to the scenarios that take it, and a scenario needs no notebook of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from perflib.spec import InputError, Options
from perflib.workbook.report import write_report
from perflib.workbook.report.notebook import scenario_notebook
from perflib.workbook.report.outcome import Outcome
from perflib.workbook.report.write import _Job, _left_s
from tests.servers import answer, answering
from tests.synthetic import make_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = """
[target]
name = "shop"
base_url = "{url}"

[[endpoint]]
path = "/a"

[scenario.checkout]
users = 2
duration = "1s"
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The target file of a workbook without a notebook, whose server answers."""
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    (tmp_path / "performance_baselines.json").write_text('{"schema_version": 2, "baselines": []}\n')
    monkeypatch.chdir(tmp_path)
    with answering(answer()) as server:
        (tmp_path / "notebooks").mkdir()
        (tmp_path / "shop.toml").write_text(TARGET.format(url=server.url))
        yield "shop.toml"


def test_the_scenarios_of_a_report_go_on_no_longer_than_40_s_in_all(tmp_path: Path) -> None:
    def went_on(seconds: float) -> Outcome:
        run = make_run(seconds=10.0 + seconds)
        scenario = run.facts.scenario.replaced(duration_s=10.0, longest_s=30.0)
        return Outcome("light_load", "", replace(run, facts=run.facts.replaced(scenario=scenario)))

    def left_s(*outcomes: Outcome, notebook: Path | None = None, **options: Any) -> float | None:
        made = notebook or scenario_notebook("light_load", "Light load", tmp_path)
        job = _Job("light_load", "", made, Options.model_validate({"profile": "quick"} | options), ())
        return _left_s(job, outcomes)

    assert left_s() == 40.0
    assert left_s(went_on(15.0), went_on(20.0)) == pytest.approx(5.0)
    assert left_s(went_on(20.0), went_on(20.0)) == 0.0
    assert left_s(lengthen=10) == 10.0
    assert left_s(profile="brief") is None
    assert left_s(duration=10) is None
    own = tmp_path / "own.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), own)
    assert left_s(notebook=own) is None


def test_an_option_goes_to_the_scenarios_that_take_it_and_the_others_are_named(shop: str, tmp_path: Path) -> None:
    said: list[str] = []
    options = Options(target=shop, users=3, duration="0.6s", warmup=0, profile="quick", seed=7)
    folder = write_report(["checkout", "steady_rate"], options, tmp_path / "out", said.append)
    assert "steady_rate: --users left out, for this load has none" in said
    assert "--users left out" in (folder / "summary.md").read_text()
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("data/runs/*/run.json")]
    assert {run["scenario"]["name"]: run["scenario"]["workload"]["kind"] for run in runs} == {
        "checkout": "closed",
        "steady_rate": "open",
    }
    assert {run["seed"] for run in runs} == {7}
    assert [run["scenario"]["workload"]["users"] for run in runs if run["scenario"]["name"] == "checkout"] == [3]
    assert "Checkout" in (folder / "checkout.html").read_text()


def explaining(root: Path, *cells: str) -> None:
    """A notebook `09_why` that shows what it was asked."""
    v4: Any = nbformat.v4
    names = ("scenario", "run_id", "profile", "target", "url")
    parameters = "\n".join([*(f"{name}: str = ''" for name in names), "endpoints: list[str] = []", "more: dict = {}"])
    tagged = v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    shown = v4.new_code_cell("print('asked', scenario, run_id or 'live', url or 'no url')")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(metadata={"kernelspec": kernel})
    notebook.cells = [v4.new_markdown_cell("# Why"), tagged, shown, *map(v4.new_code_cell, cells)]
    nbformat.write(notebook, root / "notebooks/09_why.ipynb")


def test_a_quick_report_asks_its_worst_run_why_and_a_brief_one_the_target(shop: str, tmp_path: Path) -> None:
    explaining(tmp_path)
    slow = (tmp_path / shop).read_text().replace('path = "/a"', 'path = "/a"\ntarget_ms = 0.001')
    (tmp_path / shop).write_text(slow)
    asked = {"target": shop, "duration": "0.6s", "warmup": 0}
    for profile, says in (("quick", "-checkout-"), ("brief", "asked checkout live")):
        folder = write_report(["checkout"], Options.parse(asked | {"profile": profile}, "a test"), None, lambda _: None)
        page, index = (folder / "why.html").read_text(), (folder / "index.html").read_text()
        assert "asked checkout " in page
        assert says in page
        assert 'href="why.html"' in index
        assert "(why.html)" in (folder / "summary.md").read_text()
        assert "<code>perflib why checkout --target shop.toml" in index
        assert "GET /a misses a limit. Why?" in index
        assert "perflib why checkout" in (folder / "checkout.html").read_text()


def test_a_page_that_cannot_say_why_is_told_and_the_report_is_whole(shop: str, tmp_path: Path) -> None:
    explaining(tmp_path, "1 / 0")
    options = Options(target=shop, duration="0.6s", warmup=0, profile="quick")
    folder = write_report(["checkout"], options, tmp_path / "out", lambda _: None)
    for page in ("index.html", "summary.md"):
        assert "ZeroDivisionError" in (folder / page).read_text()


def test_without_its_notebook_a_report_has_no_page_that_says_why(shop: str, tmp_path: Path) -> None:
    options = Options(target=shop, duration="0.6s", warmup=0, profile="quick")
    folder = write_report(["checkout"], options, tmp_path / "out", lambda _: None)
    assert "why.html" not in (folder / "index.html").read_text()


@pytest.mark.parametrize(
    ("scenarios", "options", "says"),
    [
        (["steady_rate"], {"users": 3}, "--users: steady_rate is an open workload; use rate"),
        (["checkout"], {"rate": 3}, "--rate: checkout is a closed workload; use users"),
        (["check_out"], {}, "scenario 'check_out': unknown; did you mean checkout?"),
        ([], {}, "no notebook of a scenario here"),
    ],
)
def test_what_no_scenario_of_the_report_takes_is_refused_before_anything_runs(
    shop: str, tmp_path: Path, scenarios: list[str], options: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError) as refused:
        write_report(scenarios, Options.parse({"target": shop} | options, "a test"), None, lambda _: None)
    assert says in str(refused.value)
    assert not list(tmp_path.glob("data/runs/*"))
