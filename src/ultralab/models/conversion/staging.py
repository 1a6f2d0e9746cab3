"""Where a model lies while it is made: a folder under ``partial``, gone when the work ends, however it ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import Busy, FileAccess
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.library import Library
from ultralab.models.store.placement import choose
from ultralab.models.store.places import states
from ultralab.models.types import Staged
from ultralab.system import files, locks

_ENDING: Final = ".making"


@contextmanager
def staging(library: Library, key: str, size: int) -> Iterator[Path]:
    """An empty folder for the work ``key``, whose lock the caller holds; removed at the end, with what is still in it.

    It lies on the volume that ``size`` more bytes go to, so that publishing is a rename; what downloads leave free may be
    used. What an earlier process left there (it was killed) goes first, of this work and of others that nobody holds.
    Raises DiskFull, NotFound (a volume that is not there), FileAccess.
    """
    folder = choose(size, states(library), replace(library.placement, keep_free=0)).partial / f"{key}{_ENDING}"
    sweep(library)
    with files.explained(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(library: Library) -> int:
    """Remove the folders of conversions whose process is gone; how many there were."""
    folders = [folder for volume in (library.store, *library.volumes) for folder in volume.partial.glob(f"*{_ENDING}")]
    removed = 0
    for folder in sorted(folders):
        with (
            suppress(Busy, FileAccess),
            locks.exclusive(library.lock(folder.name.removesuffix(_ENDING)), _("a conversion"), timeout=0),
        ):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def staged_files(folder: Path, names: Sequence[str], progress: Progress) -> list[Staged]:
    """The files of a folder that is finished, hashed. Raises NotFound, FileAccess."""
    found = []
    for name in names:
        path = folder / name
        with files.explained(path):
            size = path.stat().st_size
        with progress.step(_("Checking {name}").format(name=name), size, "bytes") as step:
            found.append(Staged(path, name, size, files.sha256_of(path, step.advance)))
    return found
