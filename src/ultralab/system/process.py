"""The one door to processes: run one and read its answer, start a guarded child, tell whether one still lives."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.language import _
from ultralab.system import clock, environ, files, tree
from ultralab.system.identity import ProcessId, alive, identify
from ultralab.system.proctable import MARK, mark_of, of_this_boot

__all__ = [
    "LOG_LIMIT",
    "Answer",
    "Child",
    "ProcessId",
    "Supervisor",
    "alive",
    "end_attempt",
    "end_stray",
    "identify",
    "mark_of",
    "reap",
    "run",
    "signal_process",
    "start_detached",
    "start_guarded",
    "start_supervisor",
    "terminate_as_interrupt",
]

_GUARD = Path(__file__).with_name("guard.py")
LOG_LIMIT = 16 * 1024 * 1024
"""Bytes that the log of a guarded child may take."""

_STRAY_SECONDS = 5.0
_OPEN_FILES = 65_536
_ABANDON_SECONDS = 5.0
_supervisors: set[int] = set()  # children of ours that nobody has collected yet
_collecting = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """What a finished program left: its exit status and its output as text."""

    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout: float = 60,
    cwd: Path | None = None,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Run a program to its end. Raises ToolFailed: missing, too slow, or (with ``check``) a non-zero status.

    ``environment``: all of it (None: this process's).
    It runs in a session of its own, away from our terminal; when it is too slow, or when we are interrupted, it ends
    with everything that it started.
    """
    try:
        program = subprocess.Popen(
            list(argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            env=environ.for_child() if environment is None else environment,
            start_new_session=True,
        )
    except OSError as error:
        raise _not_started(argv[0], error) from error
    answer = _answer(program, argv[0], timeout)
    if check and answer.status != 0:
        last = (answer.stderr.strip() or answer.stdout.strip()).splitlines()[-1:]
        raise ToolFailed(
            _("{command!r} failed with status {status}: {reason}").format(
                command=" ".join(argv[:4]), status=answer.status, reason=last[0] if last else "-"
            ),
            program=argv[0],
            status=answer.status,
        )
    return answer


def _answer(program: subprocess.Popen[str], name: str, timeout: float) -> Answer:
    try:
        stdout, stderr = program.communicate(timeout=timeout)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        for stream in (program.stdout, program.stderr):
            if stream is not None:
                stream.close()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise ToolFailed(
            _("{name!r} did not answer within {seconds:.0f} s.").format(name=name, seconds=timeout), program=name
        ) from error
    return Answer(program.returncode, stdout, stderr)


def _not_started(name: str, error: OSError) -> ToolFailed:
    if isinstance(error, FileNotFoundError) and error.filename == name:
        return ToolFailed(_("The program {name!r} is not installed.").format(name=name), program=name)
    path = error.filename or name
    return ToolFailed(_("{path}: {reason}").format(path=path, reason=error.strerror), program=name)


@dataclass(frozen=True)
class Child:
    """A guarded child: closing ``leash`` (or dying) ends it and its whole group.

    ``events`` is its standard output. Whoever reads it closes it, at its end: closing it here could wait for ever for
    a reader, where a descendant in a session of its own still holds the other side.
    """

    guard: subprocess.Popen[bytes]
    leash: IO[bytes]
    events: IO[bytes]

    def running(self) -> bool:
        """Whether the guard, and so the child, still lives."""
        return self.guard.poll() is None

    def status(self) -> int | None:
        """The child's exit status as a shell would give it (128 + signal), None while it runs."""
        return self.guard.poll()

    def wait(self, timeout: float) -> int | None:
        """Wait for the end; the exit status, or None if it still runs after ``timeout`` seconds."""
        try:
            return self.guard.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def end(self, patience: float = 5) -> None:
        """End the child and everything it started, and wait until it is gone. Idempotent, and free of threads' quarrels.

        It gets SIGTERM, and SIGKILL after ``patience`` seconds. The first call's patience counts.
        """
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed before
            self.leash.write(f"{patience}\n".encode())
        with contextlib.suppress(OSError):
            self.leash.close()
        if self.wait(patience + 5) is None:  # the guard itself is stuck: it has nothing to lose
            self.guard.kill()
            self.guard.wait()


def start_guarded(
    argv: Sequence[str], *, log: Path, extra_environment: Mapping[str, str] | None = None, log_limit: int = LOG_LIMIT
) -> Child:
    """Start ``argv`` in a process group of its own, behind a small guard that outlives this process.

    The guard holds the reading end of a pipe whose writing end only this process has. When this process ends,
    even by ``kill -9``, the pipe closes and the guard ends the whole group: SIGTERM, then SIGKILL after 1 s.
    Standard error is added to ``log``, which keeps its beginning and its newest part once it would grow over
    ``log_limit`` bytes; standard output is ``Child.events``; a signal to our terminal does not reach it.
    Raises FileAccess, DiskFull (the log), ToolFailed (the system starts no process: too many, too long a command).
    """
    with files.explained(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log_stream = log.open("a+b")
    with log_stream:
        try:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(log_limit), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_stream,
                env=environ.for_child(extra_environment),
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(sys.executable, error) from error
    assert guard.stdin is not None
    assert guard.stdout is not None
    return Child(guard, guard.stdin, guard.stdout)


def end_stray(leader: ProcessId | None) -> None:
    """Kill a guarded child and its process group if it outlived its guard, and wait until it is gone, 5 s at most.

    The pid is what the child says of itself, so it is not believed blindly: not init, not us, no group but its own.
    """
    if leader is None or leader.pid <= 1 or leader.pid == os.getpid():
        return
    deadline = clock.monotonic() + _STRAY_SECONDS
    while alive(leader) and clock.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(leader.pid) == leader.pid:
                os.killpg(leader.pid, signal.SIGKILL)
            else:
                os.kill(leader.pid, signal.SIGKILL)
        clock.sleep(0.01)


@dataclass(frozen=True)
class Supervisor:
    """A supervisor that waits for its instruction. One of ``go`` and ``abandon`` must follow.

    It outlives this process. While this process lives and it ends first, it stays a zombie (which :func:`alive` calls
    dead) until the next :func:`reap` or :func:`start_supervisor`.
    """

    identity: ProcessId
    instruction: IO[bytes]

    def go(self, instruction: Mapping[str, object]) -> None:
        """Let it carry out its instruction (its keys: ``ultralab.supervisor.main``), without waiting. Raises ToolFailed: it died."""
        line = json.dumps(dict(instruction)).encode("ascii") + b"\n"
        try:
            with self.instruction:
                self.instruction.write(line)
        except BrokenPipeError as error:
            raise ToolFailed(_("The job's supervisor ended before it began."), program="supervisor") from error

    def abandon(self) -> None:
        """Send it away without an instruction: it has touched nothing. Waits for its end, 5 s at most. Idempotent."""
        with contextlib.suppress(BrokenPipeError):
            self.instruction.close()
        deadline = clock.monotonic() + _ABANDON_SECONDS
        while alive(self.identity) and clock.monotonic() < deadline:
            clock.sleep(0.002)
        signal_process(self.identity, signal.SIGKILL)
        reap()


def start_supervisor(script: str, title: str, mark: str) -> Supervisor:
    """Start the supervisor of the attempt ``mark`` (its folder), in a session of its own, waiting for its instruction.

    ``script``: the program (:data:`ultralab.supervisor.SCRIPT`).
    ``title`` is what a list of processes shows. Raises ToolFailed.
    """
    reap()
    try:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", script, title],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ.for_child({MARK: mark}),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise _not_started(sys.executable, error) from error
    child.returncode = 0  # collected by reap(): it may outlive us, and a Popen would complain about that
    with _collecting:
        _supervisors.add(child.pid)
    assert child.stdin is not None
    identity = identify(child.pid)
    if identity is None:
        child.stdin.close()
        raise ToolFailed(_("The job's supervisor ended before it began."), program="supervisor")
    return Supervisor(identity, child.stdin)


def reap() -> None:
    """Collect the supervisors that this process started and that have ended. Cheap; for who starts many, now and then."""
    with _collecting:
        for pid in list(_supervisors):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                ended = True
            if ended:
                _supervisors.discard(pid)


def start_detached(argv: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> None:
    """Start a program that is nobody's child: a session of its own, ``/dev/null`` everywhere. Nobody learns its end.

    Started from inside a job, it is no part of that job. ``environment``: all of it (None: this process's).
    Raises ToolFailed: the folder, or the system, refuses.
    """
    try:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *argv],  # the shell ends at once, and is collected here
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            env={**(environ.for_child() if environment is None else environment), MARK: ""},
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        raise _not_started("/bin/sh", error) from error


def end_attempt(mark: str, worker: ProcessId | None, patience: float = 10) -> bool:
    """Kill what is left of an attempt whose supervisor is gone; whether nothing is left within ``patience`` seconds.

    ``worker``: its command. Its session is the attempt's while that lives, and while nobody else has got its pid: a
    number is not given away while a session still has it.
    """

    def left() -> list[int]:
        if worker is None:
            return tree.members(mark)
        lives = alive(worker)
        ours = lives or (identify(worker.pid) is None and of_this_boot(worker.start))
        found = tree.members(mark, worker.pid if ours else None)
        return [*found, worker.pid] if lives and worker.pid not in found else found

    tree.end(left, 0, patience)
    return not left()


def signal_process(process: ProcessId, number: int) -> bool:
    """Send a signal to exactly this process; False if it is gone, its pid was given to another, or it is not ours."""
    try:
        handle = _hold(process.pid)
    except OSError:
        return False
    try:
        if not alive(process):
            return False
        if handle is None:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def is_stopped(process: ProcessId) -> bool:
    """Whether exactly this process lives but does nothing, since it was sent (or sent itself) SIGSTOP or SIGTSTP."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return alive(process) and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    return False


def _hold(pid: int) -> int | None:
    """A descriptor that stands for whoever has this pid now, whatever becomes of the number (Linux); None elsewhere."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return None
        raise


def allow_open_files() -> None:
    """Raise this process's limit of open files as far as it may; what it starts inherits that.

    launchd and systemd give a service fewer (256 and 1024) than a model in many shards, or a download, wants.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def terminate_as_interrupt() -> None:
    """Make SIGTERM and SIGHUP end this process the way Ctrl-C does: cleaning up after itself."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` asked for that
            signal.signal(number, interrupt)
