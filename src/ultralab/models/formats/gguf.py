"""The GGUF format: a header becomes what the library and the planner need to know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, ModelHeader
from ultralab.models.formats.belongings import belongings
from ultralab.models.formats.gguf_features import blocks_of
from ultralab.models.formats.gguf_layers import cache_of
from ultralab.models.formats.gguf_layers.agree import require_agreement
from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.models.formats.gguf_layers.recurrent import most_state
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo, Value
from ultralab.models.formats.gguf_split import parts_of, read_parts
from ultralab.models.formats.gguf_types import MAGIC
from ultralab.models.formats.tokenizers import LONGEST_TEMPLATE
from ultralab.planner.types import Experts, ModelShape

_OUTPUT: Final = "output.weight"
_EMBEDDING: Final = "token_embd.weight"
_LOOKUPS: Final = frozenset({"per_layer_token_embd.weight", "position_embd.weight", "token_types.weight"})
_BLOCK: Final = re.compile(r"blk\.(\d{1,6})\.")
_EXPERT: Final = re.compile(r"ffn_(gate|up|down|gate_up)(_exps|_chexps|\.\d+)\.")
_OUTPUT_FIRST: Final = frozenset({"gemma3n", "gemma4"})
"""Architectures whose loader makes the output matrix of the embedding before the embedding itself: then llama.cpp has two
tensors of it, where others share one (``gemma3n.cpp``, ``gemma4.cpp``; ``TENSOR_DUPLICATED`` in ``llama-model-loader.cpp``)."""
_PLAIN: Final = frozenset({"F32", "F16", "BF16", "F64"})


class Gguf:
    """llama.cpp's file format."""

    name = "gguf"

    def recognises(self, bundle: Bundle) -> bool:
        """Whether one file, or the parts of one model in a folder, begins with the four bytes ``GGUF``."""
        found = parts_of(bundle)
        if not found:
            return False
        with found[0].open() as stream:
            return stream.read(4) == MAGIC

    def read_header(self, bundle: Bundle) -> ModelHeader:
        """Read and judge a header. Raises as :class:`ultralab.models.formats.base.Format` says."""
        parts = parts_of(bundle)
        header = summarize(read_parts(bundle, parts))
        names = tuple(part.name for part in parts)
        beside = tuple(name for name in belongings(bundle) if name not in names)
        return replace(header, entry=names[0], files=(*names, *beside))


FORMAT: Final = Gguf()


def summarize(raw: GgufHeader) -> ModelHeader:
    """What a header says about the model. Raises Unsupported where it is no whole language model."""
    values = raw.values
    _require_whole_model(raw)
    facts = Facts(raw)
    require_agreement(facts)
    shape = _shape(facts)
    return ModelHeader(
        format=FORMAT.name,
        title=printable(str(values.get("general.name") or "")),
        licence=printable(str(values.get("general.license") or values.get("general.license.name") or "")),
        quantization=_dominant_type(raw.tensors),
        bits_per_weight=8 * (shape.weight_bytes - shape.unloaded_bytes) / max(1, shape.parameters),
        tensor_types=bytes_by_type(raw.tensors),
        shape=shape,
        metadata=dict(values),
        active_parameters=shape.active_parameters or shape.parameters,
        experts=facts.number("expert_count"),
        experts_used=facts.number("expert_used_count"),
        dtype=next((kind for kind in bytes_by_type(raw.tensors) if kind in _PLAIN), ""),
        tokenizer=printable(str(values.get("tokenizer.ggml.model") or "")),
        chat_template=str(values.get("tokenizer.chat_template") or "")[:LONGEST_TEMPLATE],
        base_models=_base_models(values),
    )


def _base_models(values: Mapping[str, Value]) -> tuple[str, ...]:
    """``organisation/name`` where the address is a hub's, else the address, else the name (ggml's ``docs/gguf.md``)."""
    count = values.get("general.base_model.count", 0)
    found: list[str] = []
    for index in range(min(count, 16) if isinstance(count, int) else 0):
        prefix = f"general.base_model.{index}."
        address = str(values.get(f"{prefix}repo_url") or "")
        name = re.sub(r"^https?://(?:www\.)?huggingface\.co/", "", address) or str(values.get(f"{prefix}name") or "")
        if name:
            found.append(printable(name))
    return tuple(found)


def bytes_by_type(tensors: Iterable[TensorInfo]) -> dict[str, int]:
    """Bytes stored in each tensor type, the largest first."""
    totals: dict[str, int] = {}
    for tensor in tensors:
        totals[tensor.type.name] = totals.get(tensor.type.name, 0) + tensor.size
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _require_whole_model(raw: GgufHeader) -> None:
    values, path = raw.values, raw.path
    parts = values.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise Unsupported(
            _("{path} is one of {count} parts of a split model.").format(path=path, count=parts),
            hint=_("Merge the parts with llama-gguf-split --merge and use the result."),
            path=str(path),
        )
    kind = values.get("general.type", "model")
    if kind != "model" or not isinstance(values.get("general.architecture"), str):
        raise Unsupported(
            _("{path} holds no language model but {kind!r}.").format(path=path, kind=printable(str(kind))),
            hint=_("Give the file with the model's own weights (general.type “model” and an architecture)."),
            path=str(path),
        )
    if not any(tensor.elements for tensor in raw.tensors):
        raise Unsupported(
            _("{path} holds no weights (a vocabulary only).").format(path=path),
            hint=_("Give the file with the model's own weights (general.type “model” and an architecture)."),
            path=str(path),
        )


