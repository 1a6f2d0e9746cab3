"""Where files without weights lie while llama.cpp is asked: gone when the answer is there, or soon after a kill."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.system import clock, files, locks

PREFIX: Final = "ultralab-exact-"
_LOCK: Final = "lock"
_NEWBORN: Final = 10.0
"""Seconds in which a folder may not have its lock yet."""


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder where temporary files go, for the length of a block. What killed processes left there goes first.

    Raises DiskFull, FileAccess.
    """
    place = Path(tempfile.gettempdir())
    with files.explained(place):
        _sweep(place)
        with (
            tempfile.TemporaryDirectory(prefix=PREFIX) as name,
            locks.exclusive(Path(name) / _LOCK, _what(), timeout=5),
        ):
            yield Path(name)


def _sweep(place: Path) -> None:
    """Remove our folders whose process is gone: nobody holds their lock. Other people's are not touched."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError, UltralabError):
            found = folder.lstat()
            if folder.is_symlink() or found.st_uid != os.geteuid() or clock.timestamp() - found.st_mtime < _NEWBORN:
                continue
            with locks.exclusive(folder / _LOCK, _what(), timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def _what() -> str:
    return _("a question to llama.cpp")
