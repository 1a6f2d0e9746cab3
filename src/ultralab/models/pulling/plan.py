"""What pulling a reference means, told before a byte of weights is fetched: what it is, what it needs, what is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ultralab.kernel.errors import DiskFull, FetchFailed, UltralabError
from ultralab.kernel.progress import Progress
from ultralab.models import bundles
from ultralab.models.download import key_of, leftovers
from ultralab.models.formats.base import USUAL_LIMITS, Format, Limits, ModelHeader
from ultralab.models.inspect import Inspection, inspect
from ultralab.models.library import Library
from ultralab.models.names import Names, names_for
from ultralab.models.pulling.grouping import Group, Sized, choose, groups
from ultralab.models.pulling.held import already_here, in_store, name_taken, on_absent_volume
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.models.store.placement import choose as place
from ultralab.models.store.places import states
from ultralab.models.store.volumes import HOME, Volume, VolumeState
from ultralab.models.types import ModelRecord


@dataclass(frozen=True)
class FitCheck:
    """Whether a model will fit into memory: yes, no, or None where that cannot be said; one sentence; bytes."""

    fits: bool | None
    sentence: str
    needed: int = 0
    limit: int = 0


Fit = Callable[[ModelHeader], FitCheck | None]
"""Judges a header. The composition root passes one in: this room knows no planner's limits."""


def no_opinion(_header: ModelHeader) -> FitCheck | None:
    """Nobody judges."""
    return None


@dataclass(frozen=True)
class PullPlan:
    """What pulling would do. Sizes in bytes; ``total`` None where the source does not say it.

    ``label`` is which of a repository's models was chosen, ``called`` what its name is made from. ``inspection`` and
    ``names`` are None where the headers cannot be read before the download; then ``unread`` says why. ``held`` is what the
    store has already of these bytes, ``begun`` what an interrupted download left. ``here`` is the model, if it is in the
    library as it stands. ``obstacle`` is why pulling would fail now, with nothing fetched: no room, a name that another
    model has, bytes on a volume that is not plugged in.
    """

    resolution: Resolution
    label: str
    called: str
    files: tuple[RemoteFile, ...]
    inspection: Inspection | None
    unread: str
    names: Names | None
    total: int | None
    held: int
    begun: int
    volume: Volume
    free: int
    fit: FitCheck | None
    here: ModelRecord | None
    obstacle: UltralabError | None = None

    @property
    def to_fetch(self) -> int | None:
        """Bytes that still have to be fetched."""
        return None if self.total is None else max(0, self.total - self.held - self.begun)


def known_total(files: Sequence[RemoteFile]) -> int | None:
    """Bytes of all files, None where one is unknown."""
    sizes = [file.size for file in files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


@dataclass(frozen=True)
class Pulling:
    """How to pull: tokens and addresses, limits of headers, connections per file, who judges the fit; where to."""

    access: Access = NOBODY
    limits: Limits = USUAL_LIMITS
    connections: int = 4
    fit: Fit = no_opinion
    volume: str | None = None


ORDINARY: Final = Pulling()


def planned(
    library: Library,
    resolution: Resolution,
    formats: Sequence[Format],
    progress: Progress,
    *,
    name: str | None,
    variant: str | None,
    how: Pulling,
) -> PullPlan:
    """What pulling a resolved reference would do. Reads headers by ranges, no weights; writes nothing.

    Raises what the headers raise, RequestError (several models fit), Unsupported, NotFound (no such volume).
    """
    group, chosen = chosen_files(resolution)
    here = already_here(library, resolution, chosen, name, variant, progress)
    inspection, unread = _looked_at(library, resolution, chosen, formats, how=how, here=here)
    called = _called(resolution, group)
    names = names_for(called, inspection.header) if inspection else None
    if names and (name or variant):
        names = replace(names, name=name or names.name, variant=variant or names.variant)
    total, held = known_total(chosen), _held(library, chosen)
    volume, begun, full = _destination(library, chosen, 0 if here else max(0, (total or 0) - held), how)
    obstacle: UltralabError | None = None
    if not here:
        absent = None if how.volume else on_absent_volume(library, resolution.ref, chosen)
        obstacle = absent or (name_taken(library, names, chosen) if names else None) or full
    return PullPlan(
        resolution=resolution,
        label=group.label,
        called=called,
        files=chosen,
        inspection=inspection,
        unread=unread,
        names=names,
        total=total,
        held=held,
        begun=begun,
        volume=volume.volume,
        free=volume.free,
        fit=how.fit(inspection.header) if inspection else None,
        here=here,
        obstacle=obstacle,
    )


def chosen_files(resolution: Resolution) -> tuple[Group, tuple[RemoteFile, ...]]:
    """The one model that is meant, and its files. Raises RequestError (several fit), Unsupported (none)."""
    group = choose(groups([Sized(file.name, file.size) for file in resolution.files]), resolution.ref)
    by_name = {file.name: file for file in resolution.files}
    return group, tuple(by_name[name] for name in group.names)


def _called(resolution: Resolution, group: Group) -> str:
    """What the model's name is made from: the file's own where it is one file, else the repository's or folder's."""
    return group.names[0] if group.kind == "gguf" else resolution.name


def _looked_at(
    library: Library,
    resolution: Resolution,
    chosen: Sequence[RemoteFile],
    formats: Sequence[Format],
    *,
    how: Pulling,
    here: ModelRecord | None,
) -> tuple[Inspection | None, str]:
    """What the headers say; a server that sends no parts of files is no obstacle: then why they cannot be read now."""
    if here:
        return inspect(bundles.from_path(library.folder(here), how.limits), formats), ""
    try:
        with bundles.far(chosen, resolution.ref, how.access, how.limits) as bundle:
            return inspect(bundle, formats), ""
    except FetchFailed as error:
        if "status" in error.data:
            raise
        return None, error.message


def _held(library: Library, chosen: Sequence[RemoteFile]) -> int:
    """Bytes of these files that the store has already."""
    return sum(file.size or 0 for file in chosen if in_store(library, file))


def _destination(
    library: Library, chosen: Sequence[RemoteFile], size: int, how: Pulling
) -> tuple[VolumeState, int, DiskFull | None]:
    """The volume for ``size`` bytes that are not here, what an interrupted pull left there, and whether it is too full.

    A pull goes on where it began: on the volume that holds its beginning. Raises NotFound, Unsupported.
    """
    known = states(library)
    wanted = {key_of(file) for file in chosen}
    placement = library.placement if how.volume is None else replace(library.placement, volume=how.volume)
    begun = 0
    for state in known:
        if state.state == "present" and how.volume in (None, state.volume.name):
            begun = sum(one.have for one in leftovers(state.volume.partial) if one.key in wanted)
            if begun:
                placement = replace(placement, volume=state.volume.name)
                break
    needed = max(0, size - begun)
    if needed == 0:
        placement = replace(placement, keep_free=0)
    full: DiskFull | None = None
    try:
        name = place(needed, known, placement).name
    except DiskFull as error:
        full, name = error, HOME if placement.volume == "auto" else placement.volume
    return next(state for state in known if state.volume.name == name), begun, full
