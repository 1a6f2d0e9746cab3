"""Bringing a model into the library: a reference becomes a plan, the plan bytes, the bytes a checked and named record."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from ultralab.kernel.errors import AlreadyExists, FetchFailed, FileDamaged, RequestError, UltralabError, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models import bundles
from ultralab.models.download import fetch_all, key_of, local_path
from ultralab.models.formats.base import Format
from ultralab.models.inspect import inspect
from ultralab.models.library import Library, add
from ultralab.models.names import require_name
from ultralab.models.pulling.held import already_here, in_store, pulled_as
from ultralab.models.pulling.plan import ORDINARY, Pulling, PullPlan, planned
from ultralab.models.sources.base import RemoteFile, Source
from ultralab.models.store.places import locate
from ultralab.models.types import ModelRecord, Staged
from ultralab.system import files, locks

Told = Callable[[PullPlan], None]


def plan_pull(
    library: Library,
    ref: str,
    formats: Sequence[Format],
    sources: Sequence[Source],
    progress: Progress = SILENT,
    *,
    name: str | None = None,
    variant: str | None = None,
    how: Pulling = ORDINARY,
) -> PullPlan:
    """What pulling ``ref`` would do, and what stands in its way. Reads headers by ranges, no weights; writes nothing.

    Raises what the source and the headers raise, RequestError (several models fit).
    """
    source, rest = choose_source(ref, sources)
    for word in (name, variant):
        if word is not None:
            require_name(word)
    return planned(library, source.resolve(rest, how.access), formats, progress, name=name, variant=variant, how=how)


def pull(
    library: Library,
    ref: str,
    formats: Sequence[Format],
    sources: Sequence[Source],
    progress: Progress = SILENT,
    *,
    name: str | None = None,
    variant: str | None = None,
    added_by: str = "",
    how: Pulling = ORDINARY,
    told: Told = lambda _plan: None,
) -> ModelRecord:
    """Bring a model into the library: ``scheme:rest`` or a path. What is already here is not fetched again.

    ``told`` gets the plan before any weights are fetched. Idempotent, and resumes what an interrupted call left. Raises
    what the source, the downloader and the format raise, RequestError (several models fit), and the plan's obstacle:
    DiskFull, AlreadyExists (another model has the name), NotFound (it is on a volume that is not plugged in).
    """
    source, rest = choose_source(ref, sources)
    try:
        plan = plan_pull(library, ref, formats, sources, progress, name=name, variant=variant, how=how)
    except FetchFailed:
        if here := pulled_as(library, f"{source.scheme}:{rest}"):
            progress.say(_("The source cannot be asked; {ref} is in the library and is used.").format(ref=here.ref))
            return here
        raise
    told(plan)
    if plan.obstacle is not None:
        raise plan.obstacle
    with locks.exclusive(library.lock(_key(plan)), _("the download of {name}").format(name=plan.label)):
        if here := plan.here or already_here(library, plan.resolution, plan.files, name, variant, progress):
            progress.say(_("{ref} is already in the library.").format(ref=here.ref))
            return here
        staged = _staged(library, plan, how, progress)
        return _take_in(library, plan, staged, formats, name=name, variant=variant, added_by=added_by, how=how)


def _key(plan: PullPlan) -> str:
    """What names this pull among others, so that two of the same wait for each other."""
    return "pull-" + hashlib.sha256("\n".join(sorted(map(key_of, plan.files))).encode()).hexdigest()[:24]


def choose_source(ref: str, sources: Sequence[Source]) -> tuple[Source, str]:
    """The source for a reference and what follows its scheme; what looks like a path is one. Raises RequestError."""
    by_scheme = {source.scheme: source for source in sources}
    scheme, colon, rest = ref.partition(":")
    if colon and scheme.lower() in by_scheme:
        return by_scheme[scheme.lower()], rest
    if "path" in by_scheme:
        if scheme.lower() == "file" and rest.startswith("/"):
            return by_scheme["path"], os.fsdecode(unquote_to_bytes(urlsplit(ref).path))
        if ref.startswith((".", "/", "~")) or ref.lower().endswith(".gguf") or (ref.strip() and Path(ref).exists()):
            return by_scheme["path"], ref
    raise RequestError(
        _("{ref!r} says no known source.").format(ref=ref),
        hint=_("Write a path (./model.gguf) or one of: {forms}.").format(
            forms=", ".join(f"{known}:…" for known in sorted(by_scheme))
        ),
        ref=ref,
        known=sorted(by_scheme),
    )


def _staged(library: Library, plan: PullPlan, how: Pulling, progress: Progress) -> tuple[Staged, ...]:
    """Every file of the plan, checked: what the store has is not fetched."""
    missing = [file for file in plan.files if not in_store(library, file)]
    fetched: tuple[Staged, ...] = ()
    if missing:
        fetched = fetch_all(
            missing,
            plan.volume.partial,
            progress,
            access=how.access,
            connections=how.connections,
            keep_free=library.placement.keep_free,
        )
    by_name = dict(zip((file.name for file in missing), fetched, strict=True))
    return tuple(by_name.get(file.name) or _from_store(library, file) for file in plan.files)


def _from_store(library: Library, file: RemoteFile) -> Staged:
    sha256 = file.sha256.lower()
    path = locate(library, sha256, file.size or -1).path
    with files.explained(path):
        return Staged(path, file.name, path.stat().st_size, sha256, kept=True)


def _take_in(
    library: Library,
    plan: PullPlan,
    staged: Sequence[Staged],
    formats: Sequence[Format],
    *,
    name: str | None,
    variant: str | None,
    added_by: str,
    how: Pulling,
) -> ModelRecord:
    """Read the headers once more, of the bytes that arrived, and publish what belongs to the model."""
    resolution = plan.resolution
    try:
        inspection = inspect(bundles.from_staged(staged, how.limits), formats)
    except (FileDamaged, Unsupported) as error:  # any other error may be mended without fetching again
        _forget(staged)
        raise _about_source(error, plan.files, staged) from error
    single = plan.files[0]
    try:
        return add(
            library,
            staged,
            inspection.header,
            source=resolution.ref,
            added_by=added_by,
            called=staged[0].name if len(staged) == 1 else plan.called,
            name=name,
            variant=variant,
            licence=resolution.licence,
            source_url=single.url if len(staged) == 1 else resolution.homepage,
            source_sha256=single.sha256 if single.member else "",
            revision=resolution.version,
            base_models=resolution.base_models,
        )
    except AlreadyExists:  # what was downloaded is taken up under another name; a copy is soon made again
        _forget([copy for file, copy in zip(plan.files, staged, strict=True) if local_path(file)])
        raise


def _forget(staged: Sequence[Staged]) -> None:
    for file in staged:
        if not file.kept:
            file.path.unlink(missing_ok=True)


def _about_source(error: UltralabError, remote: Sequence[RemoteFile], staged: Sequence[Staged]) -> UltralabError:
    """The same error about what was asked for, not about the copy, of which nothing is left."""
    message = error.message
    for file, copy in zip(remote, staged, strict=True):
        message = message.replace(str(copy.path), str(local_path(file) or file.url))
    return type(error)(message, hint=error.hint, path=str(local_path(remote[0]) or remote[0].url))
