"""What could go, read from the disk: for each model the bytes that it alone uses, and bytes that are no model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from ultralab.models.catalog.search import last_touched
from ultralab.models.catalog.tags import KEEP
from ultralab.models.library import Library, problems, records
from ultralab.models.pruning.proposals import Candidate, Remnant, better_of
from ultralab.models.store.places import locate, states
from ultralab.models.store.volumes import Volume
from ultralab.models.types import ModelRecord

_LOCAL: Final = ("path", "file", "")
_ENDINGS: Final = (".partial", ".journal", ".ready", ".note", ".making")
"""What stands after the name of a download's or a conversion's lock."""


def candidates(
    library: Library,
    *,
    last_used: Mapping[str, datetime],
    refetchable: Callable[[ModelRecord], bool | None] | None = None,
    remakeable: Callable[[ModelRecord], bool] = lambda _record: False,
    in_use: Collection[str] = (),
) -> tuple[Candidate, ...]:
    """Every model of the library, with what is known about doing without it. Reads the state of each file, no bytes.

    ``last_used`` and ``in_use`` are by reference; ``refetchable`` by default says no for what came from this machine
    and else that nobody asked; ``remakeable`` is the lineage's answer. Raises FileAccess.
    """
    known = records(library)
    ask = refetchable or from_far
    users = _users(library, known)
    return tuple(
        Candidate(
            record=record,
            frees=_alone(library, record, users),
            touched=last_touched(record, last_used),
            refetchable=ask(record),
            remakeable=record.derived is not None and remakeable(record),
            better=better_of(record, known),
            keep=KEEP in record.tags,
            in_use=record.ref in in_use,
        )
        for record in known
    )


def frees(library: Library, record: ModelRecord) -> dict[str, int]:
    """The bytes that would go with a model, by volume. Raises FileAccess."""
    return _alone(library, record, _users(library, records(library)))


def from_far(record: ModelRecord) -> bool | None:
    """Whether a source can be asked at all: False for a path of this machine, else None (nobody asked)."""
    return False if record.source.partition(":")[0] in _LOCAL or ":" not in record.source else None


def remnants(library: Library) -> tuple[Remnant, ...]:
    """Unfinished and damaged files of all volumes that are plugged in; what belongs to one download is one."""
    found: list[Remnant] = []
    for volume in (library.store, *library.volumes):
        found += _in_folder(volume, volume.partial, "unfinished")
        found += _in_folder(volume, volume.damaged, "damaged")
    return tuple(found)


def free_space(library: Library) -> dict[str, int]:
    """The free bytes of each volume that is plugged in, by its name."""
    return {state.volume.name: state.free for state in states(library) if state.state == "present"}


def newest_change(paths: Iterable[Path]) -> datetime | None:
    """When somebody last wrote to one of these files, or to something in these folders; None where none is there."""
    moments: list[float] = []
    for path in paths:
        with suppress(OSError):
            moments.append(path.lstat().st_mtime)
            for place, _folders, names in os.walk(path):
                moments += [os.lstat(os.path.join(place, name)).st_mtime for name in names]  # noqa: PTH118 - thousands
    return datetime.fromtimestamp(max(moments), UTC).astimezone() if moments else None


def _users(library: Library, known: Iterable[ModelRecord]) -> Mapping[str, int]:
    """How many models have the bytes of each hash."""
    users = Counter(digest for record in known for digest in {file.sha256 for file in record.files})
    if problems(library):  # a file that cannot be read may name the same bytes: none would go
        return dict.fromkeys(users, 2)
    return users


def _alone(library: Library, record: ModelRecord, users: Mapping[str, int]) -> dict[str, int]:
    """The bytes that go with this model, by volume: of files that nobody else uses, and that are the library's own."""
    frees: dict[str, int] = {}
    for digest in {file.sha256 for file in record.files}:
        if users[digest] == 1 and (found := _own_blob(library, digest)):
            volume, size = found
            frees[volume] = frees.get(volume, 0) + size
    return frees


def _own_blob(library: Library, digest: str) -> tuple[str, int] | None:
    """The volume and size of a blob; None for one that another tool holds too, or that is not to be reached now."""
    place = locate(library, digest)
    if place.state not in ("here", "elsewhere"):
        return None
    try:
        status = place.path.stat()
    except OSError:
        return None
    if status.st_nlink > 1:  # linked by hand or by dedupe: the bytes would stay
        return None
    return place.volume, status.st_size


def _in_folder(volume: Volume, folder: Path, kind: Literal["unfinished", "damaged"]) -> list[Remnant]:
    """One remnant for what has one lock: a download's bytes and its journal."""
    groups: dict[str, list[Path]] = {}
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            label = path.stem if path.suffix in _ENDINGS else path.name
            groups.setdefault(label, []).append(path)
    found: list[Remnant] = []
    for label, paths in groups.items():
        if (changed := newest_change(paths)) is not None:
            size = sum(_allocated(path) for path in paths)
            found.append(Remnant(kind, label, tuple(map(str, paths)), volume.name, size, changed))
    return found


def _allocated(path: Path) -> int:
    """Bytes on the disk, everything in a folder included: an unfinished file may have its full length and few blocks."""
    total = 0
    with suppress(OSError):
        total += path.lstat().st_blocks * 512
        for place, _folders, names in os.walk(path):
            total += sum(os.lstat(os.path.join(place, name)).st_blocks * 512 for name in names)  # noqa: PTH118
    return total
