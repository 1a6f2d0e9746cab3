"""One generation followed from its first event to its end: tokens become parts of an answer. Knows no dialect, no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ultralab.engines.serving.account import Account
from ultralab.engines.serving.fields import Refused
from ultralab.engines.serving.scheduler import Begun, Done, Event, Failed, Ticket, Token
from ultralab.engines.serving.text import Detokenizer, Part, Splitter, Stops
from ultralab.engines.types import Timings

Await = Callable[[Ticket], Event]
"""The next event of a ticket; raises Gone where its client has left."""


class Gone(Exception):
    """Nobody reads the answer any more."""


class Delta(NamedTuple):
    """What one token brought, or the end: parts that became sure, tokens whose text is in them or before, timings so far.

    ``finish``: empty while it goes on, then ``eos`` (the model ended), ``limit`` (its tokens are used up) or ``word`` (a stop
    text, in ``word``).
    """

    parts: Sequence[Part]
    token: Token | None
    timings: Timings
    finish: str = ""
    word: str = ""


class Machines(NamedTuple):
    """What a generation's tokens go through."""

    detokenizer: Detokenizer
    stops: Stops
    splitter: Splitter


def follow(ticket: Ticket, wait: Await, machines: Machines, prompt_tokens: int) -> Iterator[Delta]:
    """The parts of an answer as they come. Ending the iterator early ends the work. Raises Refused, Gone."""
    detokenizer, stops, splitter = machines
    account = Account(prompt_tokens)
    finish = "limit"
    try:
        while True:
            event = wait(ticket)
            if isinstance(event, Token):
                account.add(event)
                if event.ends:
                    finish = "eos"
                    continue
                shown = stops.feed(detokenizer.feed(event.token))
                yield Delta(tuple(splitter.feed(shown)), event, account.timings())
                if stops.hit:
                    finish = "word"
                    break
            elif isinstance(event, Begun):
                account.begin(event.at)
            elif isinstance(event, Done):
                break
            elif isinstance(event, Failed):
                raise refused(event)
    finally:
        ticket.cancel()
    shown = stops.feed(detokenizer.finish()) + stops.finish() if finish != "word" else ""
    if stops.hit:
        finish = "word"
    last = (*splitter.feed(shown), *splitter.finish())
    yield Delta(last, None, account.timings(), finish, stops.hit)


def values(ticket: Ticket, wait: Await) -> Iterator[object]:
    """What a task yields. Ending the iterator early ends the work. Raises Refused, Gone."""
    try:
        while not isinstance(event := wait(ticket), Done):
            if isinstance(event, Failed):
                raise refused(event)
            yield getattr(event, "value", None)
    finally:
        ticket.cancel()


def refused(event: Failed) -> Refused:
    """A failure as an answer: the framework's ValueError speaks of the request, anything else is a failure of ours."""
    return Refused(event.reason, status=400 if event.refused else 500)
