"""Objects show themselves: reprs, HTML for a notebook, and the examples in docstrings."""

import doctest
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import perflib
from perflib.figures.summary import summarize
from perflib.judge.baseline import baseline_of
from perflib.judge.check import check
from perflib.judge.compare import Comparison, verdicts
from perflib.spec import SCENARIOS, Endpoint, Page, Run, Scenario, Target
from perflib.spec.baselines import Baselines
from tests.synthetic import make_run, make_target, without_successes

ROOT = Path(__file__).parents[2]
NASTY = "</table><script>alert(1)</script>"
EXAMPLES = [path for path in sorted((ROOT / "perflib").rglob("*.py")) if ">>>" in path.read_text(encoding="utf-8")]


class Cells(HTMLParser):
    """The texts of a table's cells, and every tag there is."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.styled = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.styled = tag == "style"

    def handle_data(self, data: str) -> None:
        if data.strip() and not self.styled:
            self.texts.append(data)
        self.styled = False


def a_run(**facts: str) -> Run:
    return make_run(make_target(NASTY, "GET /b", target_ms=5.0), **facts)


def shown(thing: object) -> Cells:
    return Cells(thing._repr_html_())  # type: ignore[attr-defined]


def a_comparison() -> Comparison:
    run = a_run()
    return Comparison(
        comparison_id="c1",
        a="http://a",
        b=NASTY,
        restarted=False,
        scenario=run.facts.scenario,
        endpoints=(NASTY,),
        detect=0.1,
        pairs=2,
        block_s=1.0,
        seed=1,
        started_at="2026-01-01",
        environment=run.facts.environment,
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_in_docstrings_are_true(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = import_module(".".join(part for part in parts if part != "__init__"))
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("package", [perflib, perflib.charts], ids=lambda package: package.__name__)
def test_tab_completion_offers_the_public_names_and_each_has_an_example(package: ModuleType) -> None:
    assert dir(package) == sorted(package.__all__)
    for name in package.__all__:
        thing = getattr(package, name)
        if callable(thing):
            assert ">>>" in (thing.__doc__ or "") or f"perflib.{name}" in (perflib.__doc__ or ""), name


def test_whatever_shows_itself_as_html_shows_names_as_text() -> None:
    run = a_run(note=NASTY)
    judged, compared = check([run], Baselines()), a_comparison()
    for thing in (run.facts.target, run, summarize(run), judged, judged.endpoints[0], compared, verdicts(compared)[0]):
        seen = shown(thing)
        assert seen.tags <= {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "code"}
        assert any(NASTY in text for text in seen.texts), thing


@pytest.mark.parametrize("scenario", [by["brief"] for by in SCENARIOS.values()], ids=list(SCENARIOS))
def test_every_scenario_shows_its_load_and_its_length(scenario: Scenario) -> None:
    texts = shown(scenario).texts
    assert f"Scenario {scenario.name}" in texts
    assert any(text.startswith(f"{scenario.duration_s:g} s after") for text in texts)
    assert len(repr(scenario)) < 120


def test_a_target_shows_what_it_offers_and_no_secret() -> None:
    secret = {"env": "SECRET_OF_THE_TARGET"}
    endpoint = Endpoint(path="/a", name="one", method="POST", target_ms=1200, params={"key": secret}, body="hush")
    page = Page(name="home", loads=("one",))
    target = Target(name="shop", base_url="http://shop", token_env="TOKEN_OF_IT", endpoints=(endpoint,), pages=(page,))
    texts = shown(target).texts
    assert texts[0] == "Target shop at http://shop"
    assert texts[-8:] == ["one", "POST", "/a", "< 1,200", "home", "page", "one", "–"]
    assert "hush" not in repr(target)
    assert repr(target) == "<Target shop at http://shop: 1 endpoints, 1 pages>"


def test_a_summary_shows_its_figures_and_says_what_was_missed() -> None:
    run = a_run()
    texts, row = shown(summarize(run)).texts, summarize(run).endpoints[1]
    assert row.p95_ms is not None
    assert f"{row.p95_ms:.1f}" in texts
    assert "missed" in texts
    assert "GET /b" in repr(summarize(run)).partition("limits missed: ")[2]
    assert "too few" in shown(summarize(without_successes(run))).texts


def test_a_run_shows_why_it_is_invalid() -> None:
    run = a_run(invalid_reasons=("the load generator was overloaded",))  # type: ignore[arg-type]
    assert any("overloaded" in text for text in shown(run).texts)
    assert len(repr(run)) < 120


def test_a_check_shows_its_verdicts_and_its_baseline() -> None:
    run = a_run()
    found = check([run], Baselines(baselines=(baseline_of([run]),)))
    texts = shown(found).texts
    assert texts.count("INCONCLUSIVE") == 2
    assert "misses its limit" in repr(found)
    assert "exit 1" in repr(found)


def test_a_comparison_shows_what_is_not_clear_yet() -> None:
    assert "not clear yet" in shown(a_comparison()).texts
    assert "0 of at most" in repr(a_comparison())


def test_a_verdict_says_what_it_is_of_and_why() -> None:
    assert repr(check([a_run()], Baselines()).endpoints[1]).startswith("<NO_BASELINE of GET /b: ")
    assert repr(verdicts(a_comparison())[0]).startswith("<Not clear yet, p50 of ")
