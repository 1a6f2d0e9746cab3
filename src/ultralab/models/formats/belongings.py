"""Which files beside the weights belong to a model, and which ask for somebody's code. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle

_BELONGS: Final = re.compile(
    r"config[^/]*\.json|[^/]*_config\.json|[^/]*\.safetensors\.index\.json|generation_config\.json|tokenizer[^/]*"
    r"|vocab[^/]*|added_tokens\.json|merges\.txt|special_tokens_map\.json|chat_template[^/]*|[^/]*\.jinja"
    r"|(?:pre|post)?processor[^/]*\.json|quant(?:ize)?_config\.json|[^/]*\.model|[^/]*\.tiktoken"
    r"|licen[cs]e[^/]*|notice[^/]*|readme\.md",
    re.IGNORECASE,
)
_NEVER: Final = (
    ".py",
    ".pyc",
    ".so",
    ".dylib",
    ".sh",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".safetensors",
)
_LARGEST: Final = 256 * 1024 * 1024


def belongings(bundle: Bundle) -> tuple[str, ...]:
    """The files of the bundle's own folder that are part of a model without being weights; never code, by name."""
    return tuple(
        sorted(
            item.name
            for item in bundle.items
            if _BELONGS.fullmatch(item.name) and not item.name.lower().endswith(_NEVER) and item.size <= _LARGEST
        )
    )


def foreign_code(files: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    """One sentence per JSON file (by name) that asks whoever loads the model to run code that comes with it.

    ``auto_map`` names classes in the repository's own modules; ``trust_remote_code`` says they are needed (transformers).
    """
    found: list[str] = []
    for name, content in files.items():
        mapped = content.get("auto_map")
        if mapped:
            classes = mapped.values() if isinstance(mapped, Mapping) else (mapped,)
            shown = printable(", ".join(str(one) for one in classes), 160)
            found.append(
                _("{file} asks for code of the model's own: auto_map names {classes}.").format(file=name, classes=shown)
            )
        if content.get("trust_remote_code"):
            found.append(_("{file} asks for code of the model's own: trust_remote_code.").format(file=name))
    return tuple(found)
