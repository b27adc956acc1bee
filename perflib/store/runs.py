"""Stored runs: one folder per run, readable with plain pandas."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perflib.spec import ERROR_KINDS, Facts, InputError, Run, Target
from perflib.spec.run import Part
from perflib.store import owner
from perflib.store.atomic import replacing, write_atomically
from perflib.store.failures import FAILURE_SPOOLS, FAILURES_TABLE, as_frame, read_failures, spooled
from perflib.store.faults import unreadable
from perflib.store.owner import OWNER, Fate
from perflib.store.spool import (
    COLD,
    COUNTED,
    GENERATOR_ROW,
    MEMORY_ROW,
    REQUEST_ROW,
    RETRIED,
    WARMUP,
    memory_spool,
    read_spool,
    typed,
)

TABLE, HEALTH_TABLE, MEMORY_TABLE = "requests.parquet", "generator.parquet", "memory.parquet"
FACTS, ENDED = "run.json", "ended.json"
_REQUEST_SPOOLS, _HEALTH_SPOOLS = "requests.*.spool", "generator.*.spool"

REQUESTS = pa.schema(
    typed(
        "string: run_id endpoint page kind",
        "int64: intended_ns start_ns first_byte_ns end_ns",
        "int16: status",
        "string: error",
        "int64: bytes connect_ns",
        "int32: user",
        "bool: warmup cold retried counted",
        "int64: tls_ns read_late_ns send_ns",
        "int32: row",
        "string: journey",
    )
)
"""requests.parquet: one row per request, one per page load (kind "page") and per journey. Times are from the run's
start; `page` and `journey` name what a request is a part of, `row` is that of the data it asked with (-1: none)."""

_NAMES = [field.name for field in REQUESTS if pa.types.is_string(field.type)]
_CODES = pa.dictionary(pa.int32(), pa.string())
_AS_CODES = pa.schema([field.with_type(_CODES) if field.name in _NAMES else field for field in REQUESTS])
"""The same columns, a name once and its number in each row; files written so hold plain strings for their readers."""
_KINDS = ["request", "page", "journey"]
_LATER = {"retried", "counted", "tls_ns", "read_late_ns", "send_ns", "row", "journey"}
"""Columns that runs of earlier versions lack."""
_ROUNDED = ["read_late_ns", "send_ns"]
"""The instrument's own delays, in whole µs: nanoseconds would cost 2 more bytes per request, and show nothing."""
_FEW_VALUES = [*_NAMES, *_ROUNDED, "user", "bytes", "row"]
_INTEGERS = [field.name for field in REQUESTS if pa.types.is_integer(field.type)]
_GROUP_ROWS = 1_000_000


