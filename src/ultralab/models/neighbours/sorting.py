"""Which of a folder's files make one model each: the same rule as for a repository far away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _
from ultralab.models.neighbours.base import HeldFile, Holding
from ultralab.models.pulling.grouping import Sized, groups
from ultralab.models.records import is_safe_path

_NO_MODELS: Final = {
    "projector": N_("A projector for images is no model by itself."),
    "imatrix": N_("An importance matrix is no model."),
    "adapter": N_("An adapter is no model by itself."),
}


def models_among(whole: Holding, found: Sequence[HeldFile]) -> Iterator[Holding]:
    """One holding per model among the files of a folder. ``whole`` is the folder's: its tool, name and source.

    A GGUF is called by its file's name, and its source names that file; anything else by the folder's.
    """
    safe = [file for file in found if is_safe_path(file.name)]
    for file in found:
        if not is_safe_path(file.name):
            yield _problem(whole, file.path, _("Its name {name!r} cannot be used.").format(name=file.name))
    by_name = {file.name: file for file in safe}
    try:
        sorted_out = groups([Sized(file.name, file.size) for file in safe])
    except UltralabError as error:
        yield _problem(whole, whole.where, error.message)
        return
    folders = sum(group.kind in ("safetensors", "pytorch") for group in sorted_out)
    for group in sorted_out:
        files = [by_name[name] for name in group.names if name in by_name]
        if not files:
            continue
        if group.kind in _NO_MODELS:
            yield _problem(whole, files[0].path, _(_NO_MODELS[group.kind]))
        elif group.kind == "gguf":
            yield _gguf(whole, files)
        else:
            name = whole.name if folders == 1 else f"{whole.name}-{PurePosixPath(group.label).name}"
            yield replace(whole, name=name, files=_without_common_folder(files))


def _gguf(whole: Holding, files: Sequence[HeldFile]) -> Holding:
    first = files[0]
    # a split model's own name is in each part; one part is enough to find the others
    source = f"{whole.source_ref}:{first.name}" if whole.source_ref.startswith("hf:") else f"path:{first.path}"
    return replace(
        whole,
        name=PurePosixPath(first.name).name,
        where=first.path,
        source_ref=source,
        files=_without_common_folder(files),
    )


def _without_common_folder(files: Sequence[HeldFile]) -> tuple[HeldFile, ...]:
    """``UD-Q4_K_XL/model-00001-of-00002.gguf`` is called ``model-00001-of-00002.gguf`` in the library."""
    parents = {PurePosixPath(file.name).parent for file in files}
    if len(parents) != 1:
        return tuple(files)
    return tuple(replace(file, name=PurePosixPath(file.name).name) for file in files)


def _problem(whole: Holding, where: Path, reason: str) -> Holding:
    return replace(whole, where=where, name=where.name, files=(), problem=reason)
