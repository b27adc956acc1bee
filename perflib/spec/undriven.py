"""What perflib does not drive, and what does: said wherever such a thing is met."""

HTTP_2 = "HTTP/2 alone, which perflib does not drive; use k6 or h2load (ghz for gRPC)"
GRPC = "gRPC, which perflib does not drive; use ghz or k6"
WEBSOCKET = "WebSocket, which perflib does not drive; use k6, Artillery or Gatling"
_SCHEMES = {"ws": WEBSOCKET, "wss": WEBSOCKET, "grpc": GRPC, "grpcs": GRPC, "h2": HTTP_2, "h2c": HTTP_2}
_SOCKETS = ("unix", "http+unix", "https+unix")
STREAMS = ("text/event-stream", "multipart/x-mixed-replace")
"""Media types of answers that may go on for ever."""


def protocol(name: str) -> str:
    """What a server switches to, or wants, by its Upgrade header; empty: it names none that is known.

    >>> protocol("WebSocket")
    'WebSocket, which perflib does not drive; use k6, Artillery or Gatling'
    """
    known = {"websocket": WEBSOCKET, "h2c": HTTP_2, "h2": HTTP_2, "http/2.0": HTTP_2}
    return known.get(name.partition(",")[0].strip().lower(), "")


def by_url(url: str) -> str:
    """What is meant with a URL that is none of HTTP/1; empty: nothing of this."""
    scheme = url.partition("://")[0].lower()
    if scheme in _SOCKETS:
        return 'a socket\'s path is no base URL; write base_url = "http://localhost" and unix_socket = "/run/api.sock"'
    return f"{scheme}:// is {_SCHEMES[scheme]}" if scheme in _SCHEMES else ""


def by_header(name: str, value: str) -> str:
    """What a request with this header asks for; empty: an answer of HTTP/1."""
    if name.lower() == "upgrade":
        return protocol(value) or f"{value!r} is another protocol, which perflib does not drive"
    media_type = value.partition(";")[0].strip().lower()
    is_grpc = media_type == "application/grpc" or media_type.startswith("application/grpc+")
    return GRPC if is_grpc and name.lower() in ("content-type", "accept") else ""
