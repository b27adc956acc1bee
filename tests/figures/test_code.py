"""Which functions of the target are named, by stacks as py-spy writes them."""

import pytest

from perflib.figures.code import own, stacks_of

LIB, SITE = "/usr/lib/python3.12", "/srv/app/.venv/lib/python3.12/site-packages"
RUNPY = "_run_module_as_main (<frozen runpy>:198);_run_code (<frozen runpy>:88)"
THREAD = f"Thread._bootstrap ({LIB}/threading.py:1030);Thread._bootstrap_inner ({LIB}/threading.py:1073)"
MAIN = "thread (10): MainThread"
UVICORN = (
    f"{MAIN};{RUNPY};<module> ({SITE}/uvicorn/__main__.py:4);Command.main ({SITE}/click/core.py:1560)"
    f";run ({SITE}/uvicorn/main.py:632);Server.run ({SITE}/uvicorn/server.py:86);run ({LIB}/asyncio/runners.py:194)"
    f";Runner.run ({LIB}/asyncio/runners.py:118)"
)
ASYNCIO = (
    f"{UVICORN};BaseEventLoop.run_until_complete ({LIB}/asyncio/base_events.py:674)"
    f";BaseEventLoop.run_forever ({LIB}/asyncio/base_events.py:641)"
)
IN_LOOP = (
    f"{ASYNCIO};BaseEventLoop._run_once ({LIB}/asyncio/base_events.py:1986);Handle._run ({LIB}/asyncio/events.py:88)"
)
ANYIO = f"thread (11): AnyIO worker thread;{THREAD};WorkerThread.run ({SITE}/anyio/_backends/_asyncio.py"
POOL = f"thread (12): pool_0;{THREAD};Thread.run ({LIB}/threading.py:1010);_worker ({LIB}/concurrent/futures/thread.py"
GUNICORN = (
    f"{MAIN};<module> (/srv/app/.venv/bin/gunicorn:8);run ({SITE}/gunicorn/app/wsgiapp.py:66)"
    f";Arbiter.run ({SITE}/gunicorn/arbiter.py:201)"
)
SYNC = (
    f"{GUNICORN};Arbiter.spawn_worker ({SITE}/gunicorn/arbiter.py:608);SyncWorker.run ({SITE}/gunicorn/workers/sync.py"
)
BY_OWN_MAIN = "thread (13): MainThread;<module> (/srv/app/serve.py:40);main (/srv/app/serve.py:38)"


@pytest.mark.parametrize(
    "idle",
    [
        f"{ASYNCIO};BaseEventLoop._run_once ({LIB}/asyncio/base_events.py:1949);select ({LIB}/selectors.py:468)",
        UVICORN,  # uvloop waits without a frame of its own
        f"{ANYIO}:1103);Queue.get ({LIB}/queue.py:171);Condition.wait ({LIB}/threading.py:355)",
        f"{POOL}:90)",
        f"{GUNICORN};Arbiter.sleep ({SITE}/gunicorn/arbiter.py:357)",
        f"{SYNC}:124);run_for_one ({SITE}/gunicorn/workers/sync.py:84)"
        f";SyncWorker.wait ({SITE}/gunicorn/workers/sync.py:34)",
        f"{BY_OWN_MAIN};serve_forever ({LIB}/socketserver.py:235);select ({LIB}/selectors.py:415)",
        f"thread (14): t;{THREAD};ThreadingMixIn.process_request_thread ({LIB}/socketserver.py:692)"
        f";Handler.handle_one_request ({LIB}/http/server.py:404);SocketIO.readinto ({LIB}/socket.py:706)",
        f"thread (15): push;{THREAD};Worker._target ({SITE}/sentry_sdk/worker.py:80);Queue.get ({LIB}/queue.py:171)",
        f"thread (16): end;{THREAD};end_with_stdin (/srv/app/serve.py:20)",
    ],
)
def test_a_thread_that_waits_for_work_is_left_out(idle: str) -> None:
    busy = f"{ANYIO}:1124);render (/srv/app/views.py:88) 3"
    [left] = stacks_of(f"{idle} 900\n{busy}\n", "GET /b")
    assert (left.frames, left.samples) == (("render (app/views.py:88)",), 3)


