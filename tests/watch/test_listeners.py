"""Who listens where an address points: real sockets of this machine, beside others on the same port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from perflib.watch import listeners
from perflib.watch.listeners import behind, behind_socket
from tests.processes import preforking, process, said

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 and namespaces are Linux's")

LISTEN = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
one = socket.socket(family)
if family == socket.AF_INET6:
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(sys.argv[3]))
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
one.bind((sys.argv[1], int(sys.argv[2])))
one.listen()
print(one.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def listening(host: str, port: int = 0, *, only_v6: bool = True) -> Iterator[tuple[int, int]]:
    """A process that listens there: its pid and its port."""
    command = [sys.executable, "-c", LISTEN, host, str(port), str(int(only_v6))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        yield started.pid, int(started.stdout.readline())


def test_a_neighbour_on_the_same_port_of_another_address_is_not_the_target() -> None:
    with listening("127.0.0.1") as (one, port), listening("127.0.0.2", port) as (two, _):
        assert behind("127.0.0.1", port).pids == {one}
        assert behind("127.0.0.2", port).pids == {two}
        assert "what listens on 127.0.0.3" in behind("127.0.0.3", port).why_not


def test_the_socket_that_is_bound_to_the_address_goes_before_those_of_any_address() -> None:
    with listening("127.0.0.2") as (own, port), listening("0.0.0.0", port) as (any_v4, _), listening("::", port) as v6:
        assert behind("127.0.0.2", port).pids == {own}
        assert behind("127.0.0.1", port).pids == behind("0.0.0.0", port).pids == {any_v4}
        assert behind("::1", port).pids == behind("::", port).pids == {v6[0]}


def test_an_ipv6_socket_of_any_address_answers_ipv4_too_and_one_in_ipv6_form_before_it() -> None:
    with listening("::", only_v6=False) as (both, port), listening("::ffff:127.0.0.2", port, only_v6=False) as (own, _):
        assert behind("127.0.0.1", port).pids == behind("::ffff:127.0.0.1", port).pids == {both}
        assert behind("127.0.0.2", port).pids == {own}


def test_a_name_of_two_addresses_is_clear_only_where_one_process_answers_at_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both_addresses = [ip_address("::1"), ip_address("127.0.0.1")]
    monkeypatch.setattr(listeners, "addresses_of", lambda _: both_addresses)  # this machine's names are not ours
    with listening("127.0.0.1") as (four, port):
        assert behind("localhost", port).pids == {four}
        with listening("::1", port) as (six, _):
            why_not = behind("localhost", port).why_not
            assert f"[::1]:{port} (process {six}) and 127.0.0.1:{port} (process {four})" in why_not
            assert "write the address in base_url" in why_not
    with listening("::", only_v6=False) as (both, port):
        assert behind("localhost", port).pids == {both}
    both_addresses.append(ip_address("192.0.2.1"))
    assert "this machine and another one" in behind("localhost", port).why_not


def test_a_port_that_only_a_client_uses_or_that_waits_for_its_end_has_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port, client_port = server.getsockname()[1], client.getsockname()[1]
        accepted, _ = server.accept()
        assert behind("127.0.0.1", port).pids == {os.getpid()}
        assert behind("127.0.0.1", client_port).why_not
        accepted.close()  # the end that closes first waits
    assert behind("127.0.0.1", port).why_not


@pytest.mark.parametrize(("options", "count"), [([], 4), (["--each-listens"], 3)])
def test_all_that_share_the_socket_and_all_that_listen_by_themselves_are_found(options: list[str], count: int) -> None:
    with preforking(*options) as server:
        assert len(once_listening(server.port, count)) == count


def once_listening(port: int, count: int) -> frozenset[int]:
    """The processes behind the port once there are so many."""
    until_s = time.monotonic() + 30
    while len(found := behind("127.0.0.1", port).pids) < count and time.monotonic() < until_s:
        time.sleep(0.05)
    return found


def test_where_there_is_no_proc_the_same_processes_are_found_one_by_one() -> None:
    with preforking() as server, listening("127.0.0.2", server.port):
        by_inode = once_listening(server.port, 4)
        one_by_one = listeners._by_process(server.port)
        assert {one.pid for one in one_by_one if str(one.address) == "127.0.0.1"} == by_inode


@pytest.mark.parametrize(
    ("host", "why"),
    [("192.0.2.1", "not on this machine"), ("no-such-name.invalid", "no-such-name.invalid has no address")],
)
def test_a_target_elsewhere_is_told_as_such(host: str, why: str) -> None:
    assert why in behind(host, 80).why_not


BIND = """
import os, socket, sys
if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
one = socket.socket(socket.AF_UNIX)
one.bind(sys.argv[1])
one.listen()
print(flush=True)
sys.stdin.read()
"""


def test_behind_a_unix_socket_is_who_listens_on_it_by_whatever_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = (tmp_path / "api.sock", tmp_path / "other/api.sock")
    with process(BIND, paths[0]) as one, process(BIND, os.path.relpath(paths[1])) as two:
        said(one), said(two)
        (tmp_path / "link.sock").symlink_to(paths[1])
        assert behind_socket(paths[0]).pids == {one.pid}
        assert behind_socket(paths[1]).pids == behind_socket(tmp_path / "link.sock").pids == {two.pid}
        with process(BIND, paths[0]) as new:
            said(new)
            assert f"process {one.pid}" in behind_socket(paths[0]).why_not
    assert "cannot be seen from here" in behind_socket(paths[0]).why_not


AS_ANOTHER = """
import os, sys
from perflib.watch.listeners import behind
behind("127.0.0.1", 1)
if sys.argv[2] == "nobody":
    os.setuid(65534)
print(behind("127.0.0.1", int(sys.argv[1])).why_not)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_listener_of_another_user_is_not_seen_and_its_user_is_named() -> None:
    with listening("127.0.0.1") as (_, port):
        command = [sys.executable, "-c", AS_ANOTHER, str(port), "nobody"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"what listens on 127.0.0.1:{port} cannot be seen from here: it belongs to the user root" in said
    assert "--pid" in said


def test_a_listener_in_another_namespace_of_processes_is_told_as_such() -> None:
    inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable]
    with listening("127.0.0.1") as (_, port):
        said = subprocess.run(
            [*inside, "-c", AS_ANOTHER, str(port), "root"], capture_output=True, text=True, check=False
        )
    if said.returncode and not os.environ.get("CI"):
        pytest.skip("no namespaces here")
    assert "runs in a container, or outside of this one" in said.stdout
