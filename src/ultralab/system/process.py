"""The one door to processes: run one and read its answer, start a guarded child, tell whether one still lives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.language import _
from ultralab.system import clock, environ, files

_GUARD = Path(__file__).with_name("guard.py")
_STRAY_SECONDS = 5.0


@dataclass(frozen=True)
class ProcessId:
    """A process for good: a recycled pid has another start token, so it is never taken for this one."""

    pid: int
    start: str


@dataclass(frozen=True)
class Answer:
    """What a finished program left: its exit status and its output as text."""

    status: int
    stdout: str
    stderr: str


def run(argv: Sequence[str], *, timeout: float = 60, cwd: Path | None = None, check: bool = True) -> Answer:
    """Run a program to its end. Raises ToolFailed: missing, too slow, or (with ``check``) a non-zero status.

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
            env=environ.for_child(),
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
        """End the child and everything it started, gently first, and wait until it is gone. Idempotent."""
        if not self.leash.closed:
            self.leash.close()
        if self.wait(patience + 5) is None:  # the guard itself is stuck: it has nothing to lose
            self.guard.kill()
            self.guard.wait()


def start_guarded(argv: Sequence[str], *, log: Path, extra_environment: Mapping[str, str] | None = None) -> Child:
    """Start ``argv`` in a process group of its own, behind a small guard that outlives this process.

    The guard holds the reading end of a pipe whose writing end only this process has. When this process ends,
    even by ``kill -9``, the pipe closes and the guard ends the whole group: SIGTERM, then SIGKILL after 5 s.
    Standard error goes to ``log``; standard output is ``Child.events``; a signal to our terminal does not reach it.
    Raises FileAccess, DiskFull (the log).
    """
    with files.explained(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as log_stream:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_stream,
                env=environ.for_child(extra_environment),
                start_new_session=True,
            )
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


def identify(pid: int | None = None) -> ProcessId | None:
    """The identity of a running process (this one by default), None if there is none with that pid."""
    number = os.getpid() if pid is None else pid
    token = _start_token(number)
    return None if token is None else ProcessId(number, token)


def alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs (a zombie does not)."""
    return _start_token(process.pid) == process.start


def _start_token(pid: int) -> str | None:
    """What distinguishes this process from every other that ever had its pid.

    On Linux: the boot and the start in clock ticks since it (``proc(5)``, field 22), which a changed wall clock
    does not move. Elsewhere: the creation time that the kernel keeps.
    """
    if pid <= 0:  # no process; psutil would raise ValueError
        return None
    platform: str = sys.platform
    if platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else f"{boot[:13]}-{fields[19]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.6f}"
    except psutil.Error:
        return None


def terminate_as_interrupt() -> None:
    """Make SIGTERM and SIGHUP end this process the way Ctrl-C does: cleaning up after itself."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` asked for that
            signal.signal(number, interrupt)
