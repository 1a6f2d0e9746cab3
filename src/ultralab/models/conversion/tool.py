"""Running an external program for a conversion: heard line by line, ended whole when we are interrupted."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.system import files, process

_LONGEST_LINE: Final = 65_536  # bytes; what is poured out without a line's end is taken in pieces
_PAUSE: Final = 0.1  # seconds between two looks at the log
_TOLD: Final = 500  # characters of the last line that an error repeats
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}


def _nothing() -> None:
    return None


def run_tool(
    argv: Sequence[str],
    *,
    log: Path,
    name: str,
    hear: Callable[[str], None] = lambda _line: None,
    tick: Callable[[], None] = _nothing,
    hint: str = "",
) -> tuple[str, ...]:
    """Run a program to its end, without the network's hubs; what it said on standard output, at most 1000 lines.

    ``hear`` is told every line of both outputs, ``tick`` is called some ten times a second: both in this thread. When
    either raises, or this process is interrupted or killed, the program ends with everything that it started.
    Standard error goes to ``log``. Raises ToolFailed: missing, or a status that is not 0.
    """
    child = process.start_guarded(argv, log=log, extra_environment=_OFFLINE)
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(child.events, said), daemon=True)
    reader.start()
    kept: list[str] = []
    last = [""]

    def listen(stream: IO[bytes]) -> None:
        while line := stream.readline(_LONGEST_LINE):
            text = line.decode("utf-8", "replace").strip()
            last[0] = text or last[0]
            hear(text)
        with contextlib.suppress(queue.Empty):
            while True:
                text = said.get_nowait()
                kept.append(text)
                del kept[:-1000]
                hear(text)
        tick()

    try:
        with files.explained(log), log.open("rb") as stream:
            while (status := child.wait(_PAUSE)) is None:
                listen(stream)
            reader.join(timeout=5)
            listen(stream)
    finally:
        child.end()
    if status != 0:
        raise _failed(name, status, last[0] or (kept[-1] if kept else ""), hint)
    return tuple(kept)


def _read(stream: IO[bytes], said: queue.SimpleQueue[str]) -> None:
    with stream:
        while line := stream.readline(_LONGEST_LINE):
            said.put(line.decode("utf-8", "replace").strip())


def _failed(name: str, status: int, last: str, hint: str) -> ToolFailed:
    ending = (
        _("killed by signal {number}").format(number=status - 128)
        if status > 128
        else _("exit status {status}").format(status=status)
    )
    return ToolFailed(
        _("{name} failed ({ending}): {reason}").format(name=name, ending=ending, reason=printable(last[:_TOLD]) or "-"),
        hint=hint,
        program=name,
        status=status,
    )
