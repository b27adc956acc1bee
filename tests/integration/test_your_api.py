"""Every target file of docs/your-api.md measures a real server: a Django site, by itself or behind nginx."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from perflib.cli.app import main
from perflib.spec.exits import ExitStatus
from tests.integration.packaged import ROOT, Packaged, django, nginx
from tests.workbooks import entered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (ROOT / "docs/your-api.md").read_text(encoding="utf-8")
FILES = re.findall(r"^## (.+?)$|^```toml\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
"""Headings and target files, as they follow each other."""
SHORT = ("--users", "2", "--duration", "0.5s", "--warmup", "0")


def written() -> Iterator[tuple[str, str]]:
    """Each target file of the page, and the heading above it."""
    heading = ""
    for above, file in FILES:
        heading = above or heading
        if file:
            yield heading, file


@dataclass(frozen=True)
class Site:
    """The Django site, and nginx before it, with the folder that has its certificates and socket."""

    django: Packaged
    nginx: Packaged
    folder: Path

    @property
    def addresses(self) -> dict[str, str]:
        """Those of the page, and where they are here."""
        here = (self.django.url, self.nginx.url, f"{self.folder}/api.sock")
        return dict(zip(("http://127.0.0.1:8000", "https://127.0.0.1:8443", "/run/api.sock"), here, strict=True))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("s")
    with ExitStack() as ending:
        for name in ("django", "nginx"):
            (folder / name).mkdir()
        served = ending.enter_context(django(folder / "django"))
        yield Site(served, ending.enter_context(nginx(folder / "nginx", served.url)), folder / "nginx")


EACH = [pytest.param(file, id=f"{number} {heading}") for number, (heading, file) in enumerate(written())]


@pytest.mark.parametrize("file", EACH)
def test_a_target_file_of_the_page_is_measured_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Site, file: str
) -> None:
    for there, here in site.addresses.items():
        file = file.replace(there, here)
    entered(tmp_path, monkeypatch, "", **dict.fromkeys(("API_TOKEN", "API_KEY", "API_PASSWORD"), site.django.secret))
    targets = tmp_path / "data/targets"
    targets.mkdir(parents=True)
    (targets / "api.toml").write_text(file, encoding="utf-8")
    (targets / "clients.csv").write_text("id,name\n" + "".join(f"{number},client\n" for number in range(1, 301)))
    for name in ("ca.pem", "client.pem", "client.key"):
        (targets / name).write_bytes((site.folder / name).read_bytes())
    status = main(["run", "light_load", "--target", "data/targets/api.toml", *SHORT, "--json"])
    said = capsys.readouterr()
    assert status in (ExitStatus.OK, ExitStatus.NOT_JUDGED), said.err  # this machine may be busy
    told = json.loads(said.out)
    assert told["requests"]["failed"] == 0, told["failures"]
    assert all(row["requests"] > 0 for row in told["endpoints"])
