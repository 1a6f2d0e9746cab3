"""Putting a model's bytes and its metadata in place, in an order that a crash at any point leaves harmless.

Bytes first, then the store's links to them, then the names, then the metadata file, which alone makes it a model;
removing goes the other way. The caller holds the library's lock.
"""

from __future__ import annotations

import stat
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import AlreadyExists, FileAccess, RequestError
from ultralab.kernel.language import _
from ultralab.models.records import file_name, write_record
from ultralab.models.store import knowledge
from ultralab.models.store.hashing import read_file
from ultralab.models.store.knowledge import Known, stamp_of
from ultralab.models.store.layout import Library
from ultralab.models.store.links import link_names, name_of, put_link, remove_empty
from ultralab.models.store.places import Place, locate, mend_blob, set_aside, volume_of
from ultralab.models.store.volumes import HOME
from ultralab.models.types import ModelFile, ModelRecord, Staged
from ultralab.system import files

_READ_ONLY: Final = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def publish(
    library: Library, staged: Sequence[Staged], record: ModelRecord, known: Sequence[ModelRecord], *, replace: bool
) -> ModelRecord:
    """Take the staged files of ``record`` into the store and write its metadata; the record that now holds.

    Files lie in a volume's ``partial`` and come to that volume, unless they are kept. Bytes that are in the store already
    are not stored again: the staged file goes. A model of that name with the same bytes stays as it is (its files are put
    in place again where they are missing). Raises AlreadyExists for other bytes, unless ``replace``; RequestError (names
    that some disks cannot tell apart), FileAccess, DiskFull.
    """
    current = next((other for other in known if other.ref == record.ref), None)
    same = current is not None and current.sha256 == record.sha256
    if not same:
        _require_free_name(library, record, current, replace=replace)
        _require_distinct(record.files)
    for file in {file.sha256: file for file in staged}.values():
        _take_in(library, file)
    for file in staged:  # the same bytes twice under two names
        if not file.kept and not _is_blob(library, file):
            _drop(file.path)
    if current is not None and same:
        link_names(library, current)
        return current
    link_names(library, record)
    write_record(library.metadata, record)
    if current is not None:
        _drop_replaced(library, current, record, known)
    return record


def withdraw(library: Library, record: ModelRecord, unused: Sequence[ModelFile]) -> None:
    """Remove a model: its metadata first, then its names, then the bytes in ``unused``, on their volume.

    Of adopted files only our links go; what lies on a volume that is not plugged in stays there. Raises FileAccess.
    """
    path = library.metadata / file_name(record.name, record.variant)
    with files.explained(path):
        path.unlink(missing_ok=True)
        if library.metadata.is_dir():
            files.sync_directory(library.metadata)
    _remove_names(library, record, record.files)
    _remove_bytes(library, {file.sha256 for file in unused})


def _require_free_name(library: Library, record: ModelRecord, current: ModelRecord | None, *, replace: bool) -> None:
    if current is not None and not replace:
        raise AlreadyExists(
            _("There is another model {ref} in the library, from {source}.").format(
                ref=current.ref, source=current.source
            ),
            hint=_("Give this one another name (--name) or variant (--variant)."),
            ref=current.ref,
        )
    path = library.metadata / file_name(record.name, record.variant)
    if current is None and path.exists():
        raise AlreadyExists(
            _("{path} is there and cannot be read.").format(path=path),
            hint=_("Mend the file, restore it from git, or delete it and pull the model again."),
            ref=record.ref,
        )


