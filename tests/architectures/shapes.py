"""Models that nobody has: widths off the well-known points, so that nothing can be fitted to those."""

from __future__ import annotations

from dataclasses import replace

from tests.architectures.base import Known
from tests.architectures.dense import llama

_NOBODY = "made up"


def _odd(name: str, **sides: int) -> Known:
    usual = {"layers": 5, "embedding": 1024, "feed_forward": 2048, "heads": 16, "kv_heads": 4, "vocabulary": 4096}
    sizes = {**usual, **sides}
    return llama(name, _NOBODY, context=65536, type="Q8_0", **sizes)


def routed(name: str, *, count: int, used: int, width: int, shared: bool = False) -> Known:
    """A small mixture: the dense model's attention, experts instead of its feed-forward part."""
    base = _odd(name, feed_forward=width)
    kept = [one for one in base.tensors if ".ffn_" not in one.name or one.name.endswith("ffn_norm.weight")]
    made = []
    for layer in range(5):
        shapes = {
            "ffn_gate_inp": (1024, count), "ffn_gate_exps": (1024, width, count), "ffn_up_exps": (1024, width, count),
            "ffn_down_exps": (width, 1024, count),
        }  # fmt: skip
        if shared:
            shapes |= {"ffn_gate_shexp": (1024, 512), "ffn_up_shexp": (1024, 512), "ffn_down_shexp": (512, 1024)}
            shapes |= {"ffn_gate_inp_shexp": (1024,)}
        head = next(one for one in kept if one.name.endswith("attn_q.weight"))
        made += [
            replace(head, name=f"blk.{layer}.{part}.weight", shape=sides, type="F32" if "inp" in part else "Q8_0")
            for part, sides in shapes.items()
        ]
    keys = {**base.keys, "expert_count": count, "expert_used_count": used, "expert_feed_forward_length": width}
    if shared:
        keys["expert_shared_feed_forward_length"] = 512
    return Known(name, "qwen2moe" if shared else "llama", keys, (*kept, *made), _NOBODY)


MODELS: tuple[Known, ...] = (
    _odd("odd-usual"),
    _odd("odd-one-layer", layers=1),
    _odd("odd-wide-heads", heads=8, kv_heads=8, head=256),
    _odd("odd-narrow-heads", heads=64, kv_heads=1, head=32),
    _odd("odd-large-vocabulary", embedding=512, vocabulary=250_000),
    _odd("odd-narrow-feed-forward", embedding=4096, feed_forward=256, heads=32),
    _odd("odd-wide-feed-forward", embedding=576, feed_forward=9216, heads=9, kv_heads=3),
    routed("odd-mixture", count=40, used=5, width=768),
    routed("odd-one-expert", count=4, used=1, width=3072),
    routed("odd-shared-expert", count=60, used=4, width=352, shared=True),
)
