"""The workbook: where runs, reports, target files and baselines live."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import tomli_w

from perflib.spec import InputError, Target
from perflib.spec.values import Written

_MARKS = ("performance_baselines.json", "pyproject.toml")
_CLONE = Path(__file__).parents[2]
"""Where the package lies; a clone has notebooks beside it."""


@dataclass(frozen=True)
class Workbook:
    """The folders of a workbook."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Self:
        """The nearest folder upward with performance_baselines.json or pyproject.toml.

        Where there is none, as for papermill in /: a folder with data/ itself, else the clone that perflib runs from.
        """
        try:
            here = storable((start or Path.cwd()).resolve())
        except FileNotFoundError:
            raise InputError("the current folder is gone; change to one that exists") from None
        marked = (folder for folder in (here, *here.parents) for mark in _MARKS if os.access(folder / mark, os.F_OK))
        alone = start is not None or os.access(here / "data", os.F_OK) or not (_CLONE / "notebooks").is_dir()
        return cls(next(marked, here if alone else _CLONE))

    @property
    def data(self) -> Path:
        """Runs and reports live here: `$PERFLIB_DATA`, or data/."""
        elsewhere = os.environ.get("PERFLIB_DATA")
        return storable(Path(elsewhere).absolute()) if elsewhere else self.root / "data"

    def make_data(self) -> None:
        """Make the data folder. Raises InputError where that cannot be."""
        try:
            self.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.data}: {error.strerror}; point PERFLIB_DATA at a folder that can be written"
            ) from None

    @property
    def runs(self) -> Path:
        return self.data / "runs"

    @property
    def reports(self) -> Path:
        return self.data / "reports"

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def baselines(self) -> Path:
        return self.root / "performance_baselines.json"

    @property
    def default_target(self) -> Path:
        return self.root / "data" / "targets" / "dashboard.toml"


def storable(folder: Path) -> Path:
    """A folder whose name can be told to other processes and stored. Raises InputError for another."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise InputError(f"{folder}: its name is not UTF-8; work in another folder, or set PERFLIB_DATA") from None
    return folder


def load_target(path: Path) -> Target:
    """Read a target file.

    Raises:
        InputError: naming the file, the key and the mend.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Written)
    except FileNotFoundError:
        raise InputError(f"{path}: no such target file; `perflib discover URL -o {path.name}` writes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as TOML ({error}); mend that place") from None
    return Target.from_document(document, str(path))


def target_as_toml(target: Target) -> str:
    """The text of a target file."""
    return tomli_w.dumps(target.to_document())


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        InputError: where it is there, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path}: exists; choose another name or remove it first") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a new file in a folder that can be written") from None
