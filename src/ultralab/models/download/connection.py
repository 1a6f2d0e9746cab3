"""One connection of a download by parts: claims runs of blocks, asks for them, writes what comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ultralab.kernel.errors import FetchFailed
from ultralab.kernel.language import _
from ultralab.models.download import blocks
from ultralab.models.download.answers import Head, Verdict, judge_part, read_head
from ultralab.models.download.failures import Changed, TryAgain, answered, failed, refused
from ultralab.models.download.order import RECEIVE_BUFFER, Order
from ultralab.models.download.patience import Pace, wait_before, wished_wait
from ultralab.models.download.shared import Shared
from ultralab.system import clock, files

if TYPE_CHECKING:
    import httpx


class Route:
    """Where an address led last: asking there saves a redirect per part. Such addresses expire."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.direct = ""

    @property
    def target(self) -> str:
        """What to ask."""
        return self.direct or self.address

    def learned(self, answer: httpx.Response) -> None:
        """Keep where the answer came from."""
        self.direct = str(answer.url) if answer.history else self.direct

    def expired(self, asked: str) -> bool:
        """Go back to the address itself; whether ``asked`` was another one. Others may have gone back already."""
        if self.direct == asked:
            self.direct = ""
        return asked != self.address


@contextmanager
def asking(order: Order, url: str, extra: dict[str, str]) -> Iterator[httpx.Response]:
    """One GET. Raises TryAgain where the network failed, FetchFailed where asking again is of no use."""
    from ultralab.system import http

    try:
        with http.explained(url), order.client.stream("GET", url, headers={**order.headers(url), **extra}) as answer:
            http.limit_receiving(answer, RECEIVE_BUFFER)
            yield answer
    except FetchFailed as error:
        if "cause" in error.data or "status" in error.data:
            raise
        raise TryAgain(error) from error


def work(order: Order, shared: Shared, route: Route) -> None:
    """Fetch runs until nothing is left. Never raises: what went wrong is told to ``shared``."""
    failures = 0
    reason: BaseException | None = None
    try:
        while (run := shared.claim()) is not None:
            before, wait = _have(shared, run), 0.0
            try:
                files.require_space(order.path.parent, order.keep_free)
                _fetch(order, shared, route, run)
                failures = 0
            except TryAgain as again:
                failures = 1 if _have(shared, run) > before else failures + 1
                patience = wait_before(order.patience, failures, again.wish)
                if patience is None:
                    reason = again.reason
                    return
                wait = patience
            finally:
                shared.release(run)  # while this one waits another connection may have more luck
            shared.rest(wait)
    except BaseException as error:  # noqa: BLE001 - told to the thread that waits for all connections
        shared.fail(error)
    finally:
        shared.left(reason)


def _have(shared: Shared, run: blocks.Run) -> int:
    return sum(shared.partial.have[index] for index in run.blocks)


def _fetch(order: Order, shared: Shared, route: Route, run: blocks.Run) -> None:
    """Ask for a run once (twice where a redirect's target expired) and receive it."""
    target = route.target
    known = shared.partial.identity
    span = {"Range": f"bytes={run.start}-{run.end - 1}", **({"If-Range": known.validator} if known.validator else {})}
    try:
        with asking(order, target, span) as answer:
            head = read_head(answer.status_code, answer.headers)
            verdict = judge_part(head, run.start, known)
            if verdict is Verdict.TAKE:
                route.learned(answer)
                receive(order, shared, answer, run)
                return
            expired = verdict is Verdict.REFUSED and route.expired(target)
            raise _trouble(order, route.address, answer, head, verdict, expired=expired)
    except TryAgain:
        route.expired(target)
        raise


def _trouble(
    order: Order, url: str, answer: httpx.Response, head: Head, verdict: Verdict, *, expired: bool
) -> Exception:
    """What to raise for an answer that cannot be taken."""
    if expired:
        return TryAgain(answered(url, head.status), wish=0)
    if verdict is Verdict.CHANGED:
        return Changed()
    if verdict is Verdict.WRONG_PART:
        return TryAgain(failed(url, _("sent another part than it was asked for")))
    if verdict is Verdict.REFUSED:
        with_token = "Authorization" in order.headers(url)
        return refused(url, head.status, realm=order.remote.realm, with_token=with_token)
    return busy(url, answer) if verdict is Verdict.BUSY else answered(url, head.status)


def busy(url: str, answer: httpx.Response) -> TryAgain:
    """The server wants to be asked later."""
    wish = wished_wait(answer.headers.get("retry-after", ""), datetime.now(UTC))
    return TryAgain(failed(url, _("answered {status}").format(status=answer.status_code)), wish)


def receive(order: Order, shared: Shared, answer: httpx.Response, run: blocks.Run) -> None:
    """Write the body of an answer, as it comes, up to the end of the run. Raises TryAgain, DiskFull, FileAccess."""
    from ultralab.system import http

    def hang_up() -> None:
        http.hang_up(answer)

    position = run.start
    pace = Pace(order.patience, clock.monotonic())
    shared.connected(hang_up)
    try:
        for chunk in answer.iter_raw():  # as it arrives: gathering would lose the last part of a dropped connection
            if shared.is_over:
                return
            taken = chunk[: run.end - position]
            shared.partial.write(position, taken)
            order.tally.add(len(taken))
            border = (position + len(taken)) // blocks.BLOCK > position // blocks.BLOCK
            position += len(taken)
            if border:
                shared.block_ended()
            if position == run.end:
                return
            if pace.is_too_slow(clock.monotonic(), len(taken)):
                raise TryAgain(failed(route_of(answer), _("sent too little for too long")), wish=0)
    finally:
        shared.disconnected(hang_up)
    if position < run.end:
        what = _("ended after {have} of {total} bytes").format(have=position - run.start, total=run.end - run.start)
        raise TryAgain(failed(route_of(answer), what))


def route_of(answer: httpx.Response) -> str:
    """The address that was asked first."""
    return str(answer.history[0].url if answer.history else answer.url)
