"""Where model bytes lie, and whether they are whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.app.lab import Lab, open_lab
from ultralab.app.models import write_pages
from ultralab.app.settings import change_setting
from ultralab.kernel.errors import AlreadyExists, NotFound, RequestError, UltralabError
from ultralab.kernel.language import N_, _
from ultralab.kernel.progress import Progress

if TYPE_CHECKING:
    from ultralab.models import ModelRecord
    from ultralab.models.store.volumes import Volume

_STATES: Final[Mapping[str, str]] = {
    "present": N_("present"),
    "missing": N_("not plugged in"),
    "foreign": N_("another's"),
    "read-only": N_("read-only"),
}


@dataclass(frozen=True)
class VolumeLine:
    """A volume: ``state`` as the store says it, ``said`` a message id for people, bytes free (None: not there) and used."""

    name: str
    state: str
    said: str
    free: int | None
    used: int
    root: Path


@dataclass(frozen=True)
class Checked:
    """A model that was read anew, and what is wrong with it."""

    ref: str
    problems: tuple[UltralabError, ...]


@dataclass(frozen=True)
class Removed:
    """A model that is gone from the library: bytes that went with it, how to get it back, and what stays where.

    ``stays`` are sentences: another tool's files, and bytes on a volume that is not plugged in.
    """

    record: ModelRecord
    freed: int
    back: str
    stays: tuple[str, ...]


def move(lab: Lab, ref: str, volume: str, progress: Progress) -> ModelRecord:
    """Bring a model's bytes to another volume. Raises what ``models.store.moving.move`` raises."""
    from ultralab import models
    from ultralab.models.store import acts
    from ultralab.models.store.moving import move as move_bytes

    record = models.find(lab.library, ref)
    moved = move_bytes(lab.library, record, volume, progress)
    if moved:
        acts.record(lab.library, {"act": "moved", "what": record.ref, "to": volume, "bytes": moved})
    return record


def volumes(lab: Lab) -> tuple[VolumeLine, ...]:
    """Every volume, the lab's own first."""
    from ultralab.models.store.places import states

    used = _used(lab)
    return tuple(
        VolumeLine(
            state.volume.name,
            state.state,
            _STATES[state.state],
            None if state.state in ("missing", "foreign") else state.free,
            used.get(state.volume.name, 0),
            state.volume.root,
        )
        for state in states(lab.library)
    )


def _used(lab: Lab) -> dict[str, int]:
    """Bytes of models by volume; each file once."""
    from ultralab import models
    from ultralab.models.store.places import locate

    sizes = {file.sha256: file.size for record in models.records(lab.library) for file in record.files}
    used: dict[str, int] = {}
    for sha256, size in sizes.items():
        place = locate(lab.library, sha256, size)
        used[place.volume] = used.get(place.volume, 0) + size
    return used


def add_volume(lab: Lab, name: str, folder: Path) -> Volume:
    """Make a folder a volume of this lab and write it into ``lab.toml``.

    A volume whose disk is plugged in at another path now is found there from now on; adding what is there already changes
    nothing. Raises AlreadyExists, RequestError, FileAccess.
    """
    from ultralab.models.store.volumes import is_same_disk, prepare

    known = next((volume for volume in lab.library.volumes if volume.name == name), None)
    if known is not None and not is_same_disk(known, folder.expanduser().absolute(), lab.home):
        raise AlreadyExists(
            _("There is a volume {name} already: {path}").format(name=name, path=known.root),
            hint=_("Give it another name."),
            volume=name,
        )
    root = folder.expanduser().absolute()
    if "," in str(root):  # the setting's list is separated by it
        raise RequestError(_("{path} has a comma in it.").format(path=root), hint=_("Choose another folder."))
    volume = prepare(root, name, lab.home)
    _write(lab, [*_without(lab, name), f"{volume.name}={volume.root}"])
    return volume


def _without(lab: Lab, name: str) -> list[str]:
    return [text for text in lab.settings.models.volumes if text.partition("=")[0].strip() != name]


def remove_volume(lab: Lab, name: str) -> Volume:
    """Forget a volume on which no model is. Raises NotFound, RequestError."""
    volume = next((known for known in lab.library.volumes if known.name == name), None)
    if volume is None:
        known = ", ".join(each.name for each in lab.library.volumes) or "–"
        raise NotFound(_("There is no volume {name}.").format(name=name), hint=_("Known: {known}.").format(known=known))
    if _used(lab).get(name):
        raise RequestError(
            _("Models are on the volume {name}.").format(name=name),
            hint=_("Move them first (ultralab models move MODEL home), or remove them."),
            volume=name,
        )
    _write(lab, _without(lab, name))
    return volume


def _write(lab: Lab, volumes_: list[str]) -> None:
    change_setting(lab, "models.volumes", ", ".join(volumes_))
    open_lab(lab.home)  # what was written can be read


def verify(lab: Lab, ref: str | None, progress: Progress) -> tuple[Checked, ...]:
    """Read every byte of one model, or of all. What is damaged is taken aside, and the rest goes on."""
    from ultralab import models
    from ultralab.models.store.whole import verify_all

    chosen = models.records(lab.library) if ref is None else (models.find(lab.library, ref),)
    problems: dict[str, list[UltralabError]] = {record.ref: [] for record in chosen}
    for verdict in verify_all(lab.library, chosen, progress):
        if verdict.error is not None:
            problems[verdict.ref].append(verdict.error)
    return tuple(Checked(one, tuple(found)) for one, found in problems.items())


def remove(lab: Lab, ref: str) -> Removed:
    """Take a model out of the library. Raises NotFound, RequestError, Busy (it is loaded)."""
    from ultralab import models
    from ultralab.models.pruning.cleaning import delete
    from ultralab.models.pruning.proposals import way_back

    stays = _staying(lab, models.find(lab.library, ref))
    record, freed = delete(lab.library, ref)
    write_pages(lab)
    return Removed(record, freed, way_back(record), stays)


def _staying(lab: Lab, record: ModelRecord) -> tuple[str, ...]:
    """What no removal reaches, in words."""
    from ultralab.models import problems
    from ultralab.models.store.places import locate

    said: dict[str, None] = {}
    if problems(lab.library):
        said[_("A metadata file cannot be read and may name the same bytes: none were deleted.")] = None
    for file in record.files:
        place = locate(lab.library, file.sha256, file.size)
        if place.state == "adopted":
            said[_("Another tool's file stays: {path}").format(path=place.path)] = None
        elif place.state == "unplugged":
            said[_("Its bytes stay on the volume {volume}, which is not plugged in.").format(volume=place.volume)] = (
                None
            )
    return tuple(said)


def reindex(lab: Lab) -> int:
    """Make index, links and pages again; how many models there are."""
    from ultralab import models

    count = models.rebuild(lab.library)
    write_pages(lab)
    return count
