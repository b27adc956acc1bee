"""Whatever a server does, a run ends on time, accounts for every request, and stays small."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflib.load.channel import MAX_BESIDE_BODY_BYTES
from perflib.load.exchange import MAX_ANSWER_BYTES
from perflib.spec import Closed, Endpoint
from tests.faults import (
    CLOSING,
    DURATION_S,
    FAULTS,
    FLOOD,
    HEALTHY,
    SOUND,
    USERS,
    Fault,
    FaultServer,
    Outcome,
    kinds_of,
    misbehaving,
    outcome_of,
)
from tests.load.test_worker import Driven, facts_of
from tests.servers import Do, closed_port, scripted

ONE_READ_BYTES = 2**19
"""More than an event loop reads at once."""
GRACE_S = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with misbehaving() as server:
        yield server


@pytest.fixture(scope="module")
def healthy(server: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return outcome_of(HEALTHY, server, tmp_path_factory.mktemp("healthy"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_of_its_kind_and_hurts_nothing_else(
    server: FaultServer, healthy: Outcome, tmp_path: Path, fault: Fault
) -> None:
    outcome = outcome_of(fault, server, tmp_path)
    assert set(outcome.fault_kinds) == {fault.kind or "fine"}
    assert set(outcome.sound_kinds) == {"fine"}
    assert outcome.fault_kinds.total() >= USERS
    assert_accounted_for(outcome, fault)
    assert outcome.took_s < DURATION_S + fault.timeout_s + GRACE_S
    assert outcome.left_open <= 0
    assert fault is FLOOD or outcome.sound_p50_ms < 2.5 * healthy.sound_p50_ms
    assert_small(outcome, fault)


def assert_accounted_for(outcome: Outcome, fault: Fault) -> None:
    """As the generator tells it, and as the server has seen it: what it hung up on unread, it has seen once."""
    accounts, seen, sound = outcome.accounts, outcome.seen, outcome.sound_kinds.total()
    assert accounts.scheduled == accounts.completed + accounts.failed == outcome.fault_kinds.total() + sound
    assert (accounts.dropped, accounts.in_flight) == (0, 0)
    assert set(seen) == {SOUND.path, fault.path}
    assert accounts.scheduled <= seen.total() <= accounts.scheduled + outcome.retries


def assert_small(outcome: Outcome, fault: Fault) -> None:
    """However much the server sends, each user holds one answer at most, up to the cap."""
    head_only = fault.name.startswith("endless head") or fault.name in ("an endless header", "an endless trailer")
    assert outcome.most_bytes <= (MAX_BESIDE_BODY_BYTES if head_only else MAX_ANSWER_BYTES) + ONE_READ_BYTES
    assert outcome.growth_bytes < (USERS * MAX_ANSWER_BYTES if fault is FLOOD else 150 * 2**20)


def test_a_server_that_refuses_is_a_connect_error_each_time(tmp_path: Path) -> None:
    driven = Driven(tmp_path, facts_of(closed_port(), workload=Closed(users=USERS), duration_s=0.5))
    assert set(kinds_of(driven.rows)) == {"connect"}
    assert USERS < len(driven.rows) <= USERS * 6
    assert (driven.rows["end_ns"] >= driven.rows["start_ns"]).all()


def test_a_server_that_dies_and_comes_back_is_asked_again_by_every_user(server: FaultServer, tmp_path: Path) -> None:
    server.take_counts()
    death, return_ = threading.Timer(0.5, server.die), threading.Timer(1.0, server.come_back)
    for timer in (death, return_):
        timer.start()
    driven = Driven(
        tmp_path, facts_of(server.url, (Endpoint(path=SOUND.path),), workload=Closed(users=USERS), duration_s=2.0)
    )
    return_.join()
    rows = driven.rows
    failed, fine = rows[rows["error"].notna()], rows[rows["error"].isna()]
    assert {"connect"} <= set(failed["error"]) <= {"connect", "reset"}
    assert failed["start_ns"].min() > fine["end_ns"].min()
    assert set(fine[fine["start_ns"] > failed["start_ns"].max()]["user"]) == set(range(USERS))
    outage_s = (failed["start_ns"].max() - failed["start_ns"].min()) / 1e9
    assert 0.2 < outage_s < 1.2


CERTIFICATES = {
    "sound": ("IP:127.0.0.1", "20991231235959Z", "fine"),
    "expired": ("IP:127.0.0.1", "20200201000000Z", "connect"),
    "for another host": ("DNS:elsewhere.test", "20991231235959Z", "connect"),
}


@pytest.mark.parametrize(("names", "until", "kind"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_a_certificate_that_is_not_right_is_a_connect_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str, until: str, kind: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certified(tmp_path, names, until)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with scripted([(CLOSING, Do.CLOSE)], tls=context) as server:
        facts = facts_of(server.url, workload=Closed(users=USERS, think_time_s=0.2), duration_s=0.5, timeout_s=5.0)
        driven = Driven(tmp_path / "runs", facts)
    assert set(kinds_of(driven.rows)) == {kind}
    assert len(driven.rows) >= USERS
    assert len(server.requests) == (len(driven.rows) if kind == "fine" else 0)


def certified(folder: Path, names: str, until: str) -> Path:
    """A certificate that signs itself, valid from 2020 on; its key is beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    (folder / "index.txt").touch()
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\n"
        f"default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n[names]\nsubjectAltName = {names}\n"
    )
    request = "req -new -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=fault"
    sign = (
        "ca -batch -notext -selfsign -config ca.conf -extensions names -keyfile key.pem -in request.pem -out cert.pem"
    )
    for command in (request, f"{sign} -startdate 20200101000000Z -enddate {until}"):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"
