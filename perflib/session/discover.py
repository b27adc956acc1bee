"""Discovering a target: what a server says of itself, and what it does."""

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from perflib.session.finding import Found, find
from perflib.session.trial import asking
from perflib.spec import InputError, Options, Target
from perflib.spec.auth import Basic
from perflib.spec.discovered import Discovered, Entry
from perflib.spec.openapi import Description, described_in
from perflib.spec.trial import MOST_TRIES, Trial
from perflib.spec.values import is_loopback
from perflib.store.atomic import write_atomically
from perflib.store.folders import Workbook, target_as_toml

_ANY = {"endpoints": [{"path": "/"}]}
"""A target has one at least."""


@dataclass(frozen=True)
class Wishes:
    """How to discover."""

    url: str = ""
    token_env: str = "PERF_API_TOKEN"
    tries: bool = True
    include_writes: bool = False
    allow_hosts: tuple[str, ...] = ()
    allow_plain_token: bool = False
    max_requests: int | None = None
    patience_s: float = 10.0
    """For each answer."""


def discover(place: str, wishes: Wishes = Wishes(), say: Callable[[str], None] = lambda _: None) -> Discovered:
    """The target that the OpenAPI document at `place`, a URL or a file, describes.

    Raises:
        InputError: where there is no such document, or its server may not be asked.
    """
    found = find(place, wishes.url, wishes.token_env, allow_plain_token=wishes.allow_plain_token)
    has_token = bool(os.environ.get(wishes.token_env))
    described = described_in(found.document, found.base_url, found.where, wishes.token_env, has_token=has_token)
    tried: dict[str, Entry] = {}
    if wishes.tries and described.to_try:
        count = len(described.to_try)
        say(f"trying {count:,} GET{'s' * (count > 1)} of {described.head['base_url']}, one at a time")
        tried = _tried(found, described, wishes)
    hints = _hints(list(tried.values()), described)
    if described.is_of_another_host and not wishes.url:
        hints.append("the document's servers are other hosts, --url BASE names them")
    return described.discovered(found.where, tried, *hints, with_writes=wishes.include_writes)


def described(options: Options, workbook: Workbook, say: Callable[[str], None]) -> Options:
    """The options with a target file of all GETs, where they name a bare server that has a document of them.

    Nothing is asked of a host that nobody allowed. Without a document they stay as they are.
    """
    parts = urlsplit(options.url)
    is_bare = not (options.target or parts.path or parts.query) and bool(parts.hostname)
    if not is_bare or not (is_loopback(parts.hostname or "") or parts.hostname in options.allow_hosts):
        return options
    wishes = Wishes(token_env=options.token_env or "", allow_hosts=options.allow_hosts)
    try:
        found = discover(options.url, wishes, say)
        say(found.in_words)
        endpoints = [entry.table for entry in found.taken]
        head = found.head | {"name": parts.netloc, "token_env": None, "auth": None}
        target = Target.parse(head | {"endpoints": endpoints}, found.where)
    except InputError:
        return options
    path = workbook.data / "discovered" / f"{re.sub(r'[^A-Za-z0-9.-]', '-', parts.netloc)}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, target_as_toml(target))
    say(f"{', '.join(one.name for one in target.endpoints)}; {path} has them")
    return options.replaced(target=str(path), url="")


def _tried(found: Found, described: Description, wishes: Wishes) -> dict[str, Entry]:
    said = {"allow_hosts": wishes.allow_hosts, "allow_plain_token": wishes.allow_plain_token}
    target = Target.parse(described.head | said | _ANY, found.where)
    most = min(wishes.max_requests or math.inf, MOST_TRIES * len(described.to_try))
    with asking(target, int(most), wishes.patience_s, is_trusted=found.is_trusted) as ask:
        return Trial(ask).entries(described.to_try)


def _hints(tried: Sequence[Entry], described: Description) -> list[str]:
    """What a user may want to mend first."""
    target = Target.parse(described.head | _ANY, "discover")
    reasons = {one.why for one in tried}
    refused = reasons & {"answered 401", "answered 403"}
    hints = (
        [f"export {', '.join(target.secrets)} for those that answered 401 or 403"] if refused and target.secrets else []
    )
    hints += ["write your own name as auth.basic.user"] if isinstance(target.auth, Basic) else []
    return [*hints, "--url BASE says where the API is"] if reasons == {"answered 404"} else hints
