"""The first minute of somebody with an API of their own: a URL, a workbook, the target that is measured."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from perflib.cli.app import main
from tests.servers import answer, answering
from tests.workbooks import entered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = """
[target]
name = "shop"
base_url = "{url}"

[[endpoint]]
path = "/shop"
"""
SHORT = ["--users", "2", "--duration", "0.3s", "--warmup", "0"]
RUN = ["run", "light_load", *SHORT]


def committed(folder: Path) -> str:
    """The first commit of a new repository there."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    folder.mkdir(exist_ok=True)
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", f"begin {folder.name}"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


class Shop:
    """A server that keeps the paths it was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: set[str] = set()

    def __call__(self, path: str) -> tuple[float, bytes]:
        self.asked.add(path)
        return 0.002, answer(b"{}", "X-Version: v7 s3cr3t")


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    with answering(server) as served:
        server.url = served.url
        yield server


@pytest.fixture
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: Shop) -> Path:
    """A workbook with a target file in t.toml, which no command takes by itself."""
    return entered(tmp_path, monkeypatch, TARGET.format(url=shop.url))


def runs(workbook: Path) -> list[dict[str, object]]:
    """In the order of their ends: the ids of one second sort by chance."""
    found = sorted(workbook.glob("data/runs/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in found]


@pytest.mark.parametrize("path", ["/clients?limit=5&q=a%20b", "/a/../b//;v=1?flag", "/{uuid}?{{x}}", "/"])
def test_a_url_alone_is_the_one_thing_that_is_asked_for_byte_for_byte(workbook: Path, shop: Shop, path: str) -> None:
    assert main([*RUN, "--url", f"{shop.url}{path}"]) in (0, 3)
    assert shop.asked == {path}
    [run] = runs(workbook)
    assert run["target"]["name"] == f"{shop.url}{path.partition('?')[0]}".removeprefix("http://").rstrip("/")


def test_a_bare_server_with_a_document_is_measured_by_all_that_it_can_be_asked(
    workbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {}}
    described["paths"] = {"/a": {"get": {}}, "/b/{id}": {"get": {}}, "/c": {"post": {}}, "/d": {"get": {}}}
    document = answer(json.dumps(described).encode())

    def shop(path: str) -> tuple[float, bytes]:
        told = {"/openapi.json": document, "/d": answer(status="500 No"), "/b/1": answer()}
        return 0.002, told.get(path, answer() if path == "/a" else answer(status="404 No"))

    with answering(shop) as server:
        assert main([*RUN, "--url", server.url]) in (0, 3)
    [run] = runs(workbook)
    assert [one["name"] for one in run["target"]["endpoints"]][:1] == ["GET /a"]
    assert "GET /d" not in {one["name"] for one in run["target"]["endpoints"]}
    assert run["target"]["name"] == server.url.removeprefix("http://")
    said = capsys.readouterr().err
    assert "1 changes data" in said
    assert "only GET / of" not in said


def test_a_host_that_nobody_allowed_is_not_even_asked_for_its_document(
    workbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--url", "http://192.0.2.1"]) == 2
    assert "192.0.2.1 is not this machine" in capsys.readouterr().err


def test_with_a_target_file_the_url_is_where_its_endpoints_are(workbook: Path, shop: Shop) -> None:
    elsewhere = (workbook / "t.toml").read_text().replace(shop.url, "http://127.0.0.1:1")
    (workbook / "t.toml").write_text(elsewhere)
    assert main([*RUN, "--target", "t.toml", "--url", shop.url]) in (0, 3)
    assert shop.asked == {"/shop"}


def test_files_that_a_target_names_are_found_beside_it_wherever_its_server_is(workbook: Path, shop: Shop) -> None:
    (workbook / "sub").mkdir()
    (workbook / "sub/ids.csv").write_text("id\n7\n8\n")
    target = (workbook / "t.toml").read_text().replace("/shop", "/shop/{client.id}")
    (workbook / "sub/t.toml").write_text(f'{target}\n[data.client]\nfile = "ids.csv"\n')
    assert main([*RUN, "--target", "sub/t.toml", "--url", shop.url]) in (0, 3)
    assert shop.asked == {"/shop/7", "/shop/8"}


def test_a_url_gets_a_token_only_where_its_variable_is_named(
    workbook: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERF_API_TOKEN", "s3cret")
    assert main([*RUN, "--url", f"{shop.url}/x"]) in (0, 3)
    assert main([*RUN, "--url", f"{shop.url}/x", "--token-env", "PERF_API_TOKEN"]) in (0, 3)
    assert [run["target"]["token_env"] for run in runs(workbook)] == [None, "PERF_API_TOKEN"]
    assert main([*RUN, "--url", f"{shop.url}/x", "--token-env", "NOT_SET"]) == 2
    assert "token_env: the variable NOT_SET is not set" in capsys.readouterr().err


@pytest.mark.parametrize(("path", "told"), [("/", True), ("", True), ("/x", False), ("/?a=b", False)])
def test_of_a_bare_server_it_is_told_how_all_its_endpoints_are_found(
    workbook: Path, shop: Shop, capsys: pytest.CaptureFixture[str], path: str, told: bool
) -> None:
    main([*RUN, "--url", f"{shop.url}{path}"])
    assert (f"`perflib discover {shop.url} -o data/targets/api.toml`" in capsys.readouterr().err) is told


def test_two_urls_are_compared_by_what_each_of_them_is(
    workbook: Path, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--users", "1", "--block", "0.3s", "--pairs", "1", "--detect", "100%", "--format", "json"]
    assert main(["compare", f"{shop.url}/v1", f"{shop.url}/v2?a=b", *words]) in (0, 3)
    assert shop.asked == {"/v1", "/v2?a=b"}
    assert {row["endpoint"] for row in json.loads(capsys.readouterr().out)["figures"]} == {"GET /v1 | GET /v2?a=b"}


@pytest.mark.parametrize(
    ("said", "words", "known"),
    [
        ("", [], ""),
        ("", ["--revision", "rc 1"], "rc 1"),
        ('revision = "2.4"', [], "2.4"),
        ('revision = "2.4"', ["--revision", "2.5"], "2.5"),
        ('revision = { header = "x-version" }', [], "v7 ***"),
        ('revision = { env = "BUILD" }', [], "b42"),
        ('revision = { git = "api" }', [], "the commit of api"),
    ],
)
def test_a_run_knows_the_revision_of_its_target_and_no_other(
    workbook: Path,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: str,
    words: list[str],
    known: str,
) -> None:
    """The workbook lies in a repository of its own; the header tells a secret too."""
    monkeypatch.setenv("BUILD", "b42")
    monkeypatch.setenv("TOKEN", "s3cr3t")
    commits = {"the commit of api": committed(workbook / "api"), "the workbook's": committed(workbook)}
    target = TARGET.format(url=shop.url).replace("[[endpoint]]", f'token_env = "TOKEN"\n{said}\n\n[[endpoint]]')
    (workbook / "t.toml").write_text(target)
    assert main([*RUN, "--target", "t.toml", *words]) in (0, 3)
    [run] = runs(workbook)
    known = commits.get(known, known)
    assert (run["revision"], run["git_commit"]) == (known, None)
    capsys.readouterr()
    main(["show", str(run["run_id"])])
    main(["history"])
    shown = capsys.readouterr().out
    assert shown.count(known[:10]) >= (2 if known else 0)
    assert commits["the workbook's"][:7] not in shown


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('{ header = "Set-Cookie" }', "revision.header: holds credentials"),
        ('{ command = "git describe" }', "revision.command: unknown key"),
        ('{ header = "X-V", env = "V" }', 'revision: write text, { header = "X-Version" }'),
        ('{ git = "nowhere" }', "nowhere: no commit of git there"),
        ("3", "revision: "),
    ],
)
def test_what_tells_no_revision_is_refused_in_a_line(
    workbook: Path, shop: Shop, capsys: pytest.CaptureFixture[str], said: str, told: str
) -> None:
    target = TARGET.format(url=shop.url).replace("[[endpoint]]", f"revision = {said}\n\n[[endpoint]]")
    (workbook / "t.toml").write_text(target)
    assert main([*RUN, "--target", "t.toml"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line


def test_of_a_header_that_never_came_it_is_told(workbook: Path, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    target = TARGET.format(url=shop.url).replace("[[endpoint]]", 'revision = { header = "X-Build" }\n\n[[endpoint]]')
    (workbook / "t.toml").write_text(target)
    main([*RUN, "--target", "t.toml"])
    assert "target.revision: no answer had the header X-Build" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--target", "t.toml", "--users", "3", "--profile", "quick"],
        ["--target", "t.toml", "--url", "{url}"],
        ["--url", "{url}/shop?a=b&c=d", "--endpoint", "GET /shop?a=b&c=d"],
    ],
)
def test_the_command_that_a_check_names_records_the_baseline_that_it_lacked(
    workbook: Path, shop: Shop, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    check = ["check", "light_load", *SHORT, *(word.format(url=shop.url) for word in words), "--format", "json"]
    assert main(check) in (0, 3)
    [note] = [note for note in json.loads(capsys.readouterr().out)["notes"] if "no baseline of" in note]
    record = shlex.split(note.split("`")[1].removeprefix("perflib "))
    assert main([*record, "--runs", "1"]) == 0
    assert shop.asked in ({"/shop"}, {"/shop?a=b&c=d"})
    capsys.readouterr()
    assert main(check) in (0, 1, 3)
    assert "no baseline" not in capsys.readouterr().out


def test_the_only_target_file_of_a_workbook_is_measured_where_none_is_named(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "book")]) == 0
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    monkeypatch.chdir(tmp_path / "book")
    (tmp_path / "book/data/targets/shop.toml").write_text(TARGET.format(url=shop.url))
    assert main(RUN) in (0, 3)
    assert shop.asked == {"/shop"}
    (tmp_path / "book/data/targets/other.toml").write_text(TARGET.format(url=shop.url))
    capsys.readouterr()
    assert runs(tmp_path / "book")[0]["asked"]["target"] == "data/targets/shop.toml"
    assert main(RUN) == 2
    assert "holds other.toml, shop.toml; name one: --target data/targets/other.toml" in capsys.readouterr().err


def test_an_example_that_was_filled_in_is_a_target(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    example = tmp_path / "data/targets/example.toml"
    example.write_text(example.read_text().replace("http://127.0.0.1:8000", shop.url))
    assert main(RUN) in (0, 3)
    assert shop.asked == {"/"}


@pytest.mark.parametrize(
    "taken", ["notebooks/02_light_load.ipynb", "performance_baselines.json", "data/targets/example.toml"]
)
def test_a_workbook_is_made_over_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: str) -> None:
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err
        == f"perflib: {tmp_path / taken}: exists, and nothing is overwritten; name a new folder\n"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / taken]
