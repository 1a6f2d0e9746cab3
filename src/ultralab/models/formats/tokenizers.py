"""What a directory of a model says of its tokenizer and chat template, without reading 20 MB of vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, Item
from ultralab.models.formats.bounded_json import read_object

LONGEST_TEMPLATE: Final = 64 * 1024
"""Characters of a chat template that are kept."""

_LOOKED_AT: Final = 4 * 1024 * 1024
_BLOCK: Final = 256 * 1024
_MODEL: Final = re.compile(rb'"model"\s*:\s*\{\s*"type"\s*:\s*"(\w{1,40})"')


def tokenizer_kind(bundle: Bundle, settings: Mapping[str, object]) -> str:
    """``BPE``, ``Unigram``, ``WordPiece`` as tokenizer.json says; else the kind that other files or a class name tell.

    ``settings`` is tokenizer_config.json. In tokenizer.json the model follows the added tokens: its first 4 MiB are read.
    """
    item = bundle.named("tokenizer.json")
    if item is not None and (kind := _kind_in(item)):
        return kind
    if bundle.named("tokenizer.model") is not None:
        return "SentencePiece"
    if bundle.named("merges.txt") is not None:
        return "BPE"
    named = settings.get("tokenizer_class")
    return printable(named, 60) if isinstance(named, str) else ""


def _kind_in(item: Item) -> str:
    with item.open() as stream:
        tail, left = b"", _LOOKED_AT
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            if found := _MODEL.search(tail + block):
                return found[1].decode()
            tail = block[-200:]
            left -= len(block)
    return ""


def chat_template(bundle: Bundle, settings: Mapping[str, object]) -> str:
    """The chat template, at most LONGEST_TEMPLATE characters: of its own file, or in tokenizer_config.json.

    Of several named ones the ``default``, else the first. Raises FileDamaged where chat_template.json is none.
    """
    if (own := bundle.named("chat_template.jinja")) is not None:
        with own.open() as stream:
            return stream.read(4 * LONGEST_TEMPLATE).decode("utf-8", "replace")[:LONGEST_TEMPLATE]
    for content in (settings, read_object(bundle, "chat_template.json")):
        if template := _chosen(content.get("chat_template")):
            return template[:LONGEST_TEMPLATE]
    return ""


def _chosen(found: object) -> str:
    if isinstance(found, str):
        return found
    named: dict[str, str] = {}
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("template"), str):
            named.setdefault(str(entry.get("name")), entry["template"])
    return named.get("default") or next(iter(named.values()), "")
