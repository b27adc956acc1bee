"""The login: virtual users become known to the target, unmeasured, and again before their token ends."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from perflib.load.answer import Judge
from perflib.load.caller import Caller, Identity
from perflib.load.exchange import Exchange
from perflib.load.request import Recipe, recipe
from perflib.load.saving import values_in
from perflib.load.values import Values
from perflib.load.wire import Address, Connection
from perflib.spec import Endpoint, InputError, Target
from perflib.spec.login import WELCOME, Login
from perflib.spec.run import failure_in_words

_AT_ONCE = 10
"""So many users log in at a time."""
_ALL_WITHIN_S = 50.0
_RENEWED_AFTER = 0.8
"""Of the time that a token lasts."""
"""Unless a target file says what is expected."""
_OF_LOGIN = -2
"""The item that the login's rows are drawn for."""


class Sessions:
    """What a target knows its users by: their tokens and cookies.

    Args:
        environment: what the login's secrets are read from.
        hide: told each token and cookie, which no sample of a failed answer may show.
    """

    def __init__(
        self, target: Target, values: Values, environment: Mapping[str, str], hide: Callable[[str], None]
    ) -> None:
        self._target, self._values, self._hide = target, values, hide
        self._paths = [target.cookie_path(endpoint.path) for endpoint in target.endpoints]
        self._login = _Asking.of(target, values, environment) if target.login else None
        self._users: list[Caller] = []
        self._callers: list[Caller] = []
        self._of = 1
        self._renewing: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self.problems: tuple[str, ...] = ()
        """Why a later login failed."""

    async def begin(self, users: Sequence[Caller], of: int, address: Address, timeout_s: float) -> None:
        """Log users in before the load; where one login is enough for a run, the first one.

        Args:
            users: of this worker, each `of`-th of the run.

        Raises:
            InputError: where the target refuses one.
        """
        self._of = of
        if self._login is None:
            return
        self._login.reach(address, timeout_s)
        self._users = list(users) if self._login.login.per == "user" else list(users[:1])
        gate = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.timeout(_ALL_WITHIN_S), asyncio.TaskGroup() as group:
                for user in self._users:
                    group.create_task(self._first(user, gate))
        except* InputError as refused:
            raise refused.exceptions[0] from None
        except* TimeoutError:
            there = sum(bool(user.identity.line or user.jar.cookies) for user in self._users)
            told = f"{there} of {len(self._users)} users were logged in within {_ALL_WITHIN_S:.0f} s"
            raise InputError(f'{self._login.login.in_words}: {told}; use fewer users, or per = "run"') from None

    async def _first(self, user: Caller, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._log_in(user)

    def introduce(self, caller: Caller) -> None:
        """Let one who comes be known as a user who is logged in."""
        self._callers.append(caller)
        if not self._users:
            return
        user = self._users[caller.number // self._of % len(self._users)]
        alone = len(self._users) > 1
        caller.identity, caller.jar = user.identity, user.jar if alone else user.jar.copy()
        caller.pinned.update(user.pinned)
        for number in user.pinned:
            caller.rows[number] = user.rows[number]

    def answered(self, caller: Caller, exchange: Exchange, index: int) -> None:
        """Keep the cookies of an answer; where it says that a login is due, log in."""
        if self._target.keeps_cookies:
            caller.jar.take(exchange, self._paths[index])
        identity = caller.identity
        if exchange.status != 401:
            identity.is_proven = identity.is_proven or exchange.status > 0
        elif identity.is_proven and self._login is not None:
            self._renew(identity)

    def close(self) -> None:
        """Log nobody in any more."""
        for timer in self._timers:
            timer.cancel()
        for task in self._renewing:
            task.cancel()

    def _renew(self, identity: Identity) -> None:
        user = next((one for one in self._users if one.identity is identity), None)
        if user is None or identity.is_renewed:
            return
        identity.is_renewed, identity.is_proven = True, False
        task = asyncio.get_running_loop().create_task(self._again(user))
        self._renewing.add(task)
        task.add_done_callback(self._renewing.discard)

    async def _again(self, user: Caller) -> None:
        try:
            await self._log_in(user)
            for caller in self._callers:
                if caller.identity is user.identity and caller is not user:
                    caller.jar.update(user.jar)
        except InputError as refused:
            self.problems = (str(refused),)
        finally:
            user.identity.is_renewed = False

    async def _log_in(self, user: Caller) -> None:
        assert self._login is not None
        lasts_s = await self._login.log_in(user)
        for secret in (user.identity.token, *(cookie.value for cookie in user.jar.cookies.values())):
            self._hide(secret)
        if lasts_s > 0:
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(_RENEWED_AFTER * lasts_s, self._renew, user.identity))


class _Asking:
    """The login's requests, and what their answers must be."""

    def __init__(self, login: Login, path: str, page: Recipe | None, asked: Recipe, values: Values) -> None:
        self.login, self._page, self._asked, self._values, self._path = login, page, asked, values, path
        self._judge = Judge(login.endpoint)
        self._address: Address
        self._timeout_s = 0.0

    @classmethod
    def of(cls, target: Target, values: Values, environment: Mapping[str, str]) -> "_Asking":
        login = target.login
        assert login is not None
        page = None
        if login.csrf:
            path = login.csrf.page or login.path
            page = recipe(target, Endpoint(path=path), values, environment, sends_token=False)
        asked = recipe(target, login.endpoint, values, environment, sends_token=False)
        return cls(login, target.cookie_path(login.path), page, asked, values)

    def reach(self, address: Address, timeout_s: float) -> None:
        """Where the target listens."""
        self._address, self._timeout_s = address, timeout_s

    async def log_in(self, user: Caller) -> float:
        """Make a user known. Returns how many seconds this lasts; 0: it is not said. Raises InputError."""
        data = tuple(dict.fromkeys((*(self._page.data if self._page else ()), *self._asked.data)))
        if not self._values.draw(user, data, _OF_LOGIN):
            raise InputError(f"{self._told}: [data.{self._values.exhausted}] has no row left; give each user a row")
        user.pinned.update(data)
        connection = Connection(self._address, self._timeout_s)
        try:
            if self._page is not None:
                page = await _answer(connection, self._page.written(user))
                user.jar.take(page, self._path)
                self._require_token(user, page)
            exchange = await _answer(connection, self._asked.written(user))
            user.jar.take(exchange, self._path)
            _require_success(self._told, self._judge, exchange)
            return self._taken(user.identity, exchange)
        finally:
            connection.close()

    @property
    def _told(self) -> str:
        return self.login.endpoint.name

    def _require_token(self, user: Caller, page: Exchange) -> None:
        csrf = self.login.csrf
        if csrf is None or csrf.cookie in user.jar.cookies:
            return
        asked = f"{self._told}: GET {csrf.page or self.login.path}"
        _require_success(asked, Judge(Endpoint(path="/", expect=WELCOME)), page)
        there = ", ".join(sorted(user.jar.cookies)) or "none"
        raise InputError(f"{asked} sets no cookie {csrf.cookie}, but {there}; mend login.csrf")

    def _taken(self, identity: Identity, exchange: Exchange) -> float:
        if self.login.token is None:
            return 0.0
        pointers = {"token": self.login.token, "lasts_s": self.login.expires_in}
        found = values_in(exchange, {name: place for name, place in pointers.items() if place})
        token, lasts_s = found["token"], found.get("lasts_s")
        if not isinstance(token, str | int) or not str(token).isascii() or not str(token).isprintable():
            raise InputError(f"{self._told}: its answer has no token at {self.login.token}; mend login.token")
        identity.token, identity.line = str(token), f"Authorization: Bearer {token}\r\n".encode()
        return float(lasts_s) if isinstance(lasts_s, int | float) else 0.0


def _require_success(asked: str, judge: Judge, exchange: Exchange) -> None:
    error = judge.error_of(exchange)
    if error is not None:
        reason = f" ({exchange.reason})" if exchange.reason else ""
        mend = "mend [target.login], or the secrets that it names"
        raise InputError(f"{asked}: {failure_in_words(error, exchange.status)}{reason}; {mend}")


async def _answer(connection: Connection, request: Any) -> Exchange:
    """Ask, and wait for the answer or its want."""
    over: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
    connection.send(request, lambda exchange: None if over.done() else over.set_result(exchange))
    while not over.done():
        await asyncio.wait([over], timeout=0.5)
        connection.expire(perf_counter_ns())
    return over.result()
