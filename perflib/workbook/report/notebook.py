"""Executing a notebook: parameters checked first, machine paths left out of what is written."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import papermill

from perflib.show.table import escape_markdown
from perflib.spec import InputError, Options
from perflib.store.folders import Workbook

_TEMPLATE = Path(__file__).with_name("templates") / "scenario.ipynb"


def parameters_of(notebook: Path, options: Options, run_id: str) -> dict[str, Any]:
    """A notebook's parameters for these options; what has none of its own goes into `more`, where there is one."""
    known = papermill.inspect_notebook(notebook)
    named = {"profile": options.profile, "run_id": run_id}
    said = options.as_said() | {name: value for name, value in named.items() if name in known}
    rest = {name: value for name, value in said.items() if name not in known}
    own = {name: value for name, value in said.items() if name in known}
    return own | ({"more": rest} if rest and "more" in known else rest)


def takes(notebook: Path, option: str) -> bool:
    """Whether a notebook hands this option on."""
    return not {option, "more"}.isdisjoint(papermill.inspect_notebook(notebook))


def scenario_notebook(scenario: str, title: str, folder: Path) -> Path:
    """A notebook for a scenario that has none of its own, written into a folder; returns its path."""
    notebook = nbformat.read(_TEMPLATE, as_version=4)  # type: ignore[no-untyped-call]
    words = {"SCENARIO": scenario, "TITLE": escape_markdown(title)}
    for cell in notebook.cells:  # all words at once: a scenario may be named TITLE
        cell.source = re.sub("|".join(words), lambda found: words[found[0]], cell.source)
    path = folder / f"00_{scenario}.ipynb"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return path


def execute(
    notebook: Path,
    output: Path,
    parameters: dict[str, Any],
    progress: Callable[[str], None],
    workbook: Workbook | None = None,
) -> None:
    """Execute `notebook` from the workbook's root into `output`, which is written however it ends.

    Args:
        workbook: whose root and data it works in; None: the one that the notebook lies in.

    Raises:
        InputError: for a parameter that the notebook does not declare, or that holds a password.
        NotebookFailed: where a cell did not run to its end.
    """
    check_parameters(notebook, parameters)
    workbook = workbook or Workbook.find(notebook.parent)
    try:
        papermill.execute_notebook(
            notebook.resolve(),
            output.resolve(),
            parameters,
            engine_name="perflib",
            cwd=workbook.root,
            progress_bar=False,
            progress=lambda line: progress(f"{notebook.stem}: {line}"),
            env=os.environ | {"PERFLIB_DATA": str(workbook.data)},
        )
    finally:
        if output.exists():
            _remove_machine_paths(output)


def check_parameters(notebook: Path, parameters: dict[str, Any]) -> None:
    """Papermill only warns of a misspelt parameter, runs the default load, and stores every value in the notebook.

    Raises:
        InputError: naming the notebook, the parameter and the known ones.
    """
    known = papermill.inspect_notebook(notebook)
    for name in parameters:
        if name not in known:
            raise InputError(f"{notebook.name}: {name}: unknown parameter; it has {', '.join(known) or 'none'}")
    for name, value in (parameters | parameters.get("more", {})).items():
        if isinstance(value, str) and "://" in value and "@" in urlsplit(value).netloc:
            raise InputError(f"{notebook.name}: {name}: holds a password, which the report would show; remove it")


def _remove_machine_paths(output: Path) -> None:
    notebook = nbformat.read(output, as_version=4)  # type: ignore[no-untyped-call]
    about = notebook.metadata.papermill
    for key in ("input_path", "output_path"):
        about[key] = Path(about[key]).name
    nbformat.write(notebook, output)  # type: ignore[no-untyped-call]
