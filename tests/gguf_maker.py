"""Small GGUF files for tests: written from the format's specification, without the ``gguf`` package."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
_CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
_BLOCKS = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144),
    "Q6_K": (14, 256, 210), "BF16": (30, 1, 2), "MXFP4": (39, 32, 17),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor to write. ``data`` empty means zeros; ``offset`` and ``code`` None mean the right ones."""

    name: str
    shape: Sequence[int]
    type: str = "F32"
    data: bytes = b""
    offset: int | None = None
    code: int | None = None

    @property
    def size(self) -> int:
        _code, block, size = _BLOCKS[self.type]
        return math.prod(self.shape) // block * size


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: object) -> bytes:
    """A value with its type before it; an array is ``(element kind, [elements])``."""
    return struct.pack("<I", kind) + _content(kind, content)


def _content(kind: int, content: object) -> bytes:
    if kind == STR:
        assert isinstance(content, str | bytes)
        return text(content)
    if kind == ARR:
        assert isinstance(content, tuple)
        element, items = content
        return struct.pack("<IQ", element, len(items)) + b"".join(_content(element, item) for item in items)
    return struct.pack("<" + _CODES[kind], content)


def entry(key: str | bytes, kind: int, content: object) -> bytes:
    return text(key) + value(kind, content)


def gguf_bytes(
    keys: Iterable[bytes] = (),
    tensors: Sequence[Tensor] = (),
    *,
    alignment: int = 32,
    version: int = 3,
    magic: bytes = b"GGUF",
    tensor_count: int | None = None,
    key_count: int | None = None,
    with_data: bool = True,
) -> bytes:
    """A whole file; every count and version can be made wrong on purpose."""
    keys = list(keys)
    out = magic + struct.pack(
        "<IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(keys) if key_count is None else key_count,
    )
    infos: list[bytes] = []
    data = bytearray()
    offset = 0
    for tensor in tensors:
        infos.append(tensor_info(tensor, offset))
        offset += tensor.size + -tensor.size % alignment
        if with_data:
            data += bytes(-len(data) % alignment) + (tensor.data or bytes(tensor.size))
    out += b"".join((*keys, *infos))
    out += bytes(-len(out) % alignment) if tensors else b""
    return out + data if with_data else out


def tensor_info(tensor: Tensor, offset: int) -> bytes:
    code = _BLOCKS[tensor.type][0] if tensor.code is None else tensor.code
    return (
        text(tensor.name)
        + struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *(side & (2**64 - 1) for side in tensor.shape))
        + struct.pack("<IQ", code, (offset if tensor.offset is None else tensor.offset) & (2**64 - 1))
    )


def small_keys(**more: tuple[int, object]) -> list[bytes]:
    """The keys of a plausible llama model; ``more`` adds or replaces (``__`` stands for a dot)."""
    keys: dict[str, tuple[int, object]] = {
        "general.architecture": (STR, "llama"),
        "general.name": (STR, "Tiny Test"),
        "general.license": (STR, "apache-2.0"),
        "llama.block_count": (U32, 1),
        "llama.context_length": (U32, 128),
        "llama.embedding_length": (U32, 64),
        "llama.feed_forward_length": (U32, 96),
        "llama.attention.head_count": (U32, 4),
        "llama.attention.head_count_kv": (U32, 2),
        "tokenizer.ggml.tokens": (ARR, (STR, ["<unk>", "<s>", "</s>", "hi"])),
    }
    keys.update({key.replace("__", "."): content for key, content in more.items()})
    return [entry(key, kind, content) for key, (kind, content) in keys.items()]


SMALL_TENSORS = (
    Tensor("token_embd.weight", (64, 4), "Q8_0"),
    Tensor("blk.0.attn_norm.weight", (64,)),
    Tensor("blk.0.attn_q.weight", (64, 64), "Q4_0"),
    Tensor("blk.0.ffn_up.weight", (64, 96), "Q4_0"),
)


def small_model(**more: tuple[int, object]) -> bytes:
    """A complete file whose header says what :func:`small_keys` says; its weights are zeros. No engine loads it."""
    return gguf_bytes(small_keys(**more), SMALL_TENSORS)


def tiny_llama(path: Path, *, seed: int = 0, layers: int = 2, context: int = 512) -> Path:
    """Write a random llama model that llama.cpp loads: embedding 64, 4 heads, 2 KV heads, a byte-level vocabulary.

    Float32, about 0.5 MB. Its tokenizer is llama.cpp's ``llama`` (SPM) kind with one token per byte.
    """
    rng = random.Random(seed)
    embedding, hidden, kv = 64, 128, 32
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz"]
    kinds = [2, 3, 3, *[6] * 256, *[1] * 27]  # unknown, control, byte, normal
    keys = small_keys(
        general__name=(STR, f"Tiny Llama {seed}"),
        general__file_type=(U32, 0),
        llama__block_count=(U32, layers),
        llama__context_length=(U32, context),
        llama__embedding_length=(U32, embedding),
        llama__feed_forward_length=(U32, hidden),
        llama__rope__dimension_count=(U32, 16),
        llama__rope__freq_base=(F32, 10000.0),
        llama__attention__layer_norm_rms_epsilon=(F32, 1e-5),
        tokenizer__ggml__model=(STR, "llama"),
        tokenizer__ggml__tokens=(ARR, (STR, tokens)),
        tokenizer__ggml__scores=(ARR, (F32, [0.0] * len(tokens))),
        tokenizer__ggml__token_type=(ARR, (I32, kinds)),
        tokenizer__ggml__bos_token_id=(U32, 1),
        tokenizer__ggml__eos_token_id=(U32, 2),
        tokenizer__ggml__unknown_token_id=(U32, 0),
    )
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (embedding, len(tokens))}
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.{name}.weight": shape
            for name, shape in {
                "attn_norm": (embedding,),
                "attn_q": (embedding, embedding),
                "attn_k": (embedding, kv),
                "attn_v": (embedding, kv),
                "attn_output": (embedding, embedding),
                "ffn_norm": (embedding,),
                "ffn_gate": (embedding, hidden),
                "ffn_up": (embedding, hidden),
                "ffn_down": (hidden, embedding),
            }.items()
        }
    shapes["output_norm.weight"] = (embedding,)
    tensors = [Tensor(name, shape, "F32", _weights(rng, name, shape)) for name, shape in shapes.items()]
    path.write_bytes(gguf_bytes(keys, tensors))
    return path


def _weights(rng: random.Random, name: str, shape: Sequence[int]) -> bytes:
    count = math.prod(shape)
    numbers = [1.0] * count if "norm" in name else [rng.gauss(0, 0.05) for _ in range(count)]
    return struct.pack(f"<{count}f", *numbers)


def split_model(count: int, stem: str = "tiny", **more: tuple[int, object]) -> dict[str, bytes]:
    """The files of a model in ``count`` parts, by name: the first with all keys, the tensors spread in turn."""
    files: dict[str, bytes] = {}
    for number in range(count):
        split = [
            entry("split.no", U16, number),
            entry("split.count", U16, count),
            entry("split.tensors.count", I32, len(SMALL_TENSORS)),
        ]
        keys = [*small_keys(**more), *split] if number == 0 else split
        tensors = [tensor for at, tensor in enumerate(SMALL_TENSORS) if at % count == number]
        files[f"{stem}-{number + 1:05d}-of-{count:05d}.gguf"] = gguf_bytes(keys, tensors)
    return files
