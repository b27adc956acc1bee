"""The layers, as far as import-linter cannot see them. Its contracts stand in pyproject.toml."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(c["source_modules"] for c in CONTRACTS if c["name"] == "The pure rooms have no effects")

EFFECTS_BY_NAME = {"breakpoint", "eval", "exec", "input", "open", "print", "__import__"}
EFFECTS_BY_METHOD = {
    *("open", "read_bytes", "read_text", "write_bytes", "write_text", "fdopen", "urlopen"),
    *("exists", "glob", "is_dir", "is_file", "iterdir", "mkdir", "rglob", "rmdir", "touch", "unlink"),
    *("read_csv", "read_feather", "read_json", "read_parquet", "read_pickle", "read_table", "to_parquet", "to_pickle"),
    *("fromfile", "genfromtxt", "loadtxt", "memmap", "savetxt", "savez", "tofile"),
    *("save", "show", "write_html", "write_image", "write_json", "write_raw_html"),
    *("getenv", "import_module", "sleep", "system"),
}


def files_of(module: str) -> list[Path]:
    """The files of a module, or of a package and everything in it."""
    path = ROOT.joinpath(*module.split("."))
    return sorted(path.rglob("*.py")) or [path.with_suffix(".py")]


def effects(source: str) -> list[str]:
    """The calls in this source that touch the world outside it, as "line: name"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in EFFECTS_BY_NAME:
                found.append(f"{node.lineno}: {name}")
            case ast.Call(func=ast.Attribute(attr=name)) if name in EFFECTS_BY_METHOD:
                found.append(f"{node.lineno}: .{name}")
    return found


def taken_from_the_front(source: str) -> set[str]:
    """The names this source takes from `perflib` itself."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module="perflib", level=0):
                names |= {alias.name for alias in node.names}
            case ast.Import():
                names |= {alias.name for alias in node.names if alias.name == "perflib"}
    return names


def test_the_pure_layers_are_those_of_the_design() -> None:
    assert {module.removeprefix("perflib.") for module in PURE} == {
        *("stats", "show", "spec", "figures", "judge", "text", "workbook.charts"),
    }


@pytest.mark.parametrize(
    "path", [p for module in PURE for p in files_of(module)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_a_pure_module_opens_nothing_and_asks_nothing_of_the_machine(path: Path) -> None:
    assert effects(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "open('a')",
        "with Path('a').open() as f: pass",
        "text = (folder / 'a').read_text()",
        "def f(x=Path('a').write_text('b')): ...",
        "pd.read_parquet(path)",
        "io.open('a')",
        "figure.write_html('a')",
        "importlib.import_module('socket')",
    ],
)
def test_a_call_that_reaches_outside_is_found(source: str) -> None:
    assert len(effects(source)) == 1


@pytest.mark.parametrize("source", ["reopen(x)", "frame.rename(columns=names)", "opened = f.open", "fig.to_json()"])
def test_a_call_that_only_looks_like_one_is_not(source: str) -> None:
    assert effects(source) == []


def test_inside_the_package_nothing_comes_from_its_front() -> None:
    modules = {child.stem for child in (ROOT / "perflib").iterdir()}
    for path in sorted((ROOT / "perflib").rglob("*.py")):
        taken = taken_from_the_front(path.read_text(encoding="utf-8")) - modules
        assert not taken, f"{path.relative_to(ROOT)} takes {taken} from perflib; import from its own module"


@pytest.mark.parametrize(
    ("imported", "left_out"),
    [
        ("import perflib; perflib.load_run", "plotly"),
        ("import perflib.session.check, perflib.workbook.live", "scipy.special"),
        ("import perflib.workbook.charts, nbformat", "rfc3987_syntax"),
        ("import perflib.workbook.report, nbformat", "rfc3987_syntax"),
    ],
)
def test_what_takes_long_to_import_is_left_out_until_it_is_needed(imported: str, left_out: str) -> None:
    asked = f"import sys; {imported}; sys.exit({left_out!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
