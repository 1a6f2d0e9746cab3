"""Where the bytes of a hash are, and taking bad ones out of the way."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ultralab.models.store import knowledge
from ultralab.models.store.layout import Library
from ultralab.models.store.links import put_link
from ultralab.models.store.volumes import HOME, Volume, VolumeState, state_of
from ultralab.system import files

Whereabouts = Literal["here", "elsewhere", "adopted", "unplugged", "gone", "changed"]


@dataclass(frozen=True)
class Place:
    """Where bytes are or should be: ``path`` is the file itself, ``volume`` its volume's name, empty where adopted.

    ``here``: on the lab's own disk. ``elsewhere``: on another volume. ``adopted``: another tool's file. ``unplugged``: on
    a volume that is not there now. ``gone``: nowhere. ``changed``: there, with another size, or no file.
    """

    state: Whereabouts
    path: Path
    volume: str

    @property
    def readable(self) -> bool:
        """Whether the bytes are there in full size."""
        return self.state in ("here", "elsewhere", "adopted")


def states(library: Library) -> tuple[VolumeState, ...]:
    """Every volume as it is now, the lab's own first."""
    return tuple(state_of(volume, library.home) for volume in (library.store, *library.volumes))


def volume_of(library: Library, path: Path) -> Volume | None:
    """The volume that a path lies on, None for one outside them all."""
    for volume in (*library.volumes, library.store):
        if path.is_relative_to(volume.root):
            return volume
    return None


def locate(library: Library, sha256: str, size: int = -1) -> Place:
    """Where the bytes of a hash are; ``size`` is what they must have, -1 unknown. Reads none of them.

    Bytes on a volume that is plugged in at another path than the link remembers are found. Raises FileAccess.
    """
    blob = library.blobs / sha256
    with files.explained(blob):
        try:
            link = blob.readlink()
        except FileNotFoundError:
            return _on_some_volume(library, sha256, size) or Place("gone", blob, HOME)
        except OSError:
            return _judged("here", blob, HOME, size) or Place("gone", blob, HOME)
        target = Path(os.path.normpath(library.blobs / link))
        volume = volume_of(library, target)
        state: Whereabouts = "adopted" if volume is None else "elsewhere"
        name = "" if volume is None else volume.name
        if place := _judged(state, target, name, size):
            return place
    if place := _on_some_volume(library, sha256, size):
        return place
    if volume is not None and state_of(volume, library.home).state in ("missing", "foreign"):
        return Place("unplugged", target, name)
    return Place("gone", target, name)


def mend_blob(library: Library, sha256: str, place: Place) -> None:
    """Let the store's link lead to where :func:`locate` found bytes on another volume."""
    blob = library.blobs / sha256
    if place.state == "elsewhere" and not (blob.is_symlink() and blob.readlink() == place.path):
        put_link(blob, place.path)


def set_aside(library: Library, sha256: str) -> Path | None:
    """Take the bytes of a hash, found to be others, out of the way: into ``damaged`` on their own disk, never deleted.

    Of another tool's file only our link goes. The caller holds the library's lock. Where they went, None if they were
    not there. Raises FileAccess.
    """
    blob = library.blobs / sha256
    place = locate(library, sha256)
    knowledge.forget(library, [knowledge.blob_key(sha256)])
    with files.explained(blob):
        if place.state == "gone" and not blob.is_symlink():
            return None
        volume = next((known for known in library.volumes if known.name == place.volume), library.store)
        moved = place.path if volume.name != HOME and place.path.exists() else blob
        aside = _free_name(volume.damaged if moved is not blob else library.store.damaged, sha256)
        aside.parent.mkdir(parents=True, exist_ok=True)
        moved.replace(aside)
        files.sync_directory(aside.parent)
        if moved is not blob:
            blob.unlink(missing_ok=True)
        files.sync_directory(library.blobs)
    return aside


def was_set_aside(library: Library, sha256: str) -> Path | None:
    """Where damaged bytes of a hash lie, if any were taken aside."""
    for volume in (library.store, *library.volumes):
        path = volume.damaged / sha256
        if path.is_symlink() or path.exists():
            return path
    return None


def _judged(state: Whereabouts, path: Path, volume: str, size: int) -> Place | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself leads nowhere
            return None
        raise
    whole = stat.S_ISREG(found.st_mode) and size in (-1, found.st_size)
    return Place(state if whole else "changed", path, volume)


def _on_some_volume(library: Library, sha256: str, size: int) -> Place | None:
    for volume in library.volumes:
        try:
            found = _judged("elsewhere", volume.blobs / sha256, volume.name, size)
        except OSError:  # a disk that answers no more is looked at where it is the one that is meant
            continue
        if found is not None and found.readable and state_of(volume, library.home).state != "foreign":
            return found
    return None


def _free_name(folder: Path, name: str) -> Path:
    path, number = folder / name, 1
    while path.is_symlink() or path.exists():
        number += 1
        path = folder / f"{name}.{number}"
    return path
