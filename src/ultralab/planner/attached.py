"""What is loaded beside a model: a projector that turns pictures into embeddings, a draft model that guesses ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ultralab.kernel.language import N_
from ultralab.planner.types import Amount, MemoryPlan

_F32: Final = 4
_F16: Final = 2
_COLOURS: Final = 3

_WITH_PROJECTOR: Final = N_("the bytes of the tensors of the model and of its projector")
_WITH_DRAFT: Final = N_("the bytes of the tensors of the model and of its draft model")
_CACHES: Final = N_("the caches of the model and of its draft model together")
_ENCODER: Final = N_(
    "llama.cpp's picture encoder, for the picture that it reserves memory for; a larger one takes more"
)
_COMPUTES: Final = N_("the compute buffers of both together, as each has a context of its own")


@dataclass(frozen=True)
class Projector:
    """A picture encoder with its projection, as a ``mmproj`` file holds them. Sizes of pictures and patches in pixels.

    ``kind`` names the projection (``clip.projector_type``). ``patches``: of the picture that llama.cpp reserves its
    buffer for when it loads. ``windowed``: whether most layers look at a part of the picture only.
    """

    kind: str
    weight_bytes: int
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    image_size: int
    patch_size: int
    patches: int
    windowed: bool = False


def projector_compute(projector: Projector, *, flash: bool = True) -> Amount:
    """The encoder's compute buffer as llama.cpp reserves it when it loads, bytes; a larger picture takes more.

    Source: llama.cpp ``tools/mtmd/clip.cpp``: ``build_vit`` (residual, norm, queries, keys and values in float32),
    ``build_attn`` (with flash attention keys and values once more in float16, without it one matrix of patches ×
    patches per head in float32), ``build_ffn``, the patches as ``ggml_conv_2d`` lays them out, and where layers look at
    windows a mask in float32, for flash attention in float16 too. The band: buffers published in
    gpustack/gguf-parser-go#44 and ggml-org/llama.cpp#22673.
    """
    patches, width = projector.patches, projector.embedding
    attention = patches * width * (4 * _F32 + (2 * _F16 if flash else _F32))
    scores = 0 if flash else patches**2 * projector.heads * _F32
    forward = patches * projector.feed_forward * _F32
    pixels = patches * projector.patch_size**2 * _COLOURS * (_F32 + _F16)
    mask = patches**2 * (_F32 + (_F16 if flash else 0)) if projector.windowed else 0
    size = patches * width * 2 * _F32 + max(attention + scores, forward) + pixels + mask
    return Amount(size, 0.3, _ENCODER)


def with_projector(plan: MemoryPlan, projector: Projector, *, flash: bool = True) -> MemoryPlan:
    """The plan of a model that sees: both are loaded, and the encoder's buffer stays beside the model's."""
    weights = Amount(projector.weight_bytes, 0.0)
    return replace(
        plan,
        weights=_sum(plan.weights, weights, _WITH_PROJECTOR),
        compute=_sum(plan.compute, projector_compute(projector, flash=flash), _COMPUTES),
    )


def with_draft(plan: MemoryPlan, draft: MemoryPlan) -> MemoryPlan:
    """The plan of a model whose tokens a smaller one guesses first; ``draft`` planned for the same context.

    Each has weights, cache and compute buffer of its own (llama.cpp ``common/speculative.cpp``: a second context;
    mlx-lm's ``speculative_generate_step``: a second cache). The process is one: its overhead counts once, the larger.
    """
    return MemoryPlan(
        weights=_sum(plan.weights, draft.weights, _WITH_DRAFT),
        kv_cache=_sum(plan.kv_cache, draft.kv_cache, _CACHES),
        compute=_sum(plan.compute, draft.compute, _COMPUTES),
        overhead=max(plan.overhead, draft.overhead, key=lambda one: one.bytes),
        basis=plan.basis,
    )


def _sum(one: Amount, other: Amount, basis: str) -> Amount:
    """Both, with the error that both bring; known only where both are."""
    size = one.bytes + other.bytes
    error = one.bytes * one.error_band + other.bytes * other.error_band
    return Amount(size, error / size if size else 0.0, basis, known=one.known and other.known)
