"""`perflib discover`: a target file is printed, or written once."""

from pathlib import Path

import pytest

import perflib.session.discover
from perflib.cli.app import main
from perflib.store.folders import load_target
from tests.synthetic import make_target


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_target("GET /größe")
    monkeypatch.setattr(perflib.session.discover, "discover", lambda url: target)


def test_a_target_file_is_written_in_utf8_and_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    assert main(["discover", "http://127.0.0.1:1", "-o", str(file)]) == 0
    assert f"perflib report --target {file}" in capsys.readouterr().out
    assert "GET /größe" in file.read_bytes().decode("utf-8")
    assert load_target(file).endpoints == make_target("GET /größe").endpoints
    assert main(["discover", "http://127.0.0.1:1", "--output", str(file)]) == 2
    assert f"{file}: exists; choose another name" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "http://127.0.0.1:1", "-o", str(tmp_path / "no" / "mine.toml")]) == 2
    assert "No such file or directory; name a new file in a folder that can be written" in capsys.readouterr().err


def test_without_a_file_the_target_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "http://127.0.0.1:1"]) == 0
    assert 'name = "GET /größe"' in capsys.readouterr().out
