"""The one door to processes: run one and read its answer, start a guarded child, tell whether one still lives."""

from __future__ import annotations

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
from ultralab.system import environ

_GUARD = Path(__file__).with_name("guard.py")


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
    """Run a program to its end. Raises ToolFailed: missing, too slow, or (with ``check``) a non-zero status."""
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            env=environ.for_child(),
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolFailed(_("The program {name!r} is not installed.").format(name=argv[0]), program=argv[0]) from error
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(
            _("{name!r} did not answer within {seconds:.0f} s.").format(name=argv[0], seconds=timeout),
            program=argv[0],
        ) from error
    if check and done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise ToolFailed(
            _("{command!r} failed with status {status}: {reason}").format(
                command=" ".join(argv[:4]), status=done.returncode, reason=last[0] if last else "-"
            ),
            program=argv[0],
            status=done.returncode,
        )
    return Answer(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Child:
    """A guarded child: ``events`` is its standard output; closing ``leash`` (or dying) ends it and its whole group."""

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
        self.events.close()


def start_guarded(argv: Sequence[str], *, log: Path, extra_environment: Mapping[str, str] | None = None) -> Child:
    """Start ``argv`` in a process group of its own, behind a small guard that outlives this process.

    The guard holds the reading end of a pipe whose writing end only this process has. When this process ends,
    even by ``kill -9``, the pipe closes and the guard ends the whole group: SIGTERM, then SIGKILL after 5 s.
    Standard error goes to ``log``; standard output is ``Child.events``; a signal to our terminal does not reach it.
    """
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

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
