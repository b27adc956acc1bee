"""Failures in words: a line per endpoint that says what failed, since when, and why; times of the rest are marked."""

import re
from dataclasses import replace

import pytest

from perflib.figures.failures import Failure
from perflib.figures.summary import summarize
from perflib.judge.check import check
from perflib.spec.baselines import Baselines
from perflib.spec.run import ClockStep
from perflib.text import tables
from perflib.text.failures import failure_lines
from perflib.text.notices import notices
from tests.figures.test_failures import limited, sampled
from tests.synthetic import make_run, make_target, without_successes

FAST = {"per_s": 100.0, "seconds": 10.0}


def failure(kind: str, count: int, status: int = 0, reason: str = "", name: str = "GET /x", **told: str) -> Failure:
    return Failure(name, kind, status, count, 0.5, 5.0, 9.0, reason, **told)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            failure("status", 877, 403, content_type="text/html"),
            "GET /x: 403 × 877 since 5 s, text/html, '403 Forbidden'",
        ),
        (failure("status", 2, 599), "GET /x: 599 × 2 since 5 s"),
        (
            failure("connect", 1200, reason="certificate verify failed: self-signed certificate"),
            "GET /x: connect × 1,200: certificate verify failed: self-signed certificate",
        ),
        (
            failure("content", 3, 200, "expected key 'data' is missing; the answer has 'detail'"),
            "GET /x: content × 3: expected key 'data' is missing; the answer has 'detail'",
        ),
        (failure("timeout", 4), "GET /x: timeout × 4 since 5 s"),
        (failure("in_flight", 1), "GET /x: in flight × 1 since 5 s"),
        (failure("protocol", 1, reason="a\n\x1b[31mb"), "GET /x: protocol × 1: a [31mb"),
    ],
)
def test_a_line_says_what_failed_how_often_since_when_and_why(found: Failure, line: str) -> None:
    assert failure_lines([found]) == [line]


def test_an_endpoint_has_one_line_and_the_lines_have_an_end() -> None:
    kinds = [failure("status", 9 - number, 500 + number) for number in range(5)]
    [line] = failure_lines(kinds)
    assert line.count("×") == 3
    assert line.endswith("; 11 others")
    many = failure_lines([failure("timeout", 1, name=f"GET /{number}") for number in range(35)])
    assert len(many) == 11
    assert many[-1] == "25 more endpoints failed."


def test_the_sentence_begins_with_what_failed() -> None:
    run = make_run(make_target("GET /a", target_ms=None), failures=0.02, **FAST)
    told = tables.verdict_sentence(run, summarize(run))
    assert re.match(r"\d+ of 1,\d+ requests failed: \d+ × HTTP 500 from GET /a", told)
    assert told.index("failed") < told.index("slowest at p95 was GET /a")
    stopped = make_run(failures=0.02, state="interrupted", **FAST)
    assert re.match(r"Interrupted after 10 s: \d+ of ", tables.verdict_sentence(stopped, summarize(stopped)))


def test_the_sentence_on_a_target_with_a_rate_limit_names_the_limit_and_the_rate_to_use() -> None:
    run = limited(50)
    told = tables.verdict_sentence(run, summarize(run))
    assert re.match(r"[\d,]+ of [\d,]+ requests failed: [\d,]+ × HTTP 429 from GET /a; the target answered", told)
    assert "answered at most 50/s: 429; try --rate 40 with steady_rate. " in told
    assert "The target answered at most 50/s: 429; try --rate 40 with steady_rate." in notices(run)
    assert "try --rate 40." in tables.verdict_sentence(limited(50, scenario="steady_rate"), summarize(run))


@pytest.mark.parametrize("per_s", [0, 50])
def test_a_limit_that_some_endpoints_met_is_theirs_and_not_the_targets(per_s: float) -> None:
    run = limited(per_s, names=("GET /a", "GET /b"))
    told = tables.verdict_sentence(run, summarize(run))
    assert "; GET /a answered " in told
    assert "the target answered" not in told
    assert any(line.startswith("GET /a answered ") for line in notices(run))


def test_a_step_of_the_system_clock_is_told() -> None:
    run = make_run()
    stepped = run.facts.generator.replaced(clock_steps=(ClockStep(at_s=3.2, by_s=-1.5),))
    told = notices(replace(run, facts=run.facts.replaced(generator=stepped)))
    assert any(line.startswith("The system clock was set by -1.500 s at 3.2 s; ") for line in told)
    assert not any("system clock" in line for line in notices(run))


