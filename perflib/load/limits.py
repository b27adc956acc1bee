"""The limits of this machine: how many connections the load generator may hold."""

import math
import resource
from contextlib import suppress
from pathlib import Path

from perflib.spec import InputError, Open, Page, Scenario, Target
from perflib.spec.whole import PAGE_CONNECTIONS

_OWN_FILES = 40
"""Of a worker: spools, pipes, the event loop's own."""
_OPEN_MAX = 10_240
"""What macOS takes where its hard limit is infinite."""
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def raise_open_files() -> None:
    """Let this process open as many files as it may: the soft limit is often far below the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (hard, _OPEN_MAX):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return


def most_connections() -> float:
    """How many connections fit into one worker."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = math.inf if hard == resource.RLIM_INFINITY else max(1, hard - _OWN_FILES)
    return min(files, _local_ports())


def _local_ports() -> float:
    """Connections to one address that have a port of their own at once; infinite where that is not known."""
    try:
        first, last = map(int, _PORT_RANGE.read_text(encoding="utf-8").split())
    except (OSError, ValueError):
        return math.inf
    return last - first + 1


def require_room(scenario: Scenario, target: Target, workers: int, said: str) -> None:
    """Raise InputError where the connections of a load cannot be; `said`: the option that asks for them."""
    asked = _connections(scenario, target)
    option = said.partition(" ")[0]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and math.ceil(asked / workers) > hard - _OWN_FILES:
        files = f"this machine lets a process open {hard:,} files; raise `ulimit -n` or lower {option}"
        raise InputError(f"{said} may open {asked:,} connections, {files}")
    if asked > (ports := _local_ports()):
        few = f"this machine has {ports:,} local ports for one address"
        raise InputError(
            f"{said} may open {asked:,} connections, {few}; widen net.ipv4.ip_local_port_range or lower {option}"
        )


def _connections(scenario: Scenario, target: Target) -> int:
    """That a load may hold at once: a page takes up to six a user, as a browser does."""
    workload = scenario.workload
    if isinstance(workload, Open):
        return scenario.most_connections(workload)
    users = workload.most_users
    loads = (len(item.loads) for item in scenario.takes(target) if isinstance(item, Page))
    return users * min(PAGE_CONNECTIONS, max(loads, default=1))
