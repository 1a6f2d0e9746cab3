"""The header of a ``mmproj`` file: a picture encoder for llama.cpp, and how it projects into a model's embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.gguf_layers.facts import Facts
from ultralab.models.formats.gguf_reader import GgufHeader
from ultralab.planner.attached import Projector

ARCHITECTURE: Final = "clip"
TYPE: Final = "mmproj"

_MOST_SIDE: Final = 65_536
_TOKENS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "glm4v", "dots_ocr"), 46 * 46),
    **dict.fromkeys(("kimivl", "lightonocr", "pixtral"), 256),
}
"""Of encoders that take pictures of any size, the tokens of the picture that llama.cpp reserves memory for when it loads
(``tools/mtmd/clip.cpp``, ``set_warmup_n_tokens``); each stands for a square of patches.
"""

_MERGED: Final[Mapping[str, int]] = dict.fromkeys(("pixtral", "lightonocr"), 1)
"""Patches per side that make one token, where the header does not say it; else 2."""


def is_projector(raw: GgufHeader) -> bool:
    """Whether a file is one: ``general.type``, or in older files the architecture alone."""
    kind = raw.values.get("general.type", TYPE)
    return raw.values.get("general.architecture") == ARCHITECTURE and kind == TYPE


def read_projector(raw: GgufHeader) -> Projector:
    """What a header says of the encoder (keys ``clip.vision.*``; ``gguf-py``'s ``constants.py``).

    Raises Unsupported where it is no projector for pictures, FileDamaged where its numbers contradict each other.
    """
    if not is_projector(raw) or raw.values.get("clip.has_vision_encoder") is False:
        raise Unsupported(
            _("{path} is no projector for pictures.").format(path=raw.path),
            hint=_("Give the mmproj file that belongs to the model."),
            path=str(raw.path),
        )
    facts = Facts(raw)
    kind = printable(
        str(raw.values.get("clip.projector_type") or raw.values.get("clip.vision.projector_type") or ""), 60
    )
    image, patch = facts.need("vision.image_size"), facts.need("vision.patch_size")
    if not patch <= image <= _MOST_SIDE:
        raise facts.damaged(
            _("pictures of {image} pixels are cut into patches of {patch}").format(image=image, patch=patch),
            "clip.vision.image_size",
        )
    width, heads = facts.need("vision.embedding_length"), facts.need("vision.attention.head_count")
    if width % heads:
        raise facts.damaged(
            _("{width} numbers cannot be divided among {heads} heads").format(width=width, heads=heads),
            "clip.vision.attention.head_count",
        )
    side = facts.number("vision.spatial_merge_size") or facts.number("vision.projector.scale_factor")
    merge = min(side or _MERGED.get(kind, 2), 16)
    return Projector(
        kind=kind,
        weight_bytes=sum(tensor.size for tensor in raw.tensors),
        layers=facts.need("vision.block_count"),
        embedding=width,
        feed_forward=facts.number("vision.feed_forward_length"),
        heads=heads,
        image_size=image,
        patch_size=patch,
        patches=_TOKENS[kind] * merge**2 if kind in _TOKENS else (image // patch) ** 2,
        windowed=facts.number("vision.n_wa_pattern") > 0,
    )