def test_times_of_less_than_half_of_the_requests_are_marked_wherever_they_stand() -> None:
    run = limited(50, names=("GET /a", "GET /b"))
    summary = summarize(run)
    [few, usual] = tables.brief(summary).records()
    share = f"(of {100 - 100 * summary.endpoints[0].errors / summary.endpoints[0].requests:.2g} %)"
    assert all(few[name].endswith(share) for name in ("p50, ms", "p95, ms", "p99, ms", "Max, ms"))
    assert not any("(of" in usual[name] for name in ("p50, ms", "p95, ms"))
    assert "these are times of the others" in str(tables.brief(summary))


def test_the_slowest_of_few_answers_is_marked_in_the_sentence() -> None:
    run = limited(50)
    target = run.facts.target
    free = target.replaced(endpoints=tuple(one.replaced(target_ms=None) for one in target.endpoints))
    run = replace(run, facts=run.facts.replaced(target=free))
    told = tables.verdict_sentence(run, summarize(run))
    assert re.search(r"slowest at p95 was GET /a with [\d.]+ ms \(of the 1[23] % that succeeded\)\.$", told)


def test_times_of_more_than_half_are_not_marked() -> None:
    assert "(of" not in tables.brief(summarize(make_run(make_target("GET /a"), failures=0.3, **FAST))).text()


def test_every_answer_on_a_run_has_the_lines_and_no_body() -> None:
    run = sampled(make_run(make_target("GET /a"), failures=0.2, **FAST), {"body": "the-secret-of-the-shard"})
    line = r"GET /a: 500 × \d+ since [\d.]+ s, text/html, '500 Internal Server Error'; timeout × \d+ since "
    found = check([run], Baselines())
    shown = [tables.verdict(run).write(form) for form in ("table", "markdown", "html")]
    shown += [tables.check(found).write(form) for form in ("table", "markdown", "html")]
    for text in (*shown, tables.junit(found)):
        assert re.search(line, text.replace("&#39;", "'").replace("\\_", "_")), text
        assert "the-secret-of-the-shard" not in text
    records = tables.failures(run).records()
    assert {one["Content type"] for one in records} == {"text/html", "–"}
    assert "the-secret" not in str(records)
    assert "the-secret-of-the-shard" in str(tables.samples(run))


def test_a_check_of_several_runs_says_of_which_run_a_line_is() -> None:
    runs = [make_run(failures=0.1, run_id=f"run-{number}", seed=number, **FAST) for number in range(2)]
    notes = tables.check(check(runs, Baselines())).notes
    assert {note.partition(",")[0] for note in notes if " since " in note} == {"run-0", "run-1"}


def test_notices_say_why_requests_failed() -> None:
    run = sampled(make_run(make_target("GET /a"), failures=0.2, **FAST), {"reason": "no such shard"})
    [said] = notices(run)
    assert re.fullmatch(r"GET /a: 500 × \d+ since [\d.]+ s, text/html, '500 .*': no such shard\.", said)
    assert notices(make_run(**FAST)) == []


def test_what_a_server_says_is_text_in_every_format() -> None:
    hostile = "<script>alert(1)</script>|`x`\x1b[31m\n=1+1"
    names = {"reason": hostile, "content_type": hostile, "headers": {hostile: hostile}, "body": hostile}
    run = sampled(make_run(make_target("GET /a"), failures=0.2, **FAST), names)
    found = check([run], Baselines())
    for table in (tables.samples(run), tables.failures(run), tables.verdict(run), tables.check(found)):
        assert "<script>" not in table.html() + table.markdown()
        assert "\x1b" not in table.text() + table.html() + table.markdown()
    assert "\x1b" not in tables.junit(found)


def test_a_run_that_keeps_no_samples_says_so() -> None:
    run = make_run(failures=0.2, **FAST)
    silent = replace(run, facts=run.facts.replaced(target=run.facts.target.replaced(samples=False)))
    assert str(tables.samples(silent)) == "There is no sample of a failed answer: the run was to keep none."


def test_a_run_of_nothing_but_failures_has_no_times_to_mark() -> None:
    told = tables.verdict(without_successes(make_run(make_target("GET /a"), **FAST))).text()
    assert "(of" not in told
    assert "GET /a: timeout × " in told
