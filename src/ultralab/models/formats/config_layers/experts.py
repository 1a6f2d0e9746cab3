"""A mixture of experts, as config.json describes it."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.language import _
from ultralab.models.formats.config_layers.facts import Facts
from ultralab.planner.types import Experts

COUNT: Final = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
USED: Final = (
    "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_k", "top_k_experts",
)  # fmt: skip
_INNER: Final = ("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size", "intermediate_size")
_SHARED: Final = (
    "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size",
)  # fmt: skip


def experts_of(facts: Facts) -> Experts | None:
    """The experts, None where nothing is routed. Raises FileDamaged where more are used than there are.

    Source: the fields of transformers' configuration classes; ``first_k_dense_replace`` and ``decoder_sparse_step`` as
    ``modeling_deepseek_v3.py`` and ``modeling_qwen3_moe.py`` use them.
    """
    count, used = facts.number(*COUNT), facts.number(*USED)
    if count <= 1 or not used:
        return None
    if used > count:
        raise facts.damaged(_("it uses {used} of {count} experts").format(used=used, count=count), USED[0])
    inner = facts.number(*_INNER)
    shared = facts.number(*_SHARED) or facts.number("n_shared_experts", "num_shared_experts") * inner
    return Experts(count, used, inner, shared, _routed_layers(facts))


def _routed_layers(facts: Facts) -> int:
    dense = facts.raw("mlp_only_layers")
    first, step = facts.number("first_k_dense_replace"), facts.number("decoder_sparse_step") or 1
    if facts.kind == "jamba":
        period, offset = facts.number("expert_layer_period", default=2), facts.number("expert_layer_offset", default=1)
        return sum(1 for at in range(facts.layers) if period and at % period == offset)
    if facts.kind == "llama4_text":
        step = facts.number("interleave_moe_layer_step") or 1
    plain = {one for one in dense if isinstance(one, int)} if isinstance(dense, list) else set()
    return sum(1 for at in range(first, facts.layers) if (at + 1) % step == 0 and at not in plain)
