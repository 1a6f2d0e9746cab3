"""Asking the library: lists, searches, one model; and what its owner says of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.app.model_access import fits as fits_here
from ultralab.app.models import write_pages
from ultralab.kernel.errors import RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.units import parse_bytes
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.models import ModelRecord
    from ultralab.models.search import Hit


@dataclass(frozen=True)
class Shown:
    """A model, the path that an engine is given, where its bytes are (a sentence), when it was last used (ISO 8601)."""

    record: ModelRecord
    path: str
    place: str
    last_used: str


def listed(
    lab: Lab,
    *,
    family: str | None = None,
    format_: str | None = None,
    quant: str | None = None,
    max_size: str | None = None,
    min_context: int | None = None,
    fits: bool = False,
    unused_for: str | None = None,
    tags: Sequence[str] = (),
) -> tuple[ModelRecord, ...]:
    """The models that all conditions let through. Raises RequestError (a size or a time that is none)."""
    from ultralab import models
    from ultralab.models.search import Filter, matching
    from ultralab.models.store.usage import last_used

    wanted = Filter(
        family=family or "",
        format=format_ or "",
        quant=quant or "",
        max_size=None if max_size is None else size(max_size),
        min_context=min_context,
        fits=fits,
        unused_for=None if unused_for is None else duration(unused_for),
        tags=tuple(tags),
    )
    return matching(
        models.records(lab.library),
        wanted,
        fits=lambda record: fits_here(lab, record),
        last_used=last_used(lab.library) if unused_for else None,
        now=clock.now(),
    )


def size(text: str) -> int:
    """Bytes. Raises RequestError."""
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise RequestError(
            _("{text!r} is no size.").format(text=text), hint=_("Write it as 50GB, 20GiB or in bytes."), given=text
        ) from error


def duration(text: str) -> timedelta:
    """A time such as ``30d``. Raises RequestError."""
    from ultralab.jobs.scheduling.when import parse_duration

    return timedelta(seconds=parse_duration(text))


def find_text(lab: Lab, words: str) -> tuple[Hit, ...]:
    """The models in whose texts all words occur."""
    from ultralab.models import search

    return search.find_text(lab.library, words)


def shown(lab: Lab, ref: str) -> Shown:
    """One model. Raises NotFound, RequestError."""
    from ultralab import models
    from ultralab.models.store.places import locate
    from ultralab.models.store.usage import last_used

    record = models.find(lab.library, ref)
    try:
        path = str(models.model_path(lab.library, record))
        found = sorted({_place(locate(lab.library, file.sha256, file.size).volume) for file in record.files})
        place = ", ".join(found)
    except UltralabError as error:
        path, place = "", error.message
    used = last_used(lab.library).get(record.ref)
    return Shown(record, path, place, used.isoformat() if used else "")


def _place(volume: str) -> str:
    return _("volume {name}").format(name=volume) if volume else _("where another tool keeps it")


def tag(lab: Lab, ref: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> ModelRecord:
    """Give a model tags, take some away. Raises NotFound, RequestError."""
    from ultralab.models import tags

    record = tags.tag(lab.library, ref, add, remove)
    write_pages(lab)
    return record


def describe(lab: Lab, ref: str, text: str) -> ModelRecord:
    """Say in a sentence what a model is for. Raises NotFound, RequestError."""
    from ultralab.models import tags

    record = tags.describe(lab.library, ref, text)
    write_pages(lab)
    return record
