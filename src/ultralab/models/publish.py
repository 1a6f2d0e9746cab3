"""Putting a model's bytes and its metadata in place, in an order that a crash at any point leaves harmless.

Bytes first, then the link, then the metadata file, which alone makes it a model; removing goes the other way.
The caller holds the library's lock.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import AlreadyExists
from ultralab.kernel.language import _
from ultralab.models.records import file_name, write_record
from ultralab.models.types import ModelFile, ModelRecord
from ultralab.system import files

_READ_ONLY: Final = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def publish(
    staged: Sequence[Path],
    record: ModelRecord,
    known: Sequence[ModelRecord],
    *,
    metadata: Path,
    folder: Path,
    blobs: Path,
    replace: bool,
) -> ModelRecord:
    """Move the staged files of ``record`` (in its order) into the store and write its metadata; the record that now holds.

    A model of that name with the same bytes stays as it is (its files are put in place again where they are
    missing). Raises AlreadyExists for other bytes, unless ``replace``; FileAccess, DiskFull.
    """
    current = next((other for other in known if other.ref == record.ref), None)
    if current is not None:
        if current.sha256 == record.sha256:
            _place_all(staged, record, folder, blobs)
            return current
        if not replace:
            raise AlreadyExists(
                _("There is another model {ref} in the library, from {source}.").format(
                    ref=current.ref, source=current.source
                ),
                hint=_("Give this one another name (--name)."),
                ref=current.ref,
            )
    elif (metadata / file_name(record.name, record.variant)).exists():
        raise AlreadyExists(
            _("{path} is there and cannot be read.").format(path=metadata / file_name(record.name, record.variant)),
            hint=_("Mend the file, restore it from git, or delete it and pull the model again."),
            ref=record.ref,
        )
    _place_all(staged, record, folder, blobs)
    write_record(metadata, record)
    return record


def _place_all(staged: Sequence[Path], record: ModelRecord, folder: Path, blobs: Path) -> None:
    for path, file in zip(staged, record.files, strict=True):
        _place(path, file, folder, blobs)


def withdraw(metadata: Path, folder: Path, blobs: Path, record: ModelRecord, unused: Sequence[ModelFile]) -> None:
    """Remove a model: its metadata first, then its links, then the bytes in ``unused``. Raises FileAccess."""
    with files.explained(metadata):
        (metadata / file_name(record.name, record.variant)).unlink(missing_ok=True)
        files.sync_directory(metadata)
    with files.explained(folder):
        for file in record.files:
            (folder / file.name).unlink(missing_ok=True)
        for empty in (folder, folder.parent, folder.parent.parent):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()
    with files.explained(blobs):
        for file in unused:
            (blobs / file.sha256).unlink(missing_ok=True)


def _place(staged: Path, file: ModelFile, folder: Path, blobs: Path) -> None:
    blob = blobs / file.sha256
    with files.explained(staged):
        descriptor = os.open(staged, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    with files.explained(blob):
        blobs.mkdir(parents=True, exist_ok=True)
        staged.chmod(_READ_ONLY)
        staged.replace(blob)
        files.sync_directory(blobs)
    link = folder / file.name
    with files.explained(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.parent / f".{file.sha256[:16]}.link"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(blob, link.parent))
        temporary.replace(link)
        files.sync_directory(link.parent)
