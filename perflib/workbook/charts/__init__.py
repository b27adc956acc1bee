"""Charts: runs in, plotly figures out. Pure; a figure stays small however many rows its run has.

`figure.layout.meta["reading"]` says what to look for in a figure.
"""

from perflib.workbook import schemas  # noqa: F401 - first: plotly imports nbformat

# isort: split
from perflib.workbook.charts import renderer
from perflib.workbook.charts.anatomy import anatomy
from perflib.workbook.charts.ceiling import ceiling
from perflib.workbook.charts.comparison import distributions, ratios, restarts, shift
from perflib.workbook.charts.distribution import heatmap, histogram, overlay
from perflib.workbook.charts.flame import flame
from perflib.workbook.charts.history import history
from perflib.workbook.charts.interference import interference
from perflib.workbook.charts.look import COLOURS, DARK_COLOURS, dark
from perflib.workbook.charts.memory import allocations, memory, memory_and_load
from perflib.workbook.charts.over_time import over_time, rates
from perflib.workbook.charts.phases import phases
from perflib.workbook.charts.quantiles import lateness, percentiles, response_and_service
from perflib.workbook.charts.slowest import slowest
from perflib.workbook.charts.spike import latency_by_active_users, recovery_timeline
from perflib.workbook.charts.stalls import stalls
from perflib.workbook.charts.waterfall import waterfall
from perflib.workbook.charts.windows import POINTS

__all__ = ["COLOURS", "DARK_COLOURS", "POINTS", "dark"]
__all__ += ["heatmap", "histogram", "latency_by_active_users", "over_time", "percentiles", "phases", "rates"]
__all__ += ["allocations", "lateness", "memory", "memory_and_load", "recovery_timeline", "response_and_service"]
__all__ += ["distributions", "history", "overlay", "ratios", "restarts", "shift"]
__all__ += ["anatomy", "ceiling", "flame", "interference", "slowest", "stalls", "waterfall"]

renderer.settle()


def __dir__() -> list[str]:
    return sorted(__all__)
