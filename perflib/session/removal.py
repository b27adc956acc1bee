"""Removal of stored runs: never of one under way, nor of one that a baseline stands on."""

from collections.abc import Sequence
from dataclasses import dataclass

from perflib.session.stored import runs, stored_baselines
from perflib.spec import InputError
from perflib.store.folders import Workbook
from perflib.store.owner import Fate
from perflib.store.runs import RunFolder, stored_folder


@dataclass(frozen=True)
class Removal:
    """Runs that may be removed, the oldest first; `spared`: so many of those asked for belong to a baseline."""

    run_ids: tuple[str, ...]
    spared: int = 0

    @property
    def size_bytes(self) -> int:
        """Of their files."""
        folders = (Workbook.find().runs / name for name in self.run_ids)
        return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())

    def carry_out(self) -> None:
        """Remove them for good."""
        for name in self.run_ids:
            stored_folder(Workbook.find().runs, name).remove()


def of_runs(run_ids: Sequence[str]) -> Removal:
    """Of these runs. Raises InputError where one is not stored, goes on, or belongs to a baseline."""
    names, of_baseline = tuple(dict.fromkeys(run_ids)), _of_baselines()
    for name in names:
        folder = stored_folder(Workbook.find().runs, name)
        if not folder.path.is_dir():
            raise InputError(f"{name}: no such run; `perflib runs` lists the newest")
        if folder.fate() in (Fate.HERE, Fate.ELSEWHERE):
            raise InputError(f"{name}: is under way; end it first, or wait")
        if scenario := of_baseline.get(_run_in(folder)):
            told = f"{name}: a baseline of {scenario} was made from it"
            raise InputError(f"{told}; record another first: perflib baseline record {scenario}")
    return Removal(names)


def beyond(keep: int) -> Removal:
    """Of all but the newest `keep` runs."""
    begun = runs().drop_duplicates("run_id")["run_id"]
    older, of_baseline = begun.head(max(0, len(begun) - keep)), _of_baselines()
    folders = Workbook.find().runs
    there = [name for name in older if (folders / name).is_dir()]
    free = tuple(name for name in there if name not in of_baseline)
    return Removal(free, len(there) - len(free))


def _run_in(folder: RunFolder) -> str:
    """The run that a folder holds, which may have been renamed; its own name where that cannot be read."""
    try:
        return folder.read_facts().run_id
    except InputError:
        return folder.path.name


def _of_baselines() -> dict[str, str]:
    """The runs that baselines stand on, with the scenario of each."""
    return {name: one.scenario for one in stored_baselines().baselines for name in one.runs}
