"""One answer as it comes: pieces to the terminal, Ctrl-C that stops the answer and not the conversation."""

from __future__ import annotations

import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ultralab.cli.talk.stats import Stats
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.engines.host import Loaded
    from ultralab.engines.types import Ask

Write = Callable[[str, bool], None]
"""Takes a piece of text; True: the model thinks aloud."""


class _Stopped(Exception):
    """The person wants no more of this answer."""


@dataclass(frozen=True)
class Answer:
    """What was said and thought, which tools are wanted, and its account."""

    text: str
    reasoning: str
    calls: tuple[dict[str, str], ...]
    stats: Stats


def answer(running: Loaded, ask: Ask, write: Write, *, stoppable: bool = False) -> Answer:
    """Ask, and hand each piece on. ``stoppable``: Ctrl-C ends the answer and keeps what there is. Raises EngineFailed."""
    begun = clock.monotonic()
    first: float | None = None
    text: list[str] = []
    thought: list[str] = []
    calls: list[dict[str, str]] = []
    finish, timings = "stopped", None
    stream = running.client.stream(ask)
    try:
        with _interruptible(stoppable):
            for piece in stream:
                if first is None and (piece.text or piece.reasoning or piece.calls):
                    first = clock.monotonic() - begun
                if piece.reasoning:
                    thought.append(piece.reasoning)
                    write(piece.reasoning, True)
                if piece.text:
                    text.append(piece.text)
                    write(piece.text, False)
                calls += [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in piece.calls]
                if piece.finish:
                    finish, timings = piece.finish, piece.timings
    except _Stopped:
        pass
    finally:
        if thought and not text:
            write("", False)  # what follows is no thought
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    return Answer("".join(text), "".join(thought), tuple(calls), Stats(timings, first, running.footprint(), finish))


def to_terminal(*, thoughts: bool) -> Write:
    """Writes to standard output at once; what is thought aloud is dim on a terminal, and left out elsewhere."""
    from ultralab.cli.output import console

    terminal = sys.stdout.isatty()
    screen = console()  # which knows what this terminal can do
    plain = screen.no_color or screen.is_dumb_terminal
    dim, upright = ("", "") if plain else ("\x1b[2m", "\x1b[0m")
    state = {"thinking": False}

    def write(text: str, thinking: bool) -> None:
        if thinking and not (thoughts and terminal):
            return
        if terminal and thinking != state["thinking"]:
            sys.stdout.write(dim if thinking else f"{upright}\n\n")
            state["thinking"] = thinking
        sys.stdout.write(shown(text) if terminal else text)
        sys.stdout.flush()

    return write


def shown(text: str) -> str:
    """Text that cannot steer a terminal: control characters but line ends and tabs are made visible.

    Wide and unbreakable spaces stay, and so do the joiners that emoji and Indic scripts are written with.
    """
    return "".join(one if one.isprintable() or _harmless(one) else "\N{REPLACEMENT CHARACTER}" for one in text)


def _harmless(char: str) -> bool:
    return char in "\n\t\u200c\u200d" or unicodedata.category(char) == "Zs"


@contextmanager
def _interruptible(wanted: bool) -> Iterator[None]:
    """Ctrl-C raises _Stopped inside, once; SIGTERM goes on to end the command."""
    if not wanted:
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        raise _Stopped

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
