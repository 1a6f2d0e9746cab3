"""Writing a GGUF file in another quantization: the header's keys byte for byte, then tensor after tensor.

Imports numpy and gguf. Only :mod:`ultralab.models.conversion.quantize` loads it, with a header that our reader accepted.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType, quants

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.conversion.gguf_plan import TensorPlan
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo
from ultralab.models.formats.gguf_types import MAGIC, STRING, UINT32, TensorType
from ultralab.system import files

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VERSION: Final = 3
_SLAB: Final = 1024 * 1024
"""Numbers converted at a time: rows are independent, so memory need not grow with the tensor."""

_JOINED: Final = 16
"""Rows that are handed to gguf as one: more in numpy, less in Python, half the time."""

_WORKERS: Final = 8

_BYTES_PER_NUMBER: Final = 48
"""What converting takes per number of a slab: 4 for the float32, the rest is gguf's own intermediate arrays. Measured
over every target type: 10 (Q4_0) to 43 (MXFP4)."""

_FILE_TYPE: Final = "general.file_type"
_QUANTIZED_BY: Final = "general.quantized_by"
_QUANTIZATION_VERSION: Final = "general.quantization_version"
_REWRITTEN: Final = (_FILE_TYPE, _QUANTIZED_BY, _QUANTIZATION_VERSION)
_GGML_QUANTIZATION_VERSION: Final = 2  # GGML_QNT_VERSION of ggml.h


class _Hashing:
    """Writes to a stream and hashes what passes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.count = 0

    def write(self, block: bytes | memoryview) -> None:
        self._stream.write(block)
        self.digest.update(block)
        self.count += len(block)

    def pad(self, alignment: int) -> None:
        self.write(bytes(-self.count % alignment))


def requantize(
    raw: GgufHeader, plans: Sequence[TensorPlan], target: TensorType, to: Path, progress: Progress
) -> tuple[int, str]:
    """Write ``raw``'s model as ``plans`` say; the new file's bytes and SHA-256. Deterministic.

    Raises Unsupported (a source type that cannot be unpacked), FileDamaged (numbers that are none), DiskFull.
    """
    for one in plans:
        if one.changes:
            _require_readable(raw, one.tensor)
    files.require_space(to.parent, raw.file_size - sum(one.tensor.size - one.size for one in plans))
    label = _("Quantizing to {type}").format(type=target.name)
    with (
        files.explained(raw.path),
        raw.path.open("rb") as reading,
        files.explained(to),
        to.open("wb") as stream,
        progress.step(label, sum(one.tensor.size for one in plans), "bytes") as step,
    ):
        writing = _Hashing(stream)
        writing.write(_header(raw, plans, target, reading))
        writing.pad(raw.alignment)
        data = writing.count
        for one, read, written in _converted(raw, plans, reading):
            if writing.count <= data + one.offset:  # the tensor's first block
                writing.write(bytes(data + one.offset - writing.count))
            writing.write(written)
            step.advance(read)
        writing.pad(raw.alignment)
    return writing.count, writing.digest.hexdigest()


def peak_memory(raw: GgufHeader) -> int:
    """About what :func:`requantize` holds at its peak, bytes: a slab of the largest tensor for each worker while it is
    converted, two more with their results on the way in and out, and the header's keys while they are copied.
    """
    slab = max((min(one.elements, _rows_at_once(one) * one.row) for one in raw.tensors), default=0)
    header = min((one.start for one in raw.tensors), default=raw.file_size)
    return (_workers() * _BYTES_PER_NUMBER + 2 * 2 * 4) * slab + 3 * header


def _workers() -> int:
    return min(_WORKERS, os.cpu_count() or 1)


