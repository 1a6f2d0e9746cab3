"""Plain llama-like networks in GGUF: what Hugging Face calls their tensors, and their ``config.json``.

Only what is known is taken: a key of the architecture or a tensor that stands in no list here is a reason to refuse,
since whatever it means would be lost without a word (rotary scaling, frequency factors, experts, windows …).

Sources: ggml-org/ggml ``docs/gguf.md`` for the keys; llama.cpp's converter (``LlamaModel.permute``, and that Qwen's
classes have none) for the order of the rows; transformers' ``LlamaConfig``, ``Qwen2Config`` and ``Qwen3Config``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo, printable

_MATRICES: Final = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip
_KEYS: Final = frozenset({
    "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "rope.dimension_count", "rope.freq_base",
})  # fmt: skip
_NOTHING: Final[Mapping[str, object]] = {"expert_count": 0, "expert_used_count": 0, "rope.scaling.type": "none"}
"""Keys that may be there with the value that says nothing."""

_USUAL_BASE: Final = 10_000.0  # llama.cpp's, and that of the configurations, where none is named


@dataclass(frozen=True)
class _Kind:
    """An architecture: its class in transformers, tensors of a layer besides the matrices, and whether rows are turned."""

    title: str
    more: Mapping[str, str]
    turned: bool


_KINDS: Final[Mapping[str, _Kind]] = {
    "llama": _Kind("LlamaForCausalLM", {}, turned=True),
    "qwen2": _Kind(
        "Qwen2ForCausalLM",
        {f"attn_{part}.bias": f"self_attn.{part}_proj.bias" for part in "qkv"},
        turned=False,
    ),
    "qwen3": _Kind(
        "Qwen3ForCausalLM",
        {f"attn_{part}_norm.weight": f"self_attn.{part}_norm.weight" for part in "qk"},
        turned=False,
    ),
}
KNOWN: Final = tuple(_KINDS)
"""The architectures, as GGUF calls them."""


@dataclass(frozen=True)
class Network:
    """A network's numbers, as its header has them. ``head``: the width of a head; ``tied``: it has no matrix of its own at the end."""

    kind: str
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    context: int
    vocabulary: int
    eps: float
    theta: float
    tied: bool


@dataclass(frozen=True)
class Place:
    """Where a tensor goes: its name in a checkpoint, and how many rows are turned together (0: none)."""

    name: str
    turned: int


