"""GPTQ and AWQ weights as F16 SafeTensors: which tensors become what, tensor by tensor, a block of outputs at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.models.conversion.tensors import (
    LARGEST_FILE,
    NewTensor,
    StoredTensor,
    damaged,
    stored_tensors,
    write_tensors,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PARTS: Final = (".qweight", ".qzeros", ".scales", ".g_idx")
_NUMBERS_AT_ONCE: Final = 8 * 1024 * 1024
_ALIGNED: Final = 32  # outputs: a whole number of words for every width
_BYTES_PER_NUMBER: Final = 24  # float32 twice, float16 twice, words and bytes between
_BITS: Final = (2, 3, 4, 8)


@dataclass(frozen=True)
class Packing:
    """How the weights are packed: ``method`` gptq or awq. ``less_one``: stored zero points are one too small.

    ``bits`` is what the configuration says; GPTQModel may pack single layers otherwise, which their shapes tell.
    """

    method: str
    bits: int
    group_size: int
    less_one: bool


@dataclass(frozen=True)
class _Layer:
    """One packed linear layer, its shapes checked. ``zeros`` and ``order`` may be missing."""

    name: str
    packing: Packing
    bits: int
    inputs: int
    outputs: int
    numbers: StoredTensor
    scales: StoredTensor
    zeros: StoredTensor | None
    order: StoredTensor | None


def packing_of(config: Mapping[str, Any]) -> Packing:
    """From a ``quantization_config`` (or ``quantize_config.json``, ``quant_config.json``). Raises Unsupported.

    Keys: Hugging Face transformers' ``GPTQConfig`` and ``AwqConfig``; ``checkpoint_format`` is GPTQModel's.
    """
    method = str(config.get("quant_method", "gptq")).lower()
    bits = config.get("bits", config.get("w_bit", 4))
    group = config.get("group_size", config.get("q_group_size", 128))
    if not isinstance(bits, int) or not isinstance(group, int):
        raise _unsupported(f"bits={bits!r}, group_size={group!r}")
    if method == "gptq":
        form = str(config.get("checkpoint_format") or config.get("format") or "gptq").lower()
        if form not in ("gptq", "gptq_v2") or config.get("is_marlin_format") is True or bits not in _BITS:
            raise _unsupported(f"GPTQ, checkpoint_format={form}, bits={bits}")
        return Packing(method, bits, group, form == "gptq")
    version = str(config.get("version", "gemm")).lower()
    if method == "awq" and version == "gemm" and bits == 4:
        return Packing(method, bits, group, less_one=False)
    raise _unsupported(f"{method}, version={version}, bits={bits}")


def dequantize(
    paths: Sequence[Path],
    packing: Packing,
    folder: Path,
    advance: Callable[[float], None],
    largest: int = LARGEST_FILE,
) -> list[str]:
    """Write the model of these SafeTensors files into ``folder`` with its packed layers as F16; the new files' names.

    Everything else stays as it is, byte for byte. ``advance`` is told the bytes written. Raises FileDamaged (shapes that
    do not fit each other, a weight too large for F16), FileAccess, DiskFull.
    """
    stored = stored_tensors(paths)
    new: list[NewTensor] = []
    for name in sorted(stored):
        tensor = stored[name]
        if name.endswith(".qweight"):
            layer = _layer(stored, name.removesuffix(".qweight"), packing)
            shape = (layer.outputs, layer.inputs)
            blocks = _told(_weights(layer), advance)
            new.append(NewTensor(f"{layer.name}.weight", "F16", shape, 2 * layer.outputs * layer.inputs, blocks))
        elif not _is_part(stored, name):
            new.append(NewTensor(name, tensor.dtype, tensor.shape, tensor.size, _told(tensor.blocks(), advance)))
    return write_tensors(folder, new, largest=largest)


def dequantized_size(parameters: int) -> int:
    """Bytes that the result takes, about: two for each parameter."""
    return 2 * parameters


def dequantization_memory(largest_tensor: int) -> int:
    """What :func:`dequantize` holds at its peak, bytes, for the largest packed tensor's bytes."""
    return _BYTES_PER_NUMBER * _NUMBERS_AT_ONCE * 2 + 2 * largest_tensor


def _is_part(stored: Mapping[str, StoredTensor], name: str) -> bool:
    return any(name.endswith(part) and f"{name.removesuffix(part)}.qweight" in stored for part in _PARTS)


def _told(blocks: Iterator[bytes], advance: Callable[[float], None]) -> Iterator[bytes]:
    for block in blocks:
        yield block
        advance(len(block))


