"""Is a model whole? By size when it is used, by hash when it is to be proven."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ultralab.kernel.errors import FileAccess, FileDamaged, NotFound, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.store import knowledge
from ultralab.models.store.hashing import read_all
from ultralab.models.store.knowledge import Known, stamp_of
from ultralab.models.store.layout import Library
from ultralab.models.store.links import link_names, name_of, target_of
from ultralab.models.store.places import Place, locate, mend_blob, set_aside, was_set_aside
from ultralab.models.types import ModelFile, ModelRecord
from ultralab.system import locks

State = Literal["whole", "damaged", "missing", "unplugged", "unreadable"]


@dataclass(frozen=True)
class Verdict:
    """What became of one file of a model. ``aside`` is where damaged bytes were taken; ``error`` None where it is whole."""

    ref: str
    file: ModelFile
    state: State
    path: Path
    error: UltralabError | None = None
    aside: Path | None = None


def require_whole(library: Library, record: ModelRecord, file: ModelFile) -> Place:
    """Where a file's bytes are, in full size. Raises NotFound (missing, or not plugged in), FileDamaged, FileAccess."""
    place = locate(library, file.sha256, file.size)
    if place.readable:
        return place
    if place.state == "unplugged":
        raise NotFound(
            _("The file of {ref} is on the volume {volume}, which is not plugged in: {path}").format(
                ref=record.ref, volume=place.volume, path=place.path
            ),
            hint=_("Plug the disk in and try again."),
            path=str(place.path),
            ref=record.ref,
            volume=place.volume,
        )
    name = name_of(library, record, file)
    if place.state == "changed":
        raise FileDamaged(
            _("The file of {ref} has {size} bytes instead of {expected}: {path}").format(
                ref=record.ref, size=_size_of(place.path), expected=file.size, path=name
            ),
            hint=again(record),
            path=str(name),
            ref=record.ref,
        )
    if (aside := was_set_aside(library, file.sha256)) is not None:
        raise FileDamaged(
            _("The file of {ref} was found damaged and taken aside to {path}").format(ref=record.ref, path=aside),
            hint=again(record),
            path=str(aside),
            ref=record.ref,
        )
    if not place.volume:
        raise NotFound(
            _("The file of {ref} belonged to another tool and is no longer there: {path}").format(
                ref=record.ref, path=place.path
            ),
            hint=_("Get it again with that tool, or take the model out: ultralab models remove {ref}").format(
                ref=record.ref
            ),
            path=str(place.path),
            ref=record.ref,
        )
    raise NotFound(
        _("The file of {ref} is missing: {path}").format(ref=record.ref, path=name),
        hint=again(record),
        path=str(name),
        ref=record.ref,
    )


def mend_names(library: Library, record: ModelRecord, file: ModelFile, place: Place) -> None:
    """Make a file's name lead to its bytes, if it does not."""
    mend_blob(library, file.sha256, place)
    name = name_of(library, record, file)
    try:
        right = str(name.readlink()) == target_of(library, name, file.sha256)
    except OSError:
        right = False
    if not right:
        link_names(library, record)


def verify_all(library: Library, records: Sequence[ModelRecord], progress: Progress = SILENT) -> tuple[Verdict, ...]:
    """Read every byte of these models anew, several files at once; one verdict per file, in their order.

    Damaged bytes are taken aside (``damaged/`` on their disk), so that getting the model again mends it; of another tool's
    file only our link goes. What shares bytes shares the verdict. Raises FileAccess (the store itself), Busy.
    """
    places: dict[str, Place] = {}
    verdicts: dict[tuple[str, str], Verdict] = {}
    wanted = [(record, file) for record in records for file in record.files]
    for record, file in wanted:
        try:
            place = require_whole(library, record, file)
            mend_names(library, record, file, place)
            places[file.sha256] = place
        except UltralabError as error:
            verdicts[record.ref, file.name] = _unfit(library, record, file, error)
    read = dict(read_all([place.path for place in places.values()], progress))
    results = {sha256: read[place.path] for sha256, place in places.items()}
    good = {sha256: found for sha256, found in results.items() if isinstance(found, Known) and found.sha256 == sha256}
    knowledge.remember(library, {knowledge.blob_key(sha256): found for sha256, found in good.items()})
    aside = {
        sha256: _take_aside(library, sha256, found)
        for sha256, found in results.items()
        if isinstance(found, Known) and sha256 not in good
    }
    for record, file in wanted:
        if (record.ref, file.name) not in verdicts:
            found = results[file.sha256]
            verdicts[record.ref, file.name] = _judged(record, file, places[file.sha256].path, found, aside)
    return tuple(verdicts[record.ref, file.name] for record, file in wanted)


_STATES: Final[dict[type[UltralabError], State]] = {FileDamaged: "damaged", FileAccess: "unreadable"}


def _unfit(library: Library, record: ModelRecord, file: ModelFile, error: UltralabError) -> Verdict:
    """A file that need not be read: it is not there, or its size tells. Wrong bytes are taken aside."""
    state: State = "unplugged" if "volume" in error.data else _STATES.get(type(error), "missing")
    place = locate(library, file.sha256, file.size)
    aside = was_set_aside(library, file.sha256)
    if place.state == "changed":
        with locks.exclusive(library.lock("library"), _("the model library")):
            if locate(library, file.sha256, file.size).state == "changed":
                with suppress(FileAccess):
                    aside = set_aside(library, file.sha256)
    return Verdict(record.ref, file, state, place.path, error, aside)


def _take_aside(library: Library, sha256: str, found: Known) -> Path | None:
    """Take damaged bytes aside, unless somebody has put others in their place since they were read."""
    with locks.exclusive(library.lock("library"), _("the model library")):
        blob = library.blobs / sha256
        try:
            now = stamp_of(blob.stat())
        except OSError:
            return None
        with suppress(FileAccess):  # a disk that cannot be written to keeps them; the verdict holds all the same
            return set_aside(library, sha256) if now == found.stamp else None
    return None


def _judged(
    record: ModelRecord, file: ModelFile, path: Path, found: Known | UltralabError, aside: dict[str, Path | None]
) -> Verdict:
    if isinstance(found, Known) and found.sha256 == file.sha256:
        return Verdict(record.ref, file, "whole", path)
    if isinstance(found, UltralabError):
        state: State = "missing" if isinstance(found, NotFound) else "unreadable"
        return Verdict(record.ref, file, state, path, found)
    error = FileDamaged(
        _("{path} is damaged: SHA-256 {found}, expected {expected}.").format(
            path=path, found=found.sha256, expected=file.sha256
        ),
        hint=again(record),
        path=str(path),
        ref=record.ref,
        aside=str(aside.get(file.sha256) or ""),
    )
    return Verdict(record.ref, file, "damaged", path, error, aside.get(file.sha256))


def again(record: ModelRecord) -> str:
    """How to get a model's bytes again."""
    if record.derived is not None:
        return _("Make it again from {parent} (quantization {type}).").format(
            parent=record.derived["parent"], type=record.derived["quantization"]
        )
    return _("Get it again: ultralab models pull {source}").format(source=record.source)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
