"""A small parent that ends its child when its own owner is gone. Run as a script, by path; imports nothing of ours.

``guard.py LIMIT PROGRAM [ARGUMENT …]``. Standard input is a pipe that the owner holds open. When the owner writes a
number of seconds into it, the child's whole process group gets SIGTERM and, so much later, SIGKILL. When it closes
without a word the owner died, and the group has one second. macOS has no parent-death signal, hence a process.

Standard error is the log: what the child writes there comes through a pipe and is kept within LIMIT bytes (the
beginning, and the newest). Exits with the child's status (128 + signal number if a signal ended it; 127 if it could
not be started).
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading

ORPHANED_SECONDS = 1.0
LAST_WORDS_SECONDS = 0.5
_BLOCK = 65_536


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
        with contextlib.suppress(OSError):
            self._size = os.fstat(file).st_size

    def write(self, data: bytes) -> None:
        """Add to the end."""
        with contextlib.suppress(OSError):
            while data:
                count = os.write(self._file, data)
                self._size += count
                data = data[count:]
        if self._size > self._limit:
            with contextlib.suppress(OSError):
                self._shorten()

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
    """Start the child and watch both ends."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # only the leash ends us; the child gets its defaults back below
    hearing, speaking = os.pipe()
    try:
        child = subprocess.Popen(
            argv[1:],
            stdin=subprocess.DEVNULL,
            stderr=speaking,
            process_group=0,
            preexec_fn=_default_signals,  # noqa: PLW1509
        )
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 127
    os.close(speaking)
    os.close(1)  # the owner shall see the end of the child's output when the child ends
    writer = threading.Thread(target=_write_down, args=(hearing, Log(2, int(argv[0]))), daemon=True)
    writer.start()
    reading, writing = os.pipe()
    threading.Thread(target=_announce_end, args=(child, writing), daemon=True).start()
    ready, _, _ = select.select([0, reading], [], [])
    if reading not in ready:
        _end_group(child, _patience())
    else:
        _signal_group(child.pid, signal.SIGKILL)  # what the child may have started and left
    status = child.wait()
    writer.join(LAST_WORDS_SECONDS)  # only who made a session of its own can still hold the pipe
    return status if status >= 0 else 128 - status


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _write_down(hearing: int, log: Log) -> None:
    while data := os.read(hearing, _BLOCK):
        log.write(data)


def _announce_end(child: "subprocess.Popen[bytes]", writing: int) -> None:
    child.wait()
    os.close(writing)


def _patience() -> float:
    """Seconds that the child has to end: what the owner says, or little if it died without a word."""
    said = os.read(0, 64)
    try:
        return float(said) if said else ORPHANED_SECONDS
    except ValueError:
        return ORPHANED_SECONDS


def _end_group(child: "subprocess.Popen[bytes]", patience: float) -> None:
    _signal_group(child.pid, signal.SIGTERM)
    _signal_group(child.pid, signal.SIGCONT)  # who is stopped hears nothing
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(patience)
    _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
