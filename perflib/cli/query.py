"""Ask the stored runs in SQL: the views runs, figures, requests, memory and failures.

Example: perflib query "SELECT endpoint, status, count(*) AS n FROM requests WHERE error IS NOT NULL GROUP BY ALL"
Exit status: 0 answered, 2 no SELECT statement, or one that cannot be carried out.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from perflib.cli.options import in_color, say
from perflib.spec.values import InputError

if TYPE_CHECKING:
    import pandas as pd

_Form = Literal["table", "csv", "json", "parquet"]


def query(
    statement: str,
    /,
    *,
    format_: _Form = "table",
    output: Annotated[Path | None, Parameter(name=("--output", "-o"), metavar="FILE", show_default=False)] = None,
) -> None:
    """Print what one SELECT statement finds; no run is changed by it.

    Args:
        statement: In the SQL of DuckDB. "SHOW TABLES" and "DESCRIBE requests" tell what there is.
        format_: How it is written; a table shows the first 100 rows, the others all.
        output: Write it into this file instead.
    """
    from perflib.session.stored import sql

    if format_ == "parquet" and output is None:
        raise InputError("--format parquet: is written to a file alone; name it: -o FILE")
    found = sql(statement)
    if output is None:
        print(_as_text(found, format_))
    else:
        _write(found, format_, output)
        say(f"{len(found):,} rows are in {output}")


def _as_text(found: "pd.DataFrame", form: _Form) -> str:
    from perflib.text import tables

    if form == "json":
        return str(found.to_json(orient="records", date_format="iso", date_unit="us", double_precision=15))
    table = tables.of_frame(found, most=100 if form == "table" else None)
    return table.write("table" if form == "table" else "csv", color=in_color())


def _write(found: "pd.DataFrame", form: _Form, output: Path) -> None:
    """Replace a file in one step. Raises InputError for one among the runs."""
    from perflib.store.atomic import replacing, write_atomically
    from perflib.store.folders import Workbook

    if output.resolve().is_relative_to(Workbook.find().runs.resolve()):
        raise InputError(f"-o {output}: lies among the stored runs; name a file elsewhere")
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"-o {output}: {'is a folder' if output.is_dir() else 'its folder is missing'}; name a file")
    if form == "parquet":
        with replacing(output) as unfinished:
            found.to_parquet(unfinished)
    else:
        write_atomically(output, f"{_as_text(found, form)}\n")
