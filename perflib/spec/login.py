"""The login: what makes a run's virtual users known to the target."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from perflib.spec.endpoint import Endpoint, Method, Param, UrlPath, check_body
from perflib.spec.expect import Expect
from perflib.spec.secret import Header, Secret
from perflib.spec.values import Spec, must

WELCOME = Expect(status=("2xx", "3xx"))
"""What its answer must be where nothing else is said: a form is often answered by a redirect."""
Pointer = Annotated[str, must(lambda text: text.startswith("/"), 'no JSON pointer (RFC 6901); write "/access_token"')]


class Csrf(Spec):
    """A token that the target gives in a cookie, and wants back in a header of each request that changes data."""

    cookie: Annotated[str, Field(min_length=1)]
    header: Header
    page: UrlPath | None = None
    """Asked for first, as it sets the cookie; None: the login's own path."""


class Login(Spec):
    """What makes virtual users known to the target, before they are measured.

    >>> Login(path="/login", form={"user": "u"}, cookies=True).endpoint.name
    'login POST /login'
    """

    path: UrlPath
    method: Method = "POST"
    headers: dict[Header, str | Secret] = Field(default_factory=dict)
    body: Annotated[JsonValue, BeforeValidator(check_body)] = None
    form: dict[str, Param] = Field(default_factory=dict)
    expect: Expect | None = None
    """What its answer must be; None: a status from 200 to 399."""
    token: Pointer | None = None
    """Where the answer has the token that is sent as a bearer token from then on."""
    expires_in: Pointer | None = None
    """Where the answer has the seconds after which another login is due."""
    cookies: bool = False
    """Whether each user keeps and sends the target's cookies."""
    csrf: Csrf | None = None
    per: Literal["run", "user"] = "run"
    """Whether all users are one for the target, or each logs in by itself."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if not (self.token or self.cookies):
            raise ValueError('nothing of its answer is used; write token = "/access_token", or cookies = true')
        if self.csrf and not self.cookies:
            raise ValueError("csrf: its token comes in a cookie; write cookies = true beside it")
        return self

    @property
    def endpoint(self) -> Endpoint:
        """The request, as an endpoint has it."""
        said = self.model_dump(include={"path", "method", "headers", "body", "form"})
        expect = self.expect or WELCOME
        return Endpoint.model_validate(said | {"name": f"login {self.method} {self.path}", "expect": expect})

    @property
    def in_words(self) -> str:
        """What is done, without a secret."""
        return f"login {self.method} {self.path}, once a {self.per}"
