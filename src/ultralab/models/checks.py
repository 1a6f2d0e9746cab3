"""The library's checks for ``ultralab doctor``. They read only, and hash nothing: ``models verify`` does that."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes
from ultralab.models.library import Library, problems, records
from ultralab.models.store.places import states
from ultralab.models.store.scanning import Scan, scan
from ultralab.models.store.volumes import Volume
from ultralab.models.store.whole import require_whole

_SHOWN = 5


def doctor_checks(library: Library) -> tuple[Check, ...]:
    """Is what the library promises there, and nothing else?"""
    return (
        Check("models.metadata", N_("Model metadata can be read"), lambda: _metadata(library)),
        Check("models.volumes", N_("The volumes for models are plugged in"), lambda: _volumes(library)),
        Check(
            "models.files", N_("Model files are there, as they were when they were checked"), lambda: _files(library)
        ),
        Check("models.links", N_("No link and no file in the store is left over"), lambda: _leftovers(library)),
        Check("models.partial", N_("No unfinished download takes up space"), lambda: _partial(library)),
        Check("models.damaged", N_("No damaged file takes up space"), lambda: _damaged(library)),
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


def _volumes(library: Library) -> Finding:
    found = states(library)
    lines = {
        "present": _("{name}: {free} free of {total}"),
        "missing": _("{name} is not plugged in ({path})"),
        "foreign": _("{path} is not the volume {name}, or not this lab's"),
        "read-only": _("{name} is read-only here ({path})"),
    }
    detail = "; ".join(
        lines[state.state].format(
            name=state.volume.name,
            path=state.volume.root,
            free=format_bytes(state.free),
            total=format_bytes(state.total),
        )
        for state in found
    )
    if all(state.state == "present" for state in found):
        return Finding("pass", detail)
    return Finding("warn", detail, _("Plug the disk in, or mend models.volumes in lab.toml."))


def _files(library: Library) -> Finding:
    seen = scan(library)
    if seen.missing or seen.changed or seen.unplugged:
        return _unwhole(library, seen)
    return Finding("pass", _("{count} models, {size}").format(count=seen.models, size=format_bytes(seen.size)))


def _unwhole(library: Library, seen: Scan) -> Finding:
    """Say it as whoever wants to use the models would hear it; only what changed in silence needs words of its own."""
    errors: list[UltralabError] = []
    for record in records(library):
        for file in record.files:
            try:
                require_whole(library, record, file)
            except UltralabError as error:
                errors.append(error)
    if any("volume" not in error.data for error in errors):
        return Finding("fail", " ".join(error.message for error in errors), errors[0].hint)
    sentences = [error.message for error in errors]
    if seen.changed:
        sentences.append(
            _("{count} files were copied, restored or changed since they were checked: {shown}").format(
                count=len(seen.changed), shown=_shown(library, seen.changed)
            )
        )
        return Finding("warn", " ".join(sentences), _("Run: ultralab models verify"))
    if lost := [path for path in seen.missing if path.is_relative_to(library.tree)]:
        sentences.append(
            _("{count} names are missing or lead elsewhere: {shown}").format(
                count=len(lost), shown=_shown(library, lost)
            )
        )
        return Finding("warn", " ".join(sentences), _("Run: ultralab models reindex"))
    return Finding("warn", " ".join(sentences), errors[0].hint if errors else "")


def _leftovers(library: Library) -> Finding:
    seen = scan(library)
    if not seen.unknown:
        return Finding("pass", _("nothing is left over"))
    links = [path for path in seen.unknown if path.is_relative_to(library.tree)]
    blobs = [path for path in seen.unknown if path not in links]
    return Finding(
        "warn",
        _("{blobs} files ({size}) belong to no model, {links} links lead nowhere or are unknown: {shown}").format(
            blobs=len(blobs), size=format_bytes(_size(blobs)), links=len(links), shown=_shown(library, [*blobs, *links])
        ),
        _("If no metadata file is missing (see git), delete them."),
    )


def _partial(library: Library) -> Finding:
    left = [path for volume in _present(library) for path in _files_under(volume.partial)]
    if not left:
        return Finding("pass", _("no unfinished download"))
    return Finding(
        "warn",
        _("{count} unfinished files, {size}, in {path}").format(
            count=len(left), size=format_bytes(_size(left)), path=left[0].parent
        ),
        _("Pull or move the model again to go on; after a day ultralab models prune offers them."),
    )


def _damaged(library: Library) -> Finding:
    left = [path for volume in _present(library) for path in _files_under(volume.damaged)]
    if not left:
        return Finding("pass", _("no damaged file"))
    return Finding(
        "warn",
        _("{count} damaged files, {size}, in {path}").format(
            count=len(left), size=format_bytes(_size(left)), path=left[0].parent
        ),
        _("Get their models again, then delete these files."),
    )


def _present(library: Library) -> list[Volume]:
    return [state.volume for state in states(library) if state.state in ("present", "read-only")]


def _shown(library: Library, paths: Sequence[Path]) -> str:
    home = library.home
    return ", ".join(str(path.relative_to(home) if path.is_relative_to(home) else path) for path in paths[:_SHOWN])


def _size(paths: Sequence[Path]) -> int:
    return sum(path.lstat().st_size for path in paths if path.is_symlink() or path.exists())


def _files_under(folder: Path) -> Iterator[Path]:
    for place, _folders, names in os.walk(folder):
        for name in names:
            yield Path(place) / name
