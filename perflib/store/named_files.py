"""What a target file names outside of itself: files below its folder or in a variable of the caller's, a socket."""

import os
import sys
from pathlib import Path

from perflib.spec import InputError, Target
from perflib.spec.secret import Secret
from perflib.spec.tls import shown_file
from perflib.store.rows import file_below

_LONGEST_SOCKET_BYTES = 107 if sys.platform == "linux" else 103
"""Of sun_path in unix(7), without its NUL."""


def named_file(file: str | Secret, folder: Path, where: str) -> Path:
    """The file that the key `where` of a target file in `folder` names. Raises InputError where it cannot be read."""
    path = file_below(folder, file, where) if isinstance(file, str) else Path(_value_of(file, where)).expanduser()
    if not path.is_file():
        raise InputError(f"{where}: {path} is no file; mend the path that {shown_file(file)} holds")
    if not os.access(path, os.R_OK):
        raise InputError(f"{where}: {path} cannot be read; make it readable")
    return path


def _value_of(file: Secret, where: str) -> str:
    path = os.environ.get(file.env)
    if not path:
        raise InputError(f"{where}: the variable {file.env} is not set; export it first")
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
