"""Notebooks as they stand in git: sources that read well, without outputs, and parameters papermill can tell."""

import ast
import tomllib
from itertools import pairwise
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode

from perflib.spec import SCENARIOS, Options, Target
from perflib.spec.options import options_of
from perflib.text import tables
from perflib.workbook import charts
from perflib.workbook.report.notebook import scenario_notebook
from perflib.workbook.report.outcome import titled

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "perflib/workbook/report/templates/scenario.ipynb"
"""For scenarios that have no notebook of their own."""
NOTEBOOKS = [*sorted((ROOT / "notebooks").glob("*.ipynb")), TEMPLATE]
OF_NO_SCENARIO = {"00_start_here", "07_compare", "08_history", "09_why", TEMPLATE.stem}
SCENARIO_NOTEBOOKS = [path for path in NOTEBOOKS if path.stem not in OF_NO_SCENARIO]
"""Those of a target file's scenarios too."""
WORKING = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.comprehension,
)
"""What belongs in the package."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_scenario = pytest.mark.parametrize("path", SCENARIO_NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path, *, tagged: str | None = None) -> list[NotebookNode]:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    return cells if tagged is None else [cell for cell in cells if tagged in cell.metadata.get("tags", [])]


def test_every_scenario_has_its_notebook() -> None:
    assert {path.stem.partition("_")[2] for path in SCENARIO_NOTEBOOKS} >= set(SCENARIOS)


@every_notebook
def test_it_is_valid_and_holds_no_outputs(path: Path) -> None:
    nbformat.validate(read(path))
    for cell in code(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@every_notebook
def test_it_runs_on_the_kernel_everyone_has_and_names_no_machine(path: Path) -> None:
    metadata = read(path).metadata
    assert metadata.kernelspec.name == "python3"
    assert set(metadata) == {"kernelspec", "language_info"}
    assert metadata.language_info == {"name": "python"}


@every_notebook
def test_its_cells_are_named_so_that_a_diff_reads_well(path: Path) -> None:
    names = [cell.id for cell in read(path).cells]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() for name in names)


@every_notebook
def test_a_cell_is_a_few_sentences_of_the_domain(path: Path) -> None:
    for cell in code(path):
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, WORKING)], cell.id
        if "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 5, cell.id


@every_notebook
def test_prose_goes_before_every_cell_that_works_or_draws(path: Path) -> None:
    cells = read(path).cells
    assert cells[0].source.startswith("# ")
    for before, cell in pairwise(cells):
        if cell.cell_type == "code" and not {"setup", "parameters"} & set(cell.metadata.get("tags", [])):
            assert before.cell_type == "markdown", cell.id
            assert len(before.source.split()) >= 8, before.id


@every_scenario
def test_its_parameters_are_typed_and_explained(path: Path) -> None:
    (cell,) = code(path, tagged="parameters")
    assert all(isinstance(line, ast.AnnAssign) for line in ast.parse(cell.source).body)
    inspected = papermill.inspect_notebook(path)
    assert len(inspected) == len(cell.source.splitlines())
    for name, about in inspected.items():
        assert about["inferred_type_name"] != "None", name
        assert about["help"], name


@every_scenario
def test_its_eight_parameters_are_run_options_and_more_takes_the_others(path: Path) -> None:
    inspected = papermill.inspect_notebook(path)
    assert len(inspected) == 8
    assert set(inspected) - {"more"} <= set(Options.model_fields)
    given = {name: ast.literal_eval(about["default"]) for name, about in inspected.items()}
    assert given.pop("more") == {}
    assert given.pop("profile") == "quick"
    assert options_of(given) == Options()


@every_notebook
def test_it_is_short_enough_to_be_read_in_one_sitting(path: Path) -> None:
    own = [cell for cell in code(path) if "parameters" not in cell.metadata.get("tags", [])]
    assert len(own) <= 14
    assert sum(len(cell.source.splitlines()) for cell in own) <= 26


@every_scenario
def test_it_measures_the_scenario_it_is_named_after(path: Path) -> None:
    source = "\n".join(cell.source for cell in code(path))
    assert f'perflib.run("{path.stem.partition("_")[2]}"' in source


@every_scenario
def test_its_verdict_and_its_method_are_tagged_so_that_a_page_opens_and_ends_with_them(path: Path) -> None:
    assert code(path, tagged="verdict")[0].id == "verdict"
    lateness = [] if path.stem == "05_sustained" else ["lateness"]  # it has enough to show
    assert [cell.id for cell in code(path, tagged="method")] == ["run", "method", *lateness]


@every_scenario
def test_it_shows_how_slow_the_slow_ones_are_when_it_was_slow_and_of_how_many_kinds(path: Path) -> None:
    source = "\n".join(cell.source for cell in code(path))
    assert all(f"charts.{name}(run)" in source for name in ("percentiles", "over_time", "histogram"))


@every_notebook
def test_every_chart_and_table_it_calls_is_there(path: Path) -> None:
    for cell in code(path):
        for node in ast.walk(ast.parse(cell.source)):
            match node:
                case ast.Attribute(value=ast.Name(id="charts"), attr=name):
                    assert name in charts.__all__
                case ast.Attribute(value=ast.Name(id="tables"), attr=name):
                    assert hasattr(tables, name)


def test_the_page_of_a_scenario_without_a_notebook_has_the_title_of_its_target_file_as_text(tmp_path: Path) -> None:
    text = '[scenario.pay]\ntitle = "To <b>pay</b>"\nusers = 1\n[scenario.ask_back]\nusers = 1\n'
    head = '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n[[endpoint]]\npath = "/a"\n'
    target = Target.from_document(tomllib.loads(head + text), "t.toml")
    assert [titled(name, target) for name in ("pay", "ask_back", "light_load")] == [
        "To <b>pay</b>",
        "Ask back",
        "Light load",
    ]
    made = read(scenario_notebook("pay", titled("pay", target), tmp_path))
    assert made.cells[0].source == "# To &lt;b&gt;pay&lt;/b&gt;"
    assert any('perflib.run("pay"' in cell.source for cell in made.cells)


def test_a_title_is_never_code_whatever_the_scenario_is_called(tmp_path: Path) -> None:
    made = read(scenario_notebook("TITLE", 'x", print("planted"), "SCENARIO', tmp_path))
    assert not any("planted" in cell.source for cell in made.cells if cell.cell_type == "code")
    assert any('perflib.run("TITLE"' in cell.source for cell in made.cells)