def _layer(stored: Mapping[str, StoredTensor], name: str, packing: Packing) -> _Layer:
    numbers, scales = stored[f"{name}.qweight"], stored.get(f"{name}.scales")
    zeros, order = stored.get(f"{name}.qzeros"), stored.get(f"{name}.g_idx")
    if scales is None or len(scales.shape) != 2 or len(numbers.shape) != 2:
        raise damaged(numbers.path, _("{name} has no scales that fit").format(name=name))
    groups, outputs = scales.shape
    bits = packing.bits
    if zeros is not None and outputs and len(zeros.shape) == 2 and zeros.shape[1] * 32 % outputs == 0:
        bits = zeros.shape[1] * 32 // outputs
    awq = packing.method == "awq"
    inputs = numbers.shape[0] if awq else numbers.shape[0] * 32 // max(bits, 1)
    words = (inputs, outputs * bits // 32) if awq else (inputs * bits // 32, outputs)
    fits = (
        bits in _BITS
        and outputs % _ALIGNED == 0 < outputs
        and numbers.shape == words
        and {numbers.dtype, zeros.dtype if zeros else "I32", order.dtype if order else "I32"} <= {"I32", "U32"}
        and scales.dtype in _SCALES
        and (zeros is None or zeros.shape == (groups, outputs * bits // 32))
        and (order is None or order.shape == (inputs,))
        and (zeros is not None or awq)
        and 0 < groups <= inputs
    )
    if not fits:
        raise damaged(numbers.path, _("the parts of {name} do not fit each other").format(name=name))
    return _Layer(name, packing, bits, inputs, outputs, numbers, scales, zeros, order)


_SCALES: Final = frozenset({"F16", "BF16", "F32"})


def _weights(layer: _Layer) -> Iterator[bytes]:
    """The weights (outputs, inputs), float16, some whole rows at a time."""
    import numpy as np

    from ultralab.models.conversion import packed

    numbers = np.frombuffer(layer.numbers.read(), "<u4").reshape(layer.numbers.shape)
    scales = _scales(layer.scales)
    zeros_packed = None if layer.zeros is None else np.frombuffer(layer.zeros.read(), "<u4").reshape(layer.zeros.shape)
    groups = _groups(layer, scales.shape[0])
    step = max(_ALIGNED, _NUMBERS_AT_ONCE // layer.inputs // _ALIGNED * _ALIGNED)
    awq = layer.packing.method == "awq"
    for first in range(0, layer.outputs, step):
        last = min(first + step, layer.outputs)
        words = slice(first * layer.bits // 32, last * layer.bits // 32)
        if awq:
            unpacked = packed.unpack_awq(numbers[:, words])
        else:
            unpacked = packed.unpack_stream(numbers[:, first:last], layer.bits)
        if zeros_packed is None:
            zeros = np.full((scales.shape[0], last - first), 1 << (layer.bits - 1), np.uint8)
        elif awq:
            zeros = packed.unpack_awq(zeros_packed[:, words])
        else:
            zeros = packed.gptq_zeros(zeros_packed[:, words], layer.bits, less_one=layer.packing.less_one)
        block = packed.weights(unpacked, zeros, scales[:, first:last], groups)
        if not np.isfinite(block).all():
            raise _not_finite(layer)
        yield block.tobytes()


def _scales(tensor: StoredTensor) -> NDArray[Any]:
    import numpy as np

    content = tensor.read()
    if tensor.dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    return np.frombuffer(content, {"F16": "<f2", "F32": "<f4"}[tensor.dtype]).reshape(tensor.shape)


def _groups(layer: _Layer, count: int) -> NDArray[np.integer[Any]]:
    """Each input's group."""
    import numpy as np

    if layer.order is not None:
        groups = np.frombuffer(layer.order.read(), "<i4").astype(np.int64)
        groups = np.where(groups < 0, groups + count, groups)  # GPTQModel may count from the end
    else:
        size = layer.packing.group_size if layer.packing.group_size > 0 else layer.inputs
        groups = np.arange(layer.inputs, dtype=np.int64) // size
    if groups.min() < 0 or groups.max() >= count:
        raise damaged(layer.numbers.path, _("the groups of {name} lie outside its scales").format(name=layer.name))
    return groups


def _not_finite(layer: _Layer) -> FileDamaged:
    return damaged(
        layer.numbers.path,
        _("{name} holds numbers that are infinite or none at all, or too large for F16").format(name=layer.name),
    )


def _unsupported(what: str) -> Unsupported:
    return Unsupported(
        _("Weights packed like this cannot be unpacked here: {what}.").format(what=what),
        hint=_("Known: GPTQ (checkpoint formats gptq and gptq_v2; 2, 3, 4, 8 bits) and AWQ (version gemm; 4 bits)."),
    )
