"""Write a target file from an OpenAPI document: every GET is tried, and what does not work is left out with its reason.

Example: perflib discover http://127.0.0.1:8000 -o data/targets/mine.toml
Exit status: 0 written or printed, 2 no OpenAPI document there, or FILE exists.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perflib.cli.options import Count

Hosts = Annotated[list[str] | None, Parameter(name="--allow-host", metavar="HOST")]


def discover(
    place: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"), metavar="FILE")] = None,
    url: Annotated[str, Parameter(metavar="URL")] = "",
    no_try: bool = False,
    include_writes: bool = False,
    token_env: Annotated[str, Parameter(metavar="NAME")] = "PERF_API_TOKEN",
    allow_hosts: Hosts = None,
    allow_plain_token: bool = False,
    max_requests: Count | None = None,
) -> None:
    """Print or write the target file.

    Args:
        place: The server's base URL, whose document is looked for at the usual places; or the document's URL or file.
        output: A new file. Without it the target file is printed.
        url: The API's base URL, where the document does not say it, or says another.
        no_try: Ask for nothing; write what the document alone says.
        include_writes: Write POST, PUT, PATCH and DELETE too; none of them is sent.
        token_env: The variable of a bearer token, which is sent to the server that you name.
        allow_hosts: A host besides this machine that may be asked (may be given several times).
        allow_plain_token: Send the token to another host over plain http.
        max_requests: Send at most so many requests (default: three per GET).
    """
    from perflib.cli.options import say
    from perflib.session.discover import Wishes, discover
    from perflib.store.folders import require_new, write_new
    from perflib.text.target_file import target_file

    if output is not None:
        require_new(output)
    hosts = tuple(host.lower() for host in allow_hosts or ())
    wishes = Wishes(url, token_env, not no_try, include_writes, hosts, allow_plain_token, max_requests)
    found = discover(place, wishes, say)
    say(found.in_words)
    if output is None:
        print(target_file(found), end="")
        return
    write_new(output, target_file(found))
    first = "check its limits" if found.taken else "fill in a value in one of its blocks"
    print(f"wrote {output}; {first}, then: perflib report --target {output}")
