"""Values: each request is asked with the row that it should be, the same again for the same seed."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perflib
from perflib.load.arrivals import WHOLE, Share
from perflib.load.request import Recipe, recipe
from perflib.load.values import Caller, Turn, Values, picks
from perflib.spec import InputError, Target
from perflib.spec.data import Data
from perflib.store.folders import load_target
from tests.servers import answer, answering

HEAD = '[target]\nname = "t"\nbase_url = "http://h.test"\n'


def drawn(data: Data, rows: int, turn: Turn, most: int) -> list[int]:
    return list(islice(picks(data, rows, "seed", turn), most))


def data_with(**more: object) -> Data:
    return Data.model_validate({"range": (1, 7)} | more)


@given(rows=st.integers(1, 50), users=st.integers(1, 9), pick=st.sampled_from(["shuffle", "in_order"]))
def test_unique_rows_are_shared_out_among_users_each_once(rows: int, users: int, pick: str) -> None:
    data = data_with(pick=pick, unique=True)
    taken = [row for user in range(users) for row in drawn(data, rows, Turn(user, users), rows + 1)]
    assert sorted(taken) == list(range(rows))


@given(rows=st.integers(1, 50), workers=st.integers(1, 4))
def test_workers_together_take_what_a_single_one_takes(rows: int, workers: int) -> None:
    data = data_with()
    whole = drawn(data, rows, Turn(0, 1), 3 * rows * workers)
    shares = [drawn(data, rows, Turn(index, workers), 3 * rows) for index in range(workers)]
    assert [row for turn in zip(*shares, strict=True) for row in turn] == whole


def test_shuffled_rows_all_come_once_before_any_comes_again_each_time_in_another_order() -> None:
    rows = drawn(data_with(), 100, Turn(0, 1), 300)
    cycles = [rows[:100], rows[100:200], rows[200:]]
    assert all(sorted(cycle) == list(range(100)) for cycle in cycles)
    assert cycles[0] != cycles[1] != cycles[2]


def test_rows_in_order_come_as_they_stand() -> None:
    assert drawn(data_with(pick="in_order"), 3, Turn(0, 1), 7) == [0, 1, 2, 0, 1, 2, 0]


def test_zipf_takes_row_k_with_a_share_of_1_of_k() -> None:
    often = Counter(drawn(data_with(pick="zipf"), 50, Turn(0, 1), 40_000))
    whole = sum(1 / rank for rank in range(1, 51))
    for rank in (1, 2, 5, 20):
        expected = 40_000 / rank / whole
        assert abs(often[rank - 1] - expected) < 5 * expected**0.5


def test_random_rows_come_equally_often() -> None:
    often = Counter(drawn(data_with(pick="random"), 10, Turn(0, 1), 20_000))
    assert all(abs(often[row] - 2000) < 5 * 2000**0.5 for row in range(10))


def requests_of(folder: Path, text: str, count: int = 1, seed: int = 1, share: Share = WHOLE) -> Iterator[bytes]:
    """The requests that the first endpoint of a target file is asked with by one user."""
    (folder / "t.toml").write_text(HEAD + text, encoding="utf-8")
    target = load_target(folder / "t.toml")
    values = Values(target, seed, share, {"PW": "a{b}&c"})
    made = recipe(target, target.endpoints[0], values, {"PW": "a{b}&c"})
    caller = values.caller(3, Turn(share.index, share.of))
    for _ in range(count):
        yield asked(made, values, caller)


def asked(made: Recipe, values: Values, caller: Caller) -> bytes:
    assert values.draw(caller, made.data, 0)
    return made.written(caller).data


def first(folder: Path, text: str) -> tuple[str, str]:
    """The path and the body of the first request; its length is told as it is."""
    head, _, body = next(requests_of(folder, text)).partition(b"\r\n\r\n")
    told = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    assert told in ([], [b"Content-Length: %d" % len(body)])
    return head.split()[1].decode(), body.decode()


ROWS = '[data.c]\nvalues = [{ id = 7, name = "a b/ö&\\"" }]\n'


def test_a_value_is_escaped_as_its_place_asks(tmp_path: Path) -> None:
    path, _ = first(
        tmp_path, f'[[endpoint]]\npath = "/c/{{c.name}}/x?n={{c.id}}"\nparams = {{ q = "{{c.name}}" }}\n{ROWS}'
    )
    assert urlsplit(path).path == "/c/a%20b%2F%C3%B6%26%22/x"
    assert parse_qs(urlsplit(path).query) == {"n": ["7"], "q": ['a b/ö&"']}


def test_in_a_json_body_a_pattern_alone_keeps_its_type_and_text_is_escaped(tmp_path: Path) -> None:
    body = 'body = { id = "{c.id}", told = "no. {c.id}: {c.name}", "{c.id}" = [true, {}, []], b = "{{x}}" }'
    _, sent = first(tmp_path, f'[[endpoint]]\npath = "/"\nmethod = "POST"\n{body}\n{ROWS}')
    assert json.loads(sent) == {"id": 7, "told": 'no. 7: a b/ö&"', "7": [True, {}, []], "b": "{x}"}


def test_a_form_is_sent_as_one(tmp_path: Path) -> None:
    form = 'form = { n = "{c.name}", tag = ["a", "b"], pw = { env = "PW" } }'
    (request,) = requests_of(tmp_path, f'[[endpoint]]\npath = "/"\nmethod = "POST"\n{form}\n{ROWS}')
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in request
    assert parse_qs(request.partition(b"\r\n\r\n")[2].decode()) == {
        "n": ['a b/ö&"'],
        "tag": ["a", "b"],
        "pw": ["a{b}&c"],
    }


def test_a_body_of_text_holds_patterns_where_the_file_has_data(tmp_path: Path) -> None:
    endpoint = '[[endpoint]]\npath = "/"\nmethod = "POST"\nbody = \'{ clients { id(n: {c.id}) } }\'\n'
    assert first(tmp_path, endpoint + ROWS)[1] == "{ clients { id(n: 7) } }"


def test_a_body_of_text_is_sent_as_written_where_there_are_no_values(tmp_path: Path) -> None:
    endpoint = '[[endpoint]]\npath = "/"\nmethod = "POST"\nbody = "{a} {{b}}"\n'
    assert first(tmp_path, endpoint)[1] == "{a} {{b}}"


def test_a_secret_may_stand_in_a_json_body_and_holds_no_pattern(tmp_path: Path) -> None:
    body = 'body = { user = "u", password = { env = "PW" }, e = { env = "x" } }'
    _, sent = first(tmp_path, f'[[endpoint]]\npath = "/"\nmethod = "POST"\n{body}\n')
    assert json.loads(sent) == {"user": "u", "password": "a{b}&c", "e": {"env": "x"}}


def test_a_file_is_sent_byte_by_byte_and_a_multipart_body_has_its_parts(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\0{c}\xff")
    assert next(requests_of(tmp_path, '[[endpoint]]\npath = "/"\nmethod = "PUT"\nfile = "x.bin"\n')).endswith(
        b"Content-Length: 5\r\n\r\n\0{c}\xff"
    )
    multipart = 'multipart = { n = "{c.id}", f = { file = "x.bin", content_type = "image/png" } }\n'
    (request,) = requests_of(tmp_path, f'[[endpoint]]\npath = "/"\nmethod = "POST"\n{multipart}{ROWS}')
    assert b'name="n"\r\n\r\n7\r\n' in request
    assert b'name="f"; filename="x.bin"\r\nContent-Type: image/png\r\n\r\n\0{c}\xff\r\n' in request


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", '﻿id,name\r\n1,"a,b"\r\n2,ö\r\n'),
        ("c.csv", "id;name\n1;a,b\n2;ö\n"),
        ("c.jsonl", '{"id": 1, "name": "a,b"}\n\n{"id": 2, "name": "ö"}\n'),
    ],
)
def test_rows_come_from_csv_and_from_json_lines(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    text = f'[[endpoint]]\npath = "/{{c.id}}/{{c.name}}"\n[data.c]\nfile = "{name}"\npick = "in_order"\n'
    paths = [request.split()[1] for request in requests_of(tmp_path, text, 2)]
    assert paths == [b"/1/a%2Cb", b"/2/%C3%B6"]


def test_built_in_values_differ_from_request_to_request(tmp_path: Path) -> None:
    text = '[[endpoint]]\npath = "/{uuid}/{sequence}/{user}/{random:1-6}/{now}"\n'
    parts = [request.split()[1].decode().split("/")[1:] for request in requests_of(tmp_path, text, 50)]
    made, numbers, users, dice, _ = zip(*parts, strict=True)
    assert {uuid.UUID(one).version for one in made} == {4}
    assert {uuid.UUID(one).variant for one in made} == {uuid.RFC_4122}
    assert len(set(made)) == len(set(numbers)) == 50
    assert set(users) == {"3"}
    assert {"1", "6"} <= set(dice) <= set("123456")
    again = [request.split()[1].decode().split("/")[4] for request in requests_of(tmp_path, text, 50)]
    assert tuple(again) == dice


def test_sequences_of_workers_never_meet(tmp_path: Path) -> None:
    text = '[[endpoint]]\npath = "/{sequence}"\n'
    numbers = [
        request.split()[1] for index in range(3) for request in requests_of(tmp_path, text, 20, share=Share(index, 3))
    ]
    assert len(set(numbers)) == 60


BAD = [
    ('path = "/{x.id}"', "", "endpoint[1].{x.id} names no data and no saved value; there are {uuid}, {sequence}"),
    ('path = "/{c.nme}"', ROWS, "there are {c.id}, {c.name}, {uuid}"),
    ('path = "/{c}"', ROWS, "there are {c.id}, {c.name}"),
    ('path = "/{random:6-1}"', "", "names no data"),
    ('path = "/"\nbody = "x"\nform = { a = "1" }', "", "form: body is given too; keep one of them"),
    (
        'path = "/{c.id}"',
        '[data.c]\nfile = "../c.csv"\n',
        "data.c.file: ../c.csv lies outside of the target file's folder",
    ),
    ('path = "/{c.id}"', '[data.c]\nfile = "none.csv"\n', "data.c.file: "),
    ('path = "/{uuid}"', "[data.uuid]\nrange = [1, 2]\n", "'uuid' names no data"),
    ('path = "/{c}"', "[data.c]\nrange = [2, 1]\n", "write the smaller number first"),
    ('path = "/{c}"', "[data.c]\nrange = [0, 5000000]\n", "use a part of them, or {random:0-5000000} in their place"),
    ('path = "/{c}"', '[data.c]\nrange = [1, 2]\nfile = "x"\n', "give one of file, values and range"),
    ('path = "/{c}"', '[data.c]\nrange = [1, 2]\npick = "zipf"\nunique = true\n', "unique: zipf takes rows again"),
]


@pytest.mark.parametrize(("endpoint", "data", "told"), BAD, ids=[told for *_, told in BAD])
def test_what_can_never_get_a_value_is_refused_in_one_line(tmp_path: Path, endpoint: str, data: str, told: str) -> None:
    (tmp_path / "t.toml").write_text(f"{HEAD}[[endpoint]]\n{endpoint}\n{data}", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_target(tmp_path / "t.toml")
    assert str(refused.value).startswith(str(tmp_path / "t.toml"))
    assert told in str(refused.value)


BAD_ROWS = [
    ("c.csv", "id\n1,2\n", "line 2 has 2 values for 1 columns"),
    ("c.csv", "id,id\n1,2\n", "line 1 names the columns, each once"),
    ("c.csv", "id\n", "holds no row"),
    ("c.json", "[1]", "write JSON lines"),
    ("c.csv", "", "holds no row"),
    ("c.csv", "a\n1\n", "{c.id} names no column; there are {c.a}"),
    ("c.csv", 'id\n"1\n', "cannot be read as rows"),
    ("c.jsonl", '{"id": 1}\n[2]\n', "line 2 is no object"),
    ("c.jsonl", '{"id": 1}\n{"no": 2}\n', "row 2 has other columns than the first"),
    ("c.jsonl", '{"id": 1\n', "cannot be read as rows"),
]


@pytest.mark.parametrize(("name", "content", "told"), BAD_ROWS, ids=[told for *_, told in BAD_ROWS])
def test_rows_that_cannot_be_read_are_told_by_file_and_line(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(told)):
        next(requests_of(tmp_path, f'[[endpoint]]\npath = "/{{c.id}}"\n[data.c]\nfile = "{name}"\n'))


def test_the_slowest_values_of_a_run_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    slow = {"/c/102": (0.03, answer()), "/n/b": (0.06, answer())}
    with answering(lambda path: slow.get(path, answer())) as server:
        (tmp_path / "t.toml").write_text(
            f'[target]\nname = "t"\nbase_url = "{server.url}"\n[[endpoint]]\npath = "/c/{{c}}"\n'
            '[[endpoint]]\npath = "/n/{n.name}"\n[data.c]\nrange = [100, 104]\n'
            '[data.n]\nvalues = [{ name = "a" }, { name = "b" }]\n',
            encoding="utf-8",
        )
        run = perflib.run("light_load", target=str(tmp_path / "t.toml"), users=2, duration="1s", warmup="0s")
    shown = perflib.tables.by_value(run, most=3)
    told = [(row["Endpoint"], row["Asked with"]) for row in shown.records()]
    assert told[:2] == [("GET /n/{n.name}", "name b"), ("GET /c/{c}", "102")]
    assert shown.notes == ("The slowest 3 of 7 values; by_value(run, most=…) shows more.",)
    before = replace(run, requests=run.requests.drop(columns="row"))
    assert perflib.tables.by_value(before).rows == ()


def test_a_run_asks_with_every_row_keeps_which_and_ends_where_unique_ones_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    with answering(answer()) as server:
        (tmp_path / "t.toml").write_text(
            f'[target]\nname = "t"\nbase_url = "{server.url}"\n[[endpoint]]\npath = "/c/{{c}}"\n'
            "[data.c]\nrange = [100, 149]\nunique = true\n",
            encoding="utf-8",
        )
        run = perflib.run("light_load", target=str(tmp_path / "t.toml"), users=5, duration="20s", warmup="0s")
    assert sorted(server.requests) == sorted({f"/c/{number}" for number in range(100, 150)} & set(server.requests))
    assert len(server.requests) >= 10
    assert any("[data.c] has no row left" in reason for reason in run.facts.invalid_reasons)
    assert set(run.requests["endpoint"]) == {"GET /c/{c}"}
    assert sorted(f"/c/{100 + row}" for row in run.requests["row"]) == sorted(server.requests)
    assert isinstance(run.facts.target, Target)
