"""What the connections of one download and its follower share: which blocks are missing, taken, done; and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ultralab.models.download import blocks
from ultralab.models.download.failures import Stopped
from ultralab.models.download.partial import Partial
from ultralab.models.download.tally import Tally


class Shared:
    """One lock over all of it. Whoever waits is woken by whatever may end the waiting."""

    def __init__(self, partial: Partial, tally: Tally, connections: int) -> None:
        self.partial = partial
        self.tally = tally
        self.error: BaseException | None = None
        self._connections = connections
        self._working = 0
        self._changed = threading.Condition()
        self._claimed: set[int] = set()
        self._floor = 0
        self._done = False
        self._hang_ups: set[Callable[[], None]] = set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is wanted."""
        return self._done or self.error is not None or self.tally.stopped

    def claim(self) -> blocks.Run | None:
        """The next missing bytes, for one connection alone. Waits while others have all; None when it is over."""
        with self._changed:
            while not self.is_over:
                partial = self.partial
                while self._floor < len(partial.have) and partial.is_complete(self._floor):
                    self._floor += 1
                run = blocks.next_run(
                    partial.have, partial.identity.size, self._claimed, self._connections, self._floor
                )
                if run is not None:
                    self._claimed.update(run.blocks)
                    return run
                self._changed.wait()
            return None

    def release(self, run: blocks.Run) -> None:
        """Give back what was claimed, done or not."""
        with self._changed:
            self._claimed.difference_update(run.blocks)
            self._changed.notify_all()

    def block_ended(self) -> None:
        """A block may be complete."""
        with self._changed:
            self._changed.notify_all()

    def await_block(self, index: int) -> None:
        """Return once a block is complete. Raises Stopped when that will not be."""
        with self._changed:
            while not self.partial.is_complete(index):
                if self.is_over:
                    raise Stopped
                self._changed.wait()
            if self.error is not None or self.tally.stopped:
                raise Stopped

    def lost(self, index: int) -> None:
        """A block is not what it was noted to be: it is missing again."""
        self.tally.add(-self.partial.forget(index))
        with self._changed:
            self._floor = min(self._floor, index)
            self._changed.notify_all()

    def rest(self, seconds: float) -> None:
        """Wait so long, or until it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_over, seconds)

    def joined(self) -> None:
        """One more connection works."""
        with self._changed:
            self._working += 1

    def left(self, reason: BaseException | None) -> None:
        """A connection works no more; the last one's reason is everybody's."""
        with self._changed:
            self._working -= 1
            last = self._working == 0
        if reason is not None and last:
            self.fail(reason)

    def fail(self, error: BaseException) -> None:
        """End everything; the first error is the one that is told."""
        with self._changed:
            if self.error is None:
                self.error = error
        self.end()

    def finish(self) -> None:
        """Everything is there and hashed."""
        self._done = True
        self.end()

    def end(self) -> None:
        """Wake everybody, and end the connections under way."""
        with self._changed:
            hang_ups = tuple(self._hang_ups)
            self._changed.notify_all()
        for hang_up in hang_ups:
            hang_up()

    def connected(self, hang_up: Callable[[], None]) -> None:
        """A connection is under way that can be ended so."""
        with self._changed:
            self._hang_ups.add(hang_up)
            over = self.is_over
        if over:
            hang_up()

    def disconnected(self, hang_up: Callable[[], None]) -> None:
        """It ended."""
        with self._changed:
            self._hang_ups.discard(hang_up)
