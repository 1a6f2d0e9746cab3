"""One copy of every byte, across tools: what would be saved, to the byte, and then sharing it.

Two files are candidates by their size, copies by their full SHA-256, and shared only after a comparison of all their bytes
in the same moment: what a cache says of a file that rotted on its disk must not cost the last good copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress, Step
from ultralab.models.library import Library
from ultralab.models.neighbours.walk import Passed, regular_files
from ultralab.models.store import acts
from ultralab.system import clock, files, links, locks

LEAST: Final = 1024 * 1024
"""Smaller files than this many bytes are left alone, if nobody says otherwise."""

SETTLED: Final = 60
"""A file that changed within this many seconds is left alone: somebody may be writing it."""

_BLOCK: Final = 4 * 1024 * 1024
_OWN: Final = "ultralab"


@dataclass(frozen=True)
class Place:
    """A folder to look through. ``links`` is whether files in it may become links by name (``Neighbour.follows_links``)."""

    tool: str
    folder: Path
    links: bool = True


@dataclass(frozen=True)
class Copy:
    """One file, with all its names that were found. ``names`` are what would be replaced, ``allocated`` its bytes on disk."""

    names: tuple[Path, ...]
    stamp: links.Stamp
    allocated: int
    tool: str
    links: bool


@dataclass(frozen=True)
class Group:
    """Files of the same content: the one that stays, and those that would share its bytes."""

    sha256: str
    size: int
    keeper: Copy
    others: tuple[Copy, ...]


@dataclass(frozen=True)
class Left:
    """A file that is left as it is, and why; its bytes, 0 where they are not known."""

    path: Path
    reason: str
    size: int = 0


@dataclass(frozen=True)
class DedupePlan:
    """What deduplicating would do. ``saved_bytes`` sums the sizes of what would be replaced, ``saved_allocated`` what those
    files have on their disks; ``already_shared_bytes`` is what would be needed more if nothing were shared now.
    """

    groups: tuple[Group, ...]
    saved_bytes: int
    saved_allocated: int
    already_shared_bytes: int
    left: tuple[Left, ...]


@dataclass(frozen=True)
class Result:
    """What became of one file: ``way`` is how it shares bytes now, None with the reason why it was left."""

    path: Path
    keeper: Path
    size: int
    way: links.Way | None
    reason: str = ""


def plan(
    library: Library,
    places: Iterable[Place],
    hash_of: Callable[[Path], str],
    progress: Progress = SILENT,
    *,
    least: int = LEAST,
    settled: float = SETTLED,
) -> DedupePlan:
    """Compare the store's files and those in ``places``. Reads the files whose size another has; changes nothing.

    The store's own file stays, or the one that it links to; else the first found. What cannot be read is told, and what
    changed within ``settled`` seconds.
    """
    found, left = _candidates([*_own_places(library), *places], least)
    kept = _referenced(library)
    shared = sum((len(copy.names) - 1) * copy.stamp.size for copy in found)
    by_size: dict[int, list[Copy]] = {}
    for copy in found:
        by_size.setdefault(copy.stamp.size, []).append(copy)
    to_hash = [copy for copies in by_size.values() if len(copies) > 1 for copy in copies]
    by_hash = _hashed(to_hash, hash_of, progress, left)
    groups: list[Group] = []
    for sha256, copies in sorted(by_hash.items()):
        if len(copies) < 2:
            continue
        keeper = min(copies, key=lambda copy: copy.stamp.identity not in kept)
        others = []
        for copy in copies:
            if copy is keeper or copy.tool == _OWN:
                continue
            if links.same_bytes(keeper.names[0], copy.names[0]):
                shared += copy.stamp.size
            elif reason := _hindrance(keeper, copy, settled):
                left.append(Left(copy.names[0], reason, copy.stamp.size))
            else:
                others.append(copy)
        if others:
            groups.append(Group(sha256, keeper.stamp.size, keeper, tuple(others)))
    every = [copy for group in groups for copy in group.others]
    return DedupePlan(
        tuple(groups),
        sum(copy.stamp.size for copy in every),
        sum(copy.allocated for copy in every),
        shared,
        tuple(left),
    )


def apply(library: Library, plan: DedupePlan, progress: Progress = SILENT) -> tuple[Result, ...]:
    """Do what a plan says, file by file; each act is a line in ``state/logs/storage.jsonl``.

    Before each replacement both files are compared whole; one that is open for writing, changed since or differs is left.
    Interrupted at any moment nothing is lost: a name leads to the old bytes or to the same bytes shared. Raises Busy.
    """
    results: list[Result] = []
    with locks.exclusive(library.lock("dedupe"), _("sharing the bytes of models")):
        total = sum(group.size for group in plan.groups for copy in group.others)
        with progress.step(_("Comparing and sharing"), total, "bytes") as step:
            for group in plan.groups:
                for copy in group.others:
                    step.describe(copy.names[0].name)
                    results += _share_all(library, group, copy, step)
    return tuple(results)


def _own_places(library: Library) -> list[Place]:
    """The store's volumes. Their files are kept, whatever else is there: the library names them by their hash."""
    return [Place(_OWN, library.blobs), *(Place(_OWN, volume.blobs) for volume in library.volumes)]


def _candidates(places: Sequence[Place], least: int) -> tuple[list[Copy], list[Left]]:
    """Every file of ``least`` bytes, once, with all its real names in these places."""
    names: dict[tuple[int, int], dict[Path, Place]] = {}
    left: list[Left] = []
    for place in places:
        roots = _roots(place, places)
        for item in regular_files(place.folder) if place.folder.is_dir() else ():
            if isinstance(item, Passed):
                left.append(Left(item.path, item.reason))
            elif item.size >= least and any(item.path.is_relative_to(root) for root in roots):
                try:
                    seen = links.stamp(item.path)
                except UltralabError as error:
                    left.append(Left(item.path, error.message, item.size))
                    continue
                names.setdefault(seen.identity, {}).setdefault(item.path, place)
    copies = []
    for found in names.values():
        path, place = next(iter(found.items()))
        status = path.stat()
        copies.append(
            Copy(
                tuple(found),
                links.stamp(path),
                status.st_blocks * 512,
                place.tool,
                all(each.links for each in found.values()),
            )
        )
    return copies, left


