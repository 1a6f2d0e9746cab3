"""A model card's front matter: what the YAML block at the beginning of a README.md says of a model. Distrusted.

Keys as the Hugging Face hub documents them ("Model Cards", model-card metadata): ``license``, ``license_name``,
``base_model``, ``language``, ``tags``, ``pipeline_tag``. Only these are parsed: the rest is often long, and sometimes
no YAML at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from ultralab.kernel.text import printable

MOST: Final = 64 * 1024
"""Characters of the wanted keys; a block with more of them is not believed."""
_MOST_TEXT: Final = 2 * 1024 * 1024
_MOST_ENTRIES: Final = 200
_WANTED: Final = ("license", "license_name", "license_link", "base_model", "language", "tags", "pipeline_tag")
_KEY: Final = re.compile(r"""["']?([A-Za-z0-9_-]{1,100})["']?[ \t]*:(?:[ \t]|$)""")


@dataclass(frozen=True)
class Card:
    """What a model card says. Empty where it says nothing."""

    licence: str = ""
    base_models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    pipeline: str = ""


def read_card(text: str) -> Card:
    """The card in a README's text. Never raises: what cannot be read in bounded work says nothing."""
    block = _block(text[:_MOST_TEXT])
    fits = 0 < len(block) <= MOST and block.count("[") + block.count("{") <= _MOST_ENTRIES
    said = _parsed(block) if fits else {}
    licence = _one(said.get("license"))
    if licence.lower() in ("", "other") and (named := _one(said.get("license_name"))):
        licence = named
    return Card(
        licence=licence,
        base_models=_several(said.get("base_model")),
        tags=_several(said.get("tags")),
        languages=_several(said.get("language")),
        pipeline=_one(said.get("pipeline_tag")),
    )


def _block(text: str) -> str:
    """The lines of the wanted top-level keys, in the block between the first line ``---`` and the next one."""
    lines = iter(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").splitlines())
    if next(lines, "").rstrip() != "---":
        return ""
    kept: list[str] = []
    wanted = False
    for line in lines:
        if line.rstrip() in ("---", "..."):
            return "\n".join(kept)
        if match := _KEY.match(line):
            wanted = match[1] in _WANTED
        elif line[:1] not in (" ", "\t", "-", "", "]"):
            wanted = False
        if wanted:
            kept.append(line)
    return ""


def _parsed(block: str) -> dict[str, Any]:
    import yaml

    class _Texts(yaml.BaseLoader):
        """Every value is a text (``no`` is a language), and nothing refers to anything else: no bomb of aliases."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("alias")
            return super().compose_node(parent, index)

    try:
        found = yaml.load(block, Loader=_Texts)  # noqa: S506  # BaseLoader makes texts, lists and mappings only
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _one(value: object) -> str:
    first = value[0] if isinstance(value, list) and value else value
    return printable(first[:400].strip(), 100) if isinstance(first, str) else ""


def _several(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    texts = (printable(entry[:400].strip(), 200) for entry in listed[:_MOST_ENTRIES] if isinstance(entry, str))
    return tuple(dict.fromkeys(text for text in texts if text))
