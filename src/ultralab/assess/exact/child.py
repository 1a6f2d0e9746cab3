"""The process that asks llama.cpp's fit report. Answers one JSON line per question on standard output.

A process of its own: what llama.cpp cannot take ends the process that reads it (a C++ exception crosses ``ctypes``).
Questions are JSON: the one on the command line, else lines on standard input, with ``path``, ``context`` (all sequences
together), ``sequences``, ``unified``, ``key_type``, ``value_type``, ``flash``, ``ubatch``, and if wanted ``outputs``
(rows of logits, 0: one for each token of the micro-batch). An answer holds ``version``, ``printed`` (the report as it
is), its sums ``weights_mib``, ``context_mib``, ``compute_mib``, and ``log``, what llama.cpp logged on the way. Its
errors go to standard error at once. ``{"refused": version}`` says that this version's structs are not known.

The calls are those of ``llama.h`` and ``common/fit.h``: ``llama_*_default_params`` return a struct by value, and
``common_fit_print`` takes a path and two pointers. It loads without allocating a weight and without mapping the file
(``common/fit.cpp`` sets ``no_alloc`` and ``LLAMA_LOAD_MODE_NONE``).

The macOS arm64 wheel of 2026.10.11549 exports the same five names (its Mach-O symbol table: ``_llama_backend_init``,
``_llama_log_set``, ``_llama_model_default_params``, ``_llama_context_default_params`` and, mangled,
``common_fit_print``); it was read, not run. Receiving those structs in one of 1024 bytes is sound there as it is on
x86-64: both are larger than 16 bytes and no run of equal floats, so the caller hands over memory for the result and the
callee writes its own size into it (AAPCS64 §6.9: the address in x8; System V x86-64 psABI §3.2.3: class MEMORY). What
lies behind the callee's struct is never looked at. On a Mac the report has a row for the GPU before that of the host.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ultralab.assess.exact.layouts import LAYOUTS, Layout

_PRINT: Final = "_Z16common_fit_printPKcP18llama_model_paramsP20llama_context_params"
_TYPES: Final = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30}
"""ggml's numbers (``ggml.h``: ``enum ggml_type``)."""
_BATCH: Final = 2048
_ERROR: Final = 4  # ggml.h: GGML_LOG_LEVEL_ERROR


class _Parameters(ctypes.Structure):
    """Room for a struct of parameters, larger than any version's."""

    _fields_ = (("content", ctypes.c_uint8 * 1024),)


_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def main(questions: Iterable[str], layouts: Mapping[str, Layout] = LAYOUTS) -> int:
    """Answer each question, if this version's layout is among ``layouts``."""
    import xllamacpp
    import xllamacpp.xllamacpp as extension

    version = str(xllamacpp.__version__)
    library = ctypes.CDLL(extension.__file__)
    layout = layouts.get(version)
    if layout is None or not layout.fits(_default(library, "context"), _default(library, "model")):
        print(json.dumps({"refused": version}), flush=True)
        return 0
    _die_quietly()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log: list[str] = []

    def logged(level: int, text: bytes, _data: object) -> None:
        log.append(text.decode("utf-8", "replace"))
        if level == _ERROR:  # what follows may be the end of this process
            os.write(2, text)

    callback = _Log(logged)
    library.llama_backend_init()
    library.llama_log_set(callback, None)
    for line in questions:
        log.clear()
        printed = _asked(library, layout, json.loads(line))
        answer = {"version": version, "printed": printed, **_sums(printed), "log": "".join(log)}
        print(json.dumps(answer), file=answers, flush=True)
    return 0


def _die_quietly() -> None:
    """An exception's ``abort`` ends this process at once: no core file, no crash report of the system."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(signal.SIGABRT, ctypes.cast(libc["_exit"], ctypes.c_void_p))


def _default(library: Any, which: str) -> bytes:
    function = getattr(library, f"llama_{which}_default_params")
    function.restype = _Parameters
    return bytes(function().content)


def _asked(library: Any, layout: Layout, question: dict[str, Any]) -> str:
    """What ``common_fit_print`` prints, a few lines: its standard output goes into a pipe while it runs."""
    context, model = bytearray(_default(library, "context")), bytearray(_default(library, "model"))
    sizes = (question["context"], max(_BATCH, question["ubatch"]), question["ubatch"], question["sequences"])
    struct.pack_into("<4I", context, layout.sizes, *sizes)
    struct.pack_into("<I", context, layout.outputs, question.get("outputs", 0))
    struct.pack_into("<i", context, layout.flash, 1 if question["flash"] else 0)
    struct.pack_into("<i", context, layout.key_type, _TYPES[question["key_type"]])
    struct.pack_into("<i", context, layout.value_type, _TYPES[question["value_type"]])
    context[layout.swa_full], context[layout.kv_unified] = 0, int(question["unified"])
    model[layout.extra_buffers] = 0
    ask = getattr(library, _PRINT)
    ask.argtypes, ask.restype = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p), None
    held = [(ctypes.c_uint8 * len(part)).from_buffer(part) for part in (model, context)]
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(writing)
    ask(os.fsencode(question["path"]), *(ctypes.addressof(part) for part in held))
    ctypes.CDLL(None).fflush(None)
    os.dup2(2, 1)  # the pipe has no writer any more: what was written can be read to its end
    with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _sums(printed: str) -> dict[str, int]:
    """One line per device: name, then MiB of weights, context and compute buffers."""
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    sums = [sum(int(row[at]) for row in rows) for at in (-3, -2, -1)]
    return {"weights_mib": sums[0], "context_mib": sums[1], "compute_mib": sums[2]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or sys.stdin))