def _shape(facts: Facts) -> ModelShape:
    embedding = facts.need("embedding_length")
    heads = facts.number("attention.head_count")
    head = embedding // heads if heads else 0
    loaded = [tensor for tensor in facts.raw.tensors if not _is_unloaded(facts, tensor)]
    parameters = sum(tensor.elements for tensor in loaded)
    routed = sum(tensor.elements for tensor in loaded if _EXPERT.search(tensor.name))
    weight_bytes = sum(tensor.size for tensor in facts.raw.tensors)
    cache = cache_of(facts)
    return ModelShape(
        architecture=facts.architecture,
        layers=facts.need("block_count"),
        embedding=embedding,
        feed_forward=facts.number("feed_forward_length"),
        heads=heads,
        kv_heads=facts.number("attention.head_count_kv", heads),
        key_dim=facts.number("attention.key_length", head),
        value_dim=facts.number("attention.value_length", head),
        vocabulary=facts.raw.counts.get("tokenizer.ggml.tokens", facts.number("vocab_size")),
        trained_context=facts.number("context_length"),
        parameters=parameters,
        weight_bytes=weight_bytes,
        bytes_per_token=_bytes_per_token(facts, loaded),
        cache=cache,
        experts=_experts(facts, loaded),
        unloaded_bytes=weight_bytes - sum(tensor.size for tensor in loaded),
        active_parameters=parameters - routed + round(routed * facts.used_share) if routed else 0,
        lookup_bytes=sum(tensor.size for tensor in loaded if tensor.name in {_EMBEDDING, *_LOOKUPS}),
        blocks=blocks_of(facts, cache) if all(tensor.shape for tensor in loaded) else (),
        most_state=most_state(facts) if cache is None else 0,
        copied_bytes=_copied_bytes(facts),
    )


def _copied_bytes(facts: Facts) -> int:
    embedding = facts.tensors.get(_EMBEDDING)
    if embedding is None or _OUTPUT in facts.tensors or facts.architecture not in _OUTPUT_FIRST:
        return 0
    return embedding.size


def _experts(facts: Facts, loaded: Sequence[TensorInfo]) -> Experts | None:
    """Sources: ggml's ``docs/gguf.md``; the width of shared experts is that of their tensors."""
    count, used = facts.number("expert_count"), facts.number("expert_used_count")
    if not count or not used:
        return None
    if used > count:
        raise facts.damaged(_("it uses {used} of {count} experts").format(used=used, count=count), "expert_used_count")
    inner = facts.number("expert_feed_forward_length") or facts.number("feed_forward_length")
    stacked = [tensor for tensor in loaded if tensor.name.endswith("ffn_down_exps.weight")]
    shared = (tensor for tensor in loaded if tensor.name.endswith("ffn_down_shexp.weight"))
    return Experts(
        count=count,
        used=used,
        feed_forward=stacked[0].row if stacked else inner,
        shared_feed_forward=max((tensor.row for tensor in shared), default=0),
        layers=len(stacked) or facts.layers,
    )


def _is_unloaded(facts: Facts, tensor: TensorInfo) -> bool:
    """Whether a tensor belongs to a layer behind the last that only predicts several tokens at once.

    llama.cpp creates those with ``TENSOR_SKIP`` (``deepseek2.cpp``, ``deepseek32.cpp``, ``glm-dsa.cpp``, ``glm4-moe.cpp``,
    ``qwen35.cpp`` …): "model has unused tensor", and no memory.
    """
    match = _BLOCK.match(tensor.name)
    return bool(match and int(match[1]) >= facts.layers)


def _bytes_per_token(facts: Facts, loaded: Sequence[TensorInfo]) -> int:
    """Weight bytes read to decode one token: of lookup tables a row (not counted), of experts those that are used."""
    lookups = {*_LOOKUPS}
    if _OUTPUT in facts.tensors:
        lookups.add(_EMBEDDING)
    share = facts.used_share
    total = 0.0
    for tensor in loaded:
        if tensor.name not in lookups:
            total += tensor.size * (share if _EXPERT.search(tensor.name) else 1.0)
    return round(total)


def _dominant_type(tensors: tuple[TensorInfo, ...]) -> str:
    matrices = [tensor for tensor in tensors if tensor.is_matrix and tensor.name not in (_EMBEDDING, _OUTPUT)]
    totals: Mapping[str, int] = bytes_by_type(matrices) or bytes_by_type(tensors)
    return next(iter(totals))
