"""Ending with one's parent. A module of its own: what an engine's process imports is part of every model's memory."""

from __future__ import annotations

import os
import threading
import time


def end_with_parent() -> None:
    """End this process within about a second of its parent's end: for a child whose guard may be killed as well."""
    parent = os.getppid()
    if parent == 1:  # init: the guard, which is never that, was gone before we came to look
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="ultralab-parent", daemon=True).start()
