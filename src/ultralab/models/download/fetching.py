"""The downloader's verbs: one file, or all files of a model, into a folder, checked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.download.blocks import BLOCK
from ultralab.models.download.bring import Arrived, Terms, bring, key_of, require_fetchable
from ultralab.models.download.leftovers import forget
from ultralab.models.download.local import local_path
from ultralab.models.download.partial import journal_of, read_journal
from ultralab.models.download.patience import Patience
from ultralab.models.download.tally import Tally, watched
from ultralab.models.members import extract
from ultralab.models.sources.base import NOBODY, Access, RemoteFile
from ultralab.models.types import Staged
from ultralab.system import files

CONNECTIONS: Final = 4
USUAL: Final = Patience()


def fetch(
    remote: RemoteFile,
    into: Path,
    progress: Progress,
    *,
    access: Access = NOBODY,
    patience: Patience = USUAL,
    connections: int = CONNECTIONS,
    keep_free: int = 0,
) -> Staged:
    """Bring one file into the folder ``into`` and check it: by several connections, taken up where a call broke off.

    The caller holds a lock on :func:`key_of` and moves :attr:`Staged.path` away. ``keep_free`` bytes stay free on that
    disk. Of an interrupted download the next call fetches again only what had not reached this process. Raises
    FetchFailed, NotFound, RequestError (no access), FileDamaged (nothing of it is kept), DiskFull, FileAccess, Busy
    (another process fetches the same file), Unsupported (an archive without the member).
    """
    if local_path(remote) is None:
        label = _("Downloading {name}").format(name=remote.name)
    else:
        label = (_("Checking {name}") if remote.member else _("Copying {name}")).format(name=remote.name)
    terms = Terms(access, patience, connections, keep_free)
    return _fetch((remote,), into, progress, terms, label)[0]


def fetch_all(
    remotes: Sequence[RemoteFile],
    into: Path,
    progress: Progress,
    *,
    access: Access = NOBODY,
    patience: Patience = USUAL,
    connections: int = CONNECTIONS,
    keep_free: int = 0,
) -> tuple[Staged, ...]:
    """Bring several files, in their order, under one bar: small ones side by side, large ones one after another in parts.

    Space for all of them is asked for before the first byte. After an error whatever arrived is kept for the next call,
    whole files too. Raises what :func:`fetch` raises, and RequestError where a file is named twice.
    """
    if len({key_of(remote) for remote in remotes}) < len(remotes):
        raise RequestError(
            _("A file is named twice."), hint=_("Name each file once."), urls=[remote.url for remote in remotes]
        )
    label = _("Downloading {count} files").format(count=len(remotes))
    if len(remotes) == 1:
        label = _("Downloading {name}").format(name=remotes[0].name)
    return _fetch(tuple(remotes), into, progress, Terms(access, patience, connections, keep_free), label)


def _fetch(
    remotes: tuple[RemoteFile, ...], into: Path, progress: Progress, terms: Terms, label: str
) -> tuple[Staged, ...]:
    for remote in remotes:
        require_fetchable(remote)
    with files.explained(into):
        into.mkdir(parents=True, exist_ok=True)
    files.require_space(into, sum(_still_needed(remote, into) for remote in remotes) + terms.keep_free)
    tally = Tally(_total(remotes))
    arrived = watched(progress, label, tally, lambda: _bring_all(remotes, into, tally, terms))
    staged = tuple(_finish(remote, into, progress, found) for remote, found in zip(remotes, arrived, strict=True))
    for remote in remotes:  # only now: a journal spares the next call the hash's word, or a server's
        journal_of(into / f"{key_of(remote)}.partial").unlink(missing_ok=True)
    return staged


def _total(remotes: tuple[RemoteFile, ...]) -> int | None:
    """Bytes of all files, None where one is not known before it is asked for (of an archive only a member's size is)."""
    sizes = [None if remote.member else remote.size for remote in remotes]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _still_needed(remote: RemoteFile, into: Path) -> int:
    """Bytes on the disk that one file will still take, as far as is known."""
    path = into / f"{key_of(remote)}.partial"
    noted = read_journal(path)
    if noted is not None and path.exists():
        return noted.size - sum(noted.have)
    size = remote.size or 0
    complete = path.exists() and bool(remote.sha256) and path.stat().st_size == size
    return 0 if complete else size


def _bring_all(remotes: tuple[RemoteFile, ...], into: Path, tally: Tally, terms: Terms) -> tuple[Arrived, ...]:
    from ultralab.system import http  # httpx

    arrived: dict[str, Arrived] = {}
    with http.internet_client(connections=terms.connections, read_timeout=terms.patience.stall) as client:

        def one(remote: RemoteFile, connections: int) -> None:
            if len(remotes) > 1:
                done = _("{name} ({number} of {count})")
                tally.name(done.format(name=remote.name, number=len(arrived) + 1, count=len(remotes)))
            arrived[key_of(remote)] = bring(remote, into, client, tally, terms, connections)

        small = [remote for remote in remotes if _is_small(remote)]
        _side_by_side(small, terms.connections, lambda remote: one(remote, 1), tally)
        for remote in remotes:
            if remote not in small:
                tally.require_wanted()
                one(remote, terms.connections)
    return tuple(arrived[key_of(remote)] for remote in remotes)


def _is_small(remote: RemoteFile) -> bool:
    return local_path(remote) is None and not remote.member and remote.size is not None and remote.size <= BLOCK


def _side_by_side(small: Sequence[RemoteFile], most: int, one: Callable[[RemoteFile], None], tally: Tally) -> None:
    """Do ``one`` for each, a few at once. After an error nothing more is begun, what is under way ends; then it is raised."""
    waiting = deque(small)
    errors: list[BaseException] = []

    def work() -> None:
        while waiting and not errors and not tally.stopped:
            try:
                one(waiting.popleft())
            except IndexError:  # another one was faster
                return
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                errors.append(error)

    threads = [
        threading.Thread(target=work, name=f"download-small-{number}", daemon=True)
        for number in range(min(max(1, most), len(small)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    tally.require_wanted()


def _finish(remote: RemoteFile, into: Path, progress: Progress, found: Arrived) -> Staged:
    """What the caller gets: the file itself, or the member of the archive that it is."""
    if not remote.member:
        return Staged(found.path, remote.name, found.size, found.sha256)
    partial = into / f"{key_of(remote)}.partial"
    try:
        fetched = Staged(
            partial.with_suffix(".ready"), *extract(found.path, remote, partial.with_suffix(".ready"), progress)
        )
    except FileDamaged:
        if local_path(remote) is None:
            forget(partial)
        raise
    if local_path(remote) is None:
        partial.unlink(missing_ok=True)
    return fetched
