"""Work in threads, watched by the thread that has the progress and hears Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from ultralab.kernel.progress import Progress, Step
from ultralab.models.download.failures import Stopped

T = TypeVar("T")

_SECONDS_BETWEEN: Final = 0.1
_SECONDS_TO_END: Final = 5.0


class Tally:
    """Bytes done, a sentence to show, and the wish to stop: written by many threads, read by the one that watches."""

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._new = 0
        self._text = ""
        self._on_stop: list[Callable[[], None]] = []
        self._known = threading.Event()
        if total is not None:
            self._known.set()

    def add(self, count: int) -> None:
        """Count bytes; fewer than none where what was done is lost."""
        with self._lock:
            self._new += count

    def name(self, text: str) -> None:
        """Show a sentence beside the bar (already translated)."""
        with self._lock:
            self._text = text

    def learn(self, total: int | None) -> None:
        """The size became known, or it is known that it stays unknown. Only the first word counts."""
        if not self._known.is_set():
            self.total = total
            self._known.set()

    def wait_for_size(self) -> None:
        """Until the size was learned."""
        while not self._known.wait(_SECONDS_BETWEEN):
            pass

    @property
    def stopped(self) -> bool:
        """Whether nobody wants the rest."""
        return self._stopped.is_set()

    def rest(self, seconds: float) -> None:
        """Wait so long. Raises Stopped as soon as nobody wants the rest."""
        if self._stopped.wait(seconds):
            raise Stopped

    def stop(self) -> None:
        """Tell everybody that nobody wants the rest."""
        with self._lock:
            self._stopped.set()
            waiting = tuple(self._on_stop)
        for call in waiting:
            call()

    def on_stop(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have ``call`` called when everything is to stop; gives what takes that back."""
        with self._lock:
            self._on_stop.append(call)
        return lambda: self._forget(call)

    def _forget(self, call: Callable[[], None]) -> None:
        with self._lock, suppress(ValueError):
            self._on_stop.remove(call)

    def require_wanted(self) -> None:
        """Raise Stopped where nobody wants the rest."""
        if self.stopped:
            raise Stopped

    def show(self, step: Step) -> None:
        """Hand over what is new."""
        with self._lock:
            count, self._new = self._new, 0
            text, self._text = self._text, ""
        if text:
            step.describe(text)
        if count:
            step.advance(count)


def watched(progress: Progress, label: str, tally: Tally, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread and show its tally; its result. Raises what it raises; an interrupt stops it first."""
    results: list[T] = []
    errors: list[BaseException] = []
    over = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            errors.append(error)
        finally:
            tally.learn(None)
            over.set()

    thread = threading.Thread(target=run, name="download", daemon=True)
    thread.start()
    try:
        tally.wait_for_size()
        with progress.step(label, tally.total, "bytes") as step:
            while not over.wait(_SECONDS_BETWEEN):
                tally.show(step)
            tally.show(step)
            thread.join()
            return _result(results, errors)
    except BaseException:
        tally.stop()
        thread.join(_SECONDS_TO_END)
        raise


def _result(results: list[T], errors: list[BaseException]) -> T:
    if errors:
        raise errors[0]
    return results[0]