class RunFolder:
    """One run's folder. Open while it is measured, sealed when its rows have become a table."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None

    @classmethod
    def create(cls, runs: Path, facts: Facts) -> Self:
        """Make the folder of a run that starts now, owned by this process until it is sealed, or left for good."""
        folder = cls(runs / facts.run_id)
        if folder.path.is_dir():
            raise InputError(f"{folder.path}: this run exists; choose another run id")
        try:
            folder.path.mkdir(parents=True)
            folder._held = owner.take(folder.path)
            folder.write_facts(facts)
        except OSError as error:
            folder.leave()
            shutil.rmtree(folder.path, ignore_errors=True)
            raise InputError(
                f"{folder.path}: {error.strerror}; point PERFLIB_DATA at a folder that can be written"
            ) from None
        return folder

    def rows(self) -> NDArray[np.void]:
        """What the workers have spooled so far, in the order of its ends. Shape (rows,)."""
        some = self.spooled()
        if len(some) == 1:
            return some[0]
        rows = np.concatenate([np.empty(0, REQUEST_ROW), *some])
        return rows[np.argsort(np.maximum(rows["end_ns"], rows["intended_ns"]), kind="stable")]

    def spooled(self) -> list[NDArray[np.void]]:
        """What each worker has spooled so far, in its order."""
        return [read_spool(path) for path in self._spools(_REQUEST_SPOOLS)]

    def _spools(self, pattern: str) -> list[Path]:
        return sorted(self.path.glob(pattern), key=lambda path: int(path.suffixes[-2][1:]))

    def read_facts(self) -> Facts:
        """The facts in run.json. Raises InputError where they are missing or damaged."""
        return self._facts_in(FACTS)

    def _facts_in(self, name: str) -> Facts:
        path = self.path / name
        try:
            return Facts.parse(json.loads(path.read_text(encoding="utf-8")), str(path))
        except FileNotFoundError:
            raise InputError(f"{path}: no such run; `perflib history` lists the stored ones") from None
        except (OSError, ValueError, RecursionError) as error:
            raise unreadable(path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Own it no longer: where it is not sealed, the next reader does that."""
        if self._held is not None:
            owner.let_go(self._held)
            self._held = None

    def began(self) -> str:
        """When, as run.json says: sorts by time. Empty where it cannot be read."""
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return str(json.loads((self.path / FACTS).read_text(encoding="utf-8"))["started_at"])
        return ""

    def write_facts(self, facts: Facts, name: str = FACTS) -> None:
        text = facts.model_dump_json(indent=1) + "\n"
        try:
            write_atomically(self.path / name, text)
        except OSError:
            owner.make_room(self.path)
            write_atomically(self.path / name, text)

    def seal(self, facts: Facts) -> None:
        """Turn the spools into requests.parquet, then write the final facts; the spools go last.

        From the first moment on these are the facts: whatever stops this process, the next reader goes on with them.
        A table that holds more rows than the spools stays: somebody else sealed it, and the facts say so.

        Raises:
            InputError: where the disk takes no more; all that was recorded stays as it is.
        """
        rows, sealed = _checked(self.rows(), self.path, facts), self._sealed_rows()
        if sealed > len(rows):
            taken = f"another process sealed it while it was measured: only {sealed:,} rows are kept"
            facts = facts.replaced(state="broken", invalid_reasons=(*facts.invalid_reasons, taken))
        try:
            self.write_facts(facts, ENDED)
            if sealed <= len(rows):
                self._write_tables(rows, facts)
            self.write_facts(facts)
        except OSError as error:
            room = "what was recorded is kept: make room, then `perflib history` finishes it"
            raise InputError(f"{self.path}: cannot be written ({error.strerror or error}); {room}") from None
        self._clear()

    def _sealed_rows(self) -> int:
        """The rows of requests.parquet; 0 where there is none."""
        with suppress(OSError, pa.ArrowException):
            return int(pq.read_metadata(self.path / TABLE).num_rows)
        return 0

    def _write_tables(self, rows: NDArray[np.void], facts: Facts) -> None:
        flags = _first_ones_cold(rows)
        with replacing(self.path / TABLE) as unfinished:  # the last to take its place: where it is, they all are
            with _writer(unfinished) as writer:
                for first in range(0, len(rows), _GROUP_ROWS):
                    group = slice(first, first + _GROUP_ROWS)
                    writer.write_table(_as_table(rows[group], flags[group], facts))
            for name, frame in ((HEALTH_TABLE, self._health()), (MEMORY_TABLE, self._memory())):
                if frame is not None:
                    with replacing(self.path / name) as beside:
                        frame.to_parquet(beside, write_page_checksum=True)
            if len(samples := self._samples(facts)):
                with replacing(self.path / FAILURES_TABLE) as beside:
                    pq.write_table(samples, beside, write_page_checksum=True)

    def _health(self) -> pd.DataFrame:
        """The workers' own health by second, a row per worker."""
        some = [pd.DataFrame(read_spool(path, GENERATOR_ROW)) for path in self._spools(_HEALTH_SPOOLS)]
        named = [frame.assign(worker=worker) for worker, frame in enumerate(some)]
        return pd.concat(named or [pd.DataFrame(np.empty(0, GENERATOR_ROW)).assign(worker=0)], ignore_index=True)

    def _memory(self) -> pd.DataFrame | None:
        """The target's memory by second; None where it was not sampled."""
        if (self.path / MEMORY_TABLE).exists():
            return _read_memory(self.path / MEMORY_TABLE)
        rows = read_spool(memory_spool(self.path), MEMORY_ROW)
        return pd.DataFrame(np.array(rows)) if len(rows) else None

    def _samples(self, facts: Facts) -> pa.Table:
        """Samples of failed answers, as far as they are kept; columns as in `FAILURES`."""
        paths = self._spools(FAILURE_SPOOLS)
        return spooled(paths, facts.run_id) if paths else read_failures(self.path / FAILURES_TABLE)

    def _clear(self) -> None:
        kinds = (_REQUEST_SPOOLS, _HEALTH_SPOOLS, FAILURE_SPOOLS)
        spools = (*(path for kind in kinds for path in self._spools(kind)), memory_spool(self.path))
        unfinished = (*self.path.glob("*.part"), *self.path.glob(".*.part"))
        for path in (*unfinished, *spools, self.path / ENDED, self.path / OWNER):
            path.unlink(missing_ok=True)
        self.leave()

    def remove(self) -> None:
        """Remove it for good; without run.json it is no run to any reader, however far this comes."""
        (self.path / FACTS).unlink(missing_ok=True)
        shutil.rmtree(self.path)
        self.leave()

    def fate(self) -> Fate | None:
        """What became of those who write this run; None where it is sealed, or where there is none."""
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError), owner.alone(self.path):
            return self._fate()
        return None

    def recover(self) -> Fate | None:
        """Seal what a dead process left. Nothing recorded is lost, whoever else does so too.

        Returns:
            What had become of those who wrote it, as `fate`. A run that lives, or may live elsewhere, is left alone.
        """
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError), owner.alone(self.path):
            found = self._fate()
            if found == Fate.GONE:
                self._finish()
            return found
        return None

    def _fate(self) -> Fate | None:
        is_open = (self.path / OWNER).exists() or self._spools(_REQUEST_SPOOLS)
        return owner.fate(self.path) if is_open else None

    def elsewhere(self) -> str:
        """Where a run goes on of which nothing can be known from here, and how to finish it all the same."""
        end = f"if that is gone for good, remove {self.path / OWNER}"
        return f"is under way {owner.whereabouts(self.path)}, and left alone; {end}"

    def _finish(self) -> None:
        ended, facts = (self.path / ENDED).exists(), self.read_facts()
        sealed = (self.path / TABLE).exists() and facts.state != "running"
        if sealed:  # it died while it cleared up: of several spools some may be gone, the table has them all
            self._clear()
        elif ended:
            self.seal(self._facts_in(ENDED))
        elif self._spools(_REQUEST_SPOOLS) or not (self.path / TABLE).exists():
            self.seal(self.as_left(facts))
        else:
            self.write_facts(facts.replaced(state="interrupted"))
            self._clear()

    def as_left(self, facts: Facts) -> Facts:
        """The facts of a run that ended unforeseen: interrupted, its measured time read off its rows."""
        return facts.replaced(state="interrupted", parts=self.parts(facts))

    def parts(self, facts: Facts) -> tuple[Part, ...]:
        """What was measured, read off the rows so far."""
        return _parts_of(self.rows(), facts)

    def load(self) -> Run:
        """The run with its tables; names are categories, times int64."""
        facts = self.read_facts()
        path = self.path / TABLE
        if path.exists():
            requests = _read_requests(path, facts)
        elif self._spools(_REQUEST_SPOOLS):
            rows = _checked(self.rows(), self.path, facts)
            requests = _as_table(rows, _first_ones_cold(rows), facts).to_pandas(split_blocks=True, self_destruct=True)
        else:
            raise InputError(f"{path}: missing; restore the file or remove its folder")
        return Run(facts, requests, self._memory(), as_frame(self._samples(facts)))


