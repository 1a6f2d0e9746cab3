"""SafeTensors' facts: element types and their bits. Source: ``Dtype`` of the safetensors library 0.8 (``tensor.rs``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HEADER_LIMIT: Final = 100_000_000
"""The library refuses longer headers (``MAX_HEADER_SIZE``)."""

BITS: Final[Mapping[str, int]] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip

FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
"""What weights have that are not quantized."""

SPELLED: Final[Mapping[str, str]] = {
    "float64": "F64", "double": "F64", "float32": "F32", "float": "F32", "float16": "F16", "half": "F16",
    "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "int8": "I8", "uint8": "U8",
}  # fmt: skip
"""How ``torch_dtype`` of a config.json spells the same types."""
