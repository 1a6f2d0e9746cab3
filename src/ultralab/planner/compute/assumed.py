"""Layers for a shape that does not say what its layers compute: as most models' are."""

from __future__ import annotations

from ultralab.planner.blocks import Attention, Block, FeedForward, Mixer, Routed, StateSpace
from ultralab.planner.types import AttentionLayers, CacheLayers, ModelShape


def assumed_blocks(shape: ModelShape) -> tuple[Block, ...]:
    """Layers that keep what ``shape.cache`` says, each with the model's feed-forward part behind it.

    Of an unknown architecture: attention of all heads over the whole context.
    """
    fed = _feed_forward(shape)
    if shape.cache is None:
        heads = max(shape.heads, shape.kv_heads, 1)
        width = max(shape.key_dim, shape.value_dim, shape.embedding // heads, 1)
        return (Block((Attention(heads, max(1, shape.kv_heads), width, width),), fed, count=max(1, shape.layers)),)
    return tuple(Block((_mixer(group, shape),), fed, count=group.count) for group in shape.cache if group.count)


def _mixer(group: CacheLayers, shape: ModelShape) -> Mixer:
    if isinstance(group, AttentionLayers):
        heads = max(group.heads, 1)
        values = group.value_dim or group.latent or group.key_dim
        return Attention(heads, max(1, group.kv_heads), group.key_dim, values, window=group.window)
    inner = group.inner or 2 * shape.embedding
    return StateSpace("mamba2", inner, max(1, group.state // inner), max(1, group.heads), max(1, group.groups))


def _feed_forward(shape: ModelShape) -> tuple[FeedForward | Routed, ...]:
    if shape.experts is None:
        return (FeedForward(shape.feed_forward),) if shape.feed_forward else ()
    one = shape.experts
    shared = FeedForward(one.shared_feed_forward) if one.shared_feed_forward else None
    return (Routed(one.count, one.used, one.feed_forward, shared=shared),)
