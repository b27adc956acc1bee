"""The target that a URL alone describes: a GET of exactly this URL, asked by nobody in particular. Pure."""

import re

from perflib.spec.endpoint import Endpoint
from perflib.spec.target import Target, base_url_of
from perflib.spec.values import InputError

_URL = re.compile(r"(https?://[^/?#]*)([^#]*)(#.*)?", re.DOTALL)


def target_at(url: str, where: str = "--url") -> Target:
    """The target whose one endpoint is this URL, path and query as written; named by its host and path.

    Raises:
        InputError: naming `where`, for what no request can hold.

    >>> target = target_at("http://127.0.0.1:8000/clients?limit=5")
    >>> target.name, target.endpoints[0].name
    ('127.0.0.1:8000/clients', 'GET /clients?limit=5')
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise InputError(f"{where}: not a URL; write http://host:port/path or https://host/path")
    server, asked, fragment = found.groups()
    if fragment:
        raise InputError(f'{where}: "#" and what follows is never sent; leave it out, or write it as %23')
    path = asked if asked.startswith("/") else f"/{asked}"
    name = f"{server}{path.partition('?')[0]}".partition("://")[2].rstrip("/")
    literal = path.replace("{", "{{").replace("}", "}}")
    endpoint = Endpoint.parse({"path": literal, "name": f"GET {path}"}, where)
    return Target.parse({"name": name, "base_url": base_url_of(server, where), "endpoints": [endpoint]}, where)
