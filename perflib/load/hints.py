"""Hints: what a status tells of a thing that perflib does not do, or of TLS, beside its number."""

from perflib.load.connecting import CLIENT_CERTIFICATE
from perflib.load.document import shown
from perflib.load.exchange import Exchange
from perflib.spec.undriven import protocol

_SEARCHED_BYTES = 2_000
_HTTPS = "the server speaks TLS; write https://"
_OF_TLS = {
    b"no required ssl certificate was sent": CLIENT_CERTIFICATE,
    b"the ssl certificate error": "the server refuses the client certificate; mend tls.client_cert of the target file",
    b"plain http request was sent to https port": _HTTPS,
    b"speaking plain http to an ssl-enabled server": _HTTPS,
    b"sent an http request to an https server": _HTTPS,
}
"""What nginx, Apache and Go's net/http say in the body of a 400."""


def hint_of(exchange: Exchange) -> str:
    """Why a status is another one than expected; empty: the status says it."""
    if exchange.status in (101, 426):
        wanted = (exchange.header(b"upgrade") or b"").decode("latin-1")
        return f"the server wants {protocol(wanted) or shown(wanted) or 'another protocol'}"
    if exchange.status == 407:
        return "a proxy asks who is there; perflib asks a server itself, by none"
    said = b"".join(exchange.body)[:_SEARCHED_BYTES].lower() if exchange.status == 400 else b""
    return next((meant for words, meant in _OF_TLS.items() if words in said), "")
