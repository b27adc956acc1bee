"""A papermill engine that tells the truth: whatever kept a cell from finishing is a failure.

Papermill's own engine leaves every cell "completed" after a killed kernel or a time-out, and takes `sys.exit(0)` for
a success although the cells after it never ran.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, from_dict
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.log import logger

from perflib.load.engine import PYTHON
from perflib.spec.exits import ExitStatus

_GRACE_S = 20.0
"""An interrupted kernel gets so long to finish its partial run before it is killed."""

_MODULES_OF_THE_WORKBOOK = "import sys; sys.path.append('')"
"""A workbook's own modules can be imported, and shadow none."""


class NotebookFailed(Exception):  # noqa: N818 - it is a result of the notebook, no error of this program
    """A notebook that did not run to its end. The text says in one line which cell, and why.

    `status` is what a report of it ends with: what a cell refused is wrong use, what else it raised is a fault, and
    where the kernel did not go on nothing is judged.
    """

    def __init__(self, told: str, error: BaseException) -> None:
        super().__init__(told)
        raised = error.ename if isinstance(error, CellExecutionError) else ""
        statuses = {"": ExitStatus.NOT_JUDGED, "InputError": ExitStatus.WRONG_USE}
        self.status = statuses.get(raised, ExitStatus.FAULT)


class _Kernel(AsyncKernelManager):
    """A kernel of this very interpreter, whatever is registered as "python3" on this machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [*PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, language="python", display_name="Python 3 (ipykernel)")


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Executes cells one by one and stops at the first that does not finish."""

    progress: Callable[[str], None] | None = None

    def papermill_execute_cells(self) -> None:
        count = sum(cell.cell_type == "code" for cell in self.nb.cells)
        number = 0
        for index, cell in enumerate(self.nb.cells):
            if cell.cell_type == "code":
                number += 1
                self._say(f"cell {number} of {count}")
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except BaseException as error:
                self.nb_man.cell_exception(cell, cell_index=index)
                self._fail(cell, number, error)
            finally:
                self.nb_man.cell_complete(cell, cell_index=index)

    def process_message(self, *args: Any, **kwargs: Any) -> NotebookNode | None:
        output: NotebookNode | None = super().process_message(*args, **kwargs)
        if output and output.output_type == "stream":
            for line in str(output.text).splitlines():
                self._say(line)
        return output

    def _say(self, line: str) -> None:
        if self.progress and line.strip():
            self.progress(line.rstrip())

    def _fail(self, cell: NotebookNode, number: int, error: BaseException) -> NoReturn:
        if isinstance(error, KeyboardInterrupt | CellTimeoutError):
            run_sync(self._stop_cell)(cell)
        reason = _reason(error)
        if not any(output.output_type == "error" for output in cell.outputs):
            told = {"output_type": "error", "ename": "NotebookFailed", "evalue": reason, "traceback": [reason]}
            cell.outputs.append(from_dict(told))  # type: ignore[no-untyped-call]
        if not isinstance(error, Exception):
            raise error
        raise NotebookFailed(f"cell {number}: {reason}", error) from error

    async def _stop_cell(self, cell: NotebookNode) -> None:
        """What the stop button does, then wait: a measuring cell keeps its partial run and says so."""
        self.timeout = _GRACE_S
        underway = asyncio.all_tasks() - {asyncio.current_task()}
        await self.km.interrupt_kernel()
        with suppress(TimeoutError, DeadKernelError):
            await asyncio.wait_for(asyncio.gather(*underway, return_exceptions=True), _GRACE_S)
            await self.async_wait_for_reply(self.kc.kernel_info(), cell)


def _reason(error: BaseException) -> str:
    if isinstance(error, DeadKernelError):
        return "the kernel died"
    if isinstance(error, CellTimeoutError):
        return "the cell ran out of time"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, CellExecutionError):
        name = "sys.exit" if error.ename == "SystemExit" else error.ename
        return f"{name}: {error.evalue}".split("\n", 1)[0].removesuffix(": ")
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]


class TruthfulEngine(NBClientEngine):  # type: ignore[misc]
    """The papermill engine `perflib`."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        log_output: bool = False,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        progress: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
        **_others: Any,
    ) -> None:
        """Execute the notebook in a fresh kernel whose environment is `env` (default: this process's own).

        Nothing of the user's own IPython is in it: no start-up file, no configuration, no history.

        Raises:
            NotebookFailed: unless every cell ran to its end.
        """
        client = _Client(
            nb_man,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            timeout=execution_timeout,
            extra_arguments=["--IPKernelApp.log_level=ERROR", f"--IPKernelApp.exec_lines={_MODULES_OF_THE_WORKBOOK}"],
            kernel_manager_class=_Kernel,
            log=logger,
            log_output=log_output,
        )
        client.progress = progress
        with TemporaryDirectory(prefix="perflib-ipython-") as scratch:
            try:
                client.execute(env={**(os.environ if env is None else env), "IPYTHONDIR": scratch})
            except RuntimeError as error:
                nb_man.nb.metadata.papermill["exception"] = True
                raise NotebookFailed(_reason(error), error) from error


papermill_engines.register("perflib", TruthfulEngine)
