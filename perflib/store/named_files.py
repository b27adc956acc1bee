"""What a target file names outside of itself: files below its folder or in a variable of the caller's, a socket."""

import os
import sys
from pathlib import Path

from perflib.spec import InputError, Target
from perflib.spec.secret import Secret

_LONGEST_SOCKET_BYTES = 107 if sys.platform == "linux" else 103
"""Of sun_path in unix(7), without its NUL."""


def named_file(file: str | Secret, folder: Path, key: str) -> Path:
    """The file that `key` of a target file in `folder` names.

    Raises:
        InputError: where there is none to be read, or a link leads out of the folder.
    """
    path = folder / file if isinstance(file, str) else Path(_value_of(file, key)).expanduser()
    try:
        inside = isinstance(file, Secret) or path.resolve().is_relative_to(folder.resolve())
        is_file = path.is_file()
        is_readable = os.access(path, os.R_OK)
    except (OSError, RuntimeError):
        inside, is_file, is_readable = True, False, False
    if not inside:
        named = f'{key.rpartition(".")[2]} = {{ env = "NAME" }}'
        raise InputError(f"{key}: {path} is a link to a file elsewhere; name that in a variable, {named}, or copy it")
    if not is_file or not is_readable:
        why = "cannot be read; give yourself the right to" if is_file else "no such file; mend the path"
        raise InputError(f"{key}: {path}: {why}")
    return path


def _value_of(file: Secret, key: str) -> str:
    path = os.environ.get(file.env)
    if not path:
        raise InputError(f"{key}: the variable {file.env} is not set; export it first")
    return path


def socket_of(target: Target) -> Path:
    """The Unix socket that a target is asked by. Raises InputError where there is none, or none can connect to it."""
    path = target.folder / Path(target.unix_socket).expanduser()
    if len(os.fsencode(path)) > _LONGEST_SOCKET_BYTES:
        raise InputError(
            f"unix_socket: {path}: the system takes {_LONGEST_SOCKET_BYTES} bytes at most; name it by a shorter path, "
            "of a link to it, say"
        )
    if not path.is_socket():
        raise InputError(f"unix_socket: {path}: no such socket; start its server, or mend the path")
    return path
