"""A model's config.json, as transformers and mlx-lm read it: one name for each fact, whatever an architecture calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle
from ultralab.models.formats.bounded_json import read_object
from ultralab.models.formats.config_layers import cache_of
from ultralab.models.formats.config_layers.experts import COUNT, USED, experts_of
from ultralab.models.formats.config_layers.facts import HIDDEN, LAYERS, Facts
from ultralab.models.formats.safetensors_types import SPELLED
from ultralab.planner.types import CacheLayers, Experts

NAME: Final = "config.json"

_NESTED: Final = ("text_config", "llm_config", "language_config", "language_model", "thinker_config")
_INNER: Final = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "d_ff")
_CONTEXT: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "n_ctx",
    "seq_length",
)


@dataclass(frozen=True)
class Config:
    """The facts; 0, empty or ``unknown`` where the file does not say. ``raw`` is the file, ``text`` its language part.

    ``predicting``: how the names of tensors begin that only serve to predict several tokens at once (DeepSeek's layers
    behind the last, ``num_nextn_predict_layers``). ``head_dim`` and ``value_dim`` of latent attention are those of a head
    before its keys and values are compressed.
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
    routing: Experts | None = None
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
    """The facts of a parsed file. Raises FileDamaged where numbers are negative or absurd, or contradict each other."""
    text = next((part for name in _NESTED if isinstance(part := raw.get(name), dict) and _says_layers(part)), raw)
    facts = Facts(raw, text, where)
    cache = cache_of(facts)
    width = facts.number("qk_nope_head_dim") + facts.number("qk_rope_head_dim") if facts.number("kv_lora_rank") else 0
    head_dim = width or facts.head_dim
    return Config(
        raw=raw,
        text=text,
        architecture=_architecture(raw, text),
        layers=facts.layers,
        hidden=facts.number(*HIDDEN),
        heads=facts.heads,
        kv_heads=facts.kv_heads,
        head_dim=head_dim,
        value_dim=facts.number("v_head_dim") or facts.head_dim,
        intermediate=facts.number(*_INNER),
        vocabulary=facts.number("vocab_size"),
        context=max(facts.number(*_CONTEXT), _stretched(text)),
        experts=facts.number(*COUNT),
        experts_used=facts.number(*USED),
        dtype=_dtype(text) or _dtype(raw),
        cache=cache,
        routing=experts_of(facts),
        predicting=_predicting(facts),
    )


def _predicting(facts: Facts) -> tuple[str, ...]:
    layers, more = facts.layers, facts.number("num_nextn_predict_layers")
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
    return any(name in part for name in (*LAYERS, *HIDDEN, *_CONTEXT))


def _architecture(raw: Mapping[str, object], text: Mapping[str, object]) -> str:
    for found in (raw.get("model_type"), text.get("model_type")):
        if isinstance(found, str) and found:
            return printable(found, 60)
    return "unknown"


def _dtype(part: Mapping[str, object]) -> str:
    found = part.get("dtype", part.get("torch_dtype"))
    return SPELLED.get(found.removeprefix("torch."), "") if isinstance(found, str) else ""
