"""Time to first byte against a plain count."""

from perflib.figures.ttfb import ttfb
from perflib.workbook import charts
from tests.synthetic import make_run, make_target


def test_waiting_and_receiving_make_up_the_service_time_and_the_chart_shows_both() -> None:
    run = make_run(make_target("GET /a"))
    [found] = ttfb(run)
    rows = run.requests[run.requests["error"].isna() & ~run.requests["warmup"] & ~run.requests["cold"]]
    waiting = sorted((rows["first_byte_ns"] - rows["start_ns"]) / 1e6)
    assert found.waiting_p50_ms in waiting
    assert sum(ms <= found.waiting_p50_ms for ms in waiting) >= len(waiting) / 2
    assert [trace.name for trace in charts.ttfb(run).data] == ["waiting", "receiving"]
