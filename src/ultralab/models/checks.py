"""The library's checks for ``ultralab doctor``. They read only, and hash nothing: ``models verify`` does that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import FileDamaged, NotFound, UltralabError
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes
from ultralab.models.library import Library, model_path, problems, records


def doctor_checks(library: Library) -> tuple[Check, ...]:
    """Is what the library promises there, and nothing else?"""
    return (
        Check("models.metadata", N_("Model metadata can be read"), lambda: _metadata(library)),
        Check("models.files", N_("Model files are there in full size"), lambda: _files(library)),
        Check("models.links", N_("No link and no file in the store is left over"), lambda: _leftovers(library)),
        Check("models.partial", N_("No unfinished download takes up space"), lambda: _partial(library)),
    )


def _metadata(library: Library) -> Finding:
    bad = problems(library)
    if bad:
        return Finding("fail", " ".join(error.message for error in bad), bad[0].hint)
    try:
        count = len(records(library))
    except UltralabError as error:
        return Finding("fail", error.message, error.hint)
    return Finding("pass", _("{count} models, the index agrees with their files").format(count=count))


def _files(library: Library) -> Finding:
    known = records(library)
    errors: list[UltralabError] = []
    for record in known:
        try:
            model_path(library, record)
        except (NotFound, FileDamaged) as error:
            errors.append(error)
    if errors:
        return Finding("fail", " ".join(error.message for error in errors), errors[0].hint)
    size = format_bytes(sum(record.size for record in known))
    return Finding("pass", _("{count} models, {size}").format(count=len(known), size=size))


def _leftovers(library: Library) -> Finding:
    known = records(library)
    hashes = {file.sha256 for record in known for file in record.files}
    named = {library.folder(record) / file.name for record in known for file in record.files}
    blobs = [path for path in _files_under(library.blobs) if path.name not in hashes]
    links = [path for path in _files_under(library.tree) if path not in named or not path.exists()]
    if not blobs and not links:
        return Finding("pass", _("nothing is left over"))
    size = format_bytes(sum(path.stat().st_size for path in blobs))
    shown = ", ".join(str(path.relative_to(library.home)) for path in (*blobs, *links)[:5])
    return Finding(
        "warn",
        _("{blobs} files ({size}) belong to no model, {links} links lead nowhere or are unknown: {shown}").format(
            blobs=len(blobs), size=size, links=len(links), shown=shown
        ),
        _("If no metadata file is missing (see git), delete them."),
    )


def _partial(library: Library) -> Finding:
    left = list(_files_under(library.partial))
    if not left:
        return Finding("pass", _("no unfinished download"))
    size = format_bytes(sum(path.stat().st_size for path in left))
    return Finding(
        "warn",
        _("{count} unfinished files, {size}, in {path}").format(count=len(left), size=size, path=library.partial),
        _("Pull the model again to go on, or delete them."),
    )


def _files_under(folder: Path) -> Iterator[Path]:
    for place, _folders, names in os.walk(folder):
        for name in names:
            yield Path(place) / name
