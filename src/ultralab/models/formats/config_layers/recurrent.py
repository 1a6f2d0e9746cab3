"""Layers with a recurrent state, alone or between attention layers (Mamba, Jamba, Falcon-H1, Qwen3-Next, Granite …).

The convolution keeps ``kernel − 1`` columns, the rest ``state · inner`` numbers (Mamba-2, arXiv 2405.21060, 6; mlx-lm
0.32.2's modules by the same names).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.kernel.language import _
from ultralab.models.formats.config_layers.facts import HIDDEN, Facts
from ultralab.models.formats.config_layers.grouped import attention_groups
from ultralab.models.formats.config_layers.latent import latent_layer
from ultralab.planner.types import CacheLayers, RecurrentLayers

Groups = tuple[CacheLayers, ...] | None
_LINEAR: Final = "linear_attention"


def mamba(facts: Facts) -> Groups:
    """Mamba 1 in every layer (``configuration_mamba.py``)."""
    hidden = facts.number(*HIDDEN)
    inner = facts.number("intermediate_size", "d_inner") or facts.number("expand") * hidden
    return _whole(
        (_mamba1(facts.layers, facts.number("conv_kernel", "d_conv"), inner, facts.number("state_size", "d_state")),)
    )


def mamba2(facts: Facts) -> Groups:
    """Mamba 2 in every layer (``configuration_mamba2.py``)."""
    heads, width = facts.number("num_heads"), facts.number("head_dim")
    return _whole((_mamba2(facts, facts.layers, "conv_kernel", heads, width, "state_size", "n_groups"),))


def jamba(facts: Facts) -> Groups:
    """Attention in one layer of ``attn_layer_period``, else Mamba 1 (``configuration_jamba.py``)."""
    period, offset = facts.number("attn_layer_period"), facts.number("attn_layer_offset")
    if not period:
        return None
    keep = tuple(at % period == offset for at in range(facts.layers))
    inner = facts.number("mamba_expand") * facts.number(*HIDDEN)
    state = _mamba1(facts.layers - sum(keep), facts.number("mamba_d_conv"), inner, facts.number("mamba_d_state"))
    return _mixed(facts, keep, state)


def falcon_h1(facts: Facts) -> Groups:
    """Attention and Mamba 2 side by side in every layer (``configuration_falcon_h1.py``)."""
    inner = facts.number("mamba_d_ssm") or facts.number("mamba_expand") * facts.number(*HIDDEN)
    heads = facts.number("mamba_n_heads")
    width = inner // heads if heads else 0
    state = _mamba2(facts, facts.layers, "mamba_d_conv", heads, width, "mamba_d_state", "mamba_n_groups")
    return _mixed(facts, (True,) * facts.layers, state)


def granite(facts: Facts) -> Groups:
    """``layer_types`` says which are Mamba 2 (``configuration_granitemoehybrid.py``)."""
    keep = _attending(facts.kinds())
    heads = facts.number("mamba_n_heads")
    inner = facts.number("mamba_expand") * facts.number(*HIDDEN)
    if keep is None or not heads:
        return None
    width = inner // heads if facts.raw("mamba_d_head") in (None, "auto") else facts.number("mamba_d_head")
    count = facts.layers - sum(keep)
    return _mixed(facts, keep, _mamba2(facts, count, "mamba_d_conv", heads, width, "mamba_d_state", "mamba_n_groups"))


def nemotron_h(facts: Facts) -> Groups:
    """A letter per layer: ``M`` Mamba 2, ``*`` attention, others keep nothing (``configuration_nemotron_h.py``)."""
    pattern = facts.raw("hybrid_override_pattern")
    letters = {"full_attention": "*", _LINEAR: "M", "conv": "M", "moe": "E", "mlp": "-"}
    if isinstance(pattern, str) and pattern:
        if len(pattern) != facts.layers:
            raise facts.damaged(
                _("{key} has {count} entries for {layers} layers").format(
                    key="hybrid_override_pattern", count=len(pattern), layers=facts.layers
                ),
                "hybrid_override_pattern",
            )
        each = tuple(pattern)
    else:
        each = tuple(letters.get(kind, "?") for kind in facts.kinds("layers_block_type", "layer_types") or ())
    if not each or set(each) - set("M*-E"):
        return None
    heads, width = facts.number("mamba_num_heads"), facts.number("mamba_head_dim")
    state = _mamba2(facts, each.count("M"), "conv_kernel", heads, width, "ssm_state_size", "n_groups")
    return _mixed(facts, tuple(one == "*" for one in each), state)


def delta(facts: Facts) -> Groups:
    """Gated delta nets, and attention in each ``full_attention_interval``-th layer (``configuration_qwen3_next.py``)."""
    interval = facts.number("full_attention_interval") or 4
    kinds = facts.kinds() or tuple(_LINEAR if (at + 1) % interval else "full_attention" for at in range(facts.layers))
    keep = _attending(kinds)
    asks = facts.number("linear_num_key_heads") * facts.number("linear_key_head_dim")
    heads, width = facts.number("linear_num_value_heads"), facts.number("linear_value_head_dim")
    kernel = facts.number("linear_conv_kernel_dim")
    if keep is None or not kernel:
        return None
    state = RecurrentLayers(
        count=facts.layers - sum(keep),
        conv=(kernel - 1) * (2 * asks + heads * width),
        state=heads * width * facts.number("linear_key_head_dim"),
        inner=heads * width,
        groups=max(1, facts.number("linear_num_key_heads")),
        heads=max(1, heads),
    )
    return _mixed(facts, keep, state)


def kimi_linear(facts: Facts) -> Groups:
    """Delta attention with a convolution each for q, k and v; latent attention in the layers that are listed (from 1)."""
    said = facts.raw("linear_attn_config")
    if not isinstance(said, dict):
        return None
    own = Facts(said, said, facts.where)
    listed = said.get("full_attn_layers")
    full = len(listed) if isinstance(listed, list) else 0
    heads, width, kernel = (
        own.number("num_heads"),
        own.number("head_dim"),
        own.number("short_conv_kernel_size", default=4),
    )
    layer = latent_layer(facts, full)
    if not full or full > facts.layers or layer is None or not kernel:
        return None
    inner = heads * width
    state = RecurrentLayers(facts.layers - full, 3 * (kernel - 1) * inner, inner * width, inner, heads or 1, heads or 1)
    return _whole((layer, state))


def short_convolution(facts: Facts) -> Groups:
    """LFM2: attention in some layers, in the others only the columns of a convolution (``configuration_lfm2.py``)."""
    listed = facts.raw("full_attn_idxs")
    kinds = facts.kinds()
    if kinds is None and isinstance(listed, list):
        named = {one for one in listed if isinstance(one, int)}
        kinds = tuple("full_attention" if at in named else "conv" for at in range(facts.layers))
    kernel, hidden = facts.number("conv_L_cache"), facts.number(*HIDDEN)
    if not kinds or set(kinds) - {"full_attention", "conv"} or not kernel:
        return None
    keep = tuple(kind == "full_attention" for kind in kinds)
    return _mixed(facts, keep, RecurrentLayers(facts.layers - sum(keep), (kernel - 1) * hidden, 0, hidden))


def _attending(kinds: tuple[str, ...] | None) -> tuple[bool, ...] | None:
    if kinds is None or set(kinds) - {"full_attention", _LINEAR}:
        return None
    return tuple(kind == "full_attention" for kind in kinds)


def _mamba1(count: int, kernel: int, inner: int, state: int) -> RecurrentLayers:
    return RecurrentLayers(count, max(0, kernel - 1) * inner, inner * state, inner)


def _mamba2(facts: Facts, count: int, kernel: str, heads: int, width: int, state: str, groups: str) -> RecurrentLayers:
    inner, states, parts = heads * width, facts.number(state), max(1, facts.number(groups))
    columns = max(0, facts.number(kernel) - 1)
    return RecurrentLayers(count, columns * (inner + 2 * parts * states), inner * states, inner, parts, max(1, heads))


def _mixed(facts: Facts, keep: tuple[bool, ...], state: RecurrentLayers) -> Groups:
    attention = attention_groups(facts, keep=keep) if any(keep) else ()
    return None if attention is None else _whole((*attention, state))


def _whole(groups: tuple[CacheLayers, ...]) -> Groups:
    """Groups without layers fall away; None where a state has no size."""
    kept = tuple(group for group in groups if group.count)
    if any(isinstance(group, RecurrentLayers) and not (group.inner and group.conv + group.state) for group in kept):
        return None
    return kept or None


READERS: Final[dict[str, Callable[[Facts], Groups]]] = {
    "mamba": mamba,
    "falcon_mamba": mamba,
    "mamba2": mamba2,
    "jamba": jamba,
    "falcon_h1": falcon_h1,
    "granitemoehybrid": granite,
    "nemotron_h": nemotron_h,
    "qwen3_next": delta,
    "qwen3_5_text": delta,
    "qwen3_5_moe_text": delta,
    "kimi_linear": kimi_linear,
    "lfm2": short_convolution,
    "lfm2_moe": short_convolution,
}
