"""Which architectures the embedded llama.cpp has: its library holds their names as text.

Source: llama.cpp ``src/llama-arch.cpp``, ``LLM_ARCH_NAMES``: a table of C strings, each ended by a NUL. Linkers let one
string be the end of another, so a name is looked for with the NUL behind it alone: a text that merely ends alike lets a
model through, which the library then refuses itself; a known one is never refused.
"""

from __future__ import annotations

import importlib.util
import mmap
from functools import lru_cache
from pathlib import Path

_EVERYWHERE = "llama"  # where not even this is found, the names lie differently, and nothing is known


def knows(architecture: str) -> bool:
    """Whether the installed library has an architecture; True where that cannot be told. 0.1 s at most, then remembered."""
    files = tuple((str(path), path.stat().st_mtime_ns) for path in _libraries())
    return _has(files, architecture) or not _has(files, _EVERYWHERE)


def _libraries() -> list[Path]:
    """The files of the package that may hold llama.cpp's code."""
    spec = importlib.util.find_spec("xllamacpp")
    places = (spec.submodule_search_locations or []) if spec is not None else []
    return sorted(path for place in places for path in Path(place).rglob("*") if path.suffix in (".so", ".dylib"))


@lru_cache(maxsize=64)
def _has(files: tuple[tuple[str, int], ...], architecture: str) -> bool:
    wanted = architecture.encode() + b"\0"
    for path, _modified in files:
        with Path(path).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(wanted) >= 0:
                return True
    return False
