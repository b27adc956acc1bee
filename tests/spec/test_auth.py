"""Authentication: each kind sends what it says, names its secrets, and shows none."""

import base64
import tomllib
from urllib.parse import quote_plus

import pytest

from perflib.load.request import encode
from perflib.spec import InputError, Target

SECRET = "s3cr3t"
HEAD = '[target]\nname = "t"\nbase_url = "http://h.test"\n'
ENDPOINT = '[[endpoint]]\npath = "/a"\n'
KINDS = {
    'token_env = "PW"': f"authorization: Bearer {SECRET}",
    'auth = { basic = { user = "u", password = { env = "PW" } } }': "authorization: Basic "
    + base64.b64encode(f"u:{SECRET}".encode()).decode(),
    'auth = { header = "Authorization", value = "token {env:PW}" }': f"authorization: token {SECRET}",
    'auth = { header = "X-Api-Key", value = "{env:PW}" }': f"x-api-key: {SECRET}",
    'auth = { query = "api key", value = "{env:PW}" }': f"?api+key={quote_plus(SECRET)} http/1.1",
}


def target(key: str) -> Target:
    return Target.from_document(tomllib.loads(HEAD + key + "\n" + ENDPOINT), "t.toml")


def sent(key: str, endpoint: str = "") -> str:
    known = Target.from_document(tomllib.loads(HEAD + key + "\n" + ENDPOINT + endpoint), "t.toml")
    head = encode(known, known.endpoints[0], {"PW": SECRET}).data.decode().split("\r\n")
    return "\r\n".join(f"{line.partition(':')[0].lower()}:{line.partition(':')[2]}" for line in head)


@pytest.mark.parametrize("key", list(KINDS))
def test_a_request_carries_what_its_kind_says(key: str) -> None:
    assert KINDS[key] in sent(key)


@pytest.mark.parametrize("key", list(KINDS))
def test_a_target_names_the_variable_and_never_the_secret(key: str) -> None:
    known = target(key)
    assert known.secrets == ("PW",)
    assert SECRET not in known.model_dump_json()
    assert SECRET not in known.auth_in_words
    assert "$PW" in known.auth_in_words or "{env:PW}" in known.auth_in_words
    assert Target.from_document(known.to_document(), "again") == known


@pytest.mark.parametrize("key", list(KINDS))
def test_a_variable_that_is_not_set_is_named_with_its_mend(key: str) -> None:
    known = target(key)
    with pytest.raises(InputError, match="the variable PW is not set; export it first"):
        encode(known, known.endpoints[0], {})


def test_a_header_of_the_endpoint_itself_stays() -> None:
    assert SECRET not in sent('token_env = "PW"', 'headers = { authorization = "Basic x" }')


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ('auth = { header = "X-Key", value = "plain" }', "a secret is named by its variable"),
        ('auth = { digest = { user = "u" } }', "t.toml: auth"),
        ('token_env = "A"\nauth = { header = "X-Key", value = "{env:B}" }', "token_env is given too; keep one"),
    ],
)
def test_what_is_no_authentication_is_refused_in_one_line(key: str, says: str) -> None:
    with pytest.raises(InputError, match=r"t\.toml") as refused:
        target(key)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
