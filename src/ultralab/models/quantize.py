"""A model in another quantization, made with the ``gguf`` package's numpy code after our reader accepted the file."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged, NotFound, UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import Format
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.models.formats.gguf_types import TENSOR_TYPE_NAMED
from ultralab.models.gguf_plan import plan
from ultralab.models.library import Library, add, model_path, records
from ultralab.models.types import Derivation, ModelRecord, Staged
from ultralab.system import files, locks

QUANTIZATIONS: Final = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4", "TQ2_0", "TQ1_0")
"""The types that can be made here, from most to fewest bits per weight."""

RULES: Final = 1
"""Raised when the same input would give other bytes: a derivation by older rules is made again."""

_TOOL: Final = "ultralab + gguf"


def quantize(
    library: Library,
    parent: ModelRecord,
    target: str,
    formats: Sequence[Format],
    progress: Progress = SILENT,
    *,
    added_by: str = "",
) -> ModelRecord:
    """Make ``parent`` in the type ``target`` (one of :data:`QUANTIZATIONS`) and add it to the library.

    Only the weight matrices of the blocks change: embedding and output matrix, norms and routers stay as they are,
    so that variants differ in nothing else; a model that has nothing to change is returned itself. Deterministic: the same input gives the same bytes. What the library
    already has is returned at once. Raises UnknownChoice, Unsupported, FileDamaged, NotFound, DiskFull.
    """
    target = _known(target)
    derived = _derivation(parent, target)
    key = f"{derived['parent_sha256'][:24]}-{target.lower()}"
    with locks.exclusive(library.lock(key), _("making {type} of {ref}").format(type=target, ref=parent.ref)):
        if here := _already_made(library, derived):
            progress.say(_("{ref} is already in the library.").format(ref=here.ref))
            return here
        source = model_path(library, parent)
        staged = library.partial / f"{key}.ready"
        try:
            return _make(
                library,
                parent,
                derived,
                source=source,
                staged=staged,
                formats=formats,
                progress=progress,
                added_by=added_by,
            )
        finally:  # published, it is no longer there
            with suppress(FileNotFoundError):
                staged.unlink()


def made_before(library: Library, parent: ModelRecord, target: str) -> ModelRecord | None:
    """What :func:`quantize` would give back at once, None where it has work to do. Raises Unsupported, UnknownChoice."""
    return _already_made(library, _derivation(parent, _known(target)))


def quantization_memory(path: Path) -> int:
    """About what :func:`quantize` holds at its peak for this GGUF file, bytes. Raises FileDamaged, Unsupported.

    It follows from how the writer works (see ``gguf_writer.peak_memory``): some rows of the largest tensor at a time,
    on a few threads, so it hardly grows with the model.
    """
    from ultralab.models.gguf_writer import peak_memory  # numpy and gguf: half a second

    return peak_memory(read_gguf(path))


def _derivation(parent: ModelRecord, target: str) -> Derivation:
    return Derivation(
        parent=parent.ref,
        parent_sha256=parent.sha256,
        tool=_TOOL,
        tool_version=f"rules {RULES}, gguf {importlib.metadata.version('gguf')}",
        quantization=target,
    )


def _make(
    library: Library,
    parent: ModelRecord,
    derived: Derivation,
    *,
    source: Path,
    staged: Path,
    formats: Sequence[Format],
    progress: Progress,
    added_by: str,
) -> ModelRecord:
    form = next((form for form in formats if form.name == parent.format == "gguf"), None)
    if form is None:
        raise Unsupported(
            _("{ref} is in the format {format}; only GGUF models can be quantized.").format(
                ref=parent.ref, format=parent.format
            ),
            ref=parent.ref,
        )
    raw = read_gguf(source)
    kind = TENSOR_TYPE_NAMED[derived["quantization"]]
    plans = plan(raw, kind)
    if not any(one.changes for one in plans):
        progress.say(_("{ref} is in {type} already.").format(ref=parent.ref, type=kind.name))
        return parent
    from ultralab.models.gguf_writer import requantize  # numpy and gguf: half a second

    with files.explained(staged):
        staged.parent.mkdir(parents=True, exist_ok=True)
    size, sha256 = requantize(raw, plans, kind, staged, progress)
    variant, replace = _variant(library, parent, derived)
    made = Staged(staged, f"{parent.name}.{variant.upper()}.gguf", size, sha256)
    return add(
        library,
        [made],
        form.read_header(from_path(staged)),
        source=f"derived:{parent.ref}",
        added_by=added_by,
        name=parent.name,
        variant=variant,
        title=parent.title,
        licence=parent.licence,
        source_url=parent.source_url,
        derived=derived,
        family=parent.family,
        replace=replace,
    )


def _known(target: str) -> str:
    name = target.strip().upper()
    if name in QUANTIZATIONS:
        return name
    if "_K" in name or name.startswith("IQ"):
        raise Unsupported(
            _("{type} cannot be made here yet.").format(type=target),
            hint=_(
                "K- and IQ-quantizations need llama.cpp's llama-quantize, which ultralab cannot call yet. "
                "Make the file with it and pull it as a path, or choose one of: {known}."
            ).format(known=", ".join(QUANTIZATIONS)),
            given=target,
            known=list(QUANTIZATIONS),
        )
    raise UnknownChoice.among(_("quantization"), target, QUANTIZATIONS)


def _already_made(library: Library, derived: Derivation) -> ModelRecord | None:
    for record in records(library):
        made = record.derived
        if made is not None and _same_work(made, derived) and made["tool_version"] == derived["tool_version"]:
            with suppress(FileDamaged, NotFound):
                model_path(library, record)
                return record
    return None


def _same_work(one: Derivation, other: Derivation) -> bool:
    return one["parent_sha256"] == other["parent_sha256"] and one["quantization"] == other["quantization"]


def _variant(library: Library, parent: ModelRecord, derived: Derivation) -> tuple[str, bool]:
    """The variant's name, and whether it replaces an older one: ``q8_0``, or ``q8_0-from-q4_1`` where that is taken."""
    plain = derived["quantization"].lower()
    taken = {record.variant: record for record in records(library) if record.name == parent.name}
    for variant in (plain, f"{plain}-from-{parent.variant}"):
        holder = taken.get(variant)
        if holder is None:
            return variant, False
        if holder.derived is not None and _same_work(holder.derived, derived):
            return variant, True
    return f"{plain}-from-{derived['parent_sha256'][:8]}", False
