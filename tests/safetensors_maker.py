"""Small SafeTensors files and model directories for tests: written from the format's README, without the library."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

BITS = {"F32": 32, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "U8": 8, "I8": 8, "I64": 64, "F4": 4, "F8_E4M3": 8}

Shapes = Mapping[str, tuple[str, Sequence[int]]]


def size_of(dtype: str, shape: Sequence[int]) -> int:
    return math.prod(shape) * BITS[dtype] // 8


def header_of(tensors: Shapes, metadata: Mapping[str, str] | None = None) -> dict[str, object]:
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = size_of(dtype, shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return header


def framed(header: str | bytes, data: int | bytes = 0) -> bytes:
    """A file of any header text; ``data`` bytes follow (a number: so many zeros)."""
    raw = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return struct.pack("<Q", len(raw)) + raw + (bytes(data) if isinstance(data, int) else data)


def safetensors_bytes(tensors: Shapes, metadata: Mapping[str, str] | None = None) -> bytes:
    """A whole correct file; its weights are zeros."""
    size = sum(size_of(dtype, shape) for dtype, shape in tensors.values())
    return framed(json.dumps(header_of(tensors, metadata), separators=(",", ":")), size)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


LLAMA = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 512, "torch_dtype": "bfloat16",
}  # fmt: skip

SMALL: Shapes = {
    "model.embed_tokens.weight": ("BF16", (100, 64)),
    "model.layers.0.mlp.up_proj.weight": ("BF16", (96, 64)),
    "model.norm.weight": ("F32", (64,)),
    "lm_head.weight": ("BF16", (100, 64)),
}


def directory(
    folder: Path, tensors: Shapes = SMALL, config: Mapping[str, object] | None = None, **metadata: str
) -> Path:
    """A folder with one ``model.safetensors`` and a config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors, metadata or None))
    write_json(folder / "config.json", LLAMA if config is None else config)
    return folder


def sharded(folder: Path, shards: Sequence[Shapes], config: Mapping[str, object] | None = None) -> Path:
    """A folder with numbered shards and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, str] = {}
    total = 0
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        (folder / name).write_bytes(safetensors_bytes(tensors, {"format": "pt"}))
        places |= dict.fromkeys(tensors, name)
        total += sum(size_of(*one) for one in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    write_json(folder / "config.json", LLAMA if config is None else config)
    return folder
