"""A model as a directory of SafeTensors files: which of the formats it is, and which files hold its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from ultralab.kernel.errors import FileAccess, FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, Item
from ultralab.models.formats.bounded_json import damaged, read_object
from ultralab.models.formats.config import NAME as CONFIG
from ultralab.models.formats.safetensors_types import HEADER_LIMIT
from ultralab.models.formats.weight_index import Index, read_index

Kind = Literal["", "safetensors", "mlx", "gptq", "awq"]

SUFFIX: Final = ".safetensors"
INDEX: Final = ".safetensors.index.json"
USUAL: Final = "model.safetensors"

_HEAD: Final = 4096
_MADE_BY_MLX: Final = re.compile(rb'"__metadata__"\s*:\s*\{[^{}]*"format"\s*:\s*"mlx"')
_SHARD: Final = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors", re.IGNORECASE | re.DOTALL)


def kind_of(bundle: Bundle) -> Kind:
    """The one format that these files are in, empty where they are no SafeTensors model. Never raises for readable files."""
    candidates = bundle.items if len(bundle.items) == 1 else _in_root(bundle)
    first = next((item for item in candidates if item.name == USUAL), candidates[0] if candidates else None)
    if first is None:
        return ""
    head = _head(first)
    if not head:
        return ""
    try:
        found = packing(bundle)
    except (FileDamaged, FileAccess):  # reading the header says what is wrong with it
        return "safetensors"
    if found["method"] in ("gptq", "awq"):
        return "gptq" if found["method"] == "gptq" else "awq"
    return "mlx" if found["method"] == "mlx" or _MADE_BY_MLX.search(head) else "safetensors"


def packing(bundle: Bundle) -> dict[str, object]:
    """What the small JSON files say of packed weights: ``method`` (mlx, gptq, awq, another's name or empty), ``bits``,
    ``group``, ``mode``, ``version``, and ``layers``, the settings of single layers.

    Sources: mlx-lm's ``quantization``; ``quantization_config`` of transformers; ``quantize_config.json`` of AutoGPTQ and
    GPTQModel; ``quant_config.json`` of llm-awq. Raises FileDamaged.
    """
    config = read_object(bundle, CONFIG)
    mlx = config.get("quantization")
    own = config.get("quantization_config")
    if isinstance(mlx, dict) and "group_size" in mlx and "bits" in mlx:
        return {
            "method": "mlx",
            "bits": mlx["bits"],
            "group": mlx["group_size"],
            "mode": mlx.get("mode"),
            "layers": mlx,
        }
    if isinstance(own, dict):
        return _packed(own, str(own.get("quant_method") or "").lower())
    for name, method in (("quantize_config.json", "gptq"), ("quant_config.json", "awq")):
        found = read_object(bundle, name)
        if found:
            return _packed(found, str(found.get("quant_method") or method).lower())
    return {"method": ""}


def _packed(found: Mapping[str, object], method: str) -> dict[str, object]:
    return {
        "method": method,
        "bits": found.get("bits", found.get("w_bit")),
        "group": found.get("group_size", found.get("q_group_size")),
        "version": found.get("version"),
    }


def weight_files(bundle: Bundle) -> tuple[tuple[Item, ...], Index | None]:
    """The files with the weights, in order, and the index that spreads them, if there is one.

    As transformers does: ``model.safetensors``, else what an index names, else all numbered parts, else every file in
    the root. Raises FileDamaged where a part is missing, or the index is hostile.
    """
    root = _in_root(bundle)
    if len(bundle.items) == 1:
        _require_alone(bundle.items[0])
        return bundle.items, None
    index = _index(bundle)
    usual = bundle.named(USUAL)
    if index is not None and (usual is None or set(index.files) == {USUAL}):
        return tuple(_needed(bundle, name, index.where) for name in index.files), index
    if usual is not None:
        return (usual,), None
    numbered = [item for item in root if _SHARD.fullmatch(item.name)]
    if numbered:
        return _all_numbered(numbered), None
    models = tuple(item for item in root if item.name.lower().startswith("model"))
    return models or root, None


def _in_root(bundle: Bundle) -> tuple[Item, ...]:
    return tuple(item for item in bundle.ending(SUFFIX) if "/" not in item.name)


def _head(item: Item) -> bytes:
    """The header's first bytes, empty where the file does not begin as the format does."""
    with item.open() as stream:
        raw = stream.read(8 + _HEAD)
    if len(raw) < 10 or not 2 <= int.from_bytes(raw[:8], "little") <= HEADER_LIMIT:
        return b""
    head = raw[8:]
    return head if head.lstrip(b" \t\r\n").startswith(b"{") else b""


def _index(bundle: Bundle) -> Index | None:
    found = [item for item in bundle.ending(INDEX) if "/" not in item.name]
    chosen = next((item for item in found if item.name == USUAL + ".index.json"), found[0] if found else None)
    return None if chosen is None else read_index(chosen, bundle.limits)


def _needed(bundle: Bundle, name: str, where: str) -> Item:
    item = bundle.named(name)
    if item is None:
        raise FileDamaged(
            _("{path} names the file {name}, which is missing.").format(path=where, name=printable(name)),
            hint=_("Get every file of the model, and keep them in one folder under their own names."),
            path=where,
            missing=name,
        )
    return item


def _require_alone(item: Item) -> None:
    """One part of several, given alone, is no whole model."""
    match = _SHARD.fullmatch(item.name)
    if match and int(match[3]) > 1:
        _all_numbered([item])


def _all_numbered(parts: list[Item]) -> tuple[Item, ...]:
    """All parts of each numbered whole. Raises FileDamaged naming the first that is missing."""
    wholes: dict[tuple[str, int], set[int]] = {}
    for item in parts:
        match = _SHARD.fullmatch(item.name)
        assert match is not None
        wholes.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    for (stem, count), numbers in wholes.items():
        # numbered from 1; from 0 in a few repositories (then the last number is count - 1)
        start = 0 if 0 in numbers else 1
        lacking = next((number for number in range(start, start + count) if number not in numbers), None)
        if lacking is not None or len(numbers) > count:
            number = max(numbers) if lacking is None else lacking
            name = f"{stem}-{number:05d}-of-{count:05d}{SUFFIX}"
            what = _("the part {name} is missing") if lacking is not None else _("the part {name} is one too many")
            raise damaged(parts[0], what.format(name=printable(name)))
    return tuple(parts)
