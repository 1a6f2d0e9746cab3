"""SHA-256 of many files on all cores. What is unchanged is not read again, unless it is to be proven."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock
from typing import Final

from ultralab.kernel.errors import FileAccess, FileDamaged, Interrupted, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.store import knowledge
from ultralab.models.store.knowledge import Known, Stamp, settled, stamp_of
from ultralab.models.store.layout import Library
from ultralab.system import clock, files

_BLOCK: Final = 1024 * 1024
_MUCH: Final = 1024 * _BLOCK
_NEVER: Final = Event()


def hash_of(library: Library, path: Path) -> str:
    """The SHA-256 of a file, lower-case hex; zero bytes are read of one that looks as it did when it was hashed.

    Raises NotFound, FileAccess (no regular file), FileDamaged (it changed while it was read).
    """
    (found,) = hashes_of(library, [path]).values()
    if isinstance(found, UltralabError):
        raise found
    return found


def hashes_of(library: Library, paths: Sequence[Path], progress: Progress = SILENT) -> dict[Path, str | UltralabError]:
    """The SHA-256 of each file, or what is wrong with it; those that changed are read on all cores."""
    keys = {path: knowledge.path_key(path) for path in paths}
    known = knowledge.recall(library, keys.values())
    found: dict[Path, str | UltralabError] = {}
    for path in paths:
        here = known.get(keys[path])
        if here is not None and here.stamp == _stamp_now(path):
            found[path] = here.sha256
    started = int(clock.timestamp() * 1e9)
    fresh: dict[bytes, Known] = {}
    try:
        for path, read in read_all([path for path in keys if path not in found], progress):
            found[path] = read.sha256 if isinstance(read, Known) else read
            if isinstance(read, Known) and settled(read.stamp.modified, started):
                fresh[keys[path]] = read
                if read.stamp.size >= _MUCH:  # a minute's work is not lost with the process
                    knowledge.remember(library, fresh)
    finally:
        knowledge.remember(library, fresh)
    return {path: found[path] for path in paths}


def read_all(paths: Sequence[Path], progress: Progress = SILENT) -> Iterator[tuple[Path, Known | UltralabError]]:
    """Read every file whole, as many at once as there are cores, the largest first; each as it is done.

    Leaving the iteration early stops the reading.
    """
    sizes = {path: (stamp.size if (stamp := _stamp_now(path)) else 0) for path in paths}
    largest_first = sorted(sizes, key=lambda path: -sizes[path])
    if not largest_first:
        return
    stop, lock = Event(), Lock()
    with progress.step(_("Checking bytes"), sum(sizes.values()), "bytes") as step:

        def advance(count: int) -> None:
            with lock:
                step.advance(count)

        with ThreadPoolExecutor(min(len(largest_first), os.cpu_count() or 1)) as threads:
            begun = {threads.submit(_read_or_error, path, advance, stop): path for path in largest_first}
            try:
                for done in as_completed(begun):
                    step.describe(begun[done].name)
                    yield begun[done], done.result()
            finally:
                stop.set()
                threads.shutdown(cancel_futures=True)


def read_file(path: Path, advance: Callable[[int], None] = lambda _count: None, stop: Event = _NEVER) -> Known:
    """Read a file whole: its hash, and its stamp while it had these bytes.

    Raises NotFound, FileAccess (no regular file), FileDamaged (it changed meanwhile), Interrupted (``stop`` was set).
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK))
    with files.explained(path), _opened(path) as stream:
        before = os.fstat(stream.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise FileAccess(_("{path} is not a regular file.").format(path=path), path=str(path))
        while count := stream.readinto(block):
            digest.update(block[:count])
            advance(count)
            if stop.is_set():
                raise Interrupted
        after = os.fstat(stream.fileno())
    if stamp_of(after) != stamp_of(before):
        raise FileDamaged(
            _("{path} changed while it was read.").format(path=path),
            hint=_("Wait until nothing writes to it any more and try again."),
            path=str(path),
        )
    return Known(stamp_of(after), digest.hexdigest())


def _opened(path: Path) -> io.FileIO:
    return io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))  # a named pipe would wait for a writer


def _read_or_error(path: Path, advance: Callable[[int], None], stop: Event) -> Known | UltralabError:
    try:
        return read_file(path, advance, stop)
    except UltralabError as error:
        return error


def _stamp_now(path: Path) -> Stamp | None:
    try:
        return stamp_of(path.stat())
    except OSError:
        return None