def stored_folder(runs: Path, run_id: str) -> RunFolder:
    """The folder of a run, in `runs` and nowhere else. Raises InputError for what is no name."""
    if Path(run_id).name != run_id or run_id in ("", "..") or "\0" in run_id:
        raise InputError(f"{run_id!r}: not the name of a run; `perflib history` lists the stored ones")
    return RunFolder(runs / run_id)


def load_run(runs: Path, run_id: str) -> Run:
    """A stored run, finished first where a dead process left it open.

    Raises:
        InputError: where there is no such run, or it cannot be read.
    """
    folder = stored_folder(runs, run_id)
    folder.recover()
    return folder.load()


def _writer(path: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        _AS_CODES,
        store_schema=False,
        write_page_checksum=True,
        compression="zstd",
        use_dictionary=_FEW_VALUES,
        column_encoding=dict.fromkeys(set(_INTEGERS) - set(_FEW_VALUES), "DELTA_BINARY_PACKED"),
    )


def _read_requests(path: Path, facts: Facts) -> pd.DataFrame:
    """Column after column: half the memory of a table that is read as a whole."""
    try:
        names = pq.read_schema(path).names
        coded = [name for name in _NAMES if name in names]
        with pq.ParquetFile(path, read_dictionary=coded, page_checksum_verification=True) as file:
            missing = set(REQUESTS.names) - _LATER - set(names)
            if missing:
                raise ValueError(f"{min(missing)}: missing")
            columns = {name: _fitting(file.read([name])[name], name, facts) for name in REQUESTS.names if name in names}
        return pd.DataFrame(columns, copy=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def _fitting(column: pa.ChunkedArray, name: str, facts: Facts) -> "pd.Series[Any]":
    """A column of a run's table. Raises ValueError where it is not one of these facts."""
    items = _item_names(facts.target)
    known = {"run_id": [facts.run_id], "kind": _KINDS, "error": ERROR_KINDS}
    known |= dict.fromkeys(("endpoint", "page", "journey"), items)
    fits = column.type == _AS_CODES.field(name).type and (name in ("page", "journey", "error") or not column.null_count)
    if fits and name in known:
        column.validate(full=True)
        fits = {value for chunk in column.chunks for value in chunk.dictionary.to_pylist()} <= set(known[name])
    if not fits:
        raise ValueError(f"{name}: not of this run")
    series: pd.Series[Any] = column.to_pandas()
    return series


def _read_memory(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None
    if not {"t_ns", "rss_bytes"} <= {name for name in table.column_names if pa.types.is_integer(table[name].type)}:
        raise unreadable(path, "its columns are not those of memory samples")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _checked(rows: NDArray[np.void], folder: Path, facts: Facts) -> NDArray[np.void]:
    """Spooled rows, each of them one that a worker may have written."""
    items = len(facts.target.items)
    sound = (rows["item"] >= 0) & (rows["item"] < items) & (rows["page"] >= -1) & (rows["page"] < items)
    sound &= (rows["error"] >= -1) & (rows["error"] < len(ERROR_KINDS)) & (rows["status"] >= 0) & (rows["bytes"] >= 0)
    if not sound.all():
        raise unreadable(folder, f"row {sound.argmin():,} of its spool is damaged")
    return rows


def frame_of(rows: NDArray[np.void], facts: Facts) -> pd.DataFrame:
    """Spooled rows as `Run.requests` will have them, except that a first success is not marked as cold."""
    frame: pd.DataFrame = _as_table(rows, np.array(rows["flags"]), facts).to_pandas()
    return frame


def _as_table(rows: NDArray[np.void], flags: NDArray[np.uint8], facts: Facts) -> pa.Table:
    items, first_journey = _item_names(facts.target), facts.target.first_journey
    columns = {
        "run_id": _named(np.zeros(len(rows), np.int32), [facts.run_id]),
        "endpoint": _named(rows["item"], items),
        "page": _named(np.where(rows["page"] < first_journey, rows["page"], -1), items),
        "journey": _named(np.where(rows["page"] < first_journey, -1, rows["page"]), items),
        "kind": _named(np.digitize(rows["item"], [len(facts.target.endpoints), first_journey]), _KINDS),
        "error": _named(rows["error"], list(ERROR_KINDS)),
        "warmup": (flags & WARMUP) > 0,
        "cold": (flags & COLD) > 0,
        "retried": (flags & RETRIED) > 0,
        "counted": (flags & (WARMUP | COUNTED)) != WARMUP,
    }
    plain = {name: np.ascontiguousarray(rows[name]) for name in REQUESTS.names if name not in columns}
    whole_us = {name: np.where(plain[name] > 0, (plain[name] + 500) // 1000 * 1000, plain[name]) for name in _ROUNDED}
    return pa.table(columns | plain | whole_us).select(REQUESTS.names)


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
    owner = np.where(rows["page"] >= 0, rows["page"], rows["item"])
    found = []
    for part in facts.scenario.parts(facts.target):
        items = tuple(item.name for item in part)
        mine = rows[np.isin(owner, [names.index(name) for name in items])]
        if not len(mine):
            continue
        begun_ns = int(mine["intended_ns"].min()) if facts.scenario.isolated else 0
        measured_ns = mine["intended_ns"][mine["flags"] & WARMUP == 0]
        from_ns = int(measured_ns.min(initial=begun_ns + int(facts.scenario.warmup_s * 1e9)))
        seen_ns = int(np.maximum(mine["end_ns"], mine["start_ns"]).max())
        to_ns = min(seen_ns, from_ns + int(facts.scenario.most_s * 1e9))
        if to_ns > from_ns:
            found.append(Part(items=items, measured_from_ns=from_ns, measured_to_ns=to_ns))
    return tuple(found)


def _item_names(target: Target) -> list[str]:
    return [item.name for item in target.items]


def _named(codes: NDArray[np.signedinteger], names: list[str]) -> pa.DictionaryArray:
    """Names for codes; a code below zero becomes null."""
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32), mask=codes < 0), pa.array(names, pa.string())
    )
