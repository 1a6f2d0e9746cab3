"""From tokens to what is shown: text that is whole, ends before a stop text, and is told apart by its markers. Pure.

Three small machines, each fed piece by piece: :class:`Detokenizer`, :class:`Stops`, :class:`Splitter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

_UNKNOWN: Final = "\ufffd"
_CONTEXT: Final = 5  # tokens before the first one: some tokenizers write a word at the start of a text differently
_WINDOW: Final = 16  # tokens that are decoded again for each new one, at most
_PATIENCE: Final = 16  # tokens that are no UTF-8 in a row: more than any character has


class Detokenizer:
    """Tokens one by one into text, held back while its last characters are incomplete.

    ``decode`` turns tokens into text, U+FFFD for bytes that are no UTF-8. ``prompt``: what the tokens follow.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tokens = list(prompt[-_CONTEXT:])
        self._silent = 0  # tokens since the last one that made something whole
        self._said = len(decode(self._tokens).rstrip(_UNKNOWN)) if self._tokens else 0

    def feed(self, token: int) -> str:
        """The text that has become whole."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        whole = text.rstrip(_UNKNOWN)
        self._silent += 1
        if self._silent > _PATIENCE:
            whole = text
        piece = whole[self._said :]
        self._said = max(self._said, len(whole))
        if piece or len(whole) == len(text):
            self._silent = 0
        if len(whole) == len(text):
            self._advance()
        return piece

    def finish(self) -> str:
        """What was held back; bytes that are no UTF-8 as U+FFFD."""
        rest = self._decode(self._tokens)[self._said :] if self._tokens else ""
        self._tokens, self._silent, self._said = [], 0, 0
        return rest

    def _advance(self) -> None:
        """Everything was said: now and then, keep only a few tokens as context."""
        if len(self._tokens) > _WINDOW:
            del self._tokens[:-_CONTEXT]
            self._said = len(self._decode(self._tokens))


class Stops:
    """Text up to the first stop text, held back while one may be beginning."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(one for one in stops if one)
        self._held = ""
        self.hit = ""

    def feed(self, text: str) -> str:
        """The text that is surely before any stop text; ``hit`` says which one was found."""
        if not self._stops or self.hit:
            return "" if self.hit else text
        self._held += text
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, self.hit = min(found)
            shown, self._held = self._held[:at], ""
            return shown
        keep = max(_overlap(self._held, stop) for stop in self._stops)
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(shown) :]
        return shown

    def finish(self) -> str:
        """What was held back, as no stop text came."""
        rest, self._held = self._held, ""
        return rest


Kind = Literal["text", "reasoning", "call"]


class Part(NamedTuple):
    """A piece of an answer; a ``call`` is whole: all between its markers."""

    kind: Kind
    text: str


class Splitter:
    """An answer into what is said, what is thought aloud and the tool calls, by the markers around them.

    ``thinking`` and ``calling``: the texts that open and close them, None where they are not told apart; a closing text
    that is empty is never met. ``inside``: the prompt has opened the thinking already (:func:`opens_thinking`).
    Blank space around what is thought is dropped.
    """

    def __init__(
        self, thinking: tuple[str, str] | None, calling: tuple[str, str] | None, *, inside: bool = False
    ) -> None:
        self._markers: dict[Kind, tuple[str, str]] = {}
        if thinking is not None and thinking[0]:
            self._markers["reasoning"] = thinking
        if calling is not None and calling[0]:
            self._markers["call"] = calling
        self._now: Kind = "reasoning" if inside and "reasoning" in self._markers else "text"
        self._held = ""
        self._bare = self._now == "reasoning"  # blank space is dropped until something else comes

    def feed(self, text: str) -> Iterator[Part]:
        """The parts that are sure by now."""
        if not self._markers:
            if text:
                yield Part("text", text)
            return
        self._held += text
        while (cut := self._next_marker()) is not None:
            at, marker, then = cut
            yield from self._say(self._held[:at], ended=True)
            self._held = self._held[at + len(marker) :]
            self._bare = then == "reasoning" or self._now == "reasoning"
            self._now = then
        if self._now != "call":
            keep = max((_overlap(self._held, marker) for marker, _then in self._wanted()), default=0)
            shown = self._held[: len(self._held) - keep]
            if self._now == "reasoning":
                shown = shown.rstrip()
            self._held = self._held[len(shown) :]
            yield from self._say(shown, ended=False)

    def finish(self) -> Iterator[Part]:
        """What was held back. A call that was not closed is handed out as it is."""
        rest, self._held = self._held, ""
        yield from self._say(rest, ended=True)

    def _wanted(self) -> list[tuple[str, Kind]]:
        if self._now == "text":
            return [(opening, kind) for kind, (opening, _closing) in self._markers.items()]
        closing = self._markers[self._now][1]
        found: list[tuple[str, Kind]] = [(closing, "text")] if closing else []
        if self._now == "reasoning" and "call" in self._markers:
            found.append((self._markers["call"][0], "call"))  # some models call a tool without closing their thoughts
        return found

    def _next_marker(self) -> tuple[int, str, Kind] | None:
        found = [(at, marker, kind) for marker, kind in self._wanted() if (at := self._held.find(marker)) >= 0]
        return min(found) if found else None

    def _say(self, text: str, *, ended: bool) -> Iterator[Part]:
        if self._bare and self._now != "call":
            text = text.lstrip()
        if ended and self._now == "reasoning":
            text = text.rstrip()
        if text:
            self._bare = False
            yield Part(self._now, text)


def opens_thinking(prompt: str, thinking: tuple[str, str] | None) -> bool:
    """Whether a prompt ends inside the model's thoughts: they were opened and not closed."""
    if thinking is None or not thinking[0]:
        return False
    return prompt.rstrip().endswith(thinking[0])


def _overlap(text: str, marker: str) -> int:
    """The length of the longest end of ``text`` with which ``marker`` begins, without all of it."""
    for length in range(min(len(text), len(marker) - 1), 0, -1):
        if text.endswith(marker[:length]):
            return length
    return 0
