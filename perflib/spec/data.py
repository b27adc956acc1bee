"""Data: rows of values that requests are asked with, as ``[data.client]`` of a target file names them."""

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from perflib.spec.secret import Secret
from perflib.spec.values import Spec

Pick = Literal["shuffle", "in_order", "random", "zipf"]
"""Each row once before any comes again, in an order by chance or as they stand; by chance; by chance, the first ones
far more often than the last (Zipf's law: row k with a share of 1/k)."""
MOST_ROWS = 5_000_000
"""Each worker keeps them all as they are sent."""
Value = str | bool | int | float
Cell = Value | Secret
"""Of a row; a secret is named by its variable."""
File = Annotated[str, Field(min_length=1, max_length=1000)]
"""A path below the target file's folder, or one that the caller names as a whole."""


class Data(Spec):
    """Rows of values: of a file, of a list, or of a range."""

    file: File | None = None
    """CSV whose first line names the columns, or JSON lines (``.jsonl``, ``.ndjson``) of objects."""
    values: Annotated[tuple[dict[str, Cell] | Cell, ...] | None, Field(min_length=1)] = None
    range: tuple[int, int] | None = None
    """All whole numbers from the first to the last one, both included."""
    pick: Pick = "shuffle"
    unique: bool = False
    """No row is taken twice in a run, which ends where there is none left."""
    digest: str = ""
    """Of the file's content, filled in where the target file is read: other rows make another setup."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(given is not None for given in (self.file, self.values, self.range)) != 1:
            raise ValueError("give one of file, values and range")
        if self.range and self.range[0] > self.range[1]:
            raise ValueError(f"range: {self.range[0]} is above {self.range[1]}; write the smaller number first")
        if self.range and self.range[1] - self.range[0] >= MOST_ROWS:
            between = f"{{random:{self.range[0]}-{self.range[1]}}}"
            raise ValueError(f"range: more than {MOST_ROWS:,} values; use a part of them, or {between} in their place")
        if self.unique and self.pick not in ("shuffle", "in_order"):
            raise ValueError(f'unique: {self.pick} takes rows again; write pick = "shuffle" or "in_order"')
        return self

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns that each row has, "" for rows of one value; None: only the file knows them."""
        if self.file is not None:
            return None
        rows = [row if isinstance(row, dict) else {"": row} for row in self.values or ({"": 0},)]
        return tuple(name for name in rows[0] if all(name in row for row in rows))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that its secrets are read from."""
        rows = (row.values() if isinstance(row, dict) else (row,) for row in self.values or ())
        return tuple(dict.fromkeys(cell.env for row in rows for cell in row if isinstance(cell, Secret)))

    @property
    def in_words(self) -> str:
        """What rows these are, in a few words: two targets whose words differ ask with other values."""
        if self.range:
            rows = f"{self.range[0]} to {self.range[1]}"
        elif self.values:
            whole = json.dumps(self.model_dump(mode="json")["values"], sort_keys=True)
            rows = f"{len(self.values):,} values ({hashlib.sha256(whole.encode()).hexdigest()[:12]})"
        else:
            rows = f"{self.file}{f' ({self.digest})' if self.digest else ''}"
        return f"{rows}, {self.pick}{', unique' if self.unique else ''}"
