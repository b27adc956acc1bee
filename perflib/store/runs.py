"""Stored runs: one folder a run, readable with plain pandas."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from perflib.model import ERROR_KINDS, Facts, InputError, Run
from perflib.model.run import Part
from perflib.store.spool import COLD, GENERATOR_ROW, MEMORY_ROW, REQUEST_ROW, RETRIED, WARMUP, memory_spool, read_spool

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from perflib.model import Target

TABLE, HEALTH_TABLE, MEMORY_TABLE = "requests.parquet", "generator.parquet", "memory.parquet"
FACTS, OWNER = "run.json", "owner"
_REQUEST_SPOOLS, _HEALTH_SPOOLS = "requests.*.spool", "generator.*.spool"

REQUESTS = pa.schema(
    [
        ("run_id", pa.string()),
        ("endpoint", pa.string()),
        ("page", pa.string()),
        ("kind", pa.string()),
        ("intended_ns", pa.int64()),
        ("start_ns", pa.int64()),
        ("first_byte_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("status", pa.int16()),
        ("error", pa.string()),
        ("bytes", pa.int64()),
        ("connect_ns", pa.int64()),
        ("user", pa.int32()),
        ("warmup", pa.bool_()),
        ("cold", pa.bool_()),
        ("retried", pa.bool_()),
    ]
)
"""requests.parquet: one row a request, and one a page load (kind "page"). Times are from the run's start."""

_NAMES = [field.name for field in REQUESTS if pa.types.is_string(field.type)]
_AS_CODES = pa.schema(
    [
        pa.field(name, pa.dictionary(pa.int32(), pa.string())) if name in _NAMES else REQUESTS.field(name)
        for name in REQUESTS.names
    ]
)
"""The same columns, a name once and its number in each row; files written so hold plain strings for their readers."""
_DELTAS = [field.name for field in REQUESTS if pa.types.is_integer(field.type)]
_GROUP_ROWS = 1_000_000


