"""The process that asks llama.cpp's fit report. Answers one JSON line per question on standard output.

A process of its own: a model file that llama.cpp cannot take may end the process that reads it. It reads questions as
JSON lines from standard input: ``path``, ``context`` (all sequences together), ``sequences``, ``unified``, ``key_type``,
``value_type``, ``flash``, ``ubatch``. An answer holds ``weights_mib``, ``context_mib``, ``compute_mib`` as llama.cpp
prints them, and ``log``, what it logged on the way.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import struct
import sys
import tempfile
from typing import Any, Final

from ultralab.assess.exact.layouts import LAYOUTS, Layout

_PRINT: Final = "_Z16common_fit_printPKcP18llama_model_paramsP20llama_context_params"
_TYPES: Final = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30}
"""ggml's numbers (``ggml.h``: ``enum ggml_type``)."""
_BATCH: Final = 2048


class _Parameters(ctypes.Structure):
    """Room for a struct of parameters, larger than any version's."""

    _fields_ = (("content", ctypes.c_uint8 * 1024),)


_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def main() -> int:
    """Answer until standard input ends."""
    import xllamacpp.xllamacpp as extension

    version = importlib.metadata.version("xllamacpp")
    library = ctypes.CDLL(extension.__file__)
    layout = LAYOUTS.get(version)
    if layout is None or not layout.fits(_default(library, "context"), _default(library, "model")):
        print(json.dumps({"refused": version}), flush=True)
        return 0
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log: list[str] = []
    callback = _Log(lambda _level, text, _data: log.append(text.decode("utf-8", "replace")))
    library.llama_backend_init()
    library.llama_log_set(callback, None)
    for line in sys.stdin:
        log.clear()
        printed = _asked(library, layout, json.loads(line))
        print(json.dumps({"version": version, **_parsed(printed), "log": "".join(log)}), file=answers, flush=True)
    return 0


def _default(library: Any, which: str) -> bytes:
    function = getattr(library, f"llama_{which}_default_params")
    function.restype = _Parameters
    return bytes(function().content)


def _asked(library: Any, layout: Layout, question: dict[str, Any]) -> str:
    """What ``common_fit_print`` prints: its standard output goes into a file while it runs."""
    context, model = bytearray(_default(library, "context")), bytearray(_default(library, "model"))
    sizes = (question["context"], max(_BATCH, question["ubatch"]), question["ubatch"], question["sequences"])
    struct.pack_into("<4I", context, layout.sizes, *sizes)
    struct.pack_into("<i", context, layout.flash, 1 if question["flash"] else 0)
    struct.pack_into("<i", context, layout.key_type, _TYPES[question["key_type"]])
    struct.pack_into("<i", context, layout.value_type, _TYPES[question["value_type"]])
    context[layout.swa_full], context[layout.kv_unified] = 0, int(question["unified"])
    model[layout.extra_buffers] = 0
    ask = getattr(library, _PRINT)
    ask.argtypes, ask.restype = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p), None
    held = [(ctypes.c_uint8 * len(part)).from_buffer(part) for part in (model, context)]
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        ask(os.fsencode(question["path"]), *(ctypes.addressof(part) for part in held))
        ctypes.CDLL(None).fflush(None)
        printed.seek(0)
        return printed.read().decode("utf-8", "replace")


def _parsed(printed: str) -> dict[str, int]:
    """One line per device: name, then MiB of weights, context and compute buffers."""
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    sums = [sum(int(row[at]) for row in rows) for at in (-3, -2, -1)]
    return {"weights_mib": sums[0], "context_mib": sums[1], "compute_mib": sums[2]}


if __name__ == "__main__":
    sys.exit(main())
