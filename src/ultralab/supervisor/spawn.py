"""Starting a program from the supervisor: fork and exec, without the weight of ``subprocess``. No threads here."""

# Without pathlib, which costs milliseconds of the supervisor's start.
# ruff: noqa: PTH118, PTH123

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress


class NotStarted(Exception):
    """The program could not be started: the status that a shell gives then (127: not found, 126), and why."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem


def spawn(argv: list[str], cwd: str, environment: dict[str, str], output: int | None = None) -> int:
    """Start a program in a session of its own and return its pid; it runs when this returns.

    Standard input is ``/dev/null``, standard output and error are ``output`` (None: ``/dev/null``), signals have
    their defaults. Strings are UTF-8 with surrogate escapes, whatever our locale. Raises NotStarted.
    """
    reading, writing = os.pipe()  # closed by a successful exec
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise NotStarted(126, f"fork: {error.strerror}") from error
    if pid == 0:
        _become(argv, cwd, environment, output, writing)
    os.close(writing)
    with open(reading, "rb") as answer:
        trouble = answer.read()
    if trouble:
        os.waitpid(pid, 0)
        status, _, problem = trouble.decode("utf-8", "surrogateescape").partition(" ")
        raise NotStarted(int(status), problem)
    return pid


def _become(argv: list[str], cwd: str, environment: dict[str, str], output: int | None, trouble: int) -> None:
    """In the child: turn into the program, or tell why not. Never returns."""
    try:
        status, problem = 126, ""
        os.setsid()
        _default_signals()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null if output is None else output, 1)
        os.dup2(null if output is None else output, 2)
        try:
            os.chdir(_bytes(cwd))
            status, problem = _exec(
                [_bytes(word) for word in argv], {_bytes(name): _bytes(value) for name, value in environment.items()}
            )
        except OSError as error:
            problem = f"{cwd}: {error.strerror}"
        except IndexError:
            problem = f"argv: {os.strerror(errno.EINVAL)}"
        except ValueError as error:  # a NUL, a name with "="
            problem = str(error)
        os.write(trouble, f"{status} {problem[:1000]}".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(126)


def _exec(argv: list[bytes], environment: dict[bytes, bytes]) -> tuple[int, str]:
    """Look the program up as a shell does and become it; the status and the problem if that failed."""
    places = environment.get(b"PATH", os.fsencode(os.defpath)).split(b":")
    candidates = [argv[0]] if b"/" in argv[0] else [os.path.join(place, argv[0]) for place in places]
    found: OSError | None = None
    for path in candidates:
        try:
            os.execve(path, argv, environment)  # noqa: S606 - a shell is what we do not want
        except OSError as error:
            if found is None and error.errno not in (errno.ENOENT, errno.ENOTDIR):
                found = error
    shown = argv[0].decode("utf-8", "surrogateescape")
    if found is None:
        return 127, f"{shown}: {os.strerror(errno.ENOENT)}"
    return 126, f"{shown}: {found.strerror}"


def _default_signals() -> None:
    for number in range(1, signal.NSIG):
        with suppress(OSError, ValueError):  # those that cannot be changed, those that the C library keeps
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