@pytest.mark.parametrize(
    "wait",
    [
        "nap (/srv/app/views.py:7)",  # time.sleep has no frame
        f"nap (/srv/app/views.py:7);Event.wait ({LIB}/threading.py:655);Condition.wait ({LIB}/threading.py:355)",
        f"nap (/srv/app/views.py:7);get ({SITE}/requests/api.py:73);SSLSocket.read ({LIB}/ssl.py:1134)",
        f"nap (/srv/app/views.py:7);run ({LIB}/asyncio/runners.py:194);select ({LIB}/selectors.py:468)",
    ],
)
@pytest.mark.parametrize("served_by", [f"{ANYIO}:1124)", f"{POOL}:59)", IN_LOOP, f"{SYNC}:124)"])
def test_a_wait_in_a_function_of_the_target_is_that_functions(served_by: str, wait: str) -> None:
    [named] = own(stacks_of(f"{served_by};{wait} 50", "GET /b"))
    assert (named.function, named.file, named.line, named.share) == ("nap", "app/views.py", 7, 1.0)


def test_shares_are_of_all_that_was_served_and_each_endpoints_own() -> None:
    served = f"{IN_LOOP};app ({SITE}/starlette/routing.py:288);Views.show (/srv/app/views.py"
    library = f"{IN_LOOP};app ({SITE}/starlette/routing.py:288);render ({SITE}/starlette/responses.py:182)"
    load = f"{served}:9);load (/srv/app/data.py"
    text = f"{served}:9) 10\n{load}:3) 20\n{load}:4) 30\n{library} 40"
    named = own([*stacks_of(text, "GET /b"), *stacks_of(f"{served}:9) 5", "GET /c")])
    told = [(one.endpoint, one.function, one.file, one.line, one.share) for one in named]
    assert told == [
        ("GET /b", "load", "app/data.py", 4, 0.5),
        ("GET /b", "Views.show", "app/views.py", 9, 0.1),
        ("GET /c", "Views.show", "app/views.py", 9, 1.0),
    ]


def test_what_a_library_does_for_a_function_is_the_functions() -> None:
    text = (
        f"{IN_LOOP};show (/srv/app/views.py:9);dumps ({LIB}/json/__init__.py:231);encode ({LIB}/json/encoder.py:200) 7"
    )
    [named] = own(stacks_of(text, "GET /b"))
    assert (named.function, named.share) == ("show", 1.0)


def test_what_started_the_server_is_not_named_though_the_server_is_always_busy() -> None:
    started = IN_LOOP.replace(RUNPY, "<module> (/srv/app/serve.py:40);main (/srv/app/serve.py:38)")
    assert own(stacks_of(f"{started};app ({SITE}/starlette/routing.py:288) 100", "GET /b")) == ()


def test_the_sample_dashboard_is_the_targets_own_wherever_it_is_installed() -> None:
    for folder in (SITE, "/srv/checkout"):
        [named] = own(stacks_of(f"{ANYIO}:1124);patterns ({folder}/perflib/sample/app.py:99) 4", "GET /patterns"))
        assert (named.function, named.file, named.line) == ("patterns", "sample/app.py", 99)


def test_several_processes_are_added_up_and_their_command_lines_are_not_kept() -> None:
    one = 'process 7:"python -c import a;import b; main(x=1)";process {}:"python -B -c from m import s; s()"'
    text = "".join(f"{one.format(pid)};{ANYIO}:1124);nap (/srv/app/views.py:7) 10\n" for pid in (8, 9))
    [left] = stacks_of(text, "GET /b")
    assert (left.frames, left.samples) == (("nap (app/views.py:7)",), 20)


def test_no_folder_of_the_machine_is_kept() -> None:
    shop = "one (/data/ann/app/src/shop/views.py:1)"
    text = f"{IN_LOOP};app ({SITE}/starlette/routing.py:288);{shop};two ({LIB}/json/decoder.py:2) 1"
    [left] = stacks_of(text, "GET /b")
    assert left.frames == (
        "app (site-packages/starlette/routing.py:288)",
        "one (shop/views.py:1)",
        "two (python3.12/json/decoder.py:2)",
    )


@pytest.mark.parametrize("text", ["", "\n", "no samples", "a (b.py:1)", "thread (1): x 5", "café (\ufffd.py:x) 4"])
def test_what_is_no_stack_is_passed_over(text: str) -> None:
    assert stacks_of(text, "GET /b") == ()
