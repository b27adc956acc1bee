"""A diagnosis in words."""

from perflib.spec.diagnosis import Anatomy, Ceiling, CodeShare, Diagnosis, Finding, Interference, Interval
from perflib.text import why

FINDING = Finding(
    kind="blocks",
    endpoint="GET /b",
    others=("GET /a",),
    where="views.py:88 render",
    effect=0.831,
    confidence=0.99,
    says="GET /b blocks the server",
    next="what its handler does",
)
SOUND = Diagnosis(
    diagnosis_id="one",
    target="shop",
    run_ids=("one",),
    live=False,
    budget_s=None,
    endpoints=(Anatomy(endpoint="GET /a", alone_p50_ms=1.2, cpu_ms=0.4),),
)
FOUND = SOUND.replaced(
    findings=(FINDING, FINDING.replaced(kind="errors", says="GET /a fails")),
    interference=(
        Interference(victim="GET /a", aggressor="GET /b", ratio=9.0, interval=(7.0, 11.0), added_ms=20.0),
        Interference(victim="GET /b", aggressor="GET /a", ratio=1.3, interval=(0.8, 1.9)),
    ),
    ceiling=Ceiling(rate_per_s=145.0, interval=(138.0, 151.0), limited_by="blocks"),
    code=(CodeShare(endpoint="GET /b", function="render", file="views.py", line=88, share=0.61),),
    notes=("412 requests were sent.",),
)


def test_findings_come_first_as_numbered_sentences() -> None:
    lines = why.diagnosis(FOUND).text().splitlines()
    assert lines[0] == "Why shop is slow: GET /b: it blocks the server; 1 more below"
    assert lines[2].startswith("1.  GET /b blocks the server, in views.py:88 render (83 % of the time, 99 % sure).")
    assert lines[3].strip() == "Look at: what its handler does."
    assert lines[4].startswith("2.  GET /a fails")


def test_pairs_code_ceiling_and_notes_follow() -> None:
    told = why.diagnosis(FOUND).notes
    assert told == (
        "GET /b: 61 % of the samples were in render (views.py:88).",
        "Every limit holds up to 145 requests/s (138 to 151), limited by: blocks.",
        "GET /a beside GET /b: × 9.00 (7.00 to 11.00), 20.0 ms more.",
        "412 requests were sent.",
    )


def test_nothing_found_is_an_answer_and_nothing_measured_is_another() -> None:
    assert why.diagnosis(SOUND).title.startswith("Nothing stands out: ")
    assert why.diagnosis(SOUND.replaced(endpoints=())).title.startswith("Nothing was measured: ")


def test_an_invalid_diagnosis_says_why() -> None:
    doubtful = FOUND.replaced(valid=False, invalid_reasons=("overloaded",))
    assert "(invalid: overloaded)" in why.diagnosis(doubtful).title


def test_the_anatomy_leaves_out_what_no_endpoint_has() -> None:
    assert [column.name for column in why.anatomy(SOUND).columns] == [
        "Endpoint",
        "Alone p50, ms",
        "CPU, ms",
        "Requests",
    ]


def test_the_intervals_of_an_endpoint_stand_below_its_figures() -> None:
    one = SOUND.endpoints[0].replaced(intervals={"cpu_ms": Interval(low=0.35, high=0.47)})
    lines = why.anatomy(SOUND.replaced(endpoints=(one,))).text().splitlines()
    below = next(line for line in lines if line.startswith("95 %"))
    assert "0.35 to 0.47" in below
    assert lines.index(below) == 1 + next(place for place, line in enumerate(lines) if line.startswith("GET /a"))


def test_every_table_is_written_in_every_format() -> None:
    for table in why.tables(FOUND):
        assert all(table.write(form) for form in ("table", "markdown", "html", "csv", "json"))
