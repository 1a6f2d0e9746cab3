"""A GGUF file's tensors as those of a checkpoint: unpacked, rows turned back, some MiB at a time. Imports numpy and gguf."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from gguf import GGMLQuantizationType, quants

from ultralab.kernel.language import _
from ultralab.models.conversion.gguf_llama import Place, refusal
from ultralab.models.conversion.tensors import WIDTHS, NewTensor, damaged
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo
from ultralab.system import files

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBERS_AT_ONCE: Final = 2 * 1024 * 1024
"""Each takes some 50 bytes meanwhile, most of them gguf's own (see ``gguf_writer``): ``from_gguf`` asks for the memory."""


def require_readable(raw: GgufHeader) -> None:
    """Raise Unsupported for a type that cannot be unpacked, before anything is written."""
    for tensor in raw.tensors:
        try:
            quants.dequantize(np.zeros((1, tensor.type.size_of(tensor.type.block)), np.uint8), _kind(tensor))
        except NotImplementedError as error:
            raise refusal(
                raw, _("{type} cannot be unpacked ({name})").format(type=tensor.type.name, name=tensor.name)
            ) from error


def unpacked(
    raw: GgufHeader, places: Mapping[str, Place], dtype: str, advance: Callable[[float], None]
) -> list[NewTensor]:
    """The tensors to write, in the places' order. ``advance`` is told the bytes. Raises FileDamaged when they are read."""
    stored = {tensor.name: tensor for tensor in raw.tensors}
    found = []
    for name, place in places.items():
        tensor = stored[name]
        size = tensor.elements * WIDTHS[dtype]
        blocks = _blocks(raw.path, tensor, place, dtype, advance)
        found.append(NewTensor(place.name, dtype, tuple(reversed(tensor.shape)), size, blocks))
    return found


def _blocks(
    path: Path, tensor: TensorInfo, place: Place, dtype: str, advance: Callable[[float], None]
) -> Iterator[bytes]:
    """Whole rows at a time, and whole heads where rows are turned."""
    rows = tensor.elements // tensor.row
    together = place.turned or 1
    step = max(1, _NUMBERS_AT_ONCE // (tensor.row * together)) * together
    width = tensor.size // rows
    for first in range(0, rows, step):
        count = min(step, rows - first)
        with files.explained(path), path.open("rb") as stream:
            stream.seek(tensor.start + first * width)
            content = stream.read(count * width)
        if len(content) != count * width:
            raise damaged(path, _("the file became shorter"))
        numbers = quants.dequantize(np.frombuffer(content, np.uint8).reshape(count, width), _kind(tensor))
        block = _written(_turned_back(numbers, place.turned), dtype)
        if block is None:
            raise damaged(
                path,
                _("{name} holds numbers that are infinite or none at all, or too large for {type}").format(
                    name=tensor.name, type=dtype
                ),
            )
        yield block
        advance(len(block))


def _turned_back(numbers: NDArray[Any], head: int) -> NDArray[Any]:
    """llama.cpp turns pairs (2i, 2i + 1) of a head, a checkpoint (i, i + half): the rows of each head change places."""
    if not head:
        return numbers
    return numbers.reshape(-1, head // 2, 2, numbers.shape[1]).swapaxes(1, 2).reshape(numbers.shape)


def _written(numbers: NDArray[Any], dtype: str) -> bytes | None:
    """Rounded once; None where something is not finite."""
    if dtype == "F32":
        kept = numbers.astype("<f4")
        return kept.tobytes() if np.isfinite(kept).all() else None
    if dtype == "BF16":
        words = quants.quantize(np.ascontiguousarray(numbers, np.float32), GGMLQuantizationType.BF16)
        finite = np.isfinite((words.view("<u2").astype(np.uint32) << 16).view(np.float32)).all()
        return words.tobytes() if finite else None
    with np.errstate(over="ignore"):
        half = numbers.astype("<f2")
    return half.tobytes() if np.isfinite(half).all() else None


def _kind(tensor: TensorInfo) -> GGMLQuantizationType:
    return GGMLQuantizationType[tensor.type.name]
