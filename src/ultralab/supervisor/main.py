"""The supervisor of one attempt of one job. Run as a script: ``python -I -S main.py TITLE``.

TITLE is only for who looks at the list of processes. It knows no queue: it reads one instruction from its standard
input, a JSON object on one line, and goes away without a trace where that ends before. The keys:

==================  ============================================================================================
version             1
folder              where its records go; its parent exists
fence               the attempt's number, repeated in the records
argv, cwd           the command and the folder that it runs in
environment         the command's whole environment; ULTRALAB_JOB in it marks what belongs to the attempt
log_limit           the most bytes of output that are kept
timeout             seconds of running time, or null
grace               seconds between SIGTERM and SIGKILL
alongside           a command that runs as long as the job does, say a power assertion; or null
wake                a FIFO that gets one byte at the end; its path may begin in the attempt's folder
afterwards,         a command that is started where nobody reads that FIFO, or null; and its folder
afterwards_cwd
==================  ============================================================================================

Strings that are no UTF-8 hold surrogate escapes. SIGUSR1 cancels the job, SIGTERM says that the machine shuts down.
Standard library only, and little of it: ready in a fraction of the time that ultralab's other processes need.
"""

# Without pathlib, which costs milliseconds of the supervisor's start.
# ruff: noqa: PTH100

import json
import os
import sys

if (
    __name__ == "__main__"
):  # isolated mode: the package is not on the path; last, for it must not hide a standard module
    sys.path.append(os.path.abspath(__file__ + "/../../.."))

from ultralab.supervisor.attempt import Instruction, carry_out
from ultralab.supervisor.wishes import Wishes

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Wait for the instruction and carry it out."""
    wishes = Wishes()
    adopts = adopt_orphans()
    instruction = read_instruction()
    if instruction is not None:
        carry_out(instruction, wishes, adopts)


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends (``prctl(2)``; Linux). False where that is unknown."""
    platform: str = sys.platform
    if platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def read_instruction() -> Instruction | None:
    """One line of JSON from standard input, which is ``/dev/null`` afterwards; None: it ended without a whole one."""
    parts: list[bytes] = []
    while part := os.read(0, 65536):
        parts.append(part)
        if part.endswith(b"\n"):
            break
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    try:
        return Instruction(json.loads(b"".join(parts)))
    except ValueError:
        return None


if __name__ == "__main__":
    main()
