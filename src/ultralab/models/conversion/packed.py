"""Weights that GPTQ and AWQ packed into 32-bit words, as numbers again. Imports numpy.

The layouts, for a linear layer with ``in`` inputs and ``out`` outputs:

- GPTQ (AutoGPTQ, GPTQModel): ``qweight`` (in·bits/32, out): a column's numbers are a little-endian stream of ``bits``-wide
  numbers along the inputs (3 bits cross the words' borders); ``qzeros`` (groups, out·bits/32): the same along the outputs;
  ``scales`` (groups, out); ``g_idx`` (in): each input's group, where activations were ordered. Checkpoint format
  ``gptq`` stores each zero point less one, ``gptq_v2`` as it is.
- AWQ, version ``gemm`` (AutoAWQ): ``qweight`` (in, out/8) and ``qzeros`` (groups, out/8), both along the outputs, four
  bits, eight outputs in the order 0 2 4 6 1 3 5 7 from the lowest bits; ``scales`` (groups, out).

In both, weight = scale · (number - zero).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD: Final = 32
AWQ_BITS: Final = 4
_AWQ_SHIFTS: Final = (0, 16, 4, 20, 8, 24, 12, 28)
"""From which bit each of eight outputs is taken: the inverse of the order 0 2 4 6 1 3 5 7."""


def unpack_stream(words: NDArray[np.uint32], bits: int) -> NDArray[np.uint8]:
    """Numbers of ``bits`` bits from words along the first axis: (words, n) → (words·32/bits, n)."""
    count = words.shape[0] * WORD // bits
    first = np.arange(count) * bits
    index, shift = first // WORD, (first % WORD).astype(np.uint32)
    low = words[index] >> shift[:, None]
    spills = shift + bits > WORD
    if spills.any():
        following = words[np.minimum(index + 1, words.shape[0] - 1)]
        high = following << (np.uint32(WORD) - np.where(spills, shift, np.uint32(1)))[:, None]
        low = np.where(spills[:, None], low | high, low)
    numbers: NDArray[np.uint8] = (low & np.uint32((1 << bits) - 1)).astype(np.uint8)
    return numbers


def unpack_awq(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Numbers of four bits along the second axis, in AWQ's order: (n, words) → (n, words·8)."""
    shifts = np.array(_AWQ_SHIFTS, np.uint32)
    numbers: NDArray[np.uint8] = ((words[:, :, None] >> shifts) & np.uint32(15)).astype(np.uint8)
    return numbers.reshape(words.shape[0], -1)


def gptq_zeros(words: NDArray[np.uint32], bits: int, *, less_one: bool) -> NDArray[np.uint8]:
    """Zero points, (groups, out). A stored zero point less one wraps around, as AutoGPTQ's own kernels do."""
    numbers = unpack_stream(np.ascontiguousarray(words.T), bits).T
    if not less_one:
        return numbers
    return (numbers + np.uint8(1)) & np.uint8((1 << bits) - 1)


def weights(
    numbers: NDArray[np.uint8], zeros: NDArray[np.uint8], scales: NDArray[Any], groups: NDArray[np.integer[Any]]
) -> NDArray[np.float16]:
    """(out, in) in float16: numbers (in, out), zeros and scales (groups, out), each input's group (in).

    Computed in float32, rounded once.
    """
    centred = numbers.astype(np.float32) - zeros.astype(np.float32)[groups]
    centred *= scales.astype(np.float32)[groups]
    with np.errstate(over="ignore"):  # the caller looks for what became infinite
        return np.ascontiguousarray(centred.astype(np.float16).T)
