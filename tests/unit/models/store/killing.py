"""Killing a process between any two of its changes of the disk: real processes, stopped at a counted step."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

STEPS = frozenset(
    {"os.rename", "os.remove", "os.symlink", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.truncate"}
)


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a process of its own, killed just before its change number ``step``; False if it came to its end."""
    child = os.fork()
    if child == 0:
        _run(step, work)
    _pid, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the child failed"
        return False
    assert os.WTERMSIG(status) == signal.SIGKILL
    return True


def _run(step: int, work: Callable[[], object]) -> None:
    done = 0

    def watch(event: str, _args: object) -> None:
        nonlocal done
        writes = event == "open" and isinstance(_args, tuple) and _args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in STEPS or writes:
            done += 1
            if done > step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        work()
    except BaseException:  # noqa: BLE001 - nothing of the child may go on in the test runner
        traceback.print_exc()
        os._exit(3)
    os._exit(0)
