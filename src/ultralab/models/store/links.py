"""Links of the store: from names to hashes, and from hashes to bytes that lie elsewhere. Made whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ultralab.models.store.layout import Library
from ultralab.models.types import ModelFile, ModelRecord
from ultralab.system import files


def put_link(link: Path, target: Path | str) -> None:
    """Make ``link`` lead to ``target``, in place of the file or link that had the name. Raises FileAccess, DiskFull."""
    temporary = link.parent / f".{link.name[:40]}.{os.getpid()}.link"
    with files.explained(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        try:
            temporary.replace(link)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        files.sync_directory(link.parent)


def name_of(library: Library, record: ModelRecord, file: ModelFile) -> Path:
    """The link under which people see a file."""
    return library.folder(record) / file.name


def target_of(library: Library, link: Path, sha256: str) -> str:
    """Where the name ``link`` must lead: relative, so that the lab may be moved."""
    return os.path.relpath(library.blobs / sha256, link.parent)


def link_names(library: Library, record: ModelRecord) -> None:
    """Give a model's files their names, where they have them not. What leads there already is left alone.

    Raises FileAccess (a folder or somebody's own file has the name), DiskFull.
    """
    for file in record.files:
        link = name_of(library, record, file)
        wanted = target_of(library, link, file.sha256)
        with files.explained(link):
            if link.is_symlink():
                if str(link.readlink()) == wanted:
                    continue
            elif link.exists():
                raise FileExistsError(17, "", str(link))
        put_link(link, wanted)


def remove_empty(folder: Path, stop: Path) -> None:
    """Remove ``folder`` and those above it that are empty, below ``stop``."""
    while folder != stop and folder.is_relative_to(stop):
        if folder.is_dir():
            if any(folder.iterdir()):
                return
            folder.rmdir()
        folder = folder.parent
