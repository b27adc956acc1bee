"""The login: users become known to a real server, stay it, and leave no secret behind."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import perflib
from perflib.load.cookies import LINES, Jar
from perflib.load.exchange import Exchange
from perflib.spec import InputError, Run
from perflib.store.folders import load_target

PASSWORD = "pw-93ab{x}17c"
MINE = '[[endpoint]]\npath = "/mine"\n'


@dataclass
class Service:
    """A server with a login for tokens, and one for a session with a CSRF token."""

    lasts_s: float = 60.0
    told_s: float = 60.0
    logins: list[str] = field(default_factory=list)
    ends: dict[str, float] = field(default_factory=dict)
    asked_by: Counter[str] = field(default_factory=Counter)
    url: str = ""

    async def token(self, request: Request) -> Response:
        said = await request.json()
        if said["password"] != PASSWORD:
            return JSONResponse({"error": "wrong"}, 401)
        return JSONResponse({"auth": {"token": self._known(said["user"]), "lasts": self.told_s}})

    def _known(self, user: str) -> str:
        self.logins.append(user)
        token = f"tok-{user}-{len(self.logins):08d}"
        self.ends[token] = time.monotonic() + self.lasts_s
        return token

    async def mine(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or request.cookies.get("sid", "")
        if self.ends.get(token, 0) < time.monotonic():
            return JSONResponse({"token": token}, 401)
        self.asked_by[token] += 1
        return JSONResponse({"user": token.split("-")[1]})

    async def echo(self, request: Request) -> Response:
        said = f"{dict(request.headers)} {(await request.body()).decode()} {dict(request.headers)!r}"
        return Response(said, 500, {"x-token": request.headers.get("authorization", ""), "x-pw": PASSWORD})

    async def rolling(self, request: Request) -> Response:
        """A new session with each answer, and an error that tells the last one."""
        self.logins.append("roll")
        answer = Response(f"{request.cookies}", 500)
        for name in ("first", "second"):
            answer.set_cookie(name, f"{name}-cookie-{len(self.logins):06d}")
        return answer

    async def form(self, request: Request) -> Response:
        if request.method == "GET":
            page = Response("<form>")
            page.set_cookie("csrf", f"c%2B{len(self.logins)}")
            return page
        said = parse_qs((await request.body()).decode())
        right = said["password"] == [PASSWORD] and request.headers.get("x-csrf") == f"c+{len(self.logins)}"
        if not right:
            return Response("no", 403)
        answer = Response(status_code=302, headers={"location": "/"})
        answer.set_cookie("sid", self._known(said["user"][0]))
        answer.set_cookie("seen", "1", path="/elsewhere")
        answer.delete_cookie("old")
        return answer

    async def change(self, request: Request) -> Response:
        fits = request.headers.get("x-csrf", "").startswith("c+") and "seen" not in request.cookies
        return await self.mine(request) if fits else JSONResponse({}, 403)


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    routes = [
        Route("/token", service.token, methods=["POST"]),
        Route("/form", service.form, methods=["GET", "POST"]),
        Route("/mine", service.mine),
        Route("/rolling", service.rolling),
        Route("/echo", service.echo, methods=["POST"]),
        Route("/change", service.change, methods=["POST"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    service.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        server.should_exit = True
        thread.join(5)


@pytest.fixture
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PW", PASSWORD)
    return tmp_path


def run(workbook: Path, service: Service, login: str, endpoints: str = MINE, **more: object) -> Run:
    head = f'[target]\nname = "t"\nbase_url = "{service.url}"\n{login}\n'
    (workbook / "t.toml").write_text(head + endpoints, encoding="utf-8")
    asked = {"users": 3, "duration": "1s", "warmup": "0s", "think_time": "20ms"} | more
    return perflib.run("light_load", target=str(workbook / "t.toml"), **asked)  # type: ignore[arg-type]


BY_TOKEN = """[target.login]
path = "/token"
body = { user = "u", password = { env = "PW" } }
token = "/auth/token"
expires_in = "/auth/lasts"
"""


def test_one_login_is_enough_for_a_run_and_is_not_measured(workbook: Path) -> None:
    with serving(Service()) as service:
        measured = run(workbook, service, BY_TOKEN)
    assert service.logins == ["u"]
    assert set(measured.requests["endpoint"]) == {"GET /mine"}
    assert measured.requests["error"].isna().all()
    assert sum(service.asked_by.values()) == len(measured.requests) > 3


def test_each_user_logs_in_by_itself_with_a_row_of_its_own(workbook: Path) -> None:
    login = BY_TOKEN.replace('"u"', '"{account.name}"') + 'per = "user"\n'
    data = '[data.account]\nvalues = [{ name = "a" }, { name = "b" }, { name = "c" }]\n'
    with serving(Service()) as service:
        measured = run(workbook, service, login, '[[endpoint]]\npath = "/mine?who={account.name}"\n' + data)
    assert sorted(service.logins) == ["a", "b", "c"]
    assert len(service.asked_by) == 3
    assert measured.requests["error"].isna().all()
    assert measured.requests.groupby("user")["row"].nunique().eq(1).all()
    assert measured.requests["row"].nunique() == 3


def test_a_token_is_renewed_before_it_ends(workbook: Path) -> None:
    with serving(Service(told_s=0.5)) as service:
        measured = run(workbook, service, BY_TOKEN, duration="2s")
    assert len(service.logins) >= 3
    assert len(service.asked_by) >= 3
    assert measured.requests["error"].isna().all()


def test_a_login_is_repeated_once_after_a_401(workbook: Path) -> None:
    login = BY_TOKEN.replace('expires_in = "/auth/lasts"\n', "")
    with serving(Service(lasts_s=0.5)) as service:
        measured = run(workbook, service, login, duration="2s", users=1)
    failed = measured.requests["status"].eq(401)
    assert 1 <= failed.sum() <= 0.3 * len(failed)
    assert 3 <= len(service.logins) <= 6


SESSION = """[target.login]
path = "/form"
form = { user = "u", password = { env = "PW" } }
cookies = true
csrf = { cookie = "csrf", header = "X-Csrf" }
"""


def test_a_session_sends_its_cookies_and_the_csrf_token(workbook: Path) -> None:
    changing = '[[endpoint]]\npath = "/mine"\n[[endpoint]]\npath = "/change"\nmethod = "POST"\nbody = { a = 1 }\n'
    with serving(Service()) as service:
        measured = run(workbook, service, SESSION, changing)
    assert service.logins == ["u"]
    assert measured.requests["error"].isna().all()
    assert set(measured.requests["endpoint"]) == {"GET /mine", "POST /change"}


def test_an_open_load_logs_in_too(workbook: Path) -> None:
    with serving(Service()) as service:
        head = (
            f'[target]\nname = "t"\nbase_url = "{service.url}"\n{BY_TOKEN}per = "user"\n[[endpoint]]\npath = "/mine"\n'
        )
        (workbook / "t.toml").write_text(head, encoding="utf-8")
        measured = perflib.run("steady_rate", target=str(workbook / "t.toml"), duration="1s", warmup="0s")
    assert len(service.logins) == 10
    assert measured.requests["error"].isna().all()


def test_a_refused_login_ends_before_the_load_in_one_line(workbook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "another")
    with serving(Service()) as service, pytest.raises(InputError) as refused:
        run(workbook, service, BY_TOKEN)
    assert str(refused.value).startswith("login POST /token: ")
    assert "401" in str(refused.value)
    assert "mend [target.login]" in str(refused.value)
    assert not any((workbook / "data" / "runs").iterdir())


def test_a_missing_token_or_variable_is_told(workbook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Service()) as service:
        with pytest.raises(InputError, match=r"its answer has no token at /none; mend login.token"):
            run(workbook, service, BY_TOKEN.replace("/auth/token", "/none"))
        monkeypatch.delenv("PW")
        with pytest.raises(InputError, match=r"login POST /token: the variable PW is not set; export it first"):
            run(workbook, service, BY_TOKEN)


@pytest.mark.parametrize(
    ("csrf", "told"),
    [
        ('cookie = "crsf"', "GET /form sets no cookie crsf, but csrf; mend login.csrf"),
        ('page = "/token", cookie = "csrf"', "GET /token: HTTP 405; mend [target.login], or the secrets that it names"),
    ],
)
def test_a_csrf_cookie_that_does_not_come_is_told_with_those_that_do(workbook: Path, csrf: str, told: str) -> None:
    login = f'[target.login]\npath = "/form"\ncookies = true\ncsrf = {{ header = "X-CSRF", {csrf} }}\n'
    with serving(Service()) as service, pytest.raises(InputError) as refused:
        run(workbook, service, login)
    assert str(refused.value) == f"login POST /form: {told}"


@pytest.mark.parametrize(
    ("login", "told"),
    [
        ('path = "/t"', 'nothing of its answer is used; write token = "/access_token", or cookies = true'),
        ('path = "/t"\ntoken = "access"', "no JSON pointer"),
        ('path = "/t"\ntoken = "/a"\ncsrf = { cookie = "c", header = "X" }', "csrf: its token comes in a cookie"),
        ('path = "/t"\ntoken = "/a"\nbody = { u = "{x.y}" }', "login.{x.y} names no data"),
        ('path = "/t"\ntoken = "/a"\nbody = "x"\nform = { a = 1 }', "login.form: body is given too"),
    ],
)
def test_a_login_that_cannot_work_is_refused(tmp_path: Path, login: str, told: str) -> None:
    text = f'[target]\nname = "t"\nbase_url = "http://h.test"\n[target.login]\n{login}\n[[endpoint]]\npath = "/"\n'
    (tmp_path / "t.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_target(tmp_path / "t.toml")
    assert told in str(refused.value)


def test_no_token_password_or_cookie_is_left_in_a_run(workbook: Path) -> None:
    failing = '[[endpoint]]\npath = "/echo"\nmethod = "POST"\nbody = { pw = { env = "PW" } }\n'
    told = ""
    with serving(Service()) as service:
        for login in (BY_TOKEN, SESSION):
            failed = run(workbook, service, login, failing)
            assert "accept-encoding" in failed.failures["body"][0]
            told += failed.failures.to_csv()
    assert len(service.logins) == 2
    tokens = [*service.ends, PASSWORD, json.dumps(PASSWORD)[1:-1]]
    assert not any(token in told for token in tokens)
    for file in (workbook / "data").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not any(token.encode() in content for token in tokens), file


def test_a_cookie_that_changes_with_each_answer_is_in_no_sample(workbook: Path) -> None:
    with serving(Service()) as service:
        failed = run(workbook, service, "cookies = true", '[[endpoint]]\npath = "/rolling"\n', keep_going=True)
    assert failed.failures["body"].str.contains("second").any()
    assert not failed.failures["body"].str.contains("-cookie-").any()


def taking(*lines: str, path: str = "/a/b") -> Jar:
    jar = Jar()
    jar.take(Exchange(0, headers={b"set-cookie": LINES.join(line.encode() for line in lines)}), path)
    return jar


@pytest.mark.parametrize(
    ("lines", "path", "sent"),
    [
        (["a=1; Path=/; HttpOnly", "b=2=3;path=/"], "/x", b"Cookie: a=1; b=2=3\r\n"),
        (["a=1"], "/a/c", b"Cookie: a=1\r\n"),
        (["a=1"], "/ab", b""),
        (["a=1; Path=/a/"], "/a", b""),
        (["a=1; Path=/", "a=; Max-Age=0; Path=/"], "/", b""),
        (["a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "/", b""),
        (["a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60"], "/", b"Cookie: a=1\r\n"),
        (["a=1; Path=/; Expires=soon", "=x; Path=/", ";"], "/", b"Cookie: a=1\r\n"),
    ],
)
def test_a_cookie_goes_where_it_belongs_until_it_ends(lines: list[str], path: str, sent: bytes) -> None:
    assert taking(*lines).line(path) == sent
