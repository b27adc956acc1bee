"""The report: notebooks executed headlessly, shown as offline HTML pages. The only package that knows notebooks."""

import os
from tempfile import TemporaryDirectory

from perflib.spec.extras import require_extra

require_extra("workbook", "perflib report")

os.environ.pop("PLOTLY_RENDERER", None)  # a page shows figures itself; with a wrong one plotly fails to import
if os.path.expanduser("~") == "~":  # noqa: PTH111 - Path raises: a user whom the system does not know
    _HOME = TemporaryDirectory(prefix="perflib-home-")
    os.environ["HOME"] = _HOME.name  # Jupyter looks for one as it is imported

from perflib.workbook import schemas  # noqa: F401 - first: papermill imports nbformat

# isort: split
import papermill  # noqa: F401 - first: papermill itself imports our engine when it is imported

from perflib.workbook.report.engine import NotebookFailed
from perflib.workbook.report.index import write_index
from perflib.workbook.report.notebook import execute
from perflib.workbook.report.outcome import Outcome
from perflib.workbook.report.page import write_page
from perflib.workbook.report.write import ReportFailed, write_report

__all__ = ["NotebookFailed", "Outcome", "ReportFailed", "execute", "write_index", "write_page", "write_report"]
