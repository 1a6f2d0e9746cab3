"""Bringing a model into the library: a reference becomes bytes, the bytes a checked and named record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ultralab.kernel.errors import FetchFailed, FileDamaged, NotFound, RequestError, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.bundles import from_path
from ultralab.models.fetch import fetch, key_of, local_path
from ultralab.models.formats.base import Format
from ultralab.models.library import Library, add, model_path, records
from ultralab.models.names import require_name
from ultralab.models.sources.base import RemoteFile, Resolution, Source
from ultralab.models.types import ModelRecord, Staged
from ultralab.system import files, locks


def pull(
    library: Library,
    ref: str,
    formats: Sequence[Format],
    sources: Sequence[Source],
    progress: Progress = SILENT,
    *,
    name: str | None = None,
    added_by: str = "",
) -> ModelRecord:
    """Bring a model into the library: ``scheme:rest`` or a path. What is already here is not fetched again.

    Idempotent, and resumes what an interrupted call left. Raises what the source, the downloader and the format
    raise, RequestError (several files fit), AlreadyExists (another model has the name).
    """
    source, rest = choose_source(ref, sources)
    if name is not None:
        require_name(name)
    try:
        resolution = source.resolve(rest)
    except FetchFailed:
        if here := pulled_as(library, f"{source.scheme}:{rest}"):
            progress.say(_("The source cannot be asked; {ref} is in the library and is used.").format(ref=here.ref))
            return here
        raise
    remote = _only_file(resolution)
    with locks.exclusive(library.lock(key_of(remote)), _("the download of {name}").format(name=remote.name)):
        if here := _already_here(library, resolution, remote, name, progress):
            progress.say(_("{ref} is already in the library.").format(ref=here.ref))
            return here
        fetched = fetch(remote, library.partial, progress)
        try:
            return _take_in(library, resolution, remote, fetched, formats=formats, name=name, added_by=added_by)
        except (FileDamaged, Unsupported) as error:  # any other error may be mended without fetching again
            fetched.path.unlink(missing_ok=True)
            given = str(local_path(remote) or remote.url)  # not the copy, of which nothing is left
            message = error.message.replace(str(fetched.path), given)
            raise type(error)(message, hint=error.hint, path=given) from error


def choose_source(ref: str, sources: Sequence[Source]) -> tuple[Source, str]:
    """The source for a reference and what follows its scheme; what looks like a path is one."""
    by_scheme = {source.scheme: source for source in sources}
    scheme, colon, rest = ref.partition(":")
    if colon and scheme in by_scheme and rest:
        return by_scheme[scheme], rest
    looks_like_path = ref.startswith((".", "/", "~")) or ref.lower().endswith(".gguf") or Path(ref).is_file()
    if looks_like_path and "path" in by_scheme:
        return by_scheme["path"], ref
    raise RequestError(
        _("{ref!r} says no known source.").format(ref=ref),
        hint=_("Write a path (./model.gguf) or one of: {forms}.").format(
            forms=", ".join(f"{known}:…" for known in sorted(by_scheme))
        ),
        ref=ref,
        known=sorted(by_scheme),
    )


def _take_in(
    library: Library,
    resolution: Resolution,
    remote: RemoteFile,
    fetched: Staged,
    *,
    formats: Sequence[Format],
    name: str | None,
    added_by: str,
) -> ModelRecord:
    form = next((form for form in formats if form.recognises(from_path(fetched.path))), None)
    if form is None:
        raise Unsupported(
            _("{name} is in no model format that ultralab knows.").format(name=fetched.name),
            hint=_("Known formats: {names}.").format(names=", ".join(form.name for form in formats) or "-"),
            ref=resolution.ref,
        )
    return add(
        library,
        [fetched],
        form.read_header(from_path(fetched.path)),
        source=resolution.ref,
        added_by=added_by,
        name=name,
        licence=resolution.licence,
        source_url=remote.url,
        source_sha256=remote.sha256,
    )


def _only_file(resolution: Resolution) -> RemoteFile:
    if len(resolution.files) == 1:
        return resolution.files[0]
    names = [file.name for file in resolution.files]
    raise RequestError(
        _("{ref} holds {count} model files.").format(ref=resolution.ref, count=len(names)),
        hint=_("Choose one by adding its name or a pattern: {names}.").format(names=", ".join(names) or "-"),
        ref=resolution.ref,
        choices=names,
    )


def _already_here(
    library: Library, resolution: Resolution, remote: RemoteFile, name: str | None, progress: Progress
) -> ModelRecord | None:
    """A complete model that came from exactly these bytes (and, if a name is wished, has it)."""
    for record in records(library):
        if record.source != resolution.ref or record.derived is not None or name not in (None, record.name):
            continue
        if record.source_sha256 != remote.sha256 or not _complete(library, record):
            continue
        if not remote.sha256 and not _same_bytes(record, remote, progress):
            continue
        return record
    return None


def _same_bytes(record: ModelRecord, remote: RemoteFile, progress: Progress) -> bool:
    """Whether a source without a hash still has the recorded bytes: only a local file can be asked cheaply."""
    path = local_path(remote)
    if path is None or remote.size != record.files[0].size:
        return False
    with progress.step(_("Checking {name}").format(name=remote.name), remote.size, "bytes") as step:
        return files.sha256_of(path, step.advance) == record.files[0].sha256


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
