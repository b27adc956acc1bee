"""What does a request cost its generator? CPU per request and requests a second against a static answer of nginx.

    python -m tests.benchmarks.cost

With two cores nginx is often what bounds the rate, so CPU is the figure that counts.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.peers import CLOSED, PERFLIB_CHECKED, PERFLIB_VALUES, Result, installed, markdown, notes

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = (PERFLIB_CHECKED, PERFLIB_VALUES, *CLOSED)

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
{main}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    default_type application/json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {location} }}
    }}
}}
"""


_STATIC = """return 200 '{"status":"ok","data":[1,2,3]}';"""


@contextmanager
def nginx(location: str = _STATIC, http: str = "") -> Iterator[str]:
    """nginx with one worker process in a temporary folder; ended afterwards. Yields its base URL.

    Args:
        location, http: directives; `{folder}` in the latter is the temporary one.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        main = "user root root;" if os.geteuid() == 0 else ""  # whom the folder belongs to
        parts = {"main": main, "http": http.format(folder=folder), "location": location}
        configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, **parts))
        server = subprocess.Popen(["nginx", "-p", folder, "-c", str(configuration), "-e", "stderr"])
        try:
            _await(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=10)


def _await(port: int) -> None:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("nginx did not start; see its lines above")


def measure(all_users: list[int], rounds: int, seconds: float) -> dict[tuple[int, str], list[Result]]:
    """All results by users and generator; rounds interleave the generators in random order."""
    drives, results, order = installed(*NAMES), defaultdict(list), random.Random(1)
    with nginx() as base_url:
        for _ in range(rounds):
            for users in all_users:
                for name in order.sample(list(drives), len(drives)):
                    results[users, name].append(drives[name](f"{base_url}/answer", users, seconds))
    return {(users, name): results[users, name] for users in all_users for name in drives}


def row_of(users: int, name: str, results: list[Result], of_wrk: list[Result]) -> list[str]:
    """Medians over the rounds; a ratio is the median of each round's ratio to wrk in that round."""
    cells = [str(users), name, f"{median(some.requests / some.duration_s for some in results):,.0f}"]
    for cpu in ("cpu_s", "process_cpu_s"):
        costs, wrk_costs = ([getattr(some, cpu) / some.requests * 1e6 for some in each] for each in (results, of_wrk))
        ratios = [cost / wrk_cost for cost, wrk_cost in zip(costs, wrk_costs, strict=False)]
        cells += [f"{median(costs):.1f}", f"{median(ratios):.2f}" if ratios else "–"]
    return cells


def table(all_users: list[int], rounds: int, seconds: float) -> str:
    """The whole measurement as Markdown."""
    if shutil.which("nginx") is None:
        return "Cost: nginx is not installed."
    head = ["users", "generator", "requests/s", "CPU µs a request", "× wrk", "with process start", "× wrk"]
    results = measure(all_users, rounds, seconds)
    rows = [row_of(users, name, some, results.get((users, "wrk"), [])) for (users, name), some in results.items()]
    return (
        f"Cost on a static answer of nginx, {seconds:.0f} s a run. Medians of {rounds} interleaved rounds.\n\n"
        + markdown(head, rows)
    )


def main() -> int:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[1, 50, 100])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    given = parser.parse_args()
    print(f"{table(given.users, given.rounds, given.seconds)}\n\n{notes(*NAMES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
