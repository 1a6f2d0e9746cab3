"""What a model is called here: a file name and a header become name, variant and family. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from ultralab.kernel.errors import RequestError
from ultralab.kernel.ids import is_name, slug
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_count
from ultralab.models.formats.base import ModelHeader

_SHARD: Final = re.compile(r"[-.]\d{5}-of-\d{5}$")
_QUANTIZATION: Final = re.compile(
    r"(?:^|[-._])"
    r"((?:(?:ud|i1)-)?"
    r"(?:iq\d(?:_(?:xxs|xs|s|m|nl|k|ks|kt))*|q\d+(?:_(?:k|\d|s|m|l|xl|xs))*|tq\d_\d|mxfp4(?:_moe)?|nvfp4|bf16|fp?16|fp?32))$",
    re.IGNORECASE,
)
_PACKED: Final = re.compile(
    r"(?:[-_](?:gguf|mlx|gptq|awq|int[48]|w\d+a\d+|fp8|bf16|fp?16|fp?32|dwq|dynamic|g?\d{2,3}g|(?:mlx-)?\d(?:\.\d+)?-?bits?))+$",
    re.IGNORECASE,
)
"""How repositories end whose name says what the weights are packed as: the header says it better."""

_SIZE: Final = re.compile(r"(?:^|-)(?:\d+x)?\d+(?:\.\d+)?[bm](?:-|$)")
_NAMELESS: Final = frozenset({"", "model", "ggml-model", "gguf", "weights", "unnamed"})


@dataclass(frozen=True)
class Names:
    """``name:variant`` is the reference; the family groups names (``qwen2.5`` for ``qwen2.5-7b-instruct``)."""

    name: str
    variant: str
    family: str


def names_for(file_name: str, header: ModelHeader) -> Names:
    """Names from a file's name, where it says something, else from the header's title, else from its size."""
    stem, variant = split_quantization(file_name)
    if header.format != "gguf":
        stem, variant = _PACKED.sub("", stem), ""
    name = slug(stem, "")
    if name in _NAMELESS or not stem.isascii():
        name = _from_title(header) or (name if name not in _NAMELESS else "") or _from_size(header)
    # "--" separates name and variant in the metadata's file names
    name = re.sub(r"-{2,}", "-", name)
    return Names(name, variant or slug(header.quantization, "original"), _family(name, header))


def title_for(file_name: str, header: ModelHeader) -> str:
    """What people read: the file's name where it says something (``SmolLM2-135M-Instruct``), else the header's title.

    A header's title is often what a training script was called.
    """
    stem = split_quantization(file_name)[0]
    if header.format != "gguf":
        stem = _PACKED.sub("", stem)
    return header.title if slug(stem, "") in _NAMELESS else printable(stem)


def split_quantization(file_name: str) -> tuple[str, str]:
    """``Qwen2.5-7B-Q4_K_M-00001-of-00002.gguf`` becomes ``("Qwen2.5-7B", "q4_k_m")``; the second may be empty."""
    stem = PurePath(file_name).name
    if stem.lower().endswith(".gguf"):
        stem = stem[: -len(".gguf")]
    stem = _SHARD.sub("", stem)
    match = _QUANTIZATION.search(stem)
    return (stem[: match.start()], slug(match.group(1))) if match else (stem, "")


def require_name(text: str) -> str:
    """``text``, if it may be a model's name or variant. Raises RequestError."""
    if not is_name(text) or "--" in text:
        raise RequestError(
            _("{text!r} cannot be a model's name.").format(text=text),
            hint=_("Use lower-case letters, digits and “._-”, for example {example}.").format(
                example=re.sub(r"-{2,}", "-", slug(text, "my-model"))
            ),
            name=text,
        )
    return text


def _from_title(header: ModelHeader) -> str:
    title = slug(split_quantization(header.title)[0], "")
    return "" if title in _NAMELESS or not header.title.isascii() else title


def _from_size(header: ModelHeader) -> str:
    return slug(f"{header.shape.architecture}-{format_count(header.shape.parameters)}", "model")


def _family(name: str, header: ModelHeader) -> str:
    basename = slug(str(header.metadata.get("general.basename", "")), "")
    if basename and basename not in _NAMELESS:
        return basename
    size = _SIZE.search(name)
    return name[: size.start()] if size and size.start() else name
