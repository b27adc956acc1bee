"""TLS as a target file asks for it: whom to trust, and who asks."""

import re
from pathlib import PurePath
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from perflib.spec.secret import Secret
from perflib.spec.values import Spec, must


def _check_file(value: object) -> object:
    if isinstance(value, str):
        path = PurePath(value)
        if not value or not value.isprintable() or path.is_absolute() or ".." in path.parts:
            raise ValueError(
                "no file below the target file's folder; write its path from there, or name a variable that holds a "
                'path: { env = "CLIENT_KEY_FILE" }'
            )
    elif not isinstance(value, dict | Secret):
        raise ValueError('no file; write its path, or { env = "NAME" }')
    return value


File = Annotated[str | Secret, BeforeValidator(_check_file)]
"""A file below the target file's folder, or one that the caller names in a variable: a target file reaches no other."""
ServerName = Annotated[
    str,
    must(re.compile(r"([\w-]+(\.[\w-]+)*)?", re.ASCII).fullmatch, "not the name of a host; write it as api.internal"),
]


class Tls(Spec):
    """How an https target is trusted, and what it is shown.

    >>> Tls(client_cert="c.pem", client_key="c.key").in_words
    'with a client certificate'
    """

    ca_file: File | None = None
    """Certificates in PEM that are trusted in place of the public authorities."""
    client_cert: File | None = None
    client_key: File | None = None
    """None: the key is in the certificate's file."""
    server_name: ServerName = ""
    """Of the certificate, and asked for by SNI; empty: the host of the base URL."""
    verify: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key: its certificate is missing; name it in client_cert")
        return self

    @property
    def in_words(self) -> str:
        """What of it changes what is asked, and by whom; whom to trust does not."""
        named = f"as {self.server_name}" if self.server_name else ""
        return " ".join(filter(None, (named, "with a client certificate" if self.client_cert else "")))


def shown_file(file: str | Secret) -> str:
    """A file as a target file names it."""
    return f"${file.env}" if isinstance(file, Secret) else file
