"""Layers with a recurrent state, alone or between attention layers (Mamba, Jamba, Falcon-H1, Qwen3-Next, Granite, RWKV).

Sources: llama.cpp ``llama-hparams.cpp`` (``n_embd_r``: what the convolution or the token shift keeps, ``n_embd_s``: the
state), each architecture's ``load_arch_hparams`` (which layers are recurrent), ``llama-memory-recurrent.cpp`` (float32,
one cell per sequence).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ultralab.kernel.language import _
from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.models.formats.gguf_layers.latent import OTHERS, attention_of
from ultralab.planner.types import CacheLayers, RecurrentLayers

_INTERVAL: Final = 4
"""Qwen's every fourth layer attends where the header does not say otherwise (llama.cpp ``qwen3next.cpp``)."""

Choice = Callable[[Facts], tuple[Sequence[int], Sequence[int]]]
"""Which layers attend, which are recurrent."""


def _alone(facts: Facts) -> tuple[Sequence[int], Sequence[int]]:
    return (), range(facts.layers)


def _side_by_side(facts: Facts) -> tuple[Sequence[int], Sequence[int]]:
    return range(facts.layers), range(facts.layers)


def _by_kv_heads(facts: Facts) -> tuple[Sequence[int], Sequence[int]]:
    """A layer without KV heads is recurrent."""
    kv_heads = facts.per_layer("attention.head_count_kv")
    return _split(facts, [not one for one in kv_heads])


def _beside_feed_forward(facts: Facts) -> tuple[Sequence[int], Sequence[int]]:
    """The same, but a layer may be a feed-forward network alone, which keeps nothing (Nemotron-H)."""
    attending, others = _by_kv_heads(facts)
    inner = facts.per_layer("feed_forward_length")
    return [at for at in attending if not inner[at]], [at for at in others if not inner[at]]


def _by_interval(facts: Facts) -> tuple[Sequence[int], Sequence[int]]:
    if facts.has("attention.recurrent_layers"):
        return _split(facts, [bool(one) for one in facts.per_layer("attention.recurrent_layers")])
    every = facts.number("full_attention_interval", _INTERVAL)
    if not every:
        raise facts.damaged(
            _("{key} is {value!r}").format(key="full_attention_interval", value=every), "full_attention_interval"
        )
    return _split(facts, [bool((at + 1) % every) for at in range(facts.layers)])


def _split(facts: Facts, recurrent: Sequence[bool]) -> tuple[Sequence[int], Sequence[int]]:
    layers = range(facts.layers)
    return [at for at in layers if not recurrent[at]], [at for at in layers if recurrent[at]]


def state_space(facts: Facts, count: int) -> RecurrentLayers | None:
    """Mamba, Mamba-2, and the gated delta net (``groups`` key heads and ``heads`` value heads)."""
    conv, inner, state = (facts.number(f"ssm.{key}") for key in ("conv_kernel", "inner_size", "state_size"))
    groups = facts.number("ssm.group_count")
    if not conv or not inner or not state:
        return None
    heads = facts.number("ssm.time_step_rank") if groups else 1
    kept = (conv - 1) * (inner + 2 * groups * state)
    return RecurrentLayers(count, kept, state * inner, inner, max(1, groups), max(1, heads))


def short_convolution(facts: Facts, count: int) -> RecurrentLayers | None:
    """LFM2: the last inputs of a convolution, and no state behind it."""
    kept, embedding = facts.number("shortconv.l_cache"), facts.need("embedding_length")
    return RecurrentLayers(count, embedding * (kept - 1), 0, embedding) if kept else None


def weighted_key_value(facts: Facts, count: int) -> RecurrentLayers | None:
    """RWKV: the last token's input to both mixers, and a matrix per head."""
    embedding, head = facts.need("embedding_length"), facts.number("wkv.head_size")
    shifts = facts.number("token_shift_count", 2)
    if not head:
        return None
    return RecurrentLayers(count, shifts * embedding, embedding * head, embedding, 1, max(1, embedding // head))


def delta_attention(facts: Facts, count: int) -> RecurrentLayers | None:
    """Kimi Delta Attention: three convolutions and a matrix per head."""
    head, conv = facts.number("kda.head_dim"), facts.number("ssm.conv_kernel", 4)
    heads = facts.number("attention.head_count")
    if not head or not conv:
        return None
    return RecurrentLayers(count, 3 * (conv - 1) * heads * head, head * head * heads, heads * head, heads, heads)


def most_state(facts: Facts) -> int:
    """Elements that a layer of an unknown architecture might keep per sequence: all that the known ones would, together."""
    if not facts.mentions(".ssm.", ".shortconv.", ".wkv.", ".kda."):
        return 0
    found = [keeps(facts, 1) for keeps in (state_space, short_convolution, weighted_key_value, delta_attention)]
    return sum(one.conv + one.state for one in found if one)


def _require_convolutions(facts: Facts) -> None:
    """Raises FileDamaged where a convolution is not as wide as the keys say."""
    inner, state, groups = (facts.number(f"ssm.{key}") for key in ("inner_size", "state_size", "group_count"))
    said = "ssm.inner_size + 2 · group_count · state_size"
    for at in range(facts.layers):
        facts.require_rows(f"blk.{at}.ssm_conv1d.weight", inner + 2 * groups * state, said)


def _reader(
    choose: Choice, keeps: Callable[[Facts, int], RecurrentLayers | None]
) -> Callable[[Facts], tuple[CacheLayers, ...] | None]:
    def read(facts: Facts) -> tuple[CacheLayers, ...] | None:
        if facts.mentions(*OTHERS, ".indexer."):
            return None
        attending, recurrent = choose(facts)
        kept = keeps(facts, len(recurrent))
        if kept is None:
            return None
        if keeps is state_space:
            _require_convolutions(facts)
        return *attention_of(facts, attending), *((kept,) if kept.count else ())

    return read


READERS: Final[dict[str, Callable[[Facts], tuple[CacheLayers, ...] | None]]] = {
    "mamba": _reader(_alone, state_space),
    "mamba2": _reader(_alone, state_space),
    "jamba": _reader(_by_kv_heads, state_space),
    "plamo2": _reader(_by_kv_heads, state_space),
    "falcon-h1": _reader(_side_by_side, state_space),
    "granitehybrid": _reader(_by_kv_heads, state_space),
    "nemotron_h": _reader(_beside_feed_forward, state_space),
    "nemotron_h_moe": _reader(_beside_feed_forward, state_space),
    "qwen3next": _reader(_by_interval, state_space),
    "qwen35": _reader(_by_interval, state_space),
    "qwen35moe": _reader(_by_interval, state_space),
    "lfm2": _reader(_by_kv_heads, short_convolution),
    "lfm2moe": _reader(_by_kv_heads, short_convolution),
    "kimi-linear": _reader(_by_kv_heads, delta_attention),
    "rwkv6": _reader(_alone, weighted_key_value),
    "rwkv6qwen2": _reader(_alone, weighted_key_value),
    "rwkv7": _reader(_alone, weighted_key_value),
    "arwkv7": _reader(_alone, weighted_key_value),
}
