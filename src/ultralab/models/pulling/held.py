"""What the library has already of what a reference stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ultralab.kernel.errors import AlreadyExists, FileDamaged, NotFound
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.download import local_path
from ultralab.models.library import Library, model_path, records
from ultralab.models.names import Names
from ultralab.models.records import safe_path
from ultralab.models.sources.base import RemoteFile, Resolution
from ultralab.models.store.places import locate
from ultralab.models.types import ModelFile, ModelRecord
from ultralab.system import files


def in_store(library: Library, file: RemoteFile) -> bool:
    """Whether the store has the bytes of a file, by the hash that its source promises."""
    return (
        bool(file.sha256)
        and not file.member
        and locate(library, file.sha256.lower(), -1 if file.size is None else file.size).readable
    )


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


def on_absent_volume(library: Library, ref: str, chosen: Sequence[RemoteFile]) -> NotFound | None:
    """The error where the store has bytes of these files on a volume that is not plugged in; None where it has none.

    Files without a promised hash are looked for under the name of the record that came from ``ref``.
    """
    wanted = {file.sha256.lower(): file.size for file in chosen if file.sha256 and not file.member}
    named = {safe_path(file.name) for file in chosen}
    for record in records(library):
        if record.source == ref and record.derived is None:
            wanted |= {file.sha256: file.size for file in record.files if file.name in named}
    for sha256, size in wanted.items():
        place = locate(library, sha256, -1 if size is None else size)
        if place.state == "unplugged":
            return NotFound(
                _("It is in the library, on the volume {name}, which is not plugged in: {path}").format(
                    name=place.volume, path=place.path
                ),
                hint=_("Plug the disk in. To fetch it a second time, name another volume: --volume home"),
                volume=place.volume,
            )
    return None


def name_taken(library: Library, names: Names, chosen: Sequence[RemoteFile]) -> AlreadyExists | None:
    """The error where another model, surely of other bytes, has the name: better now than after the download."""
    ref = f"{names.name}:{names.variant}"
    other = next((record for record in records(library) if record.ref == ref), None)
    if other is None or _may_be_same(other, chosen):
        return None
    return AlreadyExists(
        _("There is another model {ref} in the library, from {source}.").format(ref=ref, source=other.source),
        hint=_("Give this one another name (--name)."),
        ref=ref,
    )


def _may_be_same(record: ModelRecord, chosen: Sequence[RemoteFile]) -> bool:
    """Whether nothing that is known beforehand (number, sizes, hashes) tells these files from the record's."""
    if len(record.files) != len(chosen):
        return False
    held = {file.name: file for file in record.files}
    for file in chosen:
        mine = record.files[0] if len(chosen) == 1 else held.get(safe_path(file.name))
        if mine is None or file.size not in (None, mine.size):
            return False
        if file.sha256 and not file.member and file.sha256.lower() != mine.sha256:
            return False
    return True


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
