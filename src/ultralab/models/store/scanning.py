"""A look over the whole store that reads no bytes: what changed, what is missing, what belongs to no model.

Every blob is asked for size, inode and time, and every folder of the tree for its own; names are listed only where a
folder's time says that they may be others. What was seen is kept packed, one row per place.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.models.catalog import index as catalog
from ultralab.models.store import knowledge
from ultralab.models.store.knowledge import Census, Known, Stamp, blob_key, settled
from ultralab.models.store.layout import Library
from ultralab.models.store.places import locate
from ultralab.models.store.tree_scan import scan_tree
from ultralab.system import clock, files

_POSITIVE: Final = 2**63 - 1
_ABSENT: Final = Stamp(-1, -1, -1)
_UNTRUSTED: Final = Stamp(-2, -2, -2)


@dataclass(frozen=True)
class Scan:
    """What a look over the store found. ``size`` in bytes, of what is there.

    ``changed``: bytes with another size, inode or time than when they were hashed. ``missing``: bytes or names of models
    that are not there (or lead elsewhere). ``unknown``: files and names that belong to no model. ``unplugged``: bytes on
    volumes that are not there now. Hashing decides whether what changed is damaged: ``models verify``.
    """

    changed: tuple[Path, ...] = ()
    missing: tuple[Path, ...] = ()
    unknown: tuple[Path, ...] = ()
    unplugged: tuple[Path, ...] = ()
    models: int = 0
    blobs: int = 0
    size: int = 0

    @property
    def clean(self) -> bool:
        """Whether everything is as the library promises."""
        return not (self.changed or self.missing or self.unknown or self.unplugged)


@dataclass(frozen=True)
class Wanted:
    """What the metadata promises: bytes by hash, and how many models. ``stamp`` changes when a metadata file does."""

    stamp: str
    sizes: Mapping[str, int]
    models: int


def scan(library: Library) -> Scan:
    """Look over the store. Raises FileAccess, and what reading the catalog raises where metadata has changed."""
    now = int(clock.timestamp() * 1e9)
    before = knowledge.censuses(library)
    fresh: dict[str, Census] = {}
    wanted = _wanted(library, before.get("wanted"), fresh)
    with files.explained(library.blobs):
        names, stats, changed = _scan_blobs(library, wanted, before.get("blobs"), fresh, now)
    there = dict(zip(names, stats[1::3], strict=True))
    absent, unplugged = _absent(library, wanted, there)
    with files.explained(library.tree):
        lost, strange = scan_tree(library, wanted.stamp, before.get("tree"), fresh, now)
    knowledge.keep_censuses(library, fresh)
    return Scan(
        changed=tuple(library.blobs / name for name in changed),
        missing=(*absent, *lost),
        unknown=(*_unknown(library, there, wanted), *strange),
        unplugged=unplugged,
        models=wanted.models,
        blobs=len(names),
        size=sum(there.values()) + list(there.values()).count(-1),
    )


def _wanted(library: Library, census: Census | None, fresh: dict[str, Census]) -> Wanted:
    stamp = _metadata_stamp(library.metadata)
    if census is not None and census.stamp == stamp:
        sizes = array("q", census.stats)
        return Wanted(stamp, dict(zip(_split(census.names), sizes[1:], strict=True)), sizes[0])
    records = catalog.load(library.catalog, library.metadata)
    promised = {file.sha256: file.size for record in records for file in record.files}
    packed = array("q", [len(records), *promised.values()]).tobytes()
    fresh["wanted"] = Census(stamp, "\0".join(promised).encode(), packed)
    return Wanted(stamp, promised, len(records))


def _metadata_stamp(metadata: Path) -> str:
    """One value for all metadata files: name, size, time and inode of each."""
    if not metadata.is_dir():
        return "none"
    with files.explained(metadata), os.scandir(metadata) as entries:
        found = [(os.fsencode(entry.name), entry.stat(follow_symlinks=False)) for entry in entries]
    lines = [b"%b\0%d %d %d" % (name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in sorted(found)]
    return hashlib.blake2b(b"\n".join(lines), digest_size=16).hexdigest()


def _scan_blobs(
    library: Library, wanted: Wanted, census: Census | None, fresh: dict[str, Census], now: int
) -> tuple[list[str], array[int], list[str]]:
    """Names, three numbers for each, and which are not as they were when their bytes were known to be good."""
    try:
        folder = os.open(library.blobs, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return [], array("q"), []
    try:
        about = os.fstat(folder)
        stamp = f"{about.st_ino} {about.st_mtime_ns}"
        unchanged = census is not None and census.stamp == stamp
        names = _split(census.names) if census is not None and unchanged else _listed(folder)
        stats = _stats(names, folder)
    finally:
        os.close(folder)
    packed = os.fsencode("\0".join(names))
    if census is not None and census.names == packed and census.stats == stats.tobytes():
        changed: list[str] = []
        baseline = census.stats
    else:
        old = _stamps(_split(census.names), array("q", census.stats)) if census else {}
        changed, trusted = _compare(library, wanted, _stamps(names, stats), old)
        baseline = array("q", [number for name in names for number in trusted[name]]).tobytes()
    seen = Census(stamp if settled(about.st_mtime_ns, now) else "", packed, baseline)
    if seen != census:
        fresh["blobs"] = seen
    return names, stats, changed


def _stats(names: Sequence[str], folder: int) -> array[int]:
    """Inode, size and time (ns) of the bytes behind each name, thrice -1 where there are none."""
    found = array("q")
    extend, ask = found.extend, os.stat
    for name in names:
        try:
            seen = ask(name, dir_fd=folder)
        except OSError:
            extend(_ABSENT)
        else:
            extend((seen.st_ino & _POSITIVE, seen.st_size, seen.st_mtime_ns))
    return found


def _stamps(names: Sequence[str], stats: array[int]) -> dict[str, Stamp]:
    return {name: Stamp(*stats[3 * at : 3 * at + 3]) for at, name in enumerate(names)}


def _compare(
    library: Library, wanted: Wanted, now: Mapping[str, Stamp], old: Mapping[str, Stamp]
) -> tuple[list[str], dict[str, Stamp]]:
    doubtful = [name for name, stamp in now.items() if old.get(name) != stamp and stamp != _ABSENT]
    known = knowledge.recall(library, [blob_key(name) for name in doubtful if len(name) == 64])
    return judge(now, old, {key[5:].decode(): value for key, value in known.items()}, wanted.sizes)


def judge(
    now: Mapping[str, Stamp], old: Mapping[str, Stamp], known: Mapping[str, Known], sizes: Mapping[str, int]
) -> tuple[list[str], dict[str, Stamp]]:
    """Which blobs are not as they were when they were known to be good, and what is trusted from now on. Pure.

    What was hashed (``known``) is trusted, then what an earlier scan saw (``old``); what is seen for the first time, and
    nobody hashed, is trusted where its size is what a model promises. What changed stays changed until it is hashed.
    """
    changed: list[str] = []
    trusted: dict[str, Stamp] = {}
    for name, stamp in now.items():
        good = None if old.get(name) == _ABSENT else old.get(name)
        if (hashed := known.get(name)) is not None and good != stamp:
            good = hashed.stamp
        if good is None and stamp != _ABSENT:
            good = stamp if sizes.get(name, stamp.size) == stamp.size else _UNTRUSTED
        if good is not None and stamp not in (_ABSENT, good):
            changed.append(name)
        trusted[name] = _ABSENT if good is None else good
    return changed, trusted


def _absent(library: Library, wanted: Wanted, there: Mapping[str, int]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Promised bytes that are nowhere, and those on volumes that are not plugged in."""
    if there == wanted.sizes:
        return (), ()
    missing: list[Path] = []
    unplugged: list[Path] = []
    for sha256, size in wanted.sizes.items():
        if there.get(sha256, -1) < 0:
            place = locate(library, sha256, size)
            if place.state == "unplugged":
                unplugged.append(place.path)
            elif not place.readable:
                missing.append(library.blobs / sha256)
    return tuple(missing), tuple(unplugged)


def _unknown(library: Library, there: Mapping[str, int], wanted: Wanted) -> list[Path]:
    """Blobs that no model names, here and on the volumes; there also what the store's own link does not lead to."""
    found = [] if there == wanted.sizes else [library.blobs / name for name in there if name not in wanted.sizes]
    for volume in library.volumes:
        try:
            listed = _listed(volume.blobs)
        except OSError:  # not plugged in: what is missing there is told apart already
            continue
        for name in listed:
            path = volume.blobs / name
            if name not in wanted.sizes or locate(library, name).path != path:
                found.append(path)
    return found


def _listed(folder: int | Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _split(packed: bytes) -> list[str]:
    return os.fsdecode(packed).split("\0") if packed else []
