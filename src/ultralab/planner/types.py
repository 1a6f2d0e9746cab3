"""What the planner takes and gives: plain values."""

from __future__ import annotations

from dataclasses import dataclass

from ultralab.kernel.language import N_
from ultralab.planner.blocks import Block


@dataclass(frozen=True)
class AttentionLayers:
    """``count`` layers that keep keys and values of earlier tokens, all alike.

    A cell (one token in one layer) keeps ``kv_heads · key_dim`` and ``kv_heads · value_dim`` elements. Multi-head latent
    attention (MLA) keeps keys only, one latent vector with its rotary part: one KV head, ``value_dim`` 0, and ``latent``
    is its rank. ``window``: how many tokens such a layer looks back at, 0 for all. ``heads``: the heads that ask.
    """

    count: int
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    window: int = 0
    latent: int = 0


@dataclass(frozen=True)
class RecurrentLayers:
    """``count`` layers that keep a state of fixed size per sequence: float32 elements of the convolution's and of the rest.

    ``inner``: the width that such a layer computes in (``d_inner``), ``groups`` and ``heads`` how it divides it.
    """

    count: int
    conv: int
    state: int
    inner: int = 0
    groups: int = 1
    heads: int = 1


CacheLayers = AttentionLayers | RecurrentLayers


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: ``used`` of ``count`` work on a token, in ``layers`` layers.

    ``feed_forward``: an expert's inner width; ``shared_feed_forward``: of those that always work, all together.
    """

    count: int
    used: int
    feed_forward: int
    shared_feed_forward: int = 0
    layers: int = 0


@dataclass(frozen=True)
class ModelShape:
    """What a model's header says, as far as memory and speed depend on it.

    ``weight_bytes``: all tensor data. ``bytes_per_token``: weight bytes that decoding one token reads (a lookup
    table that is not also the output matrix is read one row at a time, so it does not count). ``cache`` says what each
    layer keeps of earlier tokens; layers that keep nothing, or use what another keeps, are in no group; None where the
    architecture is not known. ``unloaded_bytes``: of the weights, those that no engine loads to generate text (layers
    that predict several tokens at once). ``lookup_bytes``: of those loaded, tables that an engine keeps on the host.
    ``active_parameters``: those that work on one token, 0 where nothing is routed. ``blocks``: what each layer computes,
    in their order, as far as the header tells; else empty. ``most_state``: where ``cache`` is None, the most elements of
    state that a layer might keep per sequence, by the header's numbers. ``copied_bytes``: of the weights, those that
    llama.cpp loads twice.
    """

    architecture: str
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    vocabulary: int
    trained_context: int
    parameters: int
    weight_bytes: int
    bytes_per_token: int
    cache: tuple[CacheLayers, ...] | None = None
    experts: Experts | None = None
    unloaded_bytes: int = 0
    lookup_bytes: int = 0
    active_parameters: int = 0
    blocks: tuple[Block, ...] = ()
    most_state: int = 0
    copied_bytes: int = 0

    @property
    def loaded_bytes(self) -> int:
        """Weight bytes that an engine loads, as llama.cpp's fit report counts them."""
        return self.weight_bytes - self.unloaded_bytes + self.copied_bytes


@dataclass(frozen=True)
class Demand:
    """How a model is to be loaded.

    ``context``: tokens of each sequence; with ``unified``, of one cache that all ``sequences`` share. ``key_type`` and
    ``value_type``: how the cache stores elements (``f16``, ``q8_0`` …). ``flash``: flash attention. ``ubatch``: tokens
    computed at once in prefill. ``outputs``: rows of logits that are reserved, 0 for one per token of the micro-batch,
    as llama.cpp's fit report counts; its server needs one per sequence.
    """

    context: int
    sequences: int = 1
    unified: bool = False
    key_type: str = "f16"
    value_type: str = "f16"
    flash: bool = True
    ubatch: int = 512
    outputs: int = 0


@dataclass(frozen=True)
class Prediction:
    """A predicted quantity with the band it should fall into, and where it comes from (a message id)."""

    value: float
    low: float
    high: float
    basis: str

    @property
    def error_band(self) -> float:
        """The larger of both distances, as a part of the value."""
        return max(self.high - self.value, self.value - self.low) / self.value if self.value > 0 else 0.0


@dataclass(frozen=True)
class Amount:
    """A part of the memory, bytes: how far off it may be (a part of it), and where it comes from (a message id).

    Not ``known``: nobody can say, and ``bytes`` is an upper bound.
    """

    bytes: int
    error_band: float = 0.0
    basis: str = ""
    known: bool = True


_WHOLE = N_("the sum of its parts")


@dataclass(frozen=True)
class MemoryPlan:
    """What a loaded model will hold, part by part."""

    weights: Amount
    kv_cache: Amount
    compute: Amount
    overhead: Amount
    basis: str = _WHOLE

    @property
    def parts(self) -> tuple[Amount, Amount, Amount, Amount]:
        """Weights, KV cache, compute buffers, overhead."""
        return self.weights, self.kv_cache, self.compute, self.overhead

    @property
    def total(self) -> int:
        """All parts together, bytes."""
        return sum(part.bytes for part in self.parts)

    @property
    def known(self) -> bool:
        """Whether each part is; else ``total`` is an upper bound."""
        return all(part.known for part in self.parts)

    @property
    def error_band(self) -> float:
        """How far off the total may be, as a part of it: the parts' errors added up."""
        return sum(part.bytes * part.error_band for part in self.parts) / max(1, self.total)
