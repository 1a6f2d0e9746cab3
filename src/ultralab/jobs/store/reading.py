"""Reading a job's files, in which anything may stand: whole, of a bounded size, and of the kinds that were written."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from ultralab.kernel.errors import FileAccess
from ultralab.system import files
from ultralab.system.process import ProcessId

MOST: Final = 64 * 1024 * 1024  # bytes: no file of a job that is whole comes near it
_MOST_TOLD = 4 * 1024 * 1024  # bytes: of what a job's processes tell
# Not there, a link, a socket, a device without a driver.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP)
_FOR_A_MOMENT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)
NUMBER = (int, float)
_TOO_LARGE = 2**63


def told(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file of an attempt, where the job's own processes may have put anything.

    What cannot be read is None, so that no job can stop the scheduler. But where this process has no room for a file,
    nothing is known of it: raises FileAccess.
    """
    try:
        return json_object(path, _MOST_TOLD)
    except FileAccess as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FOR_A_MOMENT:
            raise
        return None


def json_object(path: Path, most: int = MOST) -> dict[str, Any] | None:
    """A file's JSON object; None when it is not there, torn, damaged or absurdly long. Raises FileAccess."""
    text = content(path, most)
    try:
        data = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def content(path: Path, most: int) -> bytes | None:
    """What is in a file; None where there is none of at most that many bytes. Raises FileAccess.

    A FIFO or a device must neither block nor be read for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise files.explain(error, path) from error
    try:
        with files.explained(path):
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most:
                return None
            with open(descriptor, "rb", closefd=False) as stream:
                text = stream.read(most + 1)
    finally:
        os.close(descriptor)
    return text if len(text) <= most else None


def typed(value: Any, kind: type | tuple[type, ...]) -> Any:
    """The value, if it is of that kind (True is no number) and a column can take it. Raises TypeError, ValueError."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(value)
    if isinstance(value, NUMBER) and not -_TOO_LARGE < value < _TOO_LARGE:  # nor is it NaN
        raise ValueError(value)
    return value


def among(value: Any, choices: tuple[Any, ...]) -> Any:
    """The value, if it is one of these words. Raises ValueError."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(value)
    return value


def process(data: object) -> ProcessId:
    """A process as JSON has it: its pid and start. Raises KeyError, TypeError, ValueError."""
    given = typed(data, dict)
    start = typed(given["start"], str)
    start.encode()
    return ProcessId(typed(given["pid"], int), start)
