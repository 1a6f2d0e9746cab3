"""A small parent that ends its child when its own owner is gone. Run as a script, by path; imports nothing of ours.

``guard.py PROGRAM [ARGUMENT …]``. Standard input is a pipe that the owner holds open; when it closes, the child's
whole process group gets SIGTERM and, 5 seconds later, SIGKILL. macOS has no parent-death signal, hence a process.
Exits with the child's status (128 + signal number if a signal ended it; 127 if it could not be started).
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading

PATIENCE_SECONDS = 5.0


def main(argv: list[str]) -> int:
    """Start the child and watch both ends."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # only the leash ends us; the child gets its defaults back below
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_default_signals,  # noqa: PLW1509
        )
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 127
    os.close(1)  # the owner shall see the end of the child's output when the child ends
    reading, writing = os.pipe()
    threading.Thread(target=_announce_end, args=(child, writing), daemon=True).start()
    ready, _, _ = select.select([0, reading], [], [])
    if reading not in ready:
        _end_group(child)
    else:
        _signal_group(child.pid, signal.SIGKILL)  # what the child may have started and left
    status = child.wait()
    return status if status >= 0 else 128 - status


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _announce_end(child: "subprocess.Popen[bytes]", writing: int) -> None:
    child.wait()
    os.close(writing)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    _signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(PATIENCE_SECONDS)
    _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
