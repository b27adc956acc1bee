"""Tables and the verdict sentence say what the summary holds, in words a reader can trust."""

import math
import re
from dataclasses import replace

import pandas as pd

import perflib
from perflib.figures.summary import summarize
from perflib.judge.baseline import baseline_of
from perflib.judge.check import check
from perflib.show.table import Table
from perflib.spec import Run
from perflib.spec.baselines import Baselines
from perflib.text import tables
from tests.synthetic import make_run, make_spike, make_target, without_rows, without_successes

FAST = {"per_s": 100.0, "seconds": 10.0}


def text(table: Table) -> str:
    """What a reader sees: no markup, spaces between cells."""
    page = re.sub(r"<style>.*?</style>", "", table.html(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def sentence(run: Run) -> str:
    return tables.verdict_sentence(run, summarize(run))


def test_the_briefs_table_has_its_columns_and_the_pages_below_the_endpoints() -> None:
    shown = text(tables.brief(summarize(make_run(**FAST))))
    times = "p50, ms p95, ms p99, ms Max, ms Limit, ms"
    assert f"Endpoint Requests req/s Failed {times} Met Endpoints GET /health" in shown
    assert shown.index("GET /cost-to-serve") < shown.index("Pages") < shown.index("Dashboard home (all data)")
    assert "nearest-rank" in shown
    assert "infinitely slow" in shown


def test_against_its_baseline_a_row_says_how_many_times_and_the_verdict_in_a_word() -> None:
    made = [make_run(seed=seed, **FAST) for seed in range(8)]
    usual = [Run(run.facts.model_copy(update={"run_id": f"run-{at}"}), run.requests) for at, run in enumerate(made)]
    slow = make_run(seed=9, slowdown=lambda at_s: 3 + 0 * at_s, **FAST)
    against, summary = check([slow], Baselines(baselines=(baseline_of(usual),))), summarize(slow)
    shown = text(tables.brief(summary, against=against))
    assert "Met Against baseline Endpoints" in shown
    assert shown.count("× REGRESSION") == 7
    assert "Compared with the baseline of 2026-" in shown
    [line] = [
        line for line in tables.brief(summary, against=against).markdown().splitlines() if "GET /health |" in line
    ]
    assert re.search(r"\| (p50 )?3\.\d\d × REGRESSION \|$", line)


def test_where_nothing_is_compared_there_is_no_column_and_the_reason_stands_below() -> None:
    run = make_run(make_target("GET /a"), **FAST)
    shown = text(tables.brief(summarize(run), against=check([run], Baselines())))
    assert re.search(r"✓ met .*Not compared with earlier runs: no baseline of target", shown)
    assert "Against" not in shown
    invalid = make_run(make_target("GET /a"), invalid_reasons=("the generator was saturated",), **FAST)
    told = tables.brief(summarize(invalid), judged=False, against=check([invalid], Baselines())).markdown()
    assert "| not judged |" in told
    assert "Not compared with earlier runs: not judged: the generator was saturated." in told


def test_every_verdict_is_a_word_and_not_only_a_colour() -> None:
    summary = summarize(make_run(**FAST))
    rows = [replace(summary.endpoints[0], meets_target=met) for met in (True, False, None)]
    rows.append(replace(summary.endpoints[0], target_ms=None, meets_target=None))
    cells = [row.cells[-1] for row in tables.brief(replace(summary, endpoints=tuple(rows))).rows]
    assert [cell.text for cell in cells] == ["✓ met", "✗ missed", "too few requests", "–"]
    assert [cell.tone for cell in cells] == ["good", "bad", "quiet", ""]


def test_an_unsupported_percentile_is_told_and_not_guessed() -> None:
    table = tables.brief(summarize(make_run(make_target("GET /a"), per_s=10)))
    [row] = table.rows
    p99 = row.cells[[column.name for column in table.columns].index("p99, ms")]
    assert re.fullmatch(r"\d+ of 299", p99.text)
    assert p99.tone == "quiet"
    assert "“292 of 299”: too few successes" in text(table)


def test_a_p95_that_lacks_successes_shows_its_bound_and_how_many_there_were() -> None:
    def shown(run: Run) -> str:
        table = tables.brief(summarize(run))
        return str(table.rows[0].cells[[column.name for column in table.columns].index("p95, ms")].text)

    run = make_run(make_target("GET /a"), per_s=2)
    bound_ms, count = summarize(run).endpoints[0].p95_at_least_ms, summarize(run).endpoints[0].requests
    assert shown(run) == f"≥ {bound_ms:.2f} ({count} of 59)"
    assert re.fullmatch(r"\d+ of 59", shown(make_run(make_target("GET /a"), per_s=2, failures=0.5)))
    assert f"≥ {bound_ms:.2f}" in summarize(run)._repr_html_()


def test_an_invalid_run_is_shown_and_not_judged() -> None:
    summary = summarize(make_run(**FAST))
    assert "✓ met" not in text(tables.brief(summary, judged=False))
    assert text(tables.brief(summary, judged=False)).count("not judged") == 7
    assert tables.brief(summary, judged=False).markdown().count("not judged") == 7


def test_names_from_a_target_file_or_a_server_stay_text() -> None:
    run = make_run(make_target("<script>alert(1)</script>", page="<img src=x>"), failures=0.1, note="<b>n</b>")
    summary = summarize(run)
    made = [tables.brief(summary), tables.cold(run), tables.accounting(summary), tables.method(run)]
    pages = [table.html() for table in made]
    assert not any(tag in page for page in pages for tag in ("<script", "<img", "<b>"))
    assert all("&lt;script&gt;" in page for page in pages[:3])
    assert "<script" not in tables.brief(summary).markdown()


def test_the_markdown_keeps_its_columns_whatever_an_endpoint_is_called() -> None:
    run = make_run(make_target("GET /a|b", "GET /[x](http://evil)", "GET /c\n\n# d"))
    lines = tables.brief(summarize(run)).markdown().splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines[:5]] == [11] * 5
    assert r"GET /a\|b" in lines[2]
    assert r"\[x\](http" in lines[3]
    assert "GET /c # d" in lines[4]


def test_the_accounting_adds_up_and_names_every_kind_of_failure() -> None:
    run = make_run(failures=0.05, **FAST)
    counts = summarize(run).requests
    shown = text(tables.accounting(summarize(run)))
    assert f"scheduled {counts.scheduled:,} 100 %" in shown
    assert f"completed {counts.completed:,}" in shown
    assert "Failures by endpoint" in shown
    assert "timeout" in shown


def test_the_cold_answers_have_their_own_table() -> None:
    row = next(row for row in summarize(make_run(cold=0.05, **FAST)).endpoints if row.endpoint == "GET /snapshot")
    shown = text(tables.cold(make_run(cold=0.05, **FAST)))
    assert re.search(rf"GET /snapshot [\d.,]+ {row.cold.requests} ", shown)
    assert "GET /health" in shown


def test_the_environment_tells_workload_machine_and_the_generators_cost() -> None:
    shown = text(tables.method(make_run(brief="PS-5.1", sample_target=True)))
    for expected in (
        "closed, 10 users",
        "10 s after 1 s of warm-up",
        "2 cores",
        "20 µs",
        "0.4 ms",
        "PS-5.1",
        "0123456",
    ):
        assert expected in shown


def test_tables_of_an_empty_run_draw() -> None:
    run = without_rows(make_run())
    summary = summarize(run)
    for table in (tables.brief(summary), tables.cold(run), tables.accounting(summary), tables.method(run)):
        assert text(table)
    assert tables.verdict(run).title == "No request was measured."
    assert str(tables.failures(run)) == "No request failed."


def test_the_sentence_for_limits_met_names_the_slowest() -> None:
    run = make_run(**FAST)
    slowest = max(summarize(run).endpoints, key=lambda row: row.p95_ms or 0)
    told = f"slowest at p95 was GET /cost-to-serve with {slowest.p95_ms:.0f} ms of 500 ms."
    assert sentence(run) == f"All 7 limits met under 10 users: {told}"


def test_the_sentence_for_missed_limits_names_each() -> None:
    run = make_run(make_target("GET /a", "GET /b", target_ms=10.0), **FAST)
    assert re.fullmatch(r"1 of 2 limits missed under 10 users: GET /b [\d.]+ ms of 10 ms\.", sentence(run))


def test_every_limit_of_an_endpoint_is_counted_shown_and_named_where_it_is_missed() -> None:
    run = make_run(make_target("GET /a", target_ms=80.0), failures=0.02, **FAST)
    [one] = run.facts.target.endpoints
    limited = one.replaced(target_p99_ms=100, max_errors="1%")
    run = replace(run, facts=run.facts.replaced(target=run.facts.target.replaced(endpoints=(limited,))))
    told = r"2 of 3 limits missed under 10 users: GET /a \(more than 1 % failed\), "
    assert re.search(rf"{told}GET /a 1\.\d+ % failed of the 1 % allowed\.$", sentence(run))
    shown = tables.brief(summarize(run)).records()[0]
    assert (shown["Limit, ms"], shown["Met"]) == ("< 80, p99 < 100, failed ≤ 1 %", "✗ missed")
    assert "< 80, p99 < 100, failed ≤ 1 %" in run.facts.target._repr_html_().replace("&lt;", "<")
    sound = replace(make_run(make_target("GET /a"), **FAST), facts=run.facts)
    assert sentence(sound).startswith("All 3 limits met under 10 users: slowest at p95 was GET /a with ")
    slow = replace(make_run(make_target("GET /a"), slowdown=lambda at_s: 70 + 0 * at_s, **FAST), facts=run.facts)
    assert re.search(
        r"2 of 3 limits missed .*: GET /a [\d.]+ ms of 80 ms, GET /a p99 [\d.]+ ms of 100 ms\.$", sentence(slow)
    )


def test_the_sentence_tells_failures_by_kind_and_why_they_miss_a_limit() -> None:
    run = make_run(make_target("GET /a"), failures=0.2, **FAST)
    assert "GET /a (more than 5 % failed)" in sentence(run)
    assert re.search(
        r"^\d+ of 1,\d+ requests failed: \d+ × HTTP 500 from GET /a, \d+ × time-out from GET /a\. ", sentence(run)
    )
    assert " × time-out from GET /a. 1 of 1 limit missed" in sentence(without_successes(run))


def test_the_sentence_names_the_most_frequent_failures_and_counts_the_others() -> None:
    run = make_run(failures=0.05, **FAST)
    found = re.search(r"^([\d,]+) of [\d,]+ requests failed: (.*? others)\. ", sentence(run))
    assert found
    counts = [int(count) for count in re.findall(r"(\d+) (?:×|others)", found[2])]
    assert len(counts) == 4
    assert sum(counts) == int(found[1])


def test_the_failures_are_told_by_endpoint_and_status_with_their_time() -> None:
    run = make_run(make_target("GET /a"), failures=0.2, **FAST)
    lost = run.requests[~run.requests["warmup"] & run.requests["error"].notna()]
    records = tables.failures(run).records()
    assert {one["Failure"] for one in records} == {"HTTP 500", "time-out"}
    assert sum(int(one["Count"]) for one in records) == len(lost)
    for one, kind in ((record, {"HTTP 500": "status"}.get(record["Failure"], "timeout")) for record in records):
        at_s = lost.loc[lost["error"] == kind, "intended_ns"] / 1e9
        assert (one["First, s"], one["Last, s"]) == (f"{at_s.min():.1f}", f"{at_s.max():.1f}")
    assert str(tables.failures(make_run())) == "No request failed."


def test_the_briefs_table_tells_how_many_requests_came_in_a_second_and_how_many_failed() -> None:
    summary = summarize(make_run(make_target("GET /a"), failures=0.2, **FAST))
    [row], [figures] = tables.brief(summary).records(), summary.endpoints
    assert row["req/s"] == f"{figures.rate_per_s:,.1f}"
    assert row["Failed"].startswith(f"{figures.errors} ({100 * figures.errors / figures.requests:.2g}")


def test_memory_needs_the_run_alone_and_says_why_there_is_no_verdict() -> None:
    assert str(tables.memory(make_run())) == "Memory was not sampled: it was not looked for."
    assert tables.memory(perflib.load_run("sample-28-release-1.4")).title.startswith("Memory not judged. There are too")


def test_the_whole_answer_on_a_run_is_its_verdict_its_table_and_its_name() -> None:
    run = make_run(**FAST)
    told = tables.verdict(run).text()
    assert told.startswith(sentence(run) + "\n\nEndpoint ")
    assert "Memory was not sampled" in told
    assert told.endswith(f"- Run {run.facts.run_id}, quick profile")


def test_a_note_of_several_lines_tears_no_history() -> None:
    frame = perflib.runs(endpoint="GET /clients").assign(note="first\nsecond\x1b[31m\r\u2028third")
    told = tables.history(frame).text()
    assert "first second [31m third" in told
    head, *rows = told.split("\n\n")[0].splitlines()
    assert len(rows) == len(frame)
    assert head.split() == ["Run", "Target", "State", "Revision", "Brief", "p50,", "ms", "p95,", "ms", "Note"]


def test_the_history_ends_with_what_changed_and_with_what_cannot_be_read() -> None:
    frame = perflib.runs(endpoint="GET /clients")
    assert tables.history(frame.iloc[:1]).notes == (
        "No change of p50 or p95 was found; it takes several runs after one to tell it (`perflib compare A B`: two).",
    )
    frame.attrs["unreadable"] = {"broken": "no run.json"}
    notes = tables.history(frame).notes
    assert notes[0].startswith("Changed: GET /clients, p50: ")
    assert notes[-1] == "Left out: broken (no run.json)"
    assert "`perflib run light_load` makes one" in str(tables.history(frame.iloc[:0]))


def test_the_baselines_stand_each_under_its_setup() -> None:
    stored = perflib.stored_baselines()
    table = tables.baselines(stored)
    assert [group.partition(":")[0] for group, _ in table.groups()] == ["dashboard, baseline", "dashboard, light_load"]
    assert "`perflib baseline record light_load` makes one" in str(tables.baselines(Baselines()))


def test_the_sentence_for_too_few_requests_judges_nothing() -> None:
    run = make_run(make_target("GET /a"), per_s=2)
    assert sentence(run) == "No limit could be judged under 10 users: too few requests of GET /a."
    assert sentence(make_run(per_s=2)).endswith("under 10 users: too few requests of every endpoint.")


def test_the_sentence_for_a_steady_rate_says_whether_a_5xx_came() -> None:
    clean = make_run(scenario="steady_rate", **FAST)
    assert sentence(clean).endswith(f" No 5xx in {summarize(clean).requests.scheduled:,} requests.")
    failing = make_run(scenario="steady_rate", failures=0.02, **FAST)
    found = summarize(failing)
    assert found.server_errors > 0
    assert sentence(failing).endswith(
        f" {found.server_errors} answers with a 5xx in {found.requests.scheduled:,} requests."
    )
    assert "5xx" not in sentence(make_run(failures=0.02, **FAST))


def test_degradation_is_told_against_the_fewest_users() -> None:
    shown = text(tables.degradation(make_spike(5.0)))
    assert "5 1," not in shown
    assert re.search(r" 5 [\d,]+ 0 [\d.]+ [\d.]+ 1\.00 × 6–10 ", shown)
    assert re.search(r" 81–100 [\d,]+ 0 [\d.]+ [\d,.]+ \d+\.\d\d × ", shown)
    assert "too few" in text(tables.degradation(make_spike(5.0, per_s=3)))
    assert text(tables.degradation(make_run()))


def test_the_sentence_on_recovery_gives_its_rule() -> None:
    rule = r"p95 of 3 windows in a row, 0\.5 s each, within [\d.]+ ms"
    told = tables.recovery_sentence
    assert re.fullmatch(rf"Recovered [\d.]+ s after the load went back: {rule}\.", told(make_spike(5.0)))
    assert re.fullmatch(rf"Recovered at once when the load went back: {rule}\.", told(make_spike(0.0)))
    assert re.fullmatch(rf"Not recovered in the 20 s after the load went back: never {rule}\.", told(make_spike(99.0)))
    short = make_spike(0.2, stages_s=(10.0, 5.0, 5.0, 0.6))
    assert told(short).startswith("Recovery not judged: 1 window after the load went back, too few")
    assert "before the spike" in told(make_spike(5.0, per_s=1))
    assert "no ramp" in told(make_run())
    assert "not judged" in told(make_spike(5.0, invalid_reasons=("the generator was saturated",)))


def test_the_sentence_for_an_invalid_run_gives_its_reason_and_no_verdict() -> None:
    run = make_run(invalid_reasons=("the generator was saturated",))
    assert sentence(run) == "Invalid run, do not trust its figures: the generator was saturated."


def test_the_sentence_for_an_interrupted_run_says_after_how_long() -> None:
    assert sentence(make_run(seconds=4, state="interrupted")).startswith("Interrupted after 4 s: all 7 limits met")
    assert sentence(without_rows(make_run(seconds=4, state="interrupted"))) == (
        "Interrupted after 4 s: no request was measured."
    )


def test_the_sentence_without_limits_says_that_none_is_set() -> None:
    run = make_run(make_target("GET /a", target_ms=None), **FAST)
    assert re.fullmatch(
        r"No limit is set; measured under 10 users: slowest at p95 was GET /a with [\d.]+ ms\.", sentence(run)
    )


def shipped(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that come with the workbook, without those that somebody made in it."""
    return frame[frame["run_id"].str.startswith("sample-")]


def test_the_history_is_newest_first_marks_where_a_level_began_and_names_the_slowest_endpoint() -> None:
    frame = shipped(perflib.runs(endpoint="GET /clients"))
    records = tables.history(frame, 9).records()
    assert [one["Run"] for one in records] == frame["run_id"].tail(9).tolist()[::-1]
    assert [one["Run"] for one in records if "from here" in one["p95, ms"]] == ["sample-21-release-1.4"]
    every = tables.history(shipped(perflib.runs(scenario="light_load")), 1).records()
    assert every[0]["Slowest"].startswith("GET /signals, p95 ")


def test_changes_are_told_the_largest_first() -> None:
    found = tables.changed(perflib.runs(scenario="light_load")).records()
    sizes = [abs(math.log(1 + float(one["Change"].strip("%")) / 100)) for one in found]
    assert len(sizes) > 1
    assert sizes == sorted(sizes, reverse=True)
    assert str(tables.changed(perflib.runs(scenario="none"))) == "No change of p50 or p95 found."


def test_a_run_too_slow_for_its_p95_is_told_with_its_bound() -> None:
    frame = perflib.runs(endpoint="GET /clients").assign(p95_ms=math.nan, p95_at_least_ms=128.4)
    assert {one["p95, ms"] for one in tables.runs(frame).records()} == {"≥ 128"}
