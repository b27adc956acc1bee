"""Values: durations, as people and other tools write them."""

from functools import partial

import pytest

from perflib.spec import InputError, Options, Target
from perflib.spec.values import parse_duration_s
from perflib.spec.workload import Ramp


@pytest.mark.parametrize(
    ("text", "length_s"),
    [
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1h2m3s", 3723.0),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("90", 90.0),
        (" 1m 30s ", 90.0),
        ("1min30sec", 90.0),
        ("2min", 120.0),
        ("1s500ms", 1.5),
        ("0", 0.0),
        (90, 90),
    ],
)
def test_a_duration_is_read_as_go_and_k6_write_it(text: object, length_s: float) -> None:
    assert parse_duration_s(text) == pytest.approx(length_s)


@pytest.mark.parametrize("text", ["", "s", "1x", "1m30", "30 1m", "1m,30s", "-5s", "1e3s", "soon", "9" * 400, True])
def test_what_is_no_duration_is_refused_with_the_forms_there_are(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; write 500ms, 60s, 1m30s or 1h"):
        parse_duration_s(text)


def test_every_option_of_time_takes_the_same_forms() -> None:
    said = Options.parse({"duration": "1m30s", "warmup": "1.5s", "timeout": "1h", "think_time": "500ms"}, "options")
    assert (said.duration, said.warmup, said.timeout, said.think_time) == (90, 1.5, 3600, 0.5)
    assert Ramp.model_validate({"stages": "5-10:1m30s, 10-10:1h"}).duration_s == 3690


KNOWN = Target.parse({"name": "t", "base_url": "http://h", "endpoints": [{"path": "/"}]}, "t.toml")


@pytest.mark.parametrize("url", ["http://u:hunter2@h", "http://u:hunter2%40h", "http://u:hunter2", "u:hunter2@h:80"])
def test_a_url_that_may_hold_a_password_is_not_echoed(url: str) -> None:
    def said() -> None:
        Options.parse({"url": url}, "options").aimed(KNOWN)

    def written(key: str) -> None:
        Target.parse(KNOWN.model_dump() | {key: url}, "t.toml")

    for refuse in (said, partial(written, "base_url"), partial(written, "metrics_url")):
        with pytest.raises(InputError) as refused:
            refuse()
        assert "hunter2" not in str(refused.value)
