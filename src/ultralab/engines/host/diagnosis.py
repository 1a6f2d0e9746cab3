"""Why an engine failed, by the last lines of its log and how its process ended: what to do about it. Pure.

The texts are those that the frameworks print; ``tests/unit/engines/test_diagnosis.py`` has recorded ones, each
with its source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ultralab.kernel.language import N_, _

_MEMORY: Final = N_(
    "There was not enough memory: take a smaller context, a KV cache of fewer bits or a smaller quantization, or end "
    "what else holds memory."
)
_DAMAGED: Final = N_("The model's files are damaged or incomplete: check them with ultralab models verify.")
_UNKNOWN: Final = N_(
    "This version of the engine does not know this kind of model: take another engine (ultralab engines list shows "
    "them), or a newer version of it."
)
_PORT: Final = N_("The port is taken by another program: try again, or end that program.")
_FILES: Final = N_("Too many files are open: raise the limit (ulimit -n) and try again.")
_DISK: Final = N_("The disk is full: free some space and try again.")
_PACKAGE: Final = N_("A package that the engine needs is missing: ultralab engines check says how to get it.")
_KILLED: Final = N_(
    "Somebody killed it, most likely the system, for memory: take a smaller context or a smaller quantization, or end "
    "what else holds memory."
)
_PROCESSOR: Final = N_("The engine was built for another processor: install it anew for this machine.")

# Looked for in each line, the newest first; within a line the first that is found counts.
_RULES: Final = tuple(
    (re.compile(text, re.IGNORECASE), remedy)
    for text, remedy in (
        (r"no space left on device|disk quota exceeded", _DISK),
        (r"too many open files", _FILES),
        (r"address already in use|couldn't bind http server socket", _PORT),
        (r"kIOGPUCommandBufferCallbackErrorOutOfMemory|insufficient memory|out[ -]of[ -]memory", _MEMORY),
        (r"(failed|unable|can't|cannot|could not) (to )?allocate|\bbad_alloc\b|^MemoryError\b", _MEMORY),
        (r"attempting to allocate \d+ bytes which is greater than", _MEMORY),
        (r"(unknown|unsupported) model architecture|unknown pre-tokenizer type", _UNKNOWN),
        (r"model type \S+ not supported|does not recognize this architecture", _UNKNOWN),
        (r"not within the file bounds|corrupted or incomplete|invalid magic characters", _DAMAGED),
        (r"error while deserializing header|incomplete metadata|file is not a valid GGUF", _DAMAGED),
        (r"missing tensor '|has wrong shape; expected", _DAMAGED),
        (r"no module named |ModuleNotFoundError", _PACKAGE),
    )
)

_BY_STATUS: Final = {128 + 9: _KILLED, 128 + 4: _PROCESSOR}
_LOOKED_AT: Final = 60


def remedy(lines: Sequence[str], status: int | None = None) -> str:
    """What to do (translated), empty where nothing is known.

    ``status``: of a process that ended without our doing, as a shell gives it (128 + signal).
    """
    for line in reversed(lines[-_LOOKED_AT:]):
        for pattern, found in _RULES:
            if pattern.search(line):
                return _(found)
    return _(_BY_STATUS[status]) if status in _BY_STATUS else ""


def ending(status: int | None) -> str:
    """How a process ended, in words (translated)."""
    if status is None:
        return _("it still runs")
    if status > 128:
        return _("killed by signal {number}").format(number=status - 128)
    return _("exit status {status}").format(status=status)
