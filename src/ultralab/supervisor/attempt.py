"""One attempt of a job, as its supervisor carries it out: begin, run, end, and the record of each on the disk.

The files and what they mean to the queue: ``jobs/design.md``.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import time
from collections.abc import Callable
from contextlib import suppress

from ultralab.supervisor import durable
from ultralab.supervisor.spawn import NotStarted, spawn
from ultralab.supervisor.wishes import Wishes
from ultralab.supervisor.worker import SHUTDOWN_SECONDS, Worker
from ultralab.system.proctable import MARK, start_token
from ultralab.system.segments import Writer

VERSION = 1
RETRY_SECONDS = 1.0
TIMEOUT_STATUS = 124
_TERMINATED = 128 + signal.SIGTERM
_HOPELESS = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST)
_OWN_SIGNAL_SECONDS = 0.2


class Instruction:
    """What is to be done; main.py says what each key means. Raises ValueError for one that is not whole."""

    version: int
    folder: str
    fence: int
    argv: list[str]
    cwd: str
    environment: dict[str, str]
    log_limit: int
    timeout: float | None
    grace: float
    alongside: list[str] | None
    wake: str
    afterwards: list[str] | None
    afterwards_cwd: str

    def __init__(self, given: object) -> None:
        if not isinstance(given, dict) or not Instruction.__annotations__.keys() <= given.keys():
            raise ValueError("not a whole instruction")
        if given["version"] != VERSION:
            raise ValueError("an instruction of another version")
        vars(self).update(given)


class Ended:
    """How an attempt ended: ``status`` as a shell gives it, the ``signal`` that ended the command, and why."""

    def __init__(self, status: int, cause: str, *, killed_by: int | None = None, problem: str = "") -> None:
        self.status = status
        self.cause = cause
        self.signal = killed_by
        self.problem = problem
        self.seconds = 0.0
        self.output_bytes = 0
        self.output_lost = 0
        self.left_behind = 0
        self.cpu_seconds = 0.0
        self.peak_rss_bytes = 0


def carry_out(instruction: Instruction, wishes: Wishes, adopts: bool) -> None:
    """Do what the instruction says, from ``begun.json`` to the poke after ``ended.json``."""
    if not _begin(instruction, wishes):
        return
    ended = _asked(wishes) or _run(instruction, wishes, adopts)
    about = {"version": VERSION, "fence": instruction.fence, "at": time.time(), **vars(ended)}
    durable.release(b"worker.json")  # it was not needed if the command never ran
    _persist(lambda: durable.put(b"ended.json", _json(about)), lambda: False, time.sleep)
    _poke(instruction)  # also where the folder is gone, and nothing could be written: there is something to find out


def _begin(instruction: Instruction, wishes: Wishes) -> bool:
    """Go into the attempt's folder and write ``begun.json``; False: it was told to end before that succeeded, or this
    attempt was made before. From here on files have no folder in their names: a lab may be moved while its jobs run.
    """
    about = {
        "version": VERSION,
        "fence": instruction.fence,
        "at": time.time(),
        "mark": instruction.environment.get(MARK, ""),
        "supervisor": {"pid": os.getpid(), "start": start_token(os.getpid()) or ""},
    }
    written = False

    def begin() -> None:
        nonlocal written
        if not written:
            durable.make_folder(_bytes(instruction.folder))
            os.chdir(_bytes(instruction.folder))
            if os.access(b"begun.json", os.F_OK):
                raise FileExistsError(errno.EEXIST, "begun before")
            for name in (b"worker.json", b"ended.json"):
                durable.reserve(name)
        written = True  # by nobody else: should the sync fail behind the rename, it is ours that is found there
        durable.put(b"begun.json", _json(about))

    return _persist(begin, wishes.any, wishes.wait)


def _persist(write: Callable[[], None], give_up: Callable[[], bool], wait: Callable[[float], None]) -> bool:
    """Repeat ``write`` until the disk takes it. False: given up, or the folder itself is gone."""
    while True:
        try:
            write()
            return True
        except OSError as error:
            if error.errno in _HOPELESS:
                return False
        if give_up():
            return False
        wait(RETRY_SECONDS)


def _asked(wishes: Wishes) -> Ended | None:
    """The end of a command that was to end before it was started."""
    if not wishes.any():
        return None
    return Ended(_TERMINATED, "cancel" if wishes.cancel else "shutdown")


def _run(instruction: Instruction, wishes: Wishes, adopts: bool) -> Ended:
    mark = instruction.environment.get(MARK, instruction.folder)
    reading, writing = os.pipe()
    begun = time.monotonic()
    try:
        pid = spawn(instruction.argv, instruction.cwd, instruction.environment, writing)
    except NotStarted as error:
        os.close(reading)
        return Ended(error.status, "not_started", problem=error.problem)
    finally:
        os.close(writing)
    log = Writer(b".", instruction.log_limit)
    worker = Worker(pid, reading, log, wishes, mark, adopts)
    with suppress(OSError):  # its space was reserved; without it the mark still tells what belongs to us
        about = {"pid": pid, "start": start_token(pid) or ""}
        durable.put(b"worker.json", _json(about), synced=False)
    if instruction.alongside:
        with suppress(NotStarted):
            worker.beside = spawn(instruction.alongside, "/", instruction.environment)
    cause = _watch(worker, wishes, begun, instruction.timeout, instruction.grace)
    told = worker.end_all(0 if cause else _grace(wishes, instruction.grace))
    worker.end_beside()
    worker.close()
    ended = _judge(worker, wishes, cause)
    ended.left_behind = 0 if cause else told
    ended.seconds = worker.ended - begun
    ended.output_bytes, ended.output_lost = log.total, log.lost
    ended.cpu_seconds, ended.peak_rss_bytes = worker.cpu, worker.peak
    return ended


def _watch(worker: Worker, wishes: Wishes, begun: float, timeout: float | None, grace: float) -> str:
    """Attend to the command until it ends by itself (an empty string) or is ended: the cause."""
    cause = ""
    while worker.status is None:
        left = None if timeout is None or cause else begun + timeout - time.monotonic()
        if not cause:
            if wishes.cancel:
                cause = "cancel"
            elif wishes.shutdown:
                cause = "shutdown"
            elif left is not None and left <= 0:
                cause = "timeout"
            if cause:
                worker.end_all(_grace(wishes, grace))
                continue
        worker.attend(left)  # after an end that did not help: until it dies after all
    return cause


def _grace(wishes: Wishes, grace: float) -> float:
    return min(grace, SHUTDOWN_SECONDS) if wishes.shutdown else grace


def _judge(worker: Worker, wishes: Wishes, cause: str) -> Ended:
    assert worker.status is not None
    code = os.waitstatus_to_exitcode(worker.status)
    killed_by = -code if code < 0 else None
    status = 128 - code if code < 0 else code
    if not cause:
        if killed_by == signal.SIGTERM:  # a system that shuts down tells everybody at once; perhaps us a moment later
            wishes.wait(_OWN_SIGNAL_SECONDS)
        cause = "signal" if killed_by else "exit"
        if wishes.shutdown and status != 0:
            cause = "shutdown"
    return Ended(TIMEOUT_STATUS if cause == "timeout" else status, cause, killed_by=killed_by)


def _poke(instruction: Instruction) -> None:
    """Wake who schedules; where nobody does, start who will."""
    try:
        fifo = os.open(_bytes(instruction.wake), os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        fifo = -1
    try:
        if fifo >= 0 and stat.S_ISFIFO(os.fstat(fifo).st_mode):  # a copied lab has a file there
            os.write(fifo, b".")
            return
    except BlockingIOError:  # it is full: the reader has enough to be woken by
        return
    except OSError:  # the reader went away
        pass
    if instruction.afterwards:
        # The empty mark says that it is no part of any job, even where a job's supervisor becomes its parent.
        with suppress(NotStarted):
            inherited = {_text(name): _text(value) for name, value in os.environb.items()}
            spawn(instruction.afterwards, instruction.afterwards_cwd, {**inherited, MARK: ""})


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode("ascii")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