def network_of(raw: GgufHeader) -> Network:
    """The network of a header. Raises Unsupported for anything that is not plain."""
    kind = str(raw.values.get("general.architecture"))
    if kind not in _KINDS:
        raise refusal(
            raw, _("its architecture is {name}; known: {known}").format(name=printable(kind), known=", ".join(KNOWN))
        )
    if raw.values.get("split.count", 1) not in (0, 1):
        raise refusal(raw, _("it is one part of several"))
    _require_known_keys(raw, kind)
    shapes = {tensor.name: tensor.shape for tensor in raw.tensors}
    heads, hidden = _number(raw, kind, "attention.head_count"), _number(raw, kind, "embedding_length")
    head = _number(raw, kind, "attention.key_length", hidden // heads)
    if head != _number(raw, kind, "attention.value_length", head) or head % 2:
        raise refusal(raw, _("the widths of its heads are unusual"))
    if head != _number(raw, kind, "rope.dimension_count", head):
        raise refusal(raw, _("only a part of each head is rotated"))
    if kind == "qwen2" and head * heads != hidden:
        raise refusal(raw, _("the widths of its heads are unusual"))
    network = Network(
        kind=kind,
        layers=_number(raw, kind, "block_count"),
        hidden=hidden,
        inner=_number(raw, kind, "feed_forward_length"),
        heads=heads,
        kv_heads=_number(raw, kind, "attention.head_count_kv", heads),
        head=head,
        context=_number(raw, kind, "context_length"),
        vocabulary=shapes.get("token_embd.weight", (0, 0))[-1],
        eps=_real(raw, kind, "attention.layer_norm_rms_epsilon"),
        theta=_real(raw, kind, "rope.freq_base", _USUAL_BASE),
        tied="output.weight" not in shapes,
    )
    _require_shapes(raw, network)
    return network


def config(network: Network, dtype: str) -> dict[str, Any]:
    """``config.json``. ``dtype``: of the weights, as PyTorch calls it."""
    kind = _KINDS[network.kind]
    biases = {"attention_bias": False, "mlp_bias": False} if network.kind == "llama" else {}
    if network.kind == "qwen3":
        biases = {"attention_bias": False}
    windows = {} if network.kind == "llama" else {"use_sliding_window": False}
    return {
        "architectures": [kind.title],
        "model_type": network.kind,
        "torch_dtype": dtype,
        "vocab_size": network.vocabulary,
        "hidden_size": network.hidden,
        "intermediate_size": network.inner,
        "num_hidden_layers": network.layers,
        "num_attention_heads": network.heads,
        "num_key_value_heads": network.kv_heads,
        "head_dim": network.head,
        "max_position_embeddings": network.context,
        "rms_norm_eps": network.eps,
        "rope_theta": network.theta,
        "tie_word_embeddings": network.tied,
        "hidden_act": "silu",
        **biases,
        **windows,
    }


def places(network: Network) -> dict[str, Place]:
    """GGUF's name of each tensor to its place, in the order of a checkpoint."""
    return {stored: place for stored, place, _shape in _expected(network)}


def _expected(network: Network) -> Iterator[tuple[str, Place, tuple[int, ...]]]:
    """Every tensor: GGUF's name, its place, its shape in GGUF's order (row length first)."""
    kind = _KINDS[network.kind]
    hidden, keys, queries = network.hidden, network.kv_heads * network.head, network.heads * network.head
    shapes = {
        "attn_q": (hidden, queries), "attn_k": (hidden, keys), "attn_v": (hidden, keys), "attn_output": (queries, hidden),
        "ffn_gate": (hidden, network.inner), "ffn_up": (hidden, network.inner), "ffn_down": (network.inner, hidden),
        "attn_norm": (hidden,), "ffn_norm": (hidden,),
    }  # fmt: skip
    special = {"attn_q.bias": (queries,), "attn_k.bias": (keys,), "attn_v.bias": (keys,)}
    table = (hidden, network.vocabulary)
    yield "token_embd.weight", Place("model.embed_tokens.weight", 0), table
    for layer in range(network.layers):
        place = f"model.layers.{layer}"
        for stored, name in _MATRICES.items():
            turned = network.head if kind.turned and stored in ("attn_q", "attn_k") else 0
            yield f"blk.{layer}.{stored}.weight", Place(f"{place}.{name}.weight", turned), shapes[stored]
        for stored, name in kind.more.items():
            yield f"blk.{layer}.{stored}", Place(f"{place}.{name}", 0), special.get(stored, (network.head,))
    yield "output_norm.weight", Place("model.norm.weight", 0), (hidden,)
    if not network.tied:
        yield "output.weight", Place("lm_head.weight", 0), table


def refusal(raw: GgufHeader, why: str) -> Unsupported:
    """The error for a file that is not plain enough. ``why``: translated."""
    return Unsupported(
        _("{path} cannot be converted to SafeTensors: {problem}.").format(path=raw.path.name, problem=why),
        hint=_("Take the model's SafeTensors from where the GGUF was made."),
        path=str(raw.path),
    )


def _require_known_keys(raw: GgufHeader, kind: str) -> None:
    for entry in raw.entries:
        name = entry.key.removeprefix(f"{kind}.")
        if name == entry.key or (name in _KEYS and entry.key not in raw.counts):  # some have a list, one for each layer
            continue
        if name not in _NOTHING or raw.values.get(entry.key) != _NOTHING[name]:
            raise refusal(raw, _("nobody here knows what its key {key} does").format(key=printable(entry.key)))


def _require_shapes(raw: GgufHeader, network: Network) -> None:
    most = len(raw.tensors)
    if network.layers > most:  # nothing is listed for layers that are not there
        raise refusal(raw, _("it has fewer tensors than layers"))
    wanted = {stored: shape for stored, _place, shape in _expected(network)}
    found: dict[str, TensorInfo] = {tensor.name: tensor for tensor in raw.tensors}
    for name in found:
        if name not in wanted:
            raise refusal(raw, _("nobody here knows what its tensor {name} does").format(name=printable(name)))
    for name, shape in wanted.items():
        if name not in found:
            raise refusal(raw, _("it lacks the tensor {name}").format(name=name))
        if found[name].shape != shape:
            raise refusal(raw, _("the tensor {name} has another shape than the header says").format(name=name))


def _number(raw: GgufHeader, kind: str, name: str, usual: int = 0) -> int:
    value = raw.values.get(f"{kind}.{name}", usual)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise refusal(raw, _("its key {key} is missing, or no number above 0").format(key=f"{kind}.{name}"))
    return value


def _real(raw: GgufHeader, kind: str, name: str, usual: float = 0.0) -> float:
    """A number as it was meant: the shortest decimal that is the same float32."""
    import numpy as np

    value = raw.values.get(f"{kind}.{name}", usual)
    if not isinstance(value, float) or not 0 < value < float("inf"):
        raise refusal(raw, _("its key {key} is missing, or no number above 0").format(key=f"{kind}.{name}"))
    return float(str(np.float32(value)))
