"""Memory that mlx-lm holds for a loaded model: its caches as they grow, and what a step of prefill needs.

Sources: mlx-lm 0.32.2 (``models/cache.py``, ``generate.py``, and the models' own ``make_cache``), MLX 0.32.4
(``backend/metal/scaled_dot_product_attention.cpp``). Caches were compared with mlx-lm's on its CPU build, to the byte;
the buffers of latent attention with the peaks that ml-explore/mlx-lm#839 publishes.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from ultralab.kernel.errors import UnknownChoice, Unsupported
from ultralab.kernel.language import N_, _
from ultralab.planner.types import (
    Amount,
    AttentionLayers,
    CacheLayers,
    Demand,
    Experts,
    MemoryPlan,
    ModelShape,
    RecurrentLayers,
)

STEP: Final = 256
"""Cells that a cache grows by (``KVCache.step``)."""

CHUNK: Final = 2048
"""Tokens of a prompt computed at once (``generate_step``'s ``prefill_step_size``)."""

GROUP: Final = 64
"""Elements that share a scale and a bias in a quantized cache (``kv_group_size``)."""

_STATE: Final = 4
_TOGETHER: Final = 8  # prompts prefilled side by side at most (mlx-lm's server, ``--prompt-concurrency``)
_BITS: Final = {"f16": 0, "bf16": 0, "q8_0": 8, "q4_0": 4}

_WINDOWED: Final = frozenset({
    "afm7", "afmoe", "cohere2", "exaone4", "exaone_moe", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4",
    "gemma4_text", "gpt_oss", "llama", "ministral3", "mistral3", "olmo3",
})  # fmt: skip
"""Architectures for which mlx-lm makes a ``RotatingKVCache`` (their ``make_cache``); others keep all tokens."""

_CHUNKED: Final = frozenset({"llama4", "llama4_text"})
"""Those with a ``ChunkedKVCache``."""

_EXPANDED: Final = frozenset({"deepseek_v2", "minicpm3", "youtu", "youtu_llm"})
"""Latent attention that mlx-lm caches as whole keys and values of every head."""

_OWN_CONVOLUTIONS: Final = frozenset({"qwen3_next", "qwen3_5", "qwen3_5_moe", "qwen3_5_text", "qwen3_5_moe_text"})
"""Recurrent layers that copy the columns which they keep; others keep a view, and with it the whole chunk."""

_HALF_STATES: Final = frozenset({"mamba", "falcon_mamba", "jamba"})
"""Mamba 1: its state has the type of the activations, others' states are float32."""

_FUSED: Final = frozenset({64, 72, 80, 96, 128})
"""Widths of heads whose prefill is computed without writing the scores down."""

_WEIGHTS: Final = N_("the bytes of the tensors that the header lists")
_CACHE: Final = N_("mlx-lm's own caches, which grow by 256 tokens, with the whole context as prompt")
_QUANTIZED: Final = N_(
    "mlx-lm's own caches, which grow by 256 tokens; MLX quantizes in groups of 64, each with a scale and a bias"
)
_BOUND: Final = N_("an upper bound: the architecture is not known, so every layer is taken to keep all it could")
_COMPUTE: Final = N_("what mlx-lm holds while it reads a prompt in steps of 2048; not measured on a GPU")
_LATENT: Final = N_(
    "what mlx-lm holds while it reads a prompt in steps of 2048, after public peaks with up to 16,384 tokens; smaller "
    "steps (--prefill-step-size) take less"
)
_OVERHEAD: Final = N_("the Python process, measured on Linux x86-64, not yet calibrated on a Mac")

# Resident after importing mlx_lm.server and one product: 88 MB (CPython 3.11, Linux x86-64). A tokenizer of 150,000
# entries adds about 60 MB; Metal's compiled kernels are not in it.
_PROCESS: Final = 88_000_000
_PER_VOCABULARY_ENTRY: Final = 400
_LEAST_PREFILL: Final = 1_000_000
_BAND: Final = 0.5
_LATENT_BAND: Final = 0.15
"""Of three peaks of DeepSeek-V3 in 4 bits, with 4,096 to 16,384 tokens, the farthest is 10 % off (the test has them)."""


def mlx_memory(
    shape: ModelShape, demand: Demand, *, element: int = 2, chunk: int = CHUNK, fused: bool = True
) -> MemoryPlan:
    """What mlx-lm holds in all. ``element``: bytes per activation, which is also the plain cache's type.

    ``fused``: whether attention is fused where MLX has a kernel (on a GPU it is). The cache is quantized from the first
    token on (``quantized_kv_start`` 0). Not in it: prompts that mlx-lm's server keeps to use again, and freed buffers
    that MLX keeps until it needs the memory (``mx.clear_cache``): while a cache grows, up to its size once more.

    Raises UnknownChoice for a type that MLX does not have, Unsupported for a cache that mlx-lm cannot quantize.
    """
    return MemoryPlan(
        weights=Amount(shape.weight_bytes - shape.unloaded_bytes, 0.0, _WEIGHTS),
        kv_cache=mlx_cache(shape, demand, element=element),
        compute=_compute(shape, demand, element, chunk, fused=fused),
        overhead=Amount(_PROCESS + _PER_VOCABULARY_ENTRY * shape.vocabulary, 0.6, _OVERHEAD),
    )


def mlx_cache(shape: ModelShape, demand: Demand, *, element: int = 2) -> Amount:
    """The caches of all layers once the context is full, bytes. Raises as :func:`mlx_memory`."""
    bits = _bits(shape, demand)
    if shape.cache is None:
        width = max(max(shape.heads, shape.kv_heads, 1) * max(shape.key_dim, shape.value_dim), shape.embedding)
        states = shape.layers * demand.sequences * shape.most_state * _STATE
        return Amount(shape.layers * _whole_cells(demand) * 2 * width * element + states, 0.0, _BOUND, known=False)
    size = sum(group_bytes(shape, group, demand, element=element, bits=bits) for group in shape.cache)
    return Amount(size, 0.0, _QUANTIZED if bits else _CACHE)


def group_bytes(shape: ModelShape, group: CacheLayers, demand: Demand, *, element: int = 2, bits: int = 0) -> int:
    """What one group of layers keeps, bytes. ``bits``: 0 for a plain cache."""
    if isinstance(group, RecurrentLayers):
        state = element if shape.architecture in _HALF_STATES else _STATE
        return group.count * demand.sequences * (group.conv * element + group.state * state)
    per_cell = _elements(shape, group) * _element_bytes(element, bits)
    return int(group.count * _cells(shape, group, demand) * per_cell)


def _elements(shape: ModelShape, group: AttentionLayers) -> int:
    """Numbers per cell. An indexer's cache has values too, which stay empty but are there."""
    if group.latent and shape.architecture in _EXPANDED:
        return group.heads * (shape.key_dim + shape.value_dim)
    values = group.value_dim if group.latent or group.value_dim else group.key_dim
    return group.kv_heads * (group.key_dim + values)


def _element_bytes(element: int, bits: int) -> Fraction:
    return Fraction(bits, 8) + Fraction(2 * element, GROUP) if bits else Fraction(element)


def _bits(shape: ModelShape, demand: Demand) -> int:
    for name in (demand.key_type, demand.value_type):
        if name not in _BITS:
            raise UnknownChoice.among(_("KV cache type"), name, _BITS)
    bits = _BITS[demand.key_type]
    if bits != _BITS[demand.value_type]:
        raise _cannot(shape, _("keys and values must have the same type"))
    for group in shape.cache or () if bits else ():
        if isinstance(group, AttentionLayers):
            _require_quantizable(shape, group)
    return bits


def _require_quantizable(shape: ModelShape, group: AttentionLayers) -> None:
    """``RotatingKVCache.to_quantized`` is not written; attention with latents or sinks cannot read such a cache."""
    if group.latent or shape.architecture == "gpt_oss":
        raise _cannot(shape, _("this architecture's attention cannot read it"))
    if group.window and shape.architecture in _WINDOWED | _CHUNKED:
        raise _cannot(shape, _("it has layers with a window"))
    for width in (group.key_dim, group.value_dim):
        if width % GROUP:
            raise _cannot(
                shape, _("its heads have {width} numbers, no multiple of {group}").format(width=width, group=GROUP)
            )


def _cannot(shape: ModelShape, why: str) -> Unsupported:
    return Unsupported(
        _("mlx-lm cannot quantize the KV cache of {architecture}: {why}.").format(
            architecture=shape.architecture, why=why
        ),
        hint=_("Plan with --kv f16, or with llama.cpp."),
        architecture=shape.architecture,
    )


def _rounded(tokens: int) -> int:
    return -(-tokens // STEP) * STEP


def _whole_cells(demand: Demand) -> int:
    """Cells of all sequences together; of one context that they share, each may have begun a step of its own."""
    if demand.unified:
        return _rounded(demand.context) + STEP * (demand.sequences - 1)
    return demand.sequences * _rounded(demand.context)


def _cells(shape: ModelShape, group: AttentionLayers, demand: Demand) -> int:
    """Cells of one layer. A rotating cache takes the prompt as it is, then grows by a step up to its window."""
    whole = _whole_cells(demand)
    if not group.window:
        return whole
    if shape.architecture in _CHUNKED:
        return min(whole, demand.sequences * (_rounded(group.window) + STEP))
    if shape.architecture not in _WINDOWED:
        return whole
    prompt = demand.context - 1
    if prompt % CHUNK == 1:  # a last chunk of one token comes in as a generated one does
        prompt -= 1
    own = 1 if demand.unified else demand.sequences
    return min(demand.sequences * group.window, own * prompt + demand.sequences * STEP)


def _compute(shape: ModelShape, demand: Demand, element: int, chunk: int, *, fused: bool) -> Amount:
    """Buffers of one layer at its peak: MLX frees what is used up, but several operations are on their way at once.

    Fitted to peaks of its CPU build: activations of one layer together, scores once, and a causal mask. Latent attention
    (``models/deepseek_v3.py``) writes the rotary part's scores down on a GPU too, as the mask that it hands to the fused
    kernel: 1 MB for each token of the context with 128 heads and steps of 2048 (ml-explore/mlx-lm#839).
    """
    tokens = min(chunk, demand.context)
    rows = tokens * min(demand.sequences, _TOGETHER)
    groups = shape.cache or (
        AttentionLayers(shape.layers, shape.heads, shape.kv_heads, shape.key_dim, shape.value_dim),
    )
    attention = max((_attention(shape, group, demand, rows, tokens, element, fused) for group in groups), default=0)
    layer = rows * element * (4 * shape.embedding + _feed_forward(shape, shape.experts))
    held = sum(_held(shape, group, demand, rows, tokens, element) for group in groups)
    growing = max(
        (group_bytes(shape, group, demand, element=element) // group.count for group in groups if group.count),
        default=0,
    )
    logits = min(demand.sequences, 64) * shape.vocabulary * (element + 2 * _STATE)
    band, basis = (_LATENT_BAND, _LATENT) if fused and _published(shape, demand) else (_BAND, _COMPUTE)
    size = layer + attention + growing + held + logits + _LEAST_PREFILL
    return Amount(size, band, basis, known=shape.cache is not None)


def _published(shape: ModelShape, demand: Demand) -> bool:
    """Whether it is what those public peaks are of: latent attention in every layer without an index, one sequence."""
    groups = shape.cache or ()
    alike = all(isinstance(group, AttentionLayers) and group.latent for group in groups)
    return bool(groups) and alike and shape.architecture not in _EXPANDED and demand.sequences == 1


def _feed_forward(shape: ModelShape, experts: Experts | None) -> int:
    """Numbers per token of the widest feed-forward part: gate, up and their product, for each expert that works."""
    dense = 3 * shape.feed_forward
    if experts is None:
        return dense
    routed = experts.used * (3 * experts.feed_forward + 2 * shape.embedding) + 3 * experts.shared_feed_forward
    return max(dense, routed)


def _attention(
    shape: ModelShape, group: CacheLayers, demand: Demand, rows: int, tokens: int, element: int, fused: bool
) -> int:
    """Queries, keys, values and their rotated copies; scores and mask where they are written down."""
    if isinstance(group, RecurrentLayers):
        # Mamba 2 reads a prompt in steps of 256, as attention with four matrices per head (``ssm.py``'s ``ssm_attn``).
        own = shape.architecture in _OWN_CONVOLUTIONS or group.heads == 1
        steps = 0 if own else 4 * group.heads * min(tokens, STEP) ** 2 * (rows // max(1, tokens))
        return rows * (3 * group.inner * element + 2 * group.inner * _STATE) + steps * _STATE
    cells = demand.context
    if group.window and shape.architecture in _WINDOWED | _CHUNKED:
        cells = min(cells, group.window + tokens)
    width = shape.key_dim if group.latent else group.key_dim
    queries = 3 * group.heads * width + 2 * _elements(shape, group)
    scores, mask = group.heads * rows * cells * element, tokens * cells
    size = rows * queries * element
    if group.latent and shape.architecture not in _EXPANDED:
        # The rotary part's scores, masked into a second matrix; each head's keys and values, made from the latents and
        # laid out once more.
        rotary = group.key_dim - group.latent
        expanded = 2 * group.heads * (max(0, shape.key_dim - rotary) + shape.value_dim) * cells * element
        return size + 2 * scores + expanded * min(demand.sequences, _TOGETHER) + mask
    plain = fused and group.key_dim == group.value_dim and group.key_dim in _FUSED and not _BITS[demand.key_type]
    if plain:
        return size + (mask if group.window else 0)
    return size + scores + mask


def _held(shape: ModelShape, group: CacheLayers, demand: Demand, rows: int, tokens: int, element: int) -> int:
    """What caches hold between two steps of prefill and give back afterwards."""
    if isinstance(group, RecurrentLayers):
        columns = group.inner + (2 * group.groups * group.state // group.inner if group.inner else 0)
        return 0 if shape.architecture in _OWN_CONVOLUTIONS else group.count * rows * columns * element
    if not group.window or shape.architecture not in _WINDOWED | _CHUNKED:
        return 0
    over = min(max(0, demand.context - group.window), tokens)
    return group.count * over * demand.sequences * _elements(shape, group) * element
