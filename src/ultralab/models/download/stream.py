"""A file in one piece, from its first byte to its last: where a server sends no parts, or nothing tells its versions apart."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.models.download.answers import Head, Verdict, judge_status, read_head
from ultralab.models.download.connection import asking, busy
from ultralab.models.download.failures import TryAgain, WronglyPacked, answered, check_hash, failed, refused, wrong_size
from ultralab.models.download.order import Order
from ultralab.models.download.partial import journal_of, write_all
from ultralab.models.download.patience import Pace
from ultralab.system import clock, files

if TYPE_CHECKING:
    import httpx

_LOOK_AFTER: Final = 64 * 1024 * 1024


def ask_whole(order: Order, address: str, *, raw: bool = False) -> tuple[int, str]:
    """Ask for the whole file and receive it: its size, its SHA-256. Raises TryAgain and what cannot be helped."""
    with asking(order, address, {}) as answer:
        head = read_head(answer.status_code, answer.headers)
        require_success(order, address, head, answer)
        return receive_whole(order, address, answer, head, raw=raw)


def require_success(order: Order, address: str, head: Head, answer: httpx.Response) -> None:
    """Raise for a status that brings no file: TryAgain, NotFound, RequestError, FetchFailed."""
    verdict = judge_status(head)
    if verdict is Verdict.BUSY:
        raise busy(address, answer)
    if verdict is Verdict.REFUSED:
        with_token = "Authorization" in order.headers(address)
        raise refused(address, head.status, realm=order.remote.realm, with_token=with_token)
    if verdict is not None:
        raise answered(address, head.status)


def receive_whole(order: Order, address: str, answer: httpx.Response, head: Head, *, raw: bool) -> tuple[int, str]:
    """Write the body from the file's beginning: its size, its SHA-256. Nothing of a broken one is kept.

    A body that was packed against our wish is unpacked, unless ``raw``. Raises TryAgain, WronglyPacked, FileDamaged,
    DiskFull, FileAccess, Stopped.
    """
    from ultralab.system import http

    packed = bool(head.encoded) and not raw
    expected = None if packed else head.total
    promised = order.remote.size if not order.remote.member else None
    if expected is not None and promised is not None and expected != promised:
        raise _unpacked_or(head, raw, wrong_size(order.remote, address, expected))
    files.require_space(order.path.parent, (expected or 0) + order.keep_free)
    order.tally.learn(expected if expected is not None else promised)
    with files.explained(order.path):
        journal_of(order.path).unlink(missing_ok=True)
        os.ftruncate(order.held, 0)
    body = _Body(Pace(order.patience, clock.monotonic()))
    taken_back = order.tally.on_stop(lambda: http.hang_up(answer))
    try:
        for chunk in answer.iter_bytes() if packed else answer.iter_raw():
            _take(order, address, body, chunk, promised)
        _require_whole(order, address, body, expected, promised)
    except BaseException as error:
        order.tally.add(-body.have)
        raise _unpacked_or(head, raw, error) from error
    finally:
        taken_back()
    return body.have, body.digest.hexdigest()


class _Body:
    """What has come of a body: bytes and their hash."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.have = 0
        self.digest = hashlib.sha256()


def _take(order: Order, address: str, body: _Body, chunk: bytes, promised: int | None) -> None:
    order.tally.require_wanted()
    after = body.have + len(chunk)
    if promised is not None and after > promised:
        raise wrong_size(order.remote, address, after)
    if body.have // _LOOK_AFTER != after // _LOOK_AFTER:
        files.require_space(order.path.parent, order.keep_free)
    with files.explained(order.path):
        write_all(order.held, chunk, body.have)
    body.digest.update(chunk)
    body.have = after
    order.tally.add(len(chunk))
    if body.pace.is_too_slow(clock.monotonic(), len(chunk)):
        raise TryAgain(failed(address, _("sent too little for too long")))


def _require_whole(order: Order, address: str, body: _Body, expected: int | None, promised: int | None) -> None:
    if expected not in (None, body.have):
        what = _("ended after {have} of {total} bytes").format(have=body.have, total=expected)
        raise TryAgain(failed(address, what))
    if promised not in (None, body.have):
        raise wrong_size(order.remote, address, body.have)
    check_hash(order.remote, address, body.digest.hexdigest())


def _unpacked_or(head: Head, raw: bool, error: BaseException) -> BaseException:
    """WronglyPacked in place of an error that may come from unpacking what never was packed."""
    from ultralab.system import http

    if head.encoded and not raw and (isinstance(error, FileDamaged) or http.is_wrongly_packed(error)):
        return WronglyPacked()
    return error
