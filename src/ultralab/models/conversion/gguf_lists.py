"""The long lists of a GGUF header, which our reader only counts: a vocabulary's texts and the types of its tokens.

Source of the form: ggml-org/ggml ``docs/gguf.md``. Only for headers that our reader has accepted.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from ultralab.models.formats.gguf_reader import GgufHeader
from ultralab.models.formats.gguf_types import STRING, UINT32
from ultralab.system import files

_INT32: Final = 5  # GGUF_METADATA_VALUE_TYPE_INT32


def texts(raw: GgufHeader, key: str) -> list[str]:
    """A list of texts; empty where there is none. Raises FileAccess, NotFound."""
    content, found, at = _content(raw, key, STRING), [], 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        found.append(content[at + 8 : at + 8 + length].decode("utf-8", "replace"))
        at += 8 + length
    return found


def numbers(raw: GgufHeader, key: str) -> list[int]:
    """A list of whole numbers of 32 bits; empty where there is none. Raises FileAccess, NotFound."""
    content = _content(raw, key, _INT32) or _content(raw, key, UINT32)
    return list(struct.unpack(f"<{len(content) // 4}i", content))


def _content(raw: GgufHeader, key: str, kind: int) -> bytes:
    """The bytes of a list's items; empty where there is no such list, or one of another type."""
    entry = next((one for one in raw.entries if one.key == key), None)
    if entry is None or key not in raw.counts:
        return b""
    with files.explained(raw.path), raw.path.open("rb") as stream:
        stream.seek(entry.start + 8 + len(key.encode()) + 4)  # past the key and its type
        (found,) = struct.unpack("<I", stream.read(4))
        stream.seek(8, os.SEEK_CUR)  # the number of items
        return stream.read(entry.end - stream.tell()) if found == kind else b""
