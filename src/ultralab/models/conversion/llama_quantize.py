"""llama.cpp's ``llama-quantize``: K and I types. What is asked of it, and what it says.

Sources: its ``--help`` and llama.cpp's ``tools/quantize/README.md``; the numbers are ``llama_ftype`` of ``llama.h``.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _

PROGRAM: Final = "llama-quantize"

FILE_TYPES: Final = {
    "Q6_K": 18, "Q5_K_M": 17, "Q5_K_S": 16, "Q4_K_M": 15, "Q4_K_S": 14, "IQ4_NL": 25, "IQ4_XS": 30,
    "Q3_K_L": 13, "Q3_K_M": 12, "Q3_K_S": 11, "IQ3_M": 27, "IQ3_S": 26, "IQ3_XS": 22, "IQ3_XXS": 23,
    "Q2_K": 10, "Q2_K_S": 21, "IQ2_M": 29, "IQ2_S": 28, "IQ2_XS": 20, "IQ2_XXS": 19, "IQ1_M": 31, "IQ1_S": 24,
}  # fmt: skip
"""The types, from most to fewest bits per weight, and the number that the made file has as ``general.file_type``."""

ALIASES: Final = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}

NEEDS_IMATRIX: Final = frozenset({"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ1_M", "Q2_K_S"})
"""llama-quantize refuses these without an importance matrix."""

_FULL: Final = frozenset({"F32", "F16", "BF16"})
_COUNTED: Final = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_BUILDS: Final = (re.compile(r"version: (.+)"), re.compile(r"\w+: build = (.+)"))


def find_program(named: Path | None = None) -> str:
    """The program on PATH, or ``named``: itself, or the folder it lies in (``build/bin`` of llama.cpp too).

    Raises Unsupported.
    """
    if named is not None:
        places = (named, named / PROGRAM, named / "build" / "bin" / PROGRAM)
        found = next((str(place) for place in places if place.is_file()), None)
    else:
        found = shutil.which(PROGRAM)
    if found is None:
        raise Unsupported(
            _("K- and I-quantizations are made by llama.cpp's {program}, which is not here.").format(program=PROGRAM),
            hint=_("Install it: brew install llama.cpp, or name the folder of your own llama.cpp."),
            program=PROGRAM,
        )
    return found


def command(
    program: str, source: Path, to: Path, target: str, *, imatrix: Path | None, quantized: str
) -> tuple[str, ...]:
    """The argument vector. ``quantized`` is the source's own type: what is quantized already must be allowed."""
    options: tuple[str, ...] = () if quantized in _FULL else ("--allow-requantize",)
    if imatrix is not None:
        options = (*options, "--imatrix", str(imatrix))
    return (program, *options, str(source), str(to), target)


def progress_of(line: str) -> tuple[int, int] | None:
    """Tensor and number of tensors from ``[  12/ 291] blk.1.… converting to q4_K .. size = …``; None for other lines."""
    match = _COUNTED.match(line)
    return (int(match[1]), int(match[2])) if match else None


def build_of(line: str) -> str:
    """The build from ``version: 0.0.9 (build 9210, commit 1a2b3c4)`` or, older, ``main: build = 4589 (eb7cf15a)``."""
    for pattern in _BUILDS:
        if match := pattern.fullmatch(line):
            return match[1][:120]
    return ""
