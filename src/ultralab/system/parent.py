"""Ending with one's parent. A module of its own: what an engine's process imports is part of every model's memory."""

from __future__ import annotations

import os
import signal
import threading
import time

_PAUSE = 0.5  # seconds between two looks at the parent


def end_with_parent() -> None:
    """End this process within about half a second of its parent's end: for a child whose guard may be killed as well.

    Where it leads its process group (a guarded child does), the whole group ends: what it started has nobody else.
    """
    parent = os.getppid()
    if parent == 1:  # init: the guard, which is never that, was gone before we came to look
        _end()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PAUSE)
        _end()

    threading.Thread(target=watch, name="ultralab-parent", daemon=True).start()


def _end() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