def _roots(place: Place, places: Sequence[Place]) -> list[Path]:
    """Where a file may really be to be looked at: links may lead out of a folder to what was never named.

    The store's own links may lead anywhere: to what was adopted, which is kept.
    """
    if place.tool == _OWN:
        return [Path("/")]
    direct = [each.folder.resolve() for each in places]
    try:
        linked = [path.resolve() for path in place.folder.iterdir() if path.is_symlink() and path.is_dir()]
    except OSError:
        linked = []
    return direct + linked


def _referenced(library: Library) -> set[tuple[int, int]]:
    """The files that the store's blobs are or lead to."""
    found: set[tuple[int, int]] = set()
    for item in regular_files(library.blobs, deepest=1) if library.blobs.is_dir() else ():
        if not isinstance(item, Passed):
            status = item.path.stat()
            found.add((status.st_dev, status.st_ino))
    return found


def _hashed(
    copies: Sequence[Copy], hash_of: Callable[[Path], str], progress: Progress, left: list[Left]
) -> Mapping[str, list[Copy]]:
    by_hash: dict[str, list[Copy]] = {}
    with progress.step(_("Hashing"), sum(copy.stamp.size for copy in copies), "bytes") as step:
        for copy in copies:
            step.describe(copy.names[0].name)
            try:
                by_hash.setdefault(hash_of(copy.names[0]), []).append(copy)
            except UltralabError as error:
                left.append(Left(copy.names[0], error.message, copy.stamp.size))
            step.advance(copy.stamp.size)
    return by_hash


def _hindrance(keeper: Copy, copy: Copy, settled: float) -> str:
    """Why a copy is better left as it is; empty where nothing speaks against sharing."""
    path = copy.names[0]
    try:
        reasons = (
            (copy.stamp.device != keeper.stamp.device and not copy.links,
             _("It is on another disk, and {tool} may delete what a link leads to.").format(tool=copy.tool)),
            (path.stat().st_nlink > len(copy.names),
             _("It has other names outside these folders: sharing one of them would free nothing.")),
            (clock.timestamp() - copy.stamp.changed / 1e9 < settled,
             _("It changed within the last {seconds} seconds.").format(seconds=round(settled))),
            (links.is_being_written(path), _("A program has it open for writing.")),
            (not os.access(path.parent, os.W_OK), _("Its folder cannot be written to.")),
        )  # fmt: skip
    except (OSError, UltralabError) as error:
        return str(error)
    return next((reason for applies, reason in reasons if applies), "")


def _share_all(library: Library, group: Group, copy: Copy, step: Step) -> list[Result]:
    """Replace all names of one copy: only with the last of them are its bytes free."""
    source = group.keeper.names[0]
    ways: Sequence[links.Way] = links.WAYS if copy.links else ("clone", "reflink", "hardlink")
    results: list[Result] = []
    try:
        proven = _compared(source, copy, step)
        for path in copy.names:
            now = (links.stamp(source), links.stamp(path))
            if _content(now[0]) != _content(proven[0]) or _content(now[1]) != _content(proven[1]):
                raise _changed(path)
            _log(library, "begun", path, group, None)
            way = links.share(source, path, proven=now, ways=ways)
            reason = "" if way else _("Neither a clone nor a link is possible there.")
            _log(library, "done" if way else "left", path, group, way, reason)
            results.append(Result(path, source, group.size, way, reason))
    except UltralabError as error:
        path = copy.names[len(results)]
        _log(library, "left", path, group, None, error.message)
        results.append(Result(path, source, group.size, None, error.message))
    return results


def _compared(source: Path, copy: Copy, step: Step) -> tuple[links.Stamp, links.Stamp]:
    """The stamps of two files that are equal in every byte. Raises FileDamaged."""
    path = copy.names[0]
    before = (links.stamp(source), links.stamp(path))
    if before[1] != copy.stamp or links.is_being_written(path):
        raise _changed(path)
    with files.explained(path), source.open("rb", buffering=0) as one, path.open("rb", buffering=0) as two:
        while True:
            first, second = one.read(_BLOCK), two.read(_BLOCK)
            if first != second:
                raise FileDamaged(
                    _("{path} differs from {other}, though both had the same hash: one of them is damaged.").format(
                        path=path, other=source
                    ),
                    hint=_("Check the library: ultralab models verify"),
                    path=str(path),
                )
            if not first:
                break
            step.advance(len(first))
    if (links.stamp(source), links.stamp(path)) != before:
        raise _changed(path)
    return before


def _content(seen: links.Stamp) -> tuple[int, int, int, int]:
    """A stamp without ctime: replacing one name of a file moves it for the others."""
    return (*seen.identity, seen.size, seen.modified)


def _changed(path: Path) -> FileDamaged:
    return FileDamaged(
        _("{path} changed since it was looked at, or is being written; it was left as it is.").format(path=path),
        hint=_("Try again when its tool is done with it."),
        path=str(path),
    )


def _log(library: Library, state: str, path: Path, group: Group, way: links.Way | None, reason: str = "") -> None:
    line = {
        "act": "share", "state": state, "path": str(path),
        "with": str(group.keeper.names[0]), "sha256": group.sha256, "size": group.size, "way": way, "reason": reason,
    }  # fmt: skip
    acts.record(library, line)
