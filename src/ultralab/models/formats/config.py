"""A model's config.json, as transformers and mlx-lm read it: one name for each fact, whatever an architecture calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle
from ultralab.models.formats.bounded_json import read_object
from ultralab.models.formats.gguf_grouped import GROUPED
from ultralab.models.formats.safetensors_types import SPELLED
from ultralab.planner.types import AttentionLayers, CacheLayers

NAME: Final = "config.json"

_NESTED: Final = ("text_config", "llm_config", "language_config", "language_model", "thinker_config")
_LAYERS: Final = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HIDDEN: Final = ("hidden_size", "n_embd", "d_model", "dim")
_HEADS: Final = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS: Final = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv")
_INNER: Final = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "d_ff")
_CONTEXT: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "n_ctx",
    "seq_length",
)
_EXPERTS: Final = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_USED: Final = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_topk",
    "moe_k",
    "top_k_experts",
)

_ALIASES: Final[Mapping[str, str]] = {"mistral": "llama", "mixtral": "llama", "cohere": "command-r", "phi": "phi2"}
"""transformers' names for what llama.cpp builds under another one."""

_SPECIAL: Final = (
    "kv_lora_rank", "ssm_", "mamba_", "state_size", "linear_num_key_heads", "linear_attn_config", "num_kv_shared_layers",
    "attention_chunk_size", "full_attention_interval", "rwkv", "recurrent", "conv_L_cache", "index_topk",
)  # fmt: skip
"""Beginnings of keys that announce another kind of cache, as ``gguf.py`` lists them for its keys."""


@dataclass(frozen=True)
class Config:
    """The facts; 0, empty or ``unknown`` where the file does not say. ``raw`` is the file, ``text`` its language part.

    ``predicting``: how the names of tensors begin that only serve to predict several tokens at once (DeepSeek's layers
    behind the last, ``num_nextn_predict_layers``).
    """

    raw: Mapping[str, object]
    text: Mapping[str, object]
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    intermediate: int
    vocabulary: int
    context: int
    experts: int
    experts_used: int
    dtype: str
    cache: tuple[CacheLayers, ...] | None
    predicting: tuple[str, ...] = ()

    @property
    def used_share(self) -> float:
        """The part of the routed experts that one token uses; 1 where nothing is routed or it is not said."""
        return min(1.0, self.experts_used / self.experts) if self.experts and self.experts_used else 1.0


def read_config(bundle: Bundle) -> Config:
    """The facts in ``config.json``; of a bundle without one all are empty. Raises FileDamaged, FileAccess, FetchFailed."""
    item = bundle.named(NAME)
    return config_of(read_object(bundle, NAME), item.where if item else bundle.where)


def config_of(raw: Mapping[str, object], where: str) -> Config:
    """The facts of a parsed file. Raises FileDamaged where a number is negative or absurd."""
    text = next((part for name in _NESTED if isinstance(part := raw.get(name), dict) and _says_layers(part)), raw)
    numbers = _Numbers(raw, text, where)
    heads = numbers.first(_HEADS)
    hidden = numbers.first(_HIDDEN)
    head_dim = numbers.first(("head_dim",)) or (hidden // heads if heads else 0)
    kv_heads = numbers.first(_KV_HEADS) or (1 if text.get("multi_query") is True else heads)
    return Config(
        raw=raw,
        text=text,
        architecture=_architecture(raw, text),
        layers=numbers.first(_LAYERS),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_dim=numbers.first(("v_head_dim",)) or head_dim,
        intermediate=numbers.first(_INNER),
        vocabulary=numbers.first(("vocab_size",)),
        context=max(numbers.first(_CONTEXT), _stretched(text)),
        experts=numbers.first(_EXPERTS),
        experts_used=numbers.first(_USED),
        dtype=_dtype(text) or _dtype(raw),
        cache=_cache(numbers, heads, kv_heads, head_dim) if kv_heads and _is_grouped(raw, text) else None,
        predicting=_predicting(numbers),
    )


def _cache(numbers: _Numbers, heads: int, kv_heads: int, head_dim: int) -> tuple[CacheLayers, ...]:
    value_dim = numbers.first(("v_head_dim",)) or head_dim
    return (AttentionLayers(numbers.first(_LAYERS), heads, kv_heads, head_dim, value_dim),)


def _predicting(numbers: _Numbers) -> tuple[str, ...]:
    layers, more = numbers.first(_LAYERS), numbers.first(("num_nextn_predict_layers",))
    return tuple(f"model.layers.{layer}." for layer in range(layers, layers + more)) if layers and more <= 16 else ()


def _stretched(text: Mapping[str, object]) -> int:
    """The context that YaRN stretches a model to: its factor times the original length (transformers' rope parameters).

    Other ways of scaling (linear, llama3, longrope) already have their result in ``max_position_embeddings``.
    """
    for key in ("rope_scaling", "rope_parameters"):
        said = text.get(key)
        if isinstance(said, Mapping) and said.get("rope_type", said.get("type")) == "yarn":
            factor, original = said.get("factor"), said.get("original_max_position_embeddings")
            if not isinstance(factor, int | float) or not isinstance(original, int):
                continue
            if 1 <= factor <= 4096 and 0 < original < 2**24:
                return int(factor * original)
    return 0


def _says_layers(part: Mapping[str, object]) -> bool:
    return any(name in part for name in (*_LAYERS, *_HIDDEN, *_CONTEXT))


def _architecture(raw: Mapping[str, object], text: Mapping[str, object]) -> str:
    for found in (raw.get("model_type"), text.get("model_type")):
        if isinstance(found, str) and found:
            return printable(found, 60)
    return "unknown"


def _dtype(part: Mapping[str, object]) -> str:
    found = part.get("dtype", part.get("torch_dtype"))
    return SPELLED.get(found.removeprefix("torch."), "") if isinstance(found, str) else ""


def _is_grouped(raw: Mapping[str, object], text: Mapping[str, object]) -> bool:
    named = str(text.get("model_type") or raw.get("model_type") or "")
    known = _ALIASES.get(named, named) in GROUPED or named.replace("_", "") in GROUPED
    special = any(key.startswith(_SPECIAL) and value for key, value in text.items())
    window = text.get("sliding_window") and text.get("use_sliding_window") is not False
    kinds = text.get("layer_types")
    mixed = isinstance(kinds, list) and any(kind != "full_attention" for kind in kinds)
    return known and not special and not window and not mixed and not _varies(text)


def _varies(text: Mapping[str, object]) -> bool:
    return any(isinstance(text.get(key), list) for key in (*_HEADS, *_KV_HEADS, "head_dim"))


class _Numbers:
    """Whole numbers of the language part, else of the whole file, checked."""

    def __init__(self, raw: Mapping[str, object], text: Mapping[str, object], where: str) -> None:
        self._parts = (text, raw) if text is not raw else (raw,)
        self._where = where

    def first(self, names: tuple[str, ...]) -> int:
        """The first of these that is there (of a list with one per layer the largest), else 0."""
        for part in self._parts:
            for name in names:
                if (found := part.get(name)) is not None:
                    return self._checked(name, found)
        return 0

    def _checked(self, name: str, found: object) -> int:
        listed = [one for one in found if one is not None] if isinstance(found, list) else [found]
        numbers = [one for one in listed if type(one) is int and 0 <= one < 2**31]
        if len(numbers) < len(listed):
            raise FileDamaged(
                _("{path} is damaged: {key} is {value!r}.").format(
                    path=self._where, key=name, value=printable(str(found)[:200], 60)
                ),
                hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
                path=self._where,
                key=name,
            )
        return max(numbers, default=0)
