"""Looking after a model that serves: a process that died, hangs or was stopped is found out, and ended whole."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from ultralab.engines.base import Client
from ultralab.engines.host.types import Patience
from ultralab.engines.types import Health
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.system import clock, process

_MERCY = 1.0  # seconds for who hangs anyway: somebody waits for an answer


class Watch:
    """A thread that asks every few seconds whether the engine is well. ``why``: why it was ended, empty if it was not.

    An engine that does not answer for ``patience.silent`` seconds, or is at work and does not go on for
    ``patience.stalled``, is ended, so that who waits for its answer gets an error at once. It never raises, and ends with :meth:`stop`.
    """

    def __init__(self, child: process.Child, connect: Callable[[], Client], title: str, patience: Patience) -> None:
        self.why = ""
        self._child, self._connect, self._title, self._patience = child, connect, title, patience
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ultralab-engine-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Do nothing any more, from now on. Idempotent; :meth:`join` waits for it."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until the thread is gone: at once when the process is gone, since it then hears of it."""
        self._thread.join(self._patience.health + self._patience.ending + 1)

    def _run(self) -> None:
        client: Client | None = None
        failing: float | None = None  # since when
        try:
            while not self._stopping.wait(self._patience.interval) and self._child.status() is None:
                asked = clock.monotonic()
                try:
                    client = client or self._connect()
                    health = client.health(self._patience.health)
                except Unsupported:
                    return  # it has no way to say it: its process's end is all that can be known
                except Exception:  # noqa: BLE001 - whatever it is, it is no answer
                    failing = asked if failing is None else failing
                    if clock.monotonic() - failing >= self._patience.silent:
                        sentence = _("{title} did not answer for {seconds:.0f} s; its process was ended.")
                        self._give_up(sentence, self._patience.silent)
                        return
                else:
                    failing = None
                    if self._hangs(health):
                        sentence = _(
                            "{title} was at work and did not go on for {seconds:.0f} s; its process was ended."
                        )
                        self._give_up(sentence, self._patience.stalled)
                        return
        finally:
            if client is not None:
                with contextlib.suppress(Exception):
                    client.close()

    def _hangs(self, health: Health) -> bool:
        return health.busy > 0 and health.stalled >= self._patience.stalled

    def _give_up(self, sentence: str, seconds: float) -> None:
        if self._stopping.is_set() or self._child.status() is not None:
            return
        self.why = sentence.format(title=self._title, seconds=seconds)
        self._child.end(min(_MERCY, self._patience.ending))
