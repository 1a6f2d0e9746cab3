"""What the owner says of a model: tags and a description, in its metadata file."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import _
from ultralab.models.library import Library, find
from ultralab.models.records import SCHEMA, file_name, read_record
from ultralab.models.types import ModelRecord
from ultralab.system import files, locks

KEEP: Final = "keep"
"""The tag that protects a model: nothing proposes to delete it."""

_LONGEST_TAG: Final = 40
_MOST_TAGS: Final = 64
_LONGEST_DESCRIPTION: Final = 2000


def tag(library: Library, ref: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> ModelRecord:
    """Give a model tags and take some away; the record that now holds. Taking away what is not there is no error.

    A tag is one printable word without commas, in any language, kept in lower case. Raises NotFound, RequestError (no
    such tag can be, too many), FileDamaged, Busy, DiskFull.
    """
    given = [require_tag(text) for text in add]
    taken = {require_tag(text) for text in remove}

    def change(record: ModelRecord) -> Mapping[str, Any]:
        tags = [word for word in dict.fromkeys((*record.tags, *given)) if word not in taken]
        if len(tags) > _MOST_TAGS:
            raise RequestError(
                _("A model cannot have more than {most} tags.").format(most=_MOST_TAGS),
                hint=_("Remove some first (--remove)."),
                ref=record.ref,
            )
        return {"tags": sorted(tags)}

    return _change(library, ref, change)


def describe(library: Library, ref: str, text: str) -> ModelRecord:
    """Say what a model is for, in one paragraph; the record that now holds. Raises as :func:`tag` does."""
    plain = " ".join(text.split())
    if len(plain) > _LONGEST_DESCRIPTION or not plain.isprintable():
        raise RequestError(
            _("This cannot be a model's description: it is too long or holds control characters."),
            hint=_("Write at most {most} characters; more has its place on the model's page.").format(
                most=_LONGEST_DESCRIPTION
            ),
            ref=ref,
        )
    return _change(library, ref, lambda _record: {"description": plain})


def require_tag(text: str) -> str:
    """``text`` as a tag. Raises RequestError."""
    word = unicodedata.normalize("NFKC", text).strip().lower()
    if not word or len(word) > _LONGEST_TAG or word.startswith("-") or not word.isprintable() or set(word) & set(" ,"):
        raise RequestError(
            _("{text!r} cannot be a tag.").format(text=text),
            hint=_("A tag is one word of at most {most} characters, without spaces and commas.").format(
                most=_LONGEST_TAG
            ),
            tag=text,
        )
    return word


def _change(library: Library, ref: str, change: Callable[[ModelRecord], Mapping[str, Any]]) -> ModelRecord:
    """Change fields of a metadata file. What else its owner wrote into it stays."""
    with locks.exclusive(library.lock("library"), _("the model library")):
        found = find(library, ref)
        path = library.metadata / file_name(found.name, found.variant)
        record = read_record(path)  # the truth, not the index
        changes = change(record)
        data = json.loads(files.read_text(path))
        if any(data.get(field) != value for field, value in changes.items()):
            data.update(changes)
            data["schema"] = SCHEMA
            files.write(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        return read_record(path)
