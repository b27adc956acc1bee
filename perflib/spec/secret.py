"""Secrets: named by an environment variable, never a value."""

import re
from collections.abc import Mapping
from typing import Annotated

from perflib.spec.values import InputError, Spec, must

TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110, 5.6.2: the name of a header, a method."""
Variable = Annotated[
    str,
    must(
        re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch,
        "not the name of an environment variable; write PERF_API_TOKEN, never the secret itself",
    ),
]
Header = Annotated[
    str,
    must(TOKEN.fullmatch, "not the name of a header; write it as X-Api-Key"),
]


class Secret(Spec):
    """A value named by its environment variable, ``{ env = "API_KEY" }``: only a worker reads it, nothing stores it."""

    env: Variable

    def value_in(self, environment: Mapping[str, str]) -> str:
        """The value. Raises InputError, without it, where there is none or no request can hold it."""
        value = environment.get(self.env)
        if not value:
            raise InputError(f"the variable {self.env} is not set; export it first")
        if not (value.isascii() and value.isprintable()):
            raise InputError(f"the variable {self.env} holds what no header can: only printable ASCII fits; mend it")
        return value
