"""A comparison that finds B slower names the command that says why, where a command can say it."""

import pytest

from perflib.spec import Options
from perflib.text import tables


@pytest.mark.parametrize(
    ("a", "b", "command"),
    [
        ("run-a", "run-b", ("`perflib why run-b --against run-a` says why",)),
        ("http://h:1", "http://h:2", ("`perflib why --url http://h:2 --against http://h:1 --users 3` says why",)),
        ("serve --port {port}", "serve2 --port {port}", ()),
    ],
)
def test_of_runs_and_of_urls_a_command_says_why_b_is_slower(a: str, b: str, command: tuple[str, ...]) -> None:
    assert tables.why_slower(a, b, Options(users=3)) == command
