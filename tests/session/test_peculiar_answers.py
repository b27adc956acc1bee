"""Peculiar answers, in whole runs over real sockets: what others read is a success, what is not judged is told once."""

import io
import json
import sys
from collections import Counter
from itertools import cycle
from pathlib import Path

import pyarrow as pa
import pytest

import perflib
from perflib import Options
from perflib.figures.failures import failures
from perflib.figures.summary import summarize
from perflib.spec import Run
from perflib.text.failures import failure_lines
from tests.load.test_coding import LEGAL
from tests.load.test_lenient import PECULIAR, REFUSED, USUAL, J
from tests.servers import answer, answering

CODED = {
    f"coded as {name}": answer(body, f"Content-Encoding: {header.decode().strip()}")
    for name, (header, body) in LEGAL.items()
}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    return tmp_path


def run_of(folder: Path, answers: dict[str, bytes]) -> Run:
    """A run of which each path, `/0`, `/1` and so on, is answered by the next of `answers`."""
    by_path = {f"/{number}": whole for number, whole in enumerate(answers.values())}
    path = folder / "t.toml"
    with answering(by_path.__getitem__) as server:
        tables = "".join(f'[[endpoint]]\npath = "{at}"\nexpect = {{ keys = ["data"] }}\n' for at in by_path)
        path.write_text(f'[target]\nname = "t"\nbase_url = "{server.url}"\nkeep_going = true\n{tables}')
        return perflib.run("light_load", Options(target=str(path), profile="quick", duration=2.0, warmup=0.0))


def test_every_answer_that_others_read_is_a_success_and_keeps_its_connection(data: Path) -> None:
    answers = PECULIAR | USUAL | CODED
    run = run_of(data, answers)
    assert not {row.endpoint: row.errors_by_kind for row in summarize(run).endpoints if row.errors}
    assert set(Counter(run.requests["endpoint"])) == {f"GET /{number}" for number in range(len(answers))}
    assert (run.requests["connect_ns"] > 0).sum() == 10


def test_graphql_that_answers_200_with_errors_every_second_time_has_half_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = cycle([b'{"data": {"a": 1}}', b'{"data": null, "errors": [{"message": "resolver failed"}]}'])
    target = tmp_path / "t.toml"
    with answering(lambda _: answer(next(turns))) as server:
        target.write_text(
            f'[target]\nname = "t"\nbase_url = "{server.url}"\n[[endpoint]]\npath = "/graphql"\nmethod = "POST"\n'
            'body = { query = "{ a }" }\nexpect = { keys = ["data"], absent = ["errors"] }\n'
        )
        run = perflib.run("light_load", Options(target=str(target), profile="quick", duration=0.5, warmup=0.0))
    [row] = summarize(run).endpoints
    assert row.errors_by_kind == {"content": pytest.approx(row.requests / 2, abs=1)}
    [line] = failure_lines(failures(run))
    assert line == f"POST /graphql: content × {row.errors:,}: 'errors' is a list of 1, and should be absent"


def test_every_answer_that_nobody_reads_is_a_failure(data: Path) -> None:
    assert set(run_of(data, REFUSED).requests["error"]) == {"protocol"}


def test_content_that_is_not_checked_is_told_once_and_failed_never(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brotli = pa.Codec("brotli").compress(J, asbytes=True)
    encodings = {"dcb": b"packed", "br": brotli, "zstd": b"packed"}
    run = run_of(data, {name: answer(body, f"Content-Encoding: {name}") for name, body in encodings.items()})
    assert run.requests["error"].isna().all()
    told = ["GET /0: content not checked (dcb)", "GET /2: content not checked (zstd)"]
    assert [line for line in capsys.readouterr().err.splitlines() if "checked" in line] == [
        f"perflib: {one}" for one in told
    ]
    assert run.facts.generator.as_json()["unchecked"] == tuple(told)


def test_what_was_not_checked_is_told_after_the_seal_so_that_a_lost_terminal_costs_no_run(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def write(self, some: str) -> int:
            if "not checked" in some:
                raise BrokenPipeError
            return super().write(some)

    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(BrokenPipeError):
        run_of(data, {"dcb": answer(b"packed", "Content-Encoding: dcb")})
    [facts] = data.glob("runs/*/run.json")
    assert json.loads(facts.read_text())["state"] == "finished"
    assert (facts.parent / "requests.parquet").exists()
