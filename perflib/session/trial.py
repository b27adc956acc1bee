"""Asking a server what a document says of it: one request at a time, as a run would send it."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter_ns

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded
from perflib.load.consent import are_loopback, require_consent
from perflib.load.event_loop import new_event_loop
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange
from perflib.load.request import encode
from perflib.load.wire import Address, Connection, resolve
from perflib.spec import Closed, Endpoint, InputError, Scenario, Target
from perflib.spec.discovered import NEVER_ENDS
from perflib.spec.openapi_document import Node
from perflib.spec.trial import Ask, Seen
from perflib.spec.undriven import STREAMS

_LATER_NS = 3600 * 10**9


@contextmanager
def asking(target: Target, most: int, patience_s: float, *, is_trusted: bool) -> Iterator[Ask]:
    """Whoever asks `target`, which gets secrets only where it is trusted, at most `most` requests.

    Raises:
        InputError: where it is not this machine and was not allowed.
    """
    environment = os.environ if is_trusted else {}
    known = _known(target, environment)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        address = runner.run(resolve(target))
        _require_consent(known.replaced(max_requests=most), address.hosts, most * patience_s)
        is_safe = address.tls or target.allow_plain_token or are_loopback(address.hosts)
        asker = _Asker(known, address, environment if is_safe else {}, most, patience_s)
        yield lambda table: runner.run(asker.ask(table))
        asker.close()


def _require_consent(target: Target, hosts: Sequence[str], lasts_s: float) -> None:
    scenario = Scenario(name="discover", title="", workload=Closed(users=1), duration_s=lasts_s, warmup_s=0)
    try:
        require_consent(target, scenario, hosts)
    except InputError as error:
        raise InputError(f"{error}; or ask for nothing, with --no-try") from None


class _Asker:
    def __init__(
        self, target: Target, address: Address, environment: Mapping[str, str], most: int, patience_s: float
    ) -> None:
        self._target, self._address, self._environment, self._left = target, address, environment, most
        self._patience_s, self._connection = patience_s, Connection(address, patience_s)

    def close(self) -> None:
        self._connection.close()

    async def ask(self, table: Node) -> Seen | None:
        """Send one request; None where no more may be sent."""
        if self._left <= 0:
            return None
        self._left -= 1
        try:
            endpoint = Endpoint.parse(_with_known(table, self._environment), "")
            request = encode(self._target, endpoint, self._environment)
        except InputError as error:
            return Seen(why="cannot be asked", detail=str(error).removeprefix(": "))
        over: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        self._connection.send(request, over.set_result)
        try:
            exchange = await asyncio.wait_for(asyncio.shield(over), self._patience_s)
        except TimeoutError:
            self._connection.expire(perf_counter_ns() + _LATER_NS)
            exchange = await over
        return _seen(exchange, self._patience_s)


def _seen(exchange: Exchange, patience_s: float) -> Seen:
    kind = (exchange.header(b"content-type") or b"").partition(b";")[0].strip().lower().decode("latin-1")
    if exchange.error == "timeout":
        whole = exchange.header(b"content-length") is not None or not exchange.headers
        ends = whole and kind not in STREAMS
        return Seen(why=f"took over {patience_s:g} s" if ends else NEVER_ENDS, detail=exchange.reason)
    if exchange.error is not None:
        return Seen(why="gave no answer", detail=exchange.reason or exchange.error)
    return Seen(exchange.status, kind, _json_of(exchange) if "json" in kind else None)


def _json_of(exchange: Exchange) -> object:
    """What the JSON of an answer says; None where it cannot be read."""
    try:
        codings = codings_of(exchange.header(b"content-encoding") or b"")
        return json.loads(decoded(b"".join(exchange.body), codings, MAX_ANSWER_BYTES))
    except (ValueError, RecursionError, DamagedError, UncheckedError):
        return None


def _known(target: Target, environment: Mapping[str, str]) -> Target:
    """The target, without the secrets that are not there."""
    there = all(environment.get(name) for name in (target.caller.secrets if target.caller else ()))
    return target if there else target.replaced(token_env=None, auth=None)


def _with_known(table: Node, environment: Mapping[str, str]) -> Node:
    def known(values: Node) -> Node:
        return {
            name: one
            for name, one in values.items()
            if not isinstance(one, dict) or environment.get(one.get("env", ""))
        }

    return {key: known(one) if key in ("params", "headers") else one for key, one in table.items()}