def _rows_at_once(tensor: TensorInfo) -> int:
    return max(1, _SLAB // max(1, tensor.row) // _JOINED * _JOINED)


def _converted(
    raw: GgufHeader, plans: Sequence[TensorPlan], reading: IO[bytes]
) -> Iterator[tuple[TensorPlan, int, bytes | memoryview]]:
    """Each slab's plan, bytes read and new bytes, in the file's order, converted on a few threads ahead of the writer."""
    workers = _workers()
    waiting: deque[tuple[TensorPlan, int, Future[bytes | memoryview]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for one, block in _slabs(raw, plans, reading):
                waiting.append((one, len(block), pool.submit(_convert, raw, one, block)))
                if len(waiting) > workers:
                    first, read, future = waiting.popleft()
                    yield first, read, future.result()
            while waiting:
                first, read, future = waiting.popleft()
                yield first, read, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _require_readable(raw: GgufHeader, tensor: TensorInfo) -> None:
    """Unpack one block of zeros: whether gguf can unpack this type at all."""
    try:
        quants.dequantize(np.zeros((1, tensor.type.bytes), np.uint8), GGMLQuantizationType(tensor.type.code))
    except NotImplementedError as error:
        raise Unsupported(
            _("{path} holds {name} as {type}, which cannot be unpacked here.").format(
                path=raw.path, name=tensor.name, type=tensor.type.name
            ),
            hint=_("Start from another variant of the model, best from F16 or Q8_0."),
            path=str(raw.path),
        ) from error


def _slabs(raw: GgufHeader, plans: Sequence[TensorPlan], reading: IO[bytes]) -> Iterator[tuple[TensorPlan, bytes]]:
    """The source's tensor data, some whole rows at a time; a tensor without numbers gives nothing."""
    for one in plans:
        tensor = one.tensor
        reading.seek(tensor.start)
        row_bytes = tensor.type.size_of(tensor.row)
        rows = tensor.elements // tensor.row if tensor.row else 0
        rows_at_once = _rows_at_once(tensor)
        for first in range(0, rows, rows_at_once):
            wanted = min(rows_at_once, rows - first) * row_bytes
            block = reading.read(wanted)
            if len(block) != wanted:
                raise _damaged(raw, tensor, _("the file became shorter"))
            yield one, block


def _convert(raw: GgufHeader, one: TensorPlan, block: bytes) -> bytes | memoryview:
    if not one.changes:
        return block
    row_bytes = one.tensor.type.size_of(one.tensor.row)
    # Blocks never cross rows, so rows may be joined: gguf loops in Python over 16 rows at a time.
    rows = len(block) // row_bytes // math.gcd(len(block) // row_bytes, _JOINED)
    packed = np.frombuffer(block, np.uint8).reshape(rows, -1)
    with np.errstate(all="ignore"):
        numbers: NDArray[Any] = quants.dequantize(packed, GGMLQuantizationType(one.tensor.type.code))
        if not np.isfinite(numbers).all():
            raise _damaged(raw, one.tensor, _("some of its numbers are infinite or none at all"))
        changed: NDArray[Any] = quants.quantize(numbers, GGMLQuantizationType(one.type.code))
    return np.ascontiguousarray(changed).data.cast("B")


def _header(raw: GgufHeader, plans: Sequence[TensorPlan], target: TensorType, reading: IO[bytes]) -> bytes:
    """The new header: every key as it stands in the source, but for those that speak of the quantization."""
    kept = [
        entry for entry in raw.entries if entry.key not in _REWRITTEN and not entry.key.startswith("quantize.imatrix.")
    ]
    keys = bytearray()
    for entry in kept:
        reading.seek(entry.start)
        keys += reading.read(entry.end - entry.start)
    keys += _key(_FILE_TYPE, UINT32) + struct.pack("<I", _file_type(target))
    keys += _key(_QUANTIZED_BY, STRING) + _text("ultralab")
    keys += _key(_QUANTIZATION_VERSION, UINT32) + struct.pack("<I", _GGML_QUANTIZATION_VERSION)
    tensors = bytearray()
    for one in plans:
        shape = one.tensor.shape
        tensors += _text(one.tensor.name) + struct.pack(f"<I{len(shape)}q", len(shape), *shape)
        tensors += struct.pack("<IQ", one.type.code, one.offset)
    counts = struct.pack("<IQQ", _VERSION, len(plans), len(kept) + len(_REWRITTEN))
    return MAGIC + counts + bytes(keys) + bytes(tensors)


def _file_type(target: TensorType) -> int:
    names = LlamaFileType.__members__
    found = names.get(f"MOSTLY_{target.name}") or names[f"MOSTLY_{target.name}_MOE"]
    return int(found)


def _key(key: str, kind: int) -> bytes:
    return _text(key) + struct.pack("<I", kind)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _damaged(raw: GgufHeader, tensor: TensorInfo, problem: str) -> FileDamaged:
    return FileDamaged(
        _("{path} is damaged: {name}: {problem} (from byte {at}).").format(
            path=raw.path, name=tensor.name, problem=problem, at=tensor.start
        ),
        hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
        path=str(raw.path),
        offset=tensor.start,
    )
