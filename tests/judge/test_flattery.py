"""Flattery: a run says where a cache answered, or may have, and how to ask for other things; and says it once."""

from dataclasses import replace
from typing import Any

import pytest

from perflib.judge.check import check
from perflib.judge.flattery import flattered
from perflib.spec import Run
from perflib.spec.baselines import Baselines
from perflib.spec.run import Generator, Repeats
from perflib.text import tables
from perflib.text.notices import notices
from tests.synthetic import make_run, make_target

MEND = "ask with different values: [data.NAME] in the target file."


def repeats(endpoint: str = "GET /a", **told: Any) -> Repeats:
    return Repeats.model_validate({"endpoint": endpoint, "answers": 1000, "cached": 0, "cache": ""} | told)


def run_with(*some: Repeats, **facts: Any) -> Run:
    run = make_run(make_target(*(one.endpoint for one in some)), seconds=2.0)
    return replace(run, facts=run.facts.replaced(generator=run.facts.generator.replaced(repeats=some), **facts))


HIT = {"cached": 993, "cache": "X-Cache: HIT"}
SAME = {"body_bytes": 800, "same": 993}
FROM_CACHE = (
    f"99.3 % of the answers came from a cache (X-Cache: HIT): these are its times; to measure what is behind it, {MEND}"
)
AGAIN = "99.3 % of the answers to the same request"
ALIKE = f"{AGAIN} were the same bytes again, as from a cache; where users ask for different things, {MEND}"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (HIT, FROM_CACHE),
        (HIT | SAME, FROM_CACHE),
        (SAME, ALIKE),
        (HIT | {"cached": 800}, ""),
        (HIT | {"answers": 5, "cached": 5}, ""),
        (SAME | {"answers": 99, "same": 98}, ""),
        (SAME | {"body_bytes": 15}, ""),  # {"status":"ok"}
        (SAME | {"same": 899}, ""),
    ],
)
def test_answers_of_a_cache_are_told_and_so_are_the_same_bytes_of_data(told: dict[str, Any], says: str) -> None:
    assert flattered([run_with(repeats(**told))]) == ([f"GET /a: {says}"] if says else [])


def test_endpoints_are_told_together_and_the_first_of_them_by_name() -> None:
    run = run_with(*(repeats(f"GET /{name}", **(HIT if name < "c" else SAME)) for name in "abcdefgh"))
    cached, same = flattered([run])
    assert cached.startswith("GET /a, GET /b: 99.3 % of the answers came from a cache")
    assert same.startswith("GET /c, GET /d, GET /e and 3 more: 99.3 % of the answers to the same request")


def test_a_cache_that_the_target_file_names_is_known() -> None:
    run = run_with(repeats(**HIT, **SAME))
    [one] = run.facts.target.endpoints
    known = one.replaced(cold={"header": "X-Cache", "equals": "MISS"})
    facts = run.facts.replaced(target=run.facts.target.replaced(endpoints=(known,)))
    assert flattered([replace(run, facts=facts)]) == []


def test_where_values_differ_the_cache_holds_them_all_and_the_same_bytes_are_no_sign_of_one() -> None:
    run = run_with(repeats("GET /a", **HIT), repeats("GET /b", **SAME))
    varied = tuple(one.replaced(path="/{random:1-9}") for one in run.facts.target.endpoints)
    facts = run.facts.replaced(target=run.facts.target.replaced(endpoints=varied))
    [told] = flattered([replace(run, facts=facts)])
    assert told.startswith("GET /a: 99.3 % of the answers came from a cache")
    assert told.endswith("to measure what is behind it, ask with more values than it holds.")


def test_it_is_told_once_wherever_a_run_is_shown() -> None:
    run = run_with(repeats(**HIT))
    shown = [tables.verdict(run).text(), "\n".join(notices(run)), str(run.facts.generator.as_json())]
    assert [text.count("from a cache (X-Cache: HIT)") for text in shown[:2]] == [1, 1]
    several = [replace(run, facts=run.facts.replaced(run_id=f"run-{number}")) for number in range(3)]
    assert tables.check(check(several, Baselines())).text().count("came from a cache (X-Cache: HIT)") == 1


def test_what_several_workers_counted_is_one_count() -> None:
    some = [
        (repeats("GET /a", **HIT), repeats("GET /b", **SAME)),
        (repeats("GET /a", answers=0), repeats("GET /b", **SAME)),
        (repeats("GET /a", cached=1000, cache="Age: above 0"), repeats("GET /b")),
    ]
    a, b = Generator.of_all([Generator(repeats=one) for one in some]).repeats
    assert (a.answers, a.cached, a.cache) == (2000, 1993, "X-Cache: HIT")
    assert (b.answers, b.same, b.body_bytes) == (3000, 1986, 800)
