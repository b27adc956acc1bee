"""How much of public OpenAPI documents `discover` can ask for: `python -m tests.benchmarks.documents FOLDER…`, a table.

A GET counts as sendable where a request can be written from its document alone.
Every file that is written is read again.
"""

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from perflib.session.discover import Wishes, discover
from perflib.spec import InputError, Target
from perflib.spec.discovered import CANNOT_BE_ASKED, ELSEWHERE, NEEDS_A_VALUE
from perflib.spec.openapi_document import node_of
from perflib.store.documents import load_document
from perflib.text.target_file import target_file

_UNSENT = (CANNOT_BE_ASKED, ELSEWHERE, NEEDS_A_VALUE)


@dataclass(frozen=True)
class Read:
    """What became of a document."""

    file: Path
    title: str
    version: str
    licence: str
    gets: int
    sendable: int
    stated: int
    took_s: float


def read(file: Path) -> Read | None:
    """Discover what a file describes, and read what is written of it; None where that is no document with a GET."""
    begun_s = perf_counter()
    try:
        document = node_of(load_document(file))
        found = discover(str(file), Wishes(url="http://127.0.0.1:9", tries=False))
    except InputError as error:
        print(f"{file}: refused: {str(error)[:150]}", file=sys.stderr)
        return None
    took_s = perf_counter() - begun_s
    if found.taken:
        again = Target.from_document(tomllib.loads(target_file(found)), str(file))
        assert [one.name for one in again.endpoints] == [one.name for one in found.taken]
    gets = [one for one in found.entries if one.name.startswith("GET ")]
    sendable = [one for one in gets if one.why not in _UNSENT]
    stated = [one for one in sendable if not any(note.startswith("guessed") for note in one.notes)]
    info = node_of(document.get("info"))
    licence = node_of(info.get("license"))
    return Read(
        file,
        str(info.get("title")),
        str(document.get("openapi") or document.get("swagger")),
        str(licence.get("name") or licence.get("url") or ""),
        len(gets),
        len(sendable),
        len(stated),
        took_s,
    )


def files_in(places: list[str]) -> Iterator[Path]:
    for place in map(Path, places):
        yield from sorted(one for one in place.rglob("*") if one.is_file()) if place.is_dir() else [place]


def main(places: list[str]) -> None:
    """A line a document, and the sum."""
    rows = [row for row in map(read, files_in(places)) if row is not None and row.gets]
    print(
        "| document | title | OpenAPI | licence | GETs | sendable | without a guess |\n|---|---|---|---|---:|---:|---:|"
    )
    for row in rows:
        share = f"{row.sendable / row.gets:.0%}"
        named = [str(row.file), row.title, row.version, row.licence]
        cells = [cell.replace("|", "/").replace("\n", " ").strip() for cell in named]
        print("|", " | ".join([*cells, str(row.gets), share, str(row.stated)]), "|")
    gets, sendable, stated = (sum(getattr(row, name) for row in rows) for name in ("gets", "sendable", "stated"))
    slowest = max(rows, key=lambda row: row.took_s)
    print(f"\n{len(rows)} documents, {gets:,} GETs, {sendable:,} sendable ({sendable / gets:.1%}), {stated:,} of them")
    print(f"without a guess; slowest {slowest.file} with {slowest.took_s:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
