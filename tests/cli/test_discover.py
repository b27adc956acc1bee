"""`perflib discover`: a target file is printed, or written once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflib.cli.app import main
from perflib.store.folders import load_target
from tests.servers import answer, answering

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "Läden"}, "paths": {"/größe": {"get": {}}, "/orders": {"post": {}}}}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with answering(answer(json.dumps(DOCUMENT).encode())) as server:
        yield server.url


def test_a_target_file_is_written_in_utf8_and_never_overwritten(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    assert main(["discover", url, "-o", str(file)]) == 0
    assert f"perflib report --target {file}" in capsys.readouterr().out
    assert "GET /größe" in file.read_bytes().decode("utf-8")
    assert [endpoint.path for endpoint in load_target(file).endpoints] == ["/größe"]
    assert main(["discover", "http://127.0.0.1:1", "--output", str(file)]) == 2, "nobody is asked first"
    assert f"{file}: exists; choose another name" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_told_in_one_line(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["discover", url, "-o", str(tmp_path / "no" / "mine.toml")]) == 2
    assert "No such file or directory; name a new file in a folder that can be written" in capsys.readouterr().err


def test_without_a_file_the_target_is_printed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", url]) == 0
    said = capsys.readouterr()
    assert 'name = "GET /größe"' in said.out
    assert said.err == f"trying 1 GET of {url}, one at a time\n1 of 2 taken; left out: 1 changes data\n"
