"""Which tensors of a GGUF file a quantization changes, to what, and where they will lie. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo
from ultralab.models.formats.gguf_types import TENSOR_TYPE_NAMED, TensorType

_KEPT_NAMES: Final = frozenset({"token_embd.weight", "output.weight"})
_KEPT_PARTS: Final = (
    "_norm.weight", "ffn_gate_inp", "position_embd", "token_types", "per_layer_token_embd", "ssm_conv1d", "ssm_x.",
    "shortconv.conv", "time_mix_", "attn_rel_b", "altup", "laurel", "per_layer_model_proj",
)  # fmt: skip
"""Small or sensitive matrices that llama-quantize leaves alone as well (llama.cpp ``src/llama-quant.cpp``)."""

_NUMBERS: Final = frozenset({"I8", "I16", "I32", "I64", "F64"})
_FALLBACKS: Final = {"TQ1_0": "Q4_0", "TQ2_0": "Q4_0"}
"""For rows that do not fill the type's blocks, as llama-quantize does; where that does not fit either, F16."""


@dataclass(frozen=True)
class TensorPlan:
    """What becomes of one tensor: its new type, its offset in the data part and its bytes."""

    tensor: TensorInfo
    type: TensorType
    offset: int
    size: int

    @property
    def changes(self) -> bool:
        """Whether the tensor is packed anew."""
        return self.type != self.tensor.type


def plan(raw: GgufHeader, target: TensorType) -> tuple[TensorPlan, ...]:
    """What becomes of each tensor of a file when it is quantized to ``target``, in the file's order."""
    plans: list[TensorPlan] = []
    offset = 0
    for tensor in raw.tensors:
        kind = type_for(tensor, target)
        size = kind.size_of(tensor.elements)
        plans.append(TensorPlan(tensor, kind, offset, size))
        offset += size + (-size % raw.alignment)
    return tuple(plans)


def type_for(tensor: TensorInfo, target: TensorType) -> TensorType:
    """The type for a tensor: its own where it must or may stay, the target, or a type that its rows fill."""
    stays = (
        sum(side > 1 for side in tensor.shape) < 2
        or not tensor.name.endswith(".weight")
        or tensor.name in _KEPT_NAMES
        or any(part in tensor.name for part in _KEPT_PARTS)
        or tensor.type.name in _NUMBERS
        or tensor.elements == 0
    )
    if stays:
        return tensor.type
    fallback = TENSOR_TYPE_NAMED[_FALLBACKS.get(target.name, "F16")]
    for kind in (target, fallback):
        if tensor.row % kind.block == 0:
            return kind
    return TENSOR_TYPE_NAMED["F16"]
