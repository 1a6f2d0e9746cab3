"""The tree of names, looked over: a folder whose inode and time are as they were holds the names that it held."""

from __future__ import annotations

import json
import os
from array import array
from pathlib import Path
from typing import Final

from ultralab.models.catalog import index as catalog
from ultralab.models.store.knowledge import Census, settled
from ultralab.models.store.layout import Library
from ultralab.models.store.links import name_of, target_of

_POSITIVE: Final = 2**63 - 1
_DEEPEST: Final = 16


def scan_tree(
    library: Library, promised: str, census: Census | None, fresh: dict[str, Census], now: int
) -> tuple[list[Path], list[Path]]:
    """Names of models that are not there or lead elsewhere, and what is there that no model names.

    ``promised`` says which metadata that is true of. Raises OSError.
    """
    if census is not None and census.stamp == promised:
        packed, _zero, found = census.names.partition(b"\0\0")
        folders = os.fsdecode(packed).split("\0")
        if _times(library.tree, folders).tobytes() == census.stats:
            missing, unknown = json.loads(found)
            return [library.tree / name for name in missing], [library.tree / name for name in unknown]
    return _walked(library, promised, fresh, now)


def _times(tree: Path, folders: list[str]) -> array[int]:
    """Inode and time (ns) of each folder, named relative to the tree; twice -1 where it is not there."""
    found = array("q")
    try:
        root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return array("q", [-1, -1] * len(folders))
    extend, ask = found.extend, os.stat
    try:
        for folder in folders:
            try:
                seen = ask(folder or ".", dir_fd=root, follow_symlinks=False)
            except OSError:
                extend((-1, -1))
            else:
                extend((seen.st_ino & _POSITIVE, seen.st_mtime_ns))
    finally:
        os.close(root)
    return found


def _walked(library: Library, promised: str, fresh: dict[str, Census], now: int) -> tuple[list[Path], list[Path]]:
    wanted = {
        str(name_of(library, record, file).relative_to(library.tree)): (record, file)
        for record in catalog.load(library.catalog, library.metadata)
        for file in record.files
    }
    right: set[str] = set()
    unknown: list[str] = []
    folders: list[str] = []
    times = array("q")
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        stamp = _times(library.tree, [folder])  # before it is listed
        folders.append(folder)
        times.extend(stamp if stamp[1] < 0 or settled(stamp[1], now) else (-2, -2))
        try:
            entries = list(os.scandir(library.tree / folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False) and name.count("/") < _DEEPEST:
                waiting.append(name)
            elif name in wanted and entry.is_symlink():
                link = library.tree / name
                if str(link.readlink()) == target_of(library, link, wanted[name][1].sha256):
                    right.add(name)
            else:
                unknown.append(name)
    missing = sorted(wanted.keys() - right)
    found = json.dumps([missing, sorted(unknown)]).encode()
    fresh["tree"] = Census(promised, os.fsencode("\0".join(folders)) + b"\0\0" + found, times.tobytes())
    return [library.tree / name for name in missing], [library.tree / name for name in sorted(unknown)]
