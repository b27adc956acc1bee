"""Make a workbook: notebooks, a target file to fill in, an empty performance_baselines.json.

Example: perflib init perf
Exit status: 0 made, 2 it would overwrite a file, or cannot be written.
"""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

_NEXT = """\
made a workbook in {folder}; next:{enter}
  perflib discover http://127.0.0.1:8000 -o data/targets/api.toml   # your API's address; or fill in example.toml there
  perflib run light_load
  perflib report   # or open the notebooks: jupyter lab notebooks"""


def init(folder: Annotated[Path, Parameter(name="DIR")], /) -> None:
    """Make the folder, say what comes next.

    Args:
        folder: A new folder, or one that has none of a workbook's files.
    """
    from perflib.store.folders import make_workbook

    make_workbook(folder)
    name = shlex.quote(str(folder))
    print(_NEXT.format(folder=name, enter="" if folder.samefile(".") else f"\n  cd {name}"))
