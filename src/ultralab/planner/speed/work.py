"""What one token asks of a machine, from a model's shape."""

from __future__ import annotations

from ultralab.planner.elements import element_bytes
from ultralab.planner.hardware import Work
from ultralab.planner.kv_cache import F32, kv_cache
from ultralab.planner.types import AttentionLayers, CacheLayers, Demand, ModelShape, RecurrentLayers


def work_of(shape: ModelShape, demand: Demand, cached: int, quantization: str) -> Work:
    """The work of decoding one token with ``cached`` tokens before it, in a cache that stores what ``demand`` says.

    Every weight that works on the token is read once; of the cache, the cells that are in use (not those that are only
    allocated), of a layer with a window at most the window; a recurrent state is read and written. Raises UnknownChoice
    for an unknown cache type.
    """
    groups = [group for group in shape.cache or () if isinstance(group, AttentionLayers)]
    return Work(
        weight_bytes=shape.bytes_per_token,
        kv_bytes=_kv_bytes(shape, demand, cached),
        parameters=shape.active_parameters or shape.parameters,
        layers=shape.layers,
        routed=shape.experts is not None,
        quantization=quantization,
        attention_per_cell=round(sum(_multiplications(group, cached) for group in groups)),
        latent_layers=sum(group.count for group in groups if _is_latent(group)),
        loaded_bytes=shape.loaded_bytes,
        kv_known=shape.cache is not None,
        experts=shape.experts.count if shape.experts else 0,
        experts_used=shape.experts.used if shape.experts else 0,
    )


def _kv_bytes(shape: ModelShape, demand: Demand, cached: int) -> int:
    if shape.cache is None:
        one = Demand(max(1, cached), key_type=demand.key_type, value_type=demand.value_type)
        return kv_cache(shape, one).bytes
    return round(sum(_group_bytes(group, demand, cached) for group in shape.cache))


def _group_bytes(group: CacheLayers, demand: Demand, cached: int) -> float:
    if isinstance(group, RecurrentLayers):
        return 2 * group.count * (group.conv + group.state) * F32
    keys = group.kv_heads * group.key_dim * element_bytes(demand.key_type)
    values = group.kv_heads * group.value_dim * element_bytes(demand.value_type)
    return float(group.count * _seen(group, cached) * (keys + values))


def _seen(group: AttentionLayers, cached: int) -> int:
    return min(cached, group.window) if group.window else cached


def _multiplications(group: AttentionLayers, cached: int) -> float:
    """Of one token with one cell. In a prompt a token sees half of the cells on average, in a window at most the window."""
    share = min(1.0, 2 * group.window / cached) if group.window and cached else 1.0
    return share * group.count * group.heads * (group.key_dim + (group.value_dim or group.latent))


def _is_latent(group: AttentionLayers) -> bool:
    """MLA; files without its tensors keep keys and values expanded, and keys are longer by their rotary part."""
    return group.latent > 0 or group.key_dim > group.value_dim > 0
