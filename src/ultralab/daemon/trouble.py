"""Telling trouble that lasts: the loop meets it every few seconds, and a log is read by people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ultralab.system import clock

AGAIN_SECONDS: Final = 600.0


def told_once(say: Callable[[str], None], now: Callable[[], float] = clock.timestamp) -> Callable[[str], None]:
    """What hands a sentence on to ``say``, with the local time in front: when it changes, or ten minutes later.

    ``now``: seconds since the epoch. A clock that was set back makes a sentence be told once more at most.
    """
    last, until = "", 0.0

    def tell(sentence: str) -> None:
        nonlocal last, until
        moment = now()
        if sentence == last and until - AGAIN_SECONDS <= moment < until:
            return
        last, until = sentence, moment + AGAIN_SECONDS
        say(f"{clock.local_iso(moment)} {sentence}")

    return tell
