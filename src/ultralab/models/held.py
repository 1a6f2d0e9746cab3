"""What the library has already of what a reference stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ultralab.kernel.errors import FileDamaged, NotFound
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.download import local_path
from ultralab.models.library import Library, model_path, records
from ultralab.models.records import safe_path
from ultralab.models.sources.base import RemoteFile, Resolution
from ultralab.models.store.places import locate
from ultralab.models.types import ModelFile, ModelRecord
from ultralab.system import files


def in_store(library: Library, file: RemoteFile) -> bool:
    """Whether the store has the bytes of a file, by the hash that its source promises."""
    return bool(file.sha256) and not file.member and locate(library, file.sha256.lower(), file.size or -1).readable


def already_here(
    library: Library,
    resolution: Resolution,
    chosen: Sequence[RemoteFile],
    name: str | None,
    variant: str | None,
    progress: Progress,
) -> ModelRecord | None:
    """A complete model that came from exactly these bytes (and, if a name is wished, has it)."""
    for record in records(library):
        wanted = name in (None, record.name) and variant in (None, record.variant)
        if not wanted or record.source != resolution.ref or record.derived is not None:
            continue
        if _has(record, resolution, chosen, progress) and _complete(library, record):
            return record
    return None


def _has(record: ModelRecord, resolution: Resolution, chosen: Sequence[RemoteFile], progress: Progress) -> bool:
    """Whether a record is of these bytes: by their hashes, by the source's revision where it has none for some."""
    if any(file.member for file in chosen):
        return bool(record.source_sha256) and record.source_sha256 == chosen[0].sha256
    held = {file.name: file for file in record.files}
    if {safe_path(file.name) for file in chosen} != held.keys():
        return False
    same_revision = bool(resolution.version) and record.revision == resolution.version
    for file in chosen:
        mine = held[safe_path(file.name)]
        if file.size not in (None, mine.size):
            return False
        if file.sha256:
            if file.sha256.lower() != mine.sha256:
                return False
        elif not same_revision and not _same_bytes(mine, file, progress):
            return False
    return True


def _same_bytes(mine: ModelFile, remote: RemoteFile, progress: Progress) -> bool:
    """Whether a source without a hash still has the recorded bytes: only a local file can be asked cheaply."""
    path = local_path(remote)
    if path is None:
        return False
    with progress.step(_("Checking {name}").format(name=remote.name), remote.size, "bytes") as step:
        return files.sha256_of(path, step.advance) == mine.sha256


def pulled_as(library: Library, ref: str) -> ModelRecord | None:
    """The newest complete model whose recorded source is ``ref``, with or without a version."""
    fitting = [
        record
        for record in records(library)
        if record.derived is None and ref in (record.source, re.sub("==[^:]*", "", record.source))
        if _complete(library, record)
    ]
    return max(fitting, key=lambda record: record.added, default=None)


def _complete(library: Library, record: ModelRecord) -> bool:
    try:
        model_path(library, record)
    except (NotFound, FileDamaged):
        return False
    return True
