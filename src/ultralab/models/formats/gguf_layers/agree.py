"""Numbers of a GGUF header that must agree with its tensors, or with each other.

llama.cpp's loader creates every tensor with the shape that the keys say and refuses another one (``check_tensor_dims``,
"wrong number of tensors"), so whatever is refused here would not load. Only architectures that have a reader are judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ultralab.kernel.language import _
from ultralab.models.formats.gguf_layers import READERS, grouped, windows
from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.models.formats.gguf_reader import TensorInfo
from ultralab.planner.types import AttentionLayers

_BLOCK: Final = re.compile(r"blk\.(\d{1,6})\.")
_EMBEDDING: Final = "token_embd.weight"
_TOKENS: Final = "tokenizer.ggml.tokens"
_HEADS: Final = "attention.head_count"
_KV_HEADS: Final = "attention.head_count_kv"
_KEY: Final = "attention.key_length"
_VALUE: Final = "attention.value_length"
_THREEFOLD: Final = frozenset({"qwen"})
"""Whose fused projection has three times the embedding's width, whatever the keys say of key-value heads."""


def require_agreement(facts: Facts) -> None:
    """Raises FileDamaged, with both numbers, where two of the header's numbers contradict each other."""
    if facts.architecture not in READERS:
        return
    _require_blocks(facts)
    _require_heads(facts)
    _require_embedding(facts)
    _require_experts(facts)
    if facts.architecture in grouped.READERS or facts.architecture in windows.READERS:
        _require_projections(facts)


def _require_blocks(facts: Facts) -> None:
    """A layer that only predicts several tokens at once may have been left out of the file."""
    blocks = {int(match[1]) for name in facts.tensors if (match := _BLOCK.match(name))}
    said = facts.need("block_count")
    if blocks and not facts.layers <= max(blocks) + 1 <= said:
        raise facts.damaged(
            _("{key} is {said}, but the last layer that it has tensors of is number {found}").format(
                key=f"{facts.architecture}.block_count", said=said, found=max(blocks) + 1
            ),
            "block_count",
        )


def _require_heads(facts: Facts) -> None:
    heads = facts.per_layer(_HEADS)
    for asked, kept in zip(heads, facts.per_layer(_KV_HEADS, max(heads)), strict=True):
        if 0 < asked < kept:
            raise facts.damaged(
                _("{kept} key-value heads are more than the {asked} heads that ask").format(kept=kept, asked=asked),
                _KV_HEADS,
            )


def _require_embedding(facts: Facts) -> None:
    table = facts.tensors.get(_EMBEDDING)
    if table is None or len(table.shape) != 2:
        return
    _require(facts, table, table.row, facts.need("embedding_length"), "embedding_length", row=True)
    if _TOKENS in facts.raw.counts:
        _require(facts, table, table.shape[1], facts.raw.counts[_TOKENS], _TOKENS)
    elif facts.has("vocab_size"):
        _require(facts, table, table.shape[1], facts.number("vocab_size"), "vocab_size")


def _require_experts(facts: Facts) -> None:
    count = facts.number("expert_count")
    for tensor in facts.raw.tensors:
        if count and tensor.name.endswith("_exps.weight") and len(tensor.shape) == 3:
            _require(facts, tensor, tensor.shape[2], count, "expert_count")


def _require_projections(facts: Facts) -> None:
    for number, layer in enumerate(windows.each_sized(facts)):
        for part, width, keys in _projections(layer):
            tensor = facts.tensors.get(f"blk.{number}.{part}.weight")
            judged = part != "attn_qkv" or facts.architecture not in _THREEFOLD
            if judged and tensor is not None and len(tensor.shape) == 2:
                _require(facts, tensor, tensor.shape[1], width, keys)


def _projections(layer: AttentionLayers) -> Iterator[tuple[str, int, str]]:
    asked, keys = layer.heads * layer.key_dim, layer.kv_heads * layer.key_dim
    values = layer.kv_heads * layer.value_dim
    yield "attn_q", asked, f"{_HEADS} · {_KEY}"
    yield "attn_k", keys, f"{_KV_HEADS} · {_KEY}"
    yield "attn_v", values, f"{_KV_HEADS} · {_VALUE}"
    yield "attn_qkv", asked + keys + values, f"({_HEADS} + {_KV_HEADS}) · {_KEY} + {_KV_HEADS} · {_VALUE}"


def _require(facts: Facts, tensor: TensorInfo, found: int, said: int, key: str, *, row: bool = False) -> None:
    if found == said:
        return
    shape = {"tensor": tensor.name, "found": found, "key": key, "said": said}
    raise facts.damaged(
        _("{tensor} has rows of {found} numbers, but {key} is {said}").format(**shape)
        if row
        else _("{tensor} has {found} rows, but {key} is {said}").format(**shape),
        key,
    )