def _require_distinct(model_files: Sequence[ModelFile]) -> None:
    """A Mac's disk takes ``A`` and ``a`` for one name, and both spellings of ``é``. No file may be another's folder."""
    folded = [_folded(file.name) for file in model_files]
    folders = {str(parent) for name in folded for parent in Path(name).parents}
    seen: set[str] = set()
    for file, name in zip(model_files, folded, strict=True):
        if name in seen or name in folders:
            raise RequestError(
                _("{name!r} cannot be told apart from another file of the model on some disks.").format(name=file.name),
                hint=_("Rename one of the files."),
                name=file.name,
            )
        seen.add(name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _take_in(library: Library, file: Staged) -> None:
    """Make the bytes of a file be in the store, under their hash."""
    place = locate(library, file.sha256, file.size)
    if place.readable and _holds(library, place, file):
        mend_blob(library, file.sha256, place)
        return
    if place.readable or place.state == "changed":
        set_aside(library, file.sha256)
    if file.kept:
        with files.explained(file.path):
            put_link(library.blobs / file.sha256, file.path.resolve(strict=True))
    else:
        _settle(library, file)
    with files.explained(file.path):
        stamp = stamp_of((library.blobs / file.sha256).stat())
    knowledge.remember(library, {knowledge.blob_key(file.sha256): Known(stamp, file.sha256)})


def _holds(library: Library, place: Place, file: Staged) -> bool:
    """Whether the store's bytes are those that the hash promises: unchanged since they were read, or read now."""
    key = knowledge.blob_key(file.sha256)
    with files.explained(place.path):
        stamp = stamp_of(place.path.stat())
    trusted = knowledge.recall(library, [key]).get(key)
    if trusted is not None and trusted.stamp == stamp:
        return True
    try:
        found = read_file(place.path)
    except FileAccess:
        return False
    if found.sha256 == file.sha256:
        knowledge.remember(library, {key: found})
    return found.sha256 == file.sha256


def _settle(library: Library, file: Staged) -> None:
    """Move a staged file to its volume's blobs; from another volume than the lab's, link to it."""
    volume = volume_of(library, file.path) or library.store
    blob = volume.blobs / file.sha256
    with files.explained(file.path):
        with suppress(PermissionError):  # a disk without modes
            file.path.chmod(_READ_ONLY)
        files.sync_directory(file.path)  # any descriptor will do: the bytes must be there before their name is
    with files.explained(blob):
        blob.parent.mkdir(parents=True, exist_ok=True)
        file.path.replace(blob)
        files.sync_directory(blob.parent)
    if volume.name != HOME:
        put_link(library.blobs / file.sha256, blob)


def _is_blob(library: Library, file: Staged) -> bool:
    """Whether a staged path is the store's own file: it must not be dropped as a second copy."""
    blob = library.blobs / file.sha256
    return not file.path.exists() or (blob.exists() and file.path.samefile(blob))


def _drop(path: Path) -> None:
    with files.explained(path):
        path.unlink(missing_ok=True)


def _drop_replaced(library: Library, old: ModelRecord, new: ModelRecord, known: Sequence[ModelRecord]) -> None:
    kept = {name_of(library, new, file) for file in new.files}
    _remove_names(library, old, [file for file in old.files if name_of(library, old, file) not in kept])
    others = (new, *(other for other in known if other.ref != old.ref))
    used = {file.sha256 for other in others for file in other.files}
    _remove_bytes(library, {file.sha256 for file in old.files} - used)


def _remove_names(library: Library, record: ModelRecord, model_files: Iterable[ModelFile]) -> None:
    for file in model_files:
        link = name_of(library, record, file)
        with files.explained(link):
            if link.is_symlink():  # anything else is somebody's own
                link.unlink()
            remove_empty(link.parent, library.tree)


def _remove_bytes(library: Library, hashes: Iterable[str]) -> None:
    gone = sorted(hashes)
    for sha256 in gone:
        blob = library.blobs / sha256
        place = locate(library, sha256)
        with files.explained(blob):
            if place.volume not in ("", HOME):  # before the link to it: what is left of a crash can be found again
                place.path.unlink(missing_ok=True)
            blob.unlink(missing_ok=True)
    knowledge.forget(library, [knowledge.blob_key(sha256) for sha256 in gone])
