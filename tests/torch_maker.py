"""Files as ``torch.save`` writes them, made without torch: protocol 2, one persistent id per storage.

The bytes follow what torch 2 writes for a state dict (``torch/serialization.py``: ``_save``, ``_legacy_save``).
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TypeVar

ITEM = {"FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "ByteStorage": 1}
Target = TypeVar("Target", Path, io.BytesIO)
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
MAGIC = 0x1950A86A20F9469CFC6C


def text(value: str) -> bytes:
    """A text."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    """A number."""
    return b"J" + struct.pack("<i", value)


def imported(module: str, name: str) -> bytes:
    """A class or function."""
    return f"c{module}\n{name}\n".encode()


def several(*values: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def state_dict(tensors: Tensors, extra: bytes = b"") -> bytes:
    """The pickle of a state dict; ``extra`` is a value put in under the name ``extra``."""
    entries = b"".join(text(name) + tensor(str(key), *spec) for key, (name, spec) in enumerate(tensors.items()))
    if extra:
        entries += text("extra") + extra
    return b"\x80\x02" + imported("collections", "OrderedDict") + b")Rq\x00(" + entries + b"u."


def tensor(key: str, kind: str, shape: tuple[int, ...], numel: int | None = None) -> bytes:
    """One tensor on a storage of its own."""
    elements = prod(shape) if numel is None else numel
    storage = several(text("storage"), imported("torch", kind), text(key), text("cpu"), number(elements)) + b"Q"
    sizes = several(*(number(size) for size in shape))
    hooks = imported("collections", "OrderedDict") + b")R"
    return (
        imported("torch._utils", "_rebuild_tensor_v2")
        + several(storage, number(0), sizes, sizes, b"\x89", hooks)
        + b"R"
    )


def zipped(path: Target, pickled: bytes, tensors: Tensors, prefix: str = "archive", *, packed: bool = False) -> Target:
    """The zip that torch writes since 1.6, into a file or a stream."""
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr(f"{prefix}/data.pkl", pickled)
        archive.writestr(f"{prefix}/byteorder", "little")
        for key, (kind, shape) in enumerate(tensors.values()):
            archive.writestr(f"{prefix}/data/{key}", bytes(prod(shape) * ITEM[kind]))
        archive.writestr(f"{prefix}/version", "3\n")
    return path


def saved(path: Path, tensors: Tensors, extra: bytes = b"") -> Path:
    """A whole file with a state dict."""
    return zipped(path, state_dict(tensors, extra), tensors)


def legacy(path: Path, tensors: Tensors, extra: bytes = b"") -> Path:
    """The file that torch wrote before 1.6: five pickles, then the storages."""
    stream = io.BytesIO()
    pickle.dump(MAGIC, stream, 2)
    pickle.dump(1001, stream, 2)
    pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}, stream, 2)
    stream.write(state_dict(tensors, extra))
    pickle.dump([str(key) for key in range(len(tensors))], stream, 2)
    for kind, shape in tensors.values():
        stream.write(struct.pack("<q", prod(shape)) + bytes(prod(shape) * ITEM[kind]))
    path.write_bytes(stream.getvalue())
    return path
