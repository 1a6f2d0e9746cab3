"""Moving a model's bytes to another volume: copy, prove, switch the link, and only then remove what was there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import DiskFull, FileDamaged, NotFound
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.store import knowledge
from ultralab.models.store.knowledge import Known, stamp_of
from ultralab.models.store.layout import Library
from ultralab.models.store.links import put_link
from ultralab.models.store.placement import require_usable
from ultralab.models.store.places import Place, locate, states
from ultralab.models.store.volumes import HOME, Volume, VolumeState
from ultralab.models.store.whole import require_whole
from ultralab.models.types import ModelFile, ModelRecord
from ultralab.system import files, locks

_BLOCK: Final = 4 * 1024 * 1024
_READ_ONLY: Final = 0o444

COPY: Final = ".move"
"""How the copy that is being made ends, in ``partial`` of the volume it goes to."""


def move(library: Library, record: ModelRecord, volume: str, progress: Progress = SILENT) -> int:
    """Bring a model's bytes to the volume of that name (``home``: the lab's own); how many were moved.

    Bytes that other models share move with it; those that are there stay. Adopted files are copied in, the other tool's
    stay as they are. Idempotent; what an interrupted call copied is gone on from, and nothing is lost at any moment.
    Raises NotFound (no such volume, not plugged in, bytes gone), Unsupported (read-only), DiskFull, FileDamaged (the
    source is not what its hash says: nothing was switched), FileAccess, Busy.
    """
    target = _volume(library, volume)
    moving: dict[str, tuple[ModelFile, Place]] = {}
    for file in record.files:
        place = require_whole(library, record, file)
        if place.volume != target.name:
            moving[file.sha256] = (file, place)
    total = sum(file.size for file, _place in moving.values())
    begun = sum(_size(_copy_path(target, sha256)) for sha256 in moving)
    if moving:
        files.require_space(target.root, total - begun)
    label = _("Moving {ref} to {volume}").format(ref=record.ref, volume=target.name)
    with progress.step(label, total, "bytes") as step:
        for file, _place in moving.values():
            step.describe(file.name)
            _move_one(library, record, file, target, step.advance)
    for file in record.files:
        _remove_others(library, file.sha256, target)
    return total


def _volume(library: Library, name: str) -> Volume:
    known: dict[str, VolumeState] = {state.volume.name: state for state in states(library)}
    if name not in known:
        raise NotFound(
            _("There is no volume {name}.").format(name=name),
            hint=_("Known: {known}.").format(known=", ".join(known)),
            volume=name,
        )
    require_usable(known[name])
    return known[name].volume


def _move_one(
    library: Library, record: ModelRecord, file: ModelFile, target: Volume, advance: Callable[[int], None]
) -> None:
    copy = _copy_path(target, file.sha256)
    lock = library.lock(f"move-{file.sha256[:2]}")  # not one for each file: lock files stay
    with locks.exclusive(lock, _("moving {name}").format(name=file.name)):
        source = require_whole(library, record, file)
        if source.volume == target.name:  # another process was quicker
            advance(file.size)
            return
        try:
            _copy(source.path, copy, file, advance)
        except DiskFull:  # what no copy can end with must not keep the disk full
            copy.unlink(missing_ok=True)
            raise
        with locks.exclusive(library.lock("library"), _("the model library")):
            _switch(library, file, copy, target)


def _copy_path(target: Volume, sha256: str) -> Path:
    return target.partial / f"{sha256}{COPY}"


def _copy(source: Path, copy: Path, file: ModelFile, advance: Callable[[int], None]) -> None:
    """Copy while hashing, going on from what is there; a bad beginning is copied again once."""
    begun = _size(copy)
    found = _copied(source, copy, file.size, advance)
    if found != file.sha256 and begun:
        advance(-_size(copy))
        copy.unlink(missing_ok=True)
        found = _copied(source, copy, file.size, advance)
    if found != file.sha256:
        copy.unlink(missing_ok=True)
        raise FileDamaged(
            _("{path} is damaged: SHA-256 {found}, expected {expected}.").format(
                path=source, found=found, expected=file.sha256
            ),
            hint=_("Nothing was moved. Run: ultralab models verify"),
            path=str(source),
        )


def _copied(source: Path, copy: Path, size: int, advance: Callable[[int], None]) -> str:
    """Bring the copy to the source's length, at most one block over ``size``; the hash of all of it."""
    digest, done = hashlib.sha256(), 0
    with files.explained(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("a+b") as writing:  # whatever is written goes to the end
            writing.seek(0)
            while block := writing.read(_BLOCK):
                digest.update(block)
                done += len(block)
                advance(len(block))
            with files.explained(source), source.open("rb") as reading:
                reading.seek(done)
                while done <= size and (block := reading.read(_BLOCK)):
                    with files.explained(copy):
                        writing.write(block)
                    digest.update(block)
                    done += len(block)
                    advance(len(block))
    return digest.hexdigest()


def _switch(library: Library, file: ModelFile, copy: Path, target: Volume) -> None:
    """From here on the bytes are those of the copy. Replacing the lab's own file by a link removes it in the same act."""
    blob = library.blobs / file.sha256
    if not (blob.is_symlink() or blob.exists()):  # the model was removed meanwhile
        copy.unlink(missing_ok=True)
        raise NotFound(
            _("{path} was removed while it was moved.").format(path=blob), hint=_("Nothing is left of the copy.")
        )
    old = locate(library, file.sha256)
    arrived = target.blobs / file.sha256
    with files.explained(copy):
        with suppress(PermissionError):  # a disk without modes
            copy.chmod(_READ_ONLY)
        files.sync_directory(copy)
        arrived.parent.mkdir(parents=True, exist_ok=True)
        copy.replace(arrived)
        files.sync_directory(arrived.parent)
    if target.name != HOME:
        put_link(blob, arrived)
    with files.explained(arrived):
        known = Known(stamp_of(arrived.stat()), file.sha256)
    knowledge.remember(library, {knowledge.blob_key(file.sha256): known})
    if old.volume not in ("", HOME, target.name):
        with files.explained(old.path):
            old.path.unlink(missing_ok=True)


def _remove_others(library: Library, sha256: str, target: Volume) -> None:
    """What a move that was killed between switching and removing left on other volumes."""
    with locks.exclusive(library.lock("library"), _("the model library")):
        key, place = knowledge.blob_key(sha256), locate(library, sha256)
        proven = knowledge.recall(library, [key]).get(key)
        with files.explained(place.path):
            if place.volume != target.name or proven is None or proven.stamp != stamp_of(place.path.stat()):
                return
        for state in states(library):
            other = state.volume.blobs / sha256
            if state.state == "present" and state.volume.name not in (HOME, target.name):
                with files.explained(other):
                    other.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
