"""GGUF's facts: value types, tensor types with their block sizes. Plain tables, no code of ggml's.

Sources: the format's specification (ggml's ``docs/gguf.md``), the limits of llama.cpp's own reader
(``ggml/src/gguf.cpp``), and ``GGML_QUANT_SIZES`` of the ``gguf`` package, to which a test compares this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
DEFAULT_ALIGNMENT: Final = 32
MAX_DIMENSIONS: Final = 4
MAX_NAME_BYTES: Final = 63
"""llama.cpp keeps tensor names in 64 bytes, the closing zero included (``GGML_MAX_NAME``)."""

STRING: Final = 8
ARRAY: Final = 9
UINT32: Final = 4
BOOL: Final = 7


class Scalar(NamedTuple):
    """A fixed-size value: its name in messages, its ``struct`` code (little endian) and its bytes."""

    name: str
    code: str
    size: int


SCALARS: Final[Mapping[int, Scalar]] = {
    0: Scalar("u8", "<B", 1),
    1: Scalar("i8", "<b", 1),
    2: Scalar("u16", "<H", 2),
    3: Scalar("i16", "<h", 2),
    4: Scalar("u32", "<I", 4),
    5: Scalar("i32", "<i", 4),
    6: Scalar("f32", "<f", 4),
    7: Scalar("bool", "<B", 1),
    10: Scalar("u64", "<Q", 8),
    11: Scalar("i64", "<q", 8),
    12: Scalar("f64", "<d", 8),
}


@dataclass(frozen=True)
class TensorType:
    """How numbers are packed: ``block`` numbers along a row take ``bytes`` bytes."""

    code: int
    name: str
    block: int
    bytes: int

    def size_of(self, elements: int) -> int:
        """Bytes of a whole number of blocks that hold ``elements`` numbers."""
        return elements // self.block * self.bytes


_TABLE = (
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
)
TENSOR_TYPES: Final[Mapping[int, TensorType]] = {row[0]: TensorType(*row) for row in _TABLE}
TENSOR_TYPE_NAMED: Final[Mapping[str, TensorType]] = {kind.name: kind for kind in TENSOR_TYPES.values()}
