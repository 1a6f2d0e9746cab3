"""One file from one address: taken up or begun, in parts by several connections or in one piece."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final

from ultralab.kernel.errors import FetchFailed
from ultralab.models.download import blocks
from ultralab.models.download.answers import Verdict, Way, choose_way, identity_of, judge_part, read_head
from ultralab.models.download.connection import Route, asking, receive, work
from ultralab.models.download.failures import (
    Changed,
    Stopped,
    TryAgain,
    WronglyPacked,
    changes_always,
    check_hash,
    given_up,
    wrong_size,
)
from ultralab.models.download.follower import follow
from ultralab.models.download.order import Order
from ultralab.models.download.partial import Identity, Partial, journal_of, read_journal
from ultralab.models.download.patience import wait_before
from ultralab.models.download.shared import Shared
from ultralab.models.download.stream import ask_whole, receive_whole, require_success
from ultralab.system import files

if TYPE_CHECKING:
    import httpx

MOST_VERSIONS: Final = 4
"""How many versions of a file that changes meanwhile are begun: the first, and three more."""

_SECONDS_TO_END: Final = 5.0


def from_address(order: Order, address: str) -> tuple[int, str]:
    """Bring the file to ``order.path``: its size and its SHA-256, which is the promised one.

    Raises FetchFailed, NotFound, RequestError, FileDamaged, DiskFull, FileAccess, Stopped.
    """
    versions = failures = 0
    while True:
        try:
            return _once(order, address)
        except Changed:
            versions += 1
            _start_over(order)
            if versions >= MOST_VERSIONS:
                raise changes_always(address) from None
        except WronglyPacked:
            return _as_it_is(order, address)
        except TryAgain as again:
            failures += 1
            wait = wait_before(order.patience, failures, again.wish)
            if wait is None:
                raise given_up(again.reason, stored(order)) from again
            order.tally.rest(wait)


def stored(order: Order) -> int:
    """Bytes that the next call will find."""
    noted = read_journal(order.path)
    return sum(noted.have) if noted else 0


def _once(order: Order, address: str) -> tuple[int, str]:
    route = Route(address)
    partial = _taken_up(order, address)
    if partial is not None:
        with closing(partial):
            order.tally.add(partial.stored)
            try:
                _require_same(order, route, partial)
                return _in_parts(order, partial, route)
            except BaseException:
                order.tally.add(-partial.stored)
                raise
    with asking(order, address, {"Range": f"bytes=0-{blocks.BLOCK - 1}"}) as answer:
        head = read_head(answer.status_code, answer.headers)
        require_success(order, address, head, answer)
        way = choose_way(head, hashed=bool(order.remote.sha256))
        if way is Way.WHOLE:
            return receive_whole(order, address, answer, head, raw=False)
        if way is Way.PARTS:
            route.learned(answer)
            partial = _first_part(order, answer, identity_of(head, address, hashed=bool(order.remote.sha256)))
    if way is Way.EMPTY:
        return _empty(order, address)
    if partial is None:
        return ask_whole(order, address)
    with closing(partial):
        try:
            return _in_parts(order, partial, route)
        except BaseException:
            order.tally.add(-partial.stored)
            raise


def _first_part(order: Order, answer: httpx.Response, identity: Identity) -> Partial:
    """Receive what was asked for before anything was known of the file."""
    partial = _begun(order, identity)
    shared = Shared(partial, order.tally, 1)
    taken_back = order.tally.on_stop(shared.end)
    try:
        receive(order, shared, answer, blocks.Run(0, 0, 0, min(blocks.BLOCK, identity.size)))
        order.tally.require_wanted()
    except BaseException:
        order.tally.add(-partial.stored)
        partial.close()
        raise
    finally:
        taken_back()
    return partial


def _taken_up(order: Order, address: str) -> Partial | None:
    """What an earlier try left, if it can be trusted to be of the same file."""
    noted = read_journal(order.path)
    if noted is None or os.fstat(order.held).st_size != noted.size or not any(noted.have):
        return None
    if _promised(order) not in (None, noted.size):
        return None
    identity = Identity(noted.size, address, noted.validator)
    if identity.address_hash != noted.address_hash:  # another server's word says nothing about this one's file
        identity = Identity(noted.size, address)
    if not (order.remote.sha256 or identity.validator):
        return None
    files.require_space(order.path.parent, noted.size - sum(noted.have) + order.keep_free)
    order.tally.learn(noted.size)
    return Partial(order.path, order.held, identity, noted)


def _begun(order: Order, identity: Identity) -> Partial:
    if _promised(order) not in (None, identity.size):
        raise wrong_size(order.remote, identity.address, identity.size)
    files.require_space(order.path.parent, identity.size + order.keep_free)
    order.tally.learn(identity.size)
    return Partial(order.path, order.held, identity)


def _promised(order: Order) -> int | None:
    return None if order.remote.member else order.remote.size


def _require_same(order: Order, route: Route, partial: Partial) -> None:
    """Of a file that is there whole and has no known hash: whether the server still has that version. Raises Changed."""
    known = partial.identity
    if order.remote.sha256 or partial.stored < known.size:
        return
    span = {"Range": f"bytes={known.size - 1}-{known.size - 1}", "If-Range": known.validator}
    with asking(order, route.address, span) as answer:
        head = read_head(answer.status_code, answer.headers)
        require_success(order, route.address, head, answer)
        if judge_part(head, known.size - 1, known) is not Verdict.TAKE:
            raise Changed


def _in_parts(order: Order, partial: Partial, route: Route) -> tuple[int, str]:
    """Fill what is missing by several connections while this thread hashes; nothing goes on after this returned."""
    shared = Shared(partial, order.tally, order.connections)
    taken_back = order.tally.on_stop(shared.end)
    missing = sum(not partial.is_complete(index) for index in range(len(partial.have)))
    threads = [
        threading.Thread(target=work, args=(order, shared, route), name=f"download-{number}", daemon=True)
        for number in range(max(1, min(order.connections, missing)))
    ]
    for _thread in threads:
        shared.joined()
    for thread in threads:
        thread.start()
    try:
        digest = follow(partial, shared.await_block, shared.lost)
        shared.finish()
    except Stopped:
        raise _reason(shared) from None
    except BaseException as error:
        shared.fail(error)
        raise
    finally:
        taken_back()
        for thread in threads:
            thread.join(_SECONDS_TO_END)  # who still waits for a connection to open finds everything closed
    check_hash(order.remote, route.address, digest)
    return partial.identity.size, digest


def _reason(shared: Shared) -> BaseException:
    if isinstance(shared.error, FetchFailed) and "status" not in shared.error.data:
        return given_up(shared.error, shared.partial.stored)
    return shared.error or Stopped()


def _as_it_is(order: Order, address: str) -> tuple[int, str]:
    try:
        return ask_whole(order, address, raw=True)
    except TryAgain as again:
        raise again.reason from again


def _empty(order: Order, address: str) -> tuple[int, str]:
    if _promised(order) not in (None, 0):
        raise wrong_size(order.remote, address, 0)
    _start_over(order)
    digest = hashlib.sha256().hexdigest()
    check_hash(order.remote, address, digest)
    order.tally.learn(0)
    return 0, digest


def _start_over(order: Order) -> None:
    with files.explained(order.path):
        journal_of(order.path).unlink(missing_ok=True)
        os.ftruncate(order.held, 0)
