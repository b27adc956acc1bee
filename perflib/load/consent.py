"""Consent: load goes to this machine, or to a host that was named as allowed. Nothing is sent before this is asked."""

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from perflib.spec import InputError, Open, Scenario, Target
from perflib.spec.values import is_loopback
from perflib.spec.workload import load_in_words

MAX_REQUESTS = 1_000_000
"""Sent to another host at most, unless `max_requests` says otherwise."""


def check_consent(target: Target, scenario: Scenario) -> str:
    """What another host is about to get, in words; empty for this machine.

    A host without an address passes: whoever connects looks it up again, and asks again.

    Raises:
        InputError: where the host was not allowed; the line names it, and what would be sent.
    """
    hosts = () if target.unix_socket else _addresses(target.base_url)
    require_consent(target, scenario, hosts)
    return f"{_host(target)} gets {_load_on(target, scenario)}" if hosts and not are_loopback(hosts) else ""


def require_consent(target: Target, scenario: Scenario, addresses: Sequence[str]) -> None:
    """Raise InputError unless `addresses`, which are the target's, are loopback ones, or its host is allowed."""
    if are_loopback(addresses):
        return
    host = _host(target)
    if host not in target.allow_hosts:
        raise InputError(
            f"{target.base_url}: {host} is not this machine, and would get {_load_on(target, scenario)}; if its owner "
            f"agrees, say --allow-host {host}, or name it in allow_hosts of the target file"
        )
    if target.secrets and urlsplit(target.base_url).scheme == "http" and not target.allow_plain_token:
        raise InputError(
            f"{target.base_url}: {', '.join(target.secrets)} would go to {host} unencrypted; use https, or accept it "
            "with --allow-plain-token, or allow_plain_token = true in the target file"
        )


def request_budget(target: Target, addresses: Sequence[str]) -> int | None:
    """How many requests a run may send; None: as many as this machine answers."""
    return target.max_requests or (None if are_loopback(addresses) else MAX_REQUESTS)


def are_loopback(addresses: Sequence[str]) -> bool:
    """True where all of these lead back to this machine.

    >>> are_loopback(["127.0.0.1", "::1"]), are_loopback(["127.0.0.1", "192.0.2.1"])
    (True, False)
    """
    return all(map(is_loopback, addresses))


def _addresses(base_url: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(urlsplit(base_url).hostname, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(str(entry[4][0]) for entry in found)


def _host(target: Target) -> str:
    return urlsplit(target.base_url).hostname or ""


def _load_on(target: Target, scenario: Scenario) -> str:
    """What a scenario sends: its load, how long, and at most how many requests."""
    lasting_s = scenario.lasts_s(target)
    most = target.max_requests or MAX_REQUESTS
    if isinstance(scenario.workload, Open):
        most = min(most, round(scenario.workload.rate_per_s * lasting_s))
    given = f", with {', '.join(target.given)}" if target.given else ""
    return f"{load_in_words(scenario.workload)} for {lasting_s:,.0f} s, about {most:,} requests at most{given}"
