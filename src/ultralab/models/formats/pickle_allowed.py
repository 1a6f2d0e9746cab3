"""What a PyTorch state dict needs while it is unpickled: names as facts, nothing is imported.

The list follows what torch's own weights-only loader allows (``torch/_weights_only_unpickler.py``,
``_get_allowed_globals``, read at torch 2.9): containers, dtypes, storage classes and the functions that rebuild tensors.
A name that is not here may be harmless; it is reported all the same.
"""

from __future__ import annotations

from typing import Final

Name = tuple[str, str]

STORAGE_TYPES: Final = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128", "QInt8Storage": "I8",
    "QUInt8Storage": "U8", "QInt32Storage": "I32", "QUInt4x2Storage": "U8", "QUInt2x4Storage": "U8",
    "UntypedStorage": "U8",
}  # fmt: skip
"""torch's storage classes and the tensor type of what they hold, in the words of SafeTensors."""

DTYPES: Final = {
    "float64": "F64", "double": "F64", "float32": "F32", "float": "F32", "float16": "F16", "half": "F16",
    "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C64", "complex128": "C128",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "float4_e2m1fn_x2": "F4",
}  # fmt: skip
"""torch's dtypes (also as ``torch_dtype`` of a config.json spells them) in the words of SafeTensors."""

ITEM_BYTES: Final = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "C64": 8, "C128": 16, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "F8_E8M0": 1, "F4": 1,
}  # fmt: skip
"""Bytes per stored element. torch stores two 4-bit numbers as one element."""

_REBUILD: Final = (
    "_rebuild_parameter", "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_tensor", "_rebuild_tensor_v2",
    "_rebuild_tensor_v3", "_rebuild_sparse_tensor", "_rebuild_meta_tensor_no_storage", "_rebuild_nested_tensor",
    "_rebuild_wrapper_subclass", "_rebuild_device_tensor_from_numpy", "_rebuild_device_tensor_from_cpu_tensor",
)  # fmt: skip

_QUANTIZED: Final = (
    "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric",
    "per_channel_affine_float_qparams", "quint8", "qint8", "qint32", "quint4x2", "quint2x4", "complex32", "chalf",
    "cfloat", "cdouble", "long", "int", "short",
)  # fmt: skip

ALLOWED: Final[frozenset[Name]] = frozenset(
    {
        ("collections", "OrderedDict"),
        ("collections", "Counter"),
        ("torch.nn.parameter", "Parameter"),
        ("torch.serialization", "_get_layout"),
        ("torch", "Size"),
        ("torch", "Tensor"),
        ("torch", "device"),
        ("torch.storage", "TypedStorage"),
        ("torch.storage", "UntypedStorage"),
        ("torch._tensor", "_rebuild_from_type_v2"),
        ("_codecs", "encode"),
        ("builtins", "bytearray"),
        ("builtins", "set"),
        ("builtins", "complex"),
        ("__builtin__", "bytearray"),
        ("__builtin__", "set"),
        ("__builtin__", "complex"),
        *(("torch", name) for name in (*STORAGE_TYPES, *DTYPES, *_QUANTIZED)),
        *(("torch._utils", name) for name in _REBUILD),
    }
)
"""Pairs of module and name, as a pickle spells them. Pairs, since ``a`` + ``b.c`` and ``a.b`` + ``c`` are not the same."""