class RunFolder:
    """One run's folder. Open while it is measured, sealed when its rows have become a table."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, runs: Path, facts: Facts) -> RunFolder:
        """Make the folder of a run that starts now, owned by this process."""
        folder = cls(runs / facts.run_id)
        try:
            folder.path.mkdir(parents=True)
        except FileExistsError:
            raise InputError(f"{folder.path}: this run exists; choose another run id") from None
        except OSError as error:
            raise InputError(
                f"{folder.path}: {error.strerror}; point PERFLIB_DATA at a folder that can be written"
            ) from None
        me = psutil.Process()
        (folder.path / OWNER).write_text(f"{me.pid} {me.create_time()}\n")
        folder.write_facts(facts)
        return folder

    def rows(self) -> NDArray[np.void]:
        """What the workers have spooled so far, in the order of its ends. Shape (rows,)."""
        some = [read_spool(path) for path in self._spools(_REQUEST_SPOOLS)]
        if len(some) == 1:
            return some[0]
        rows = np.concatenate([np.empty(0, REQUEST_ROW), *some])
        return rows[np.argsort(np.maximum(rows["end_ns"], rows["intended_ns"]), kind="stable")]

    def _spools(self, pattern: str) -> list[Path]:
        return sorted(self.path.glob(pattern), key=lambda path: int(path.suffixes[-2][1:]))

    def read_facts(self) -> Facts:
        """The facts in run.json. Raises InputError where they are missing or damaged."""
        path = self.path / FACTS
        try:
            return Facts.parse(json.loads(path.read_text()), str(path))
        except FileNotFoundError:
            raise InputError(f"{path}: no such run; `perflib history` lists the stored ones") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); restore the file or remove its folder") from None

    def write_facts(self, facts: Facts) -> None:
        write_atomically(self.path / FACTS, facts.model_dump_json(indent=1) + "\n")

    def seal(self, facts: Facts) -> None:
        """Turn the spool into requests.parquet, then write the final facts; the spool goes last."""
        rows = self.rows()
        flags = _first_ones_cold(rows)
        unfinished = self.path / (TABLE + ".part")
        with pq.ParquetWriter(
            unfinished,
            _AS_CODES,
            store_schema=False,
            compression="zstd",
            use_dictionary=_NAMES,
            column_encoding=dict.fromkeys(_DELTAS, "DELTA_BINARY_PACKED"),
        ) as writer:
            for first in range(0, len(rows), _GROUP_ROWS):
                group = slice(first, first + _GROUP_ROWS)
                writer.write_table(_as_table(rows[group], flags[group], facts))
        self._health().to_parquet(self.path / HEALTH_TABLE)
        memory = self._memory()
        if memory is not None:
            memory.to_parquet(self.path / MEMORY_TABLE)
        unfinished.replace(self.path / TABLE)
        self.write_facts(facts)
        self._clear()

    def _health(self) -> pd.DataFrame:
        """The workers' own health by second, a row a worker."""
        some = [pd.DataFrame(read_spool(path, GENERATOR_ROW)) for path in self._spools(_HEALTH_SPOOLS)]
        named = [frame.assign(worker=worker) for worker, frame in enumerate(some)]
        return pd.concat(named or [pd.DataFrame(np.empty(0, GENERATOR_ROW)).assign(worker=0)], ignore_index=True)

    def _memory(self) -> pd.DataFrame | None:
        """The target's memory by second; None where it was not sampled."""
        if (self.path / MEMORY_TABLE).exists():
            return pd.read_parquet(self.path / MEMORY_TABLE)
        rows = read_spool(memory_spool(self.path), MEMORY_ROW)
        return pd.DataFrame(np.array(rows)) if len(rows) else None

    def _clear(self) -> None:
        spools = (*self._spools(_REQUEST_SPOOLS), *self._spools(_HEALTH_SPOOLS), memory_spool(self.path))
        for path in (*spools, self.path / OWNER):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take back a run that never began."""
        shutil.rmtree(self.path)

    def is_abandoned(self) -> bool:
        """True where a run was left unsealed by a process that is gone."""
        try:
            pid, created = (self.path / OWNER).read_text().split()
            return psutil.Process(int(pid)).create_time() != float(created)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (psutil.NoSuchProcess, ValueError):
            return True

    def recover(self) -> None:
        """Seal what a dead process left, marked interrupted. Nothing recorded is lost."""
        facts = self.read_facts()
        if self._spools(_REQUEST_SPOOLS) or not (self.path / TABLE).exists():
            self.seal(self.as_left(facts))
        elif facts.state == "running":
            self.write_facts(facts.model_copy(update={"state": "interrupted"}))
        self._clear()

    def as_left(self, facts: Facts) -> Facts:
        """The facts of a run that ended unforeseen: interrupted, its measured time read off its rows."""
        return facts.model_copy(update={"state": "interrupted", "parts": _parts_of(self.rows(), facts)})

    def load(self) -> Run:
        """The run with its tables; names are categories, times int64."""
        facts = self.read_facts()
        path = self.path / TABLE
        if path.exists():
            requests = _read_table(path)
        elif self._spools(_REQUEST_SPOOLS):
            rows = self.rows()
            requests = _as_table(rows, _first_ones_cold(rows), facts).to_pandas(split_blocks=True, self_destruct=True)
        else:
            raise InputError(f"{path}: missing; restore the file or remove its folder")
        return Run(facts, requests, self._memory())


def load_run(runs: Path, run_id: str) -> Run:
    """A stored run, finished first where a dead process left it open.

    Raises:
        InputError: where there is no such run, or it cannot be read.
    """
    folder = RunFolder(runs / run_id)
    if folder.is_abandoned():
        folder.recover()
    return folder.load()


def list_runs(runs: Path) -> list[Facts]:
    """The facts of all stored runs, oldest first; abandoned ones are finished on the way."""
    folders = [RunFolder(path.parent) for path in sorted(runs.glob(f"*/{FACTS}"))]
    for folder in folders:
        if folder.is_abandoned():
            folder.recover()
    return [folder.read_facts() for folder in folders]


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's text in one step: a reader sees the old text or the new, never a part."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _read_table(path: Path) -> pd.DataFrame:
    """Column after column: half the memory of a table that is read as a whole."""
    with pq.ParquetFile(path, read_dictionary=_NAMES) as file:
        columns = {name: file.read([name])[name].to_pandas() for name in file.schema_arrow.names}
    return pd.DataFrame(columns, copy=False)


def _as_table(rows: NDArray[np.void], flags: NDArray[np.uint8], facts: Facts) -> pa.Table:
    items = _item_names(facts.target)
    columns = {
        "run_id": _named(np.zeros(len(rows), np.int32), [facts.run_id]),
        "endpoint": _named(rows["item"], items),
        "page": _named(rows["page"], items),
        "kind": _named((rows["item"] >= len(facts.target.endpoints)).astype(np.int32), ["request", "page"]),
        "error": _named(rows["error"], list(ERROR_KINDS)),
        "warmup": (flags & WARMUP) > 0,
        "cold": (flags & COLD) > 0,
        "retried": (flags & RETRIED) > 0,
    }
    plain = {name: np.ascontiguousarray(rows[name]) for name in REQUESTS.names if name not in columns}
    return pa.table(columns | plain).select(REQUESTS.names)


def _first_ones_cold(rows: NDArray[np.void]) -> NDArray[np.uint8]:
    """The rows' flags, the first success of each endpoint and page marked as the cold answer that it is."""
    flags, item = np.array(rows["flags"]), np.array(rows["item"])
    start_ns, good = np.array(rows["start_ns"]), rows["error"] < 0
    for number in range(item.max(initial=-1) + 1):
        own = np.flatnonzero(good & (item == number))
        if len(own):
            flags[own[start_ns[own].argmin()]] |= COLD
    return flags


def _parts_of(rows: NDArray[np.void], facts: Facts) -> tuple[Part, ...]:
    names = _item_names(facts.target)
    taken = [item.name for item in facts.scenario.takes(facts.target)]
    parts = [(name,) for name in taken] if facts.scenario.isolated else [tuple(taken)]
    owner = np.where(rows["page"] >= 0, rows["page"], rows["item"])
    found = []
    for items in parts:
        mine = rows[np.isin(owner, [names.index(name) for name in items]) & (rows["flags"] & WARMUP == 0)]
        if len(mine):
            ended_ns = np.maximum(mine["end_ns"], mine["start_ns"]).max()
            found.append(
                Part(items=items, measured_from_ns=int(mine["intended_ns"].min()), measured_to_ns=int(ended_ns))
            )
    return tuple(found)


def _item_names(target: Target) -> list[str]:
    return [item.name for item in target.items]


def _named(codes: NDArray[np.signedinteger], names: list[str]) -> pa.DictionaryArray:
    """Names for codes; a code below zero becomes null."""
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32), mask=codes < 0), pa.array(names, pa.string())
    )
