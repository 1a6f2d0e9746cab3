"""Memory that transformers on PyTorch holds for a loaded model. Of it only the process was measured, and not on a Mac.

Sources: transformers 5.23 (``cache_utils.py``: ``DynamicLayer``, ``DynamicSlidingWindowLayer``, ``QuantizedLayer``;
``generation/utils.py``), PyTorch's ``aten/src/ATen/native/mps/operations/Attention.mm``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import N_, _
from ultralab.planner.types import Amount, AttentionLayers, CacheLayers, Demand, MemoryPlan, ModelShape, RecurrentLayers

GROUP: Final = 64
"""Elements that share a scale and a shift in a quantized cache (``q_group_size``)."""

RESIDUAL: Final = 128
"""Newest tokens that a quantized cache keeps as they are (``residual_length``)."""

_STATE: Final = 4
_BITS: Final = {"f32": 0, "f16": 0, "bf16": 0, "q8_0": 8, "q4_0": 4}

_WEIGHTS: Final = N_("the bytes of the tensors that the header lists")
_CACHE: Final = N_("transformers' DynamicCache, which holds as many tokens as there are")
_QUANTIZED: Final = N_(
    "transformers' quantized cache: groups of 64, each with a scale and a shift, the newest 128 tokens plain"
)
_BOUND: Final = N_("an upper bound: the architecture is not known, so every layer is taken to keep all it could")
_COMPUTE: Final = N_("transformers reads the whole prompt at once; from its source, not measured")
_OVERHEAD: Final = N_("the Python process, measured on Linux x86-64, not yet calibrated on a Mac")

# Resident once a model is loaded, without its weights: 378 to 388 MB with the tiny model, 418 MB with SmolLM2's 49,152
# tokens; rounded up, since a reservation must not be too small (engine ``torch``, CPython 3.11, torch 2.13 for the CPU,
# transformers 5.23, Linux x86-64). Metal's part is not in it.
_PROCESS: Final = 400_000_000
_PER_VOCABULARY_ENTRY: Final = 800


def torch_memory(shape: ModelShape, demand: Demand, *, element: int = 2, chunk: int = 0) -> MemoryPlan:
    """What transformers holds in all. ``element``: bytes per activation (2 for bfloat16 and float16, 4 for float32).

    ``chunk``: tokens of a prompt that are read at once, one sequence after the other; 0 for all of all sequences.
    Raises UnknownChoice for a cache type that transformers does not have.
    """
    return MemoryPlan(
        weights=Amount(shape.weight_bytes - shape.unloaded_bytes, 0.0, _WEIGHTS),
        kv_cache=torch_cache(shape, demand, element=element),
        compute=_compute(shape, demand, element, chunk),
        overhead=Amount(_PROCESS + _PER_VOCABULARY_ENTRY * shape.vocabulary, 0.6, _OVERHEAD),
    )


def torch_cache(shape: ModelShape, demand: Demand, *, element: int = 2) -> Amount:
    """The caches of all layers once the context is full, bytes. Recurrent states are counted as float32."""
    bits = _bits(demand)
    if shape.cache is None:
        width = max(max(shape.heads, shape.kv_heads, 1) * max(shape.key_dim, shape.value_dim), shape.embedding)
        states = shape.layers * demand.sequences * shape.most_state * _STATE
        return Amount(2 * shape.layers * width * _tokens(demand) * element + states, 0.0, _BOUND, known=False)
    size = sum(_group_bytes(group, demand, element, bits) for group in shape.cache)
    states = any(isinstance(group, RecurrentLayers) for group in shape.cache)
    return Amount(size, 0.3 if states else 0.1 if bits else 0.0, _QUANTIZED if bits else _CACHE)


def _bits(demand: Demand) -> int:
    for name in (demand.key_type, demand.value_type):
        if name not in _BITS:
            raise UnknownChoice.among(_("KV cache type"), name, _BITS)
    types = (_BITS[demand.key_type], _BITS[demand.value_type])
    return 0 if 0 in types else max(types)  # one number of bits for both; where they differ, what takes more


def _tokens(demand: Demand) -> int:
    """Tokens of all sequences together; padded to the longest, so each has the whole context unless they share it."""
    return demand.context if demand.unified else demand.context * demand.sequences


def _group_bytes(group: CacheLayers, demand: Demand, element: int, bits: int) -> int:
    if isinstance(group, RecurrentLayers):
        # ``conv_states`` hold as many columns as the kernel has, one more than are needed: at most twice as many.
        return group.count * demand.sequences * (group.conv * 3 // 2 * element + group.state * _STATE)
    tokens = _tokens(demand)
    if group.window:
        tokens = min(tokens, group.window * demand.sequences)
    per_token = group.kv_heads * (group.key_dim + group.value_dim)
    if not bits or group.window or group.latent:
        return group.count * tokens * per_token * element
    newest = min(tokens, RESIDUAL * demand.sequences)
    packed = Fraction(bits, 8) + Fraction(2 * element, GROUP)
    return int(group.count * per_token * (tokens * packed + newest * element))


def _compute(shape: ModelShape, demand: Demand, element: int, chunk: int) -> Amount:
    """One layer's activations for what is read at once; scores, which PyTorch's attention on a Mac writes down; the last
    position's logits (``logits_to_keep`` 1); and what growing a cache by concatenation holds twice.
    """
    every = _tokens(demand)
    rows = min(every, chunk) if chunk else every
    groups = shape.cache or (
        AttentionLayers(shape.layers, shape.heads, shape.kv_heads, shape.key_dim, shape.value_dim),
    )
    attention = max((_attention(group, demand, rows, element) for group in groups), default=0)
    experts = shape.experts
    routed = experts.used * (3 * experts.feed_forward + shape.embedding) if experts else 0
    shared = 3 * experts.shared_feed_forward if experts else 0
    forward = rows * element * max(3 * shape.feed_forward, routed + shared)
    held = sum(_view(group, demand, element) for group in groups)
    growing = max((2 * _plain(group, every, element) for group in groups), default=0)
    logits = demand.sequences * shape.vocabulary * (element + _STATE)
    size = rows * element * 4 * shape.embedding + max(attention, forward) + held + growing + logits
    return Amount(size, 0.6, _COMPUTE, known=shape.cache is not None)


def _attention(group: CacheLayers, demand: Demand, rows: int, element: int) -> int:
    if isinstance(group, RecurrentLayers):
        return rows * 4 * group.inner * _STATE
    width = group.key_dim if not group.latent else group.latent
    projected = rows * element * (3 * group.heads * width + 2 * group.kv_heads * (group.key_dim + group.value_dim))
    mask = min(rows, demand.context) * demand.context * element
    return projected + group.heads * rows * demand.context * element + mask


def _plain(group: CacheLayers, rows: int, element: int) -> int:
    """One layer's keys and values of all tokens, unquantized."""
    if isinstance(group, RecurrentLayers):
        return (group.conv + group.state) * _STATE
    return rows * group.kv_heads * (group.key_dim + group.value_dim) * element


def _view(group: CacheLayers, demand: Demand, element: int) -> int:
    """A sliding layer keeps a view of the prompt's keys and values, and with it all of them, up to the next token."""
    if isinstance(group, RecurrentLayers) or not group.window:
        return 0
    over = max(0, _tokens(demand) - group.window * demand.sequences)
    return group.count * _plain(group, over, element)
