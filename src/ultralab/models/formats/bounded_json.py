"""Small JSON files of a model, read without trusting them: bounded in bytes, in values and in depth."""

from __future__ import annotations

import json
from typing import Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.models.formats.base import Bundle, Item

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_VALUES: Final = 300_000


def read_object(bundle: Bundle, name: str, most: int = MOST_BYTES) -> dict[str, object]:
    """The JSON object in the file ``name`` of a bundle; empty where there is no such file.

    Raises FileDamaged (no UTF-8 JSON object, more than ``most`` bytes or MOST_VALUES values), FileAccess, FetchFailed.
    """
    item = bundle.named(name)
    return {} if item is None else parse_object(item, read_bounded(item, most))


def read_bounded(item: Item, most: int) -> bytes:
    """A whole small file. Raises FileDamaged where it is longer than ``most`` bytes."""
    with item.open() as stream:
        raw = stream.read(most + 1)
    if len(raw) > most:
        raise damaged(item, _("it is longer than {limit}").format(limit=format_bytes(most)))
    return raw


def parse_object(item: Item, raw: bytes) -> dict[str, object]:
    """A JSON object. Python writes ``Infinity`` into configurations, so that is read too. Raises FileDamaged."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MOST_VALUES:
        raise damaged(item, _("it holds more than {most} values").format(most=MOST_VALUES))
    try:
        found = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # ValueError: no UTF-8, no JSON, a number of thousands of digits
        raise damaged(item, _("it is no JSON text, or nested too deep")) from None
    if not isinstance(found, dict):
        raise damaged(item, _("it holds no JSON object"))
    return found


def damaged(item: Item, what: str) -> FileDamaged:
    """The error for one file of a model; ``what`` is already translated."""
    return FileDamaged(
        _("{path} is damaged: {what}.").format(path=item.where, what=what),
        hint=_("Get the file again; if it stays so, whoever made it wrote it wrong."),
        path=item.where,
        what=what,
    )
