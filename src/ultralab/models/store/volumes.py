"""The disks that model bytes may lie on: the lab's own, and others that may be unplugged.

A volume is known by a small file in its folder, ``ultralab-volume.json``. Where that file is not, the disk is not plugged
in, whatever folder an unmounted disk left behind: nothing is ever made there.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ultralab.kernel.errors import AlreadyExists, FileAccess, NotFound, RequestError
from ultralab.kernel.ids import is_name
from ultralab.kernel.language import _
from ultralab.system import files

HOME: Final = "home"
"""The name of the lab's own store."""
MARKER: Final = "ultralab-volume.json"
_RESERVED: Final = (HOME, "auto")
_LONGEST_MARKER: Final = 64 * 1024

State = Literal["present", "missing", "foreign", "read-only"]


@dataclass(frozen=True)
class Volume:
    """A folder for model bytes on one disk. The lab's own is ``<home>/store``; others are named in ``lab.toml``."""

    name: str
    root: Path

    @property
    def blobs(self) -> Path:
        """Where the bytes lie, by hash."""
        return self.root / "blobs" / "sha256"

    @property
    def partial(self) -> Path:
        """Where half-written files lie: on the same disk, so that a rename publishes them."""
        return self.root / "partial"

    @property
    def damaged(self) -> Path:
        """Where bytes lie that were found not to be what their name says."""
        return self.root / "damaged"

    @property
    def marker(self) -> Path:
        """The file by which it is known."""
        return self.root / MARKER


@dataclass(frozen=True)
class Placement:
    """Where new models go. ``volume`` names one, or is ``auto``: the lab's own disk while ``keep_free`` bytes stay free
    there, else the volume with the most free space.
    """

    volume: str = "auto"
    keep_free: int = 0


AUTOMATIC: Final = Placement()


@dataclass(frozen=True)
class VolumeState:
    """A volume now: ``missing`` is not plugged in, ``foreign`` has another's marker. Bytes, 0 where it is not present."""

    volume: Volume
    state: State
    free: int = 0
    total: int = 0


@dataclass(frozen=True)
class Marker:
    """Who a volume is. ``lab`` is the ``id`` of its lab's own store."""

    id: str
    name: str
    lab: str


def parse(settings: Iterable[str]) -> tuple[Volume, ...]:
    """The volumes that ``lab.toml`` names, each as ``name=folder``. Raises RequestError."""
    found: list[Volume] = []
    for text in settings:
        name, equals, folder = text.partition("=")
        root = Path(folder.strip()).expanduser()
        if not equals or not root.is_absolute():
            raise RequestError(
                _("{text!r} names no volume.").format(text=text),
                hint=_("Write a name and a whole path, such as {example}.").format(example="ssd=/Volumes/SSD/models"),
            )
        found.append(Volume(_require_volume_name(name.strip(), [volume.name for volume in found]), root))
    return tuple(found)


def read_marker(root: Path) -> Marker | None:
    """The marker of a folder, None where there is none. Raises FileAccess for one that cannot be read."""
    path = root / MARKER
    try:
        with path.open("rb") as stream:
            data = json.loads(stream.read(_LONGEST_MARKER))
        return Marker(*(str(data[key]) for key in ("id", "name", "lab")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise files.explain(error, path) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileAccess(
            _("{path} is not what ultralab wrote.").format(path=path),
            hint=_("Restore it from a backup, or use another folder."),
            path=str(path),
        ) from error


def state_of(volume: Volume, home: Path) -> VolumeState:
    """How a volume is now, seen from the lab at ``home``. Raises nothing; makes nothing.

    The lab's own is always present. A marker with another name or another lab is another disk at the same path.
    """
    if volume.name == HOME:
        existing = next((folder for folder in (volume.root, *volume.root.parents) if folder.exists()), Path("/"))
        return _measured(volume, existing)
    try:
        marker = read_marker(volume.root)
        own = read_marker(home / "store")
    except FileAccess:
        return VolumeState(volume, "foreign")
    if marker is None:
        return VolumeState(volume, "missing")
    if own is None or (marker.name, marker.lab) != (volume.name, own.id):
        return VolumeState(volume, "foreign")
    return _measured(volume, volume.root)


def _measured(volume: Volume, folder: Path) -> VolumeState:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:  # pulled out just now
        return VolumeState(volume, "missing")
    state: State = "present" if os.access(folder, os.W_OK) else "read-only"
    return VolumeState(volume, state, usage.free, usage.total)


def prepare(root: Path, name: str, home: Path) -> Volume:
    """Make a folder that is there a volume of the lab at ``home``. Idempotent.

    Raises RequestError (a bad name, a folder of the lab itself), NotFound (no such folder: it is not made, for it may be
    on a disk that is not plugged in), AlreadyExists (another's volume, or another name), FileAccess, DiskFull.
    """
    _require_volume_name(name, ())
    root = root.expanduser().absolute()
    if not root.is_dir():
        if root.exists():
            raise FileAccess(_("{path} is not a folder.").format(path=root), path=str(root))
        raise NotFound(
            _("There is no folder {path}.").format(path=root),
            hint=_("Plug the disk in, or make the folder first."),
            path=str(root),
        )
    if root.resolve().is_relative_to(home.resolve()):
        raise RequestError(
            _("{path} is inside the lab.").format(path=root),
            hint=_("Name a folder on another disk: the lab's own is used already."),
            path=str(root),
        )
    lab = _own_id(home)
    marker = read_marker(root)
    if marker is None:
        _write_marker(root, Marker(secrets.token_hex(16), name, lab))
    elif marker.lab != lab:
        raise AlreadyExists(
            _("{path} is a volume of another lab.").format(path=root),
            hint=_("Use another folder on that disk."),
            path=str(root),
        )
    elif marker.name != name:
        raise AlreadyExists(
            _("{path} is the volume {name} already.").format(path=root, name=marker.name),
            hint=_("Use that name."),
            path=str(root),
        )
    return Volume(name, root)


def is_same_disk(volume: Volume, root: Path, home: Path) -> bool:
    """Whether ``root`` is the folder of this volume: where it was, or where its disk is plugged in now.

    Two folders that both claim to be it are none. Raises FileAccess.
    """
    marker, own = read_marker(root), read_marker(home / "store")
    if marker is None or own is None or (marker.name, marker.lab) != (volume.name, own.id):
        return False
    return not volume.marker.exists() or volume.marker.samefile(root / MARKER)


def _own_id(home: Path) -> str:
    """The lab's own id: that of its store's marker, which is made when the first other volume is."""
    marker = read_marker(home / "store")
    if marker is None:
        made = secrets.token_hex(16)
        marker = Marker(made, HOME, made)
        _write_marker(home / "store", marker)
    return marker.id


def _write_marker(root: Path, marker: Marker) -> None:
    data = {"id": marker.id, "name": marker.name, "lab": marker.lab}
    files.write(root / MARKER, json.dumps(data, indent=2) + "\n")


def _require_volume_name(name: str, taken: Iterable[str]) -> str:
    if not is_name(name) or name in _RESERVED or name in taken:
        raise RequestError(
            _("{name!r} cannot be a volume's name.").format(name=name),
            hint=_("Use lower-case letters, digits and “._-”; each name once; {reserved} are taken.").format(
                reserved=", ".join(_RESERVED)
            ),
            name=name,
        )
    return name
