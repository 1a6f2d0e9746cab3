"""The GGUF format: a header becomes what the library and the planner need to know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, ModelHeader
from ultralab.models.formats.belongings import belongings
from ultralab.models.formats.gguf_grouped import GROUPED
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo, Value
from ultralab.models.formats.gguf_split import parts_of, read_parts
from ultralab.models.formats.gguf_types import MAGIC
from ultralab.models.formats.tokenizers import LONGEST_TEMPLATE
from ultralab.planner.types import ModelShape

_SPECIAL: Final = (
    "sliding_window",
    "kv_lora_rank",
    ".ssm.",
    "shared_kv_layers",
    "attention.chunk",
    ".wkv.",
    "recurrent",
)
"""Parts of keys that announce another kind of cache: windows, MLA, state space, shared or chunked layers."""

_OUTPUT: Final = "output.weight"
_EMBEDDING: Final = "token_embd.weight"
_LOOKUPS: Final = frozenset({"per_layer_token_embd.weight", "position_embd.weight", "token_types.weight"})
_EXPERT: Final = re.compile(r"ffn_(gate|up|down|gate_up)(_exps|\.\d+)\.")


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
    weight_bytes = sum(tensor.size for tensor in raw.tensors)
    parameters = sum(tensor.elements for tensor in raw.tensors)
    shape = _shape(raw, parameters, weight_bytes)
    facts = _Facts(raw, shape.architecture)
    routed = sum(tensor.elements for tensor in raw.tensors if _EXPERT.search(tensor.name))
    return ModelHeader(
        format=FORMAT.name,
        title=printable(str(values.get("general.name") or "")),
        licence=printable(str(values.get("general.license") or values.get("general.license.name") or "")),
        quantization=_dominant_type(raw.tensors),
        bits_per_weight=8 * weight_bytes / parameters,
        tensor_types=bytes_by_type(raw.tensors),
        shape=shape,
        metadata=dict(values),
        active_parameters=parameters - routed + round(routed * facts.used_share),
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


def _shape(raw: GgufHeader, parameters: int, weight_bytes: int) -> ModelShape:
    architecture = printable(str(raw.values["general.architecture"]), 60)
    facts = _Facts(raw, architecture)
    embedding = facts.need("embedding_length")
    heads = facts.number("attention.head_count")
    kv_heads = facts.number("attention.head_count_kv", heads)
    head = embedding // heads if heads else 0
    return ModelShape(
        architecture=architecture,
        layers=facts.need("block_count"),
        embedding=embedding,
        feed_forward=facts.number("feed_forward_length"),
        heads=heads,
        kv_heads=kv_heads,
        key_dim=facts.number("attention.key_length", head),
        value_dim=facts.number("attention.value_length", head),
        vocabulary=raw.counts.get("tokenizer.ggml.tokens", facts.number("vocab_size")),
        trained_context=facts.number("context_length"),
        parameters=parameters,
        weight_bytes=weight_bytes,
        bytes_per_token=_bytes_per_token(raw, facts),
        attention="grouped" if _is_grouped(raw, architecture, facts, kv_heads) else "unknown",
    )


class _Facts:
    """The whole numbers under ``<architecture>.``, checked: a hostile header gives no negative or absurd sizes."""

    def __init__(self, raw: GgufHeader, architecture: str) -> None:
        self._raw = raw
        self._architecture = architecture

    def need(self, key: str) -> int:
        """A number without which there is no model."""
        if value := self.number(key):
            return value
        raise Unsupported(
            _("{path} does not say its {key}.").format(path=self._raw.path, key=f"{self._architecture}.{key}"),
            hint=_("It is no language model that ultralab can plan for."),
            path=str(self._raw.path),
        )

    def number(self, key: str, default: int = 0) -> int:
        """A number, or the largest of a list with one per layer."""
        full = f"{self._architecture}.{key}"
        found = self._raw.values.get(full, max(self._raw.lists.get(full, ()), default=default))
        if not isinstance(found, int) or not 0 <= found < 2**31:
            raise FileDamaged(
                _("{path} is damaged: {key} is {value!r}.").format(path=self._raw.path, key=full, value=found),
                hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
                path=str(self._raw.path),
                key=full,
            )
        return int(found)

    @property
    def used_share(self) -> float:
        """The part of the experts that one token uses; 1 where nothing is routed."""
        experts, used = self.number("expert_count"), self.number("expert_used_count")
        return min(1.0, used / experts) if experts and used else 1.0

    def varies(self, key: str) -> bool:
        """Whether a number differs between layers."""
        full = f"{self._architecture}.{key}"
        listed = self._raw.lists.get(full)
        return len(set(listed)) > 1 if listed is not None else full in self._raw.counts


def _is_grouped(raw: GgufHeader, architecture: str, facts: _Facts, kv_heads: int) -> bool:
    special = any(part in key for key in (*raw.values, *raw.counts) for part in _SPECIAL)
    varied = any(
        facts.varies(f"attention.{key}") for key in ("head_count", "head_count_kv", "key_length", "value_length")
    )
    return architecture in GROUPED and kv_heads > 0 and not special and not varied


def _bytes_per_token(raw: GgufHeader, facts: _Facts) -> int:
    """Weight bytes read to decode one token: of lookup tables a row (not counted), of experts those that are used."""
    lookups = {*_LOOKUPS}
    if any(tensor.name == _OUTPUT for tensor in raw.tensors):
        lookups.add(_EMBEDDING)
    share = facts.used_share
    total = 0.0
    for tensor in raw.tensors:
        if tensor.name not in lookups:
            total += tensor.size * (share if _EXPERT.search(tensor.name) else 1.0)
    return round(total)


def _dominant_type(tensors: tuple[TensorInfo, ...]) -> str:
    matrices = [tensor for tensor in tensors if tensor.is_matrix and tensor.name not in (_EMBEDDING, _OUTPUT)]
    totals: Mapping[str, int] = bytes_by_type(matrices) or bytes_by_type(tensors)
    return next(iter(totals))
