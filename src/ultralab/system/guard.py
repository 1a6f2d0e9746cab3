"""A small parent that ends its child when its own owner is gone. Run as a script, by path; imports nothing of ours.

``guard.py OWNER LIMIT PROGRAM [ARGUMENT …]``. Standard input is a pipe that the owner holds open. When the owner writes
a number of seconds into it, the child's whole process group gets SIGTERM and, so much later, SIGKILL. When it closes
without a word the owner died, and the group has one second. What the owner forked may hold the pipe open as well: so
the guard also looks, twice a second, whether OWNER (a pid) is still its parent. macOS has no parent-death signal, hence
a process.

Standard error is the log: what the child writes there comes through a pipe and is kept within LIMIT bytes (the
beginning, and the newest). Exits with the child's status (128 + signal number if a signal ended it; 127 if it could
not be started).
"""

# Few modules on purpose (no contextlib, subprocess, threading): all of this comes before a model begins to load.
# ruff: noqa: SIM105

import os
import select
import signal
import sys
import time

ORPHANED_SECONDS = 1.0
LAST_WORDS_SECONDS = 0.5
GLANCE_SECONDS = 0.5
_BLOCK = 65_536
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)  # only the leash ends us
_DEFAULTS = (*_IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)  # as a program expects them


class Log:
    """The file behind descriptor ``file`` (read, write, append), kept within ``limit`` bytes. Never raises OSError.

    When it grows over the limit, its first quarter and its last quarter stay, with a line between them that says how
    much was left out. What a full disk refuses is lost.
    """

    def __init__(self, file: int, limit: int) -> None:
        self._file = file
        self._quarter = limit // 4
        self._limit = limit
        self._size = 0
        self._head = 0
        self._left_out = 0
        self._note = b""
        try:
            self._size = os.fstat(file).st_size
        except OSError:
            pass

    def write(self, data: bytes) -> None:
        """Add to the end."""
        try:
            while data:
                count = os.write(self._file, data)
                self._size += count
                data = data[count:]
        except OSError:
            pass
        if self._size > self._limit:
            try:
                self._shorten()
            except OSError:
                pass

    def _shorten(self) -> None:
        if not self._head:
            first = os.pread(self._file, self._quarter, 0)
            self._head = first.rfind(b"\n") + 1 or len(first)
        tail = os.pread(self._file, self._quarter, self._size - self._quarter)
        tail = tail[tail.find(b"\n") + 1 :]
        self._left_out += self._size - self._head - len(tail) - len(self._note)
        self._note = b"... %d bytes were left out here ...\n" % self._left_out
        os.ftruncate(self._file, self._head)
        self._size = self._head
        rest = self._note + tail
        while rest:
            count = os.write(self._file, rest)
            self._size += count
            rest = rest[count:]


def main(argv: list[str]) -> int:
    """Start the child and watch both ends, in one thread."""
    owner, limit, *program = argv
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # who started us may have blocked some, and that is inherited
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    waking, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    hearing, speaking = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        child = os.posix_spawnp(
            program[0],
            program,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, speaking, 2)],
            setpgroup=0,
            setsigdef=_DEFAULTS,
        )
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        return 127
    os.close(speaking)
    os.close(1)  # the owner shall see the end of the child's output when the child ends
    log = Log(2, int(limit))
    status = _watch(int(owner), child, waking, hearing, log)
    _signal_group(child, signal.SIGKILL)  # what the child may have started and left
    _last_words(hearing, log)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _watch(owner: int, child: int, waking: int, hearing: int, log: Log) -> int:
    """Write the log until the child has ended, and end it when the leash says so; its wait status."""
    watched = [0, waking, hearing]
    deadline = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        ready, _, _ = select.select(watched, [], [], _until(deadline))
        if waking in ready:
            os.read(waking, _BLOCK)
        if hearing in ready:
            if data := os.read(hearing, _BLOCK):
                log.write(data)
            else:
                watched.remove(hearing)
        if 0 in ready or (0 in watched and os.getppid() != owner):
            deadline = time.monotonic() + (_patience() if 0 in ready else ORPHANED_SECONDS)
            watched.remove(0)
            _signal_group(child, signal.SIGTERM)
            _signal_group(child, signal.SIGCONT)  # who is stopped hears nothing
        elif deadline is not None and time.monotonic() >= deadline:
            deadline = None
            _signal_group(child, signal.SIGKILL)
            os.kill(child, signal.SIGKILL)  # it may have left its group; nobody else can have its number yet


def _until(deadline: float | None) -> float:
    """Seconds to wait for news."""
    return GLANCE_SECONDS if deadline is None else max(0.0, min(GLANCE_SECONDS, deadline - time.monotonic()))


def _last_words(hearing: int, log: Log) -> None:
    """What the child still had to say; only who made a session of its own can hold the pipe, or flood it, any longer."""
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    while (left := deadline - time.monotonic()) > 0 and select.select([hearing], [], [], left)[0]:
        data = os.read(hearing, _BLOCK)
        if not data:
            return
        log.write(data)


def _patience() -> float:
    """Seconds that the child has to end: what the owner says, or little if it died without a word."""
    said = os.read(0, 64)
    try:
        return float(said.split(b"\n")[0]) if said else ORPHANED_SECONDS  # the first, where several spoke at once
    except ValueError:
        return ORPHANED_SECONDS


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
