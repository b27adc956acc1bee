"""The workbook: where runs, reports, target files and baselines live."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import tomli_w

from perflib.spec import InputError, Target
from perflib.spec.values import Written
from perflib.store.rows import with_digests

_MARKS = ("performance_baselines.json", "pyproject.toml")
_CLONE = Path(__file__).parents[2]
"""Where the package lies; a clone has notebooks beside it."""
_EMPTY = Path(__file__).with_name("workbook")
"""A workbook as it begins. Its notebooks are links to the clone's, and files in a wheel."""
_SAMPLE = Path(__file__).parents[1] / "sample" / "dashboard.toml"
_EXAMPLE = "data/targets/example.toml"


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

    @property
    def is_made(self) -> bool:
        """Whether it is more than the current folder."""
        return any(os.access(self.root / mark, os.F_OK) for mark in _MARKS)

    @property
    def is_here(self) -> bool:
        """Whether the current folder lies in it, or its data where the user said."""
        return bool(os.environ.get("PERFLIB_DATA")) or storable(Path.cwd().resolve()).is_relative_to(self.root)

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
        own = self.root / "notebooks"
        return own if own.is_dir() else _EMPTY / "notebooks"

    @property
    def baselines(self) -> Path:
        return self.root / "performance_baselines.json"

    @property
    def sample_target(self) -> Path:
        """The sample dashboard's target file: this workbook's own, if it has one."""
        own = self.root / "data" / "targets" / _SAMPLE.name
        return own if own.exists() else _SAMPLE

    @property
    def own_target(self) -> Path | None:
        """The only target file here; None where there is none but the unchanged example, or the sample dashboard's.

        Raises:
            InputError: where there are several.
        """
        found = sorted(path for path in (self.root / "data" / "targets").glob("*.toml") if not _is_example(path))
        if self.sample_target in found or not found:
            return None
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise InputError(f"{found[0].parent}: holds {names}; name one: --target {_shown(found[0])}")
        return found[0]


def portable(path: str, workbook: Workbook) -> str:
    """A path from the workbook's root where it lies in there; another as it is."""
    whole = Path(path).resolve()
    return str(whole.relative_to(workbook.root)) if path and whole.is_relative_to(workbook.root) else path


def _is_example(path: Path) -> bool:
    """Whether nobody has filled it in."""
    return path.name == Path(_EXAMPLE).name and path.read_bytes() == (_EMPTY / _EXAMPLE).read_bytes()


def _shown(path: Path) -> Path:
    """From the current folder, as a command line takes it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def make_workbook(folder: Path) -> None:
    """Make a workbook in a folder that has none of its files.

    Raises:
        InputError: naming the first file that is there already, before anything is written, or what cannot be written.
    """
    whole = [path.relative_to(_EMPTY) for path in sorted(_EMPTY.rglob("*")) if path.is_file()]
    if taken := next((folder / path for path in whole if os.path.lexists(folder / path)), None):
        raise InputError(f"{taken}: exists, and nothing is overwritten; name a new folder")
    try:
        for path in whole:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes((_EMPTY / path).read_bytes())
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; name a folder that can be written") from None


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
        raise InputError(f"{path}: no such target file; `perflib discover URL -o {path}` writes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as TOML ({error}); mend that place") from None
    target = Target.from_document(document, str(path)).replaced(folder=path.parent.absolute())
    try:
        return with_digests(target)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def target_as_toml(target: Target) -> str:
    """The text of a target file."""
    return tomli_w.dumps(target.to_document())


def require_new(path: Path) -> None:
    """Raise InputError where a file is there."""
    if path.exists():
        raise InputError(f"{path}: exists; choose another name or remove it first")


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        InputError: where it is there, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        require_new(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a new file in a folder that can be written") from None
