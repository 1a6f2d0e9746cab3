"""Asking the library: lists, searches, one model; and what its owner says of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ultralab.app.lab import Lab
from ultralab.app.model_fits import fitting
from ultralab.app.models import write_pages
from ultralab.kernel.errors import NotFound, RequestError, UltralabError, UnknownChoice
from ultralab.kernel.language import _
from ultralab.kernel.units import parse_bytes
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.models import ModelRecord
    from ultralab.models.catalog.search import Hit


State = Literal["", "unplugged", "missing"]
"""Whether the bytes are there: all, not now because a disk is not plugged in, or not where they should be."""


@dataclass(frozen=True)
class Listed:
    """A model, and whether its bytes are there."""

    record: ModelRecord
    state: State


@dataclass(frozen=True)
class Shown:
    """A model, the path that an engine is given, where its bytes are (a sentence), when it was last used (ISO 8601)."""

    record: ModelRecord
    path: str
    place: str
    last_used: str
    state: State


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
) -> tuple[Listed, ...]:
    """The models that all conditions let through. Raises RequestError (a size or a time that is none), UnknownChoice."""
    from ultralab import models
    from ultralab.models.catalog.search import Filter, matching
    from ultralab.models.store.usage import last_used

    known = models.records(lab.library)
    if format_ and format_.casefold() not in (
        kinds := {*(one.format for one in known), *(f.name for f in lab.formats)}
    ):
        raise UnknownChoice.among(_("model format"), format_, sorted(kinds))
    wanted = Filter(
        family=family or "",
        format=format_ or "",
        quant=quant or "",
        max_size=None if max_size is None else size(max_size),
        min_context=min_context,
        unused_for=None if unused_for is None else duration(unused_for),
        tags=tuple(tags),
    )
    found = matching(
        known,
        wanted,
        last_used=last_used(lab.library) if unused_for else None,
        now=clock.now(),
    )
    found = fitting(lab, found) if fits else found  # last: it may have to read headers
    return tuple(Listed(record, state_of(lab, record)) for record in found)


def state_of(lab: Lab, record: ModelRecord) -> State:
    """Whether a model's bytes are there, by looking at their files only."""
    from ultralab.models.store.places import locate

    for file in record.files:
        try:
            place = locate(lab.library, file.sha256, file.size)
        except UltralabError:
            return "missing"
        if not place.readable:
            return "unplugged" if place.state == "unplugged" else "missing"
    return ""


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
    from ultralab.models.catalog import search

    return search.find_text(lab.library, words)


def shown(lab: Lab, ref: str) -> Shown:
    """One model. Raises NotFound, RequestError, FileDamaged (its metadata file cannot be read)."""
    from ultralab import models
    from ultralab.models.store.places import locate
    from ultralab.models.store.usage import last_used

    record = _known(lab, ref)
    try:
        path = str(models.model_path(lab.library, record))
        found = sorted({_place(locate(lab.library, file.sha256, file.size).volume) for file in record.files})
        place = ", ".join(found)
    except UltralabError as error:
        path, place = "", error.message
    used = last_used(lab.library).get(record.ref)
    return Shown(record, path, place, used.isoformat() if used else "", state_of(lab, record))


def _known(lab: Lab, ref: str) -> ModelRecord:
    from ultralab import models

    try:
        return models.find(lab.library, ref)
    except NotFound as error:
        raise (_damaged(lab, ref) or error) from error


def _damaged(lab: Lab, ref: str) -> UltralabError | None:
    """Why the metadata file of a model that is not found cannot be read, if there is one."""
    from ultralab.models import problems

    name = ref.strip().lower().replace(":", "--")
    for problem in problems(lab.library):
        path = Path(str(problem.data.get("path", "")))
        if path.name == f"{name}.json" or path.name.startswith(f"{name}--"):
            return problem
    return None


def _place(volume: str) -> str:
    return _("volume {name}").format(name=volume) if volume else _("where another tool keeps it")


def tag(lab: Lab, ref: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> ModelRecord:
    """Give a model tags, take some away. Raises NotFound, RequestError, FileDamaged."""
    from ultralab.models.catalog import tags

    record = tags.tag(lab.library, _known(lab, ref).ref, add, remove)
    write_pages(lab)
    return record


def describe(lab: Lab, ref: str, text: str) -> ModelRecord:
    """Say in a sentence what a model is for. Raises NotFound, RequestError, FileDamaged."""
    from ultralab.models.catalog import tags

    record = tags.describe(lab.library, _known(lab, ref).ref, text)
    write_pages(lab)
    return record
