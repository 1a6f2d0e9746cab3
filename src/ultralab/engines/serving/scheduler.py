"""The model's one thread: who is served when, and what each request is told while it waits.

HTTP threads hand in requests and read events; only the thread in :meth:`Scheduler.run` touches the model (MLX's streams
belong to the thread that made them). First come, first served: up to ``facts.parallel`` generations are in at once; a
task (scores, vectors, files) waits until none is, and nobody overtakes it.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import NamedTuple, TypeAlias

from ultralab.engines.serving.types import Job, Step, TextModel
from ultralab.engines.types import Health
from ultralab.system import clock

Task: TypeAlias = Callable[[TextModel], Iterator[object]]
"""Work between generations; what it yields reaches its asker as it comes."""

_IDLE_SECONDS = 0.001  # a step that did nothing for anybody: do not turn round at full speed


class Begun(NamedTuple):
    """A generation was taken in, at this moment of the monotonic clock."""

    at: float


class Token(NamedTuple):
    """One generated token. ``at``: when; ``ends``: it is one of the model's ends of text."""

    token: int
    at: float
    ends: bool
    logprob: float
    top: tuple[tuple[int, float], ...]
    cached: int


class Value(NamedTuple):
    """Something that a task yielded."""

    value: object


class Done(NamedTuple):
    """Nothing more comes."""


class Failed(NamedTuple):
    """It could not be done; nothing more comes. ``refused``: the request's fault (the framework's ValueError)."""

    reason: str
    refused: bool


Event: TypeAlias = Begun | Token | Value | Done | Failed


class Ticket:
    """One request: its events arrive in ``events``. :meth:`cancel` may be called from any thread, at any time."""

    def __init__(self, work: Job | Task) -> None:
        self.work = work
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.cancelled = False
        self.count = 0

    def cancel(self) -> None:
        """Nobody waits any more: its work ends before the model's next step."""
        self.cancelled = True


class Scheduler:
    """Owns a model while it serves. ``run`` is the model's thread, the rest is for the others."""

    def __init__(self) -> None:
        self._arriving: SimpleQueue[Ticket] = SimpleQueue()
        self._waiting: deque[Ticket] = deque()
        self._in: dict[int, Ticket] = {}
        self._next = 0
        self._busy = 0  # written by the model's thread only, read by others
        self._moved = clock.monotonic()

    def submit(self, work: Job | Task) -> Ticket:
        """Queue a generation or a task."""
        ticket = Ticket(work)
        self._arriving.put(ticket)
        return ticket

    def health(self) -> Health:
        """How many are at work or waiting, and for how many seconds nothing went on."""
        busy = self._busy
        waiting = len(self._waiting) + self._arriving.qsize()
        return Health(busy + waiting, clock.monotonic() - self._moved if busy else 0.0)

    def run(self, model: TextModel) -> None:
        """Serve for ever, on this thread."""
        while True:
            self.turn(model)

    def turn(self, model: TextModel) -> None:
        """Take in who may come, let go who has enough, and work one step. Blocks while there is nothing to do."""
        if not self._in and not self._waiting:
            self._waiting.append(self._arriving.get())
        while not self._arriving.empty():
            self._waiting.append(self._arriving.get())
        for number in [number for number, ticket in self._in.items() if ticket.cancelled]:
            self._leave(model, number, Done())
        self._admit(model)
        if self._in:
            self._step(model)

    def _admit(self, model: TextModel) -> None:
        while self._waiting:
            ticket = self._waiting[0]
            if not ticket.cancelled:
                if len(self._in) >= (model.facts.parallel if isinstance(ticket.work, Job) else 1):
                    return
                if not isinstance(ticket.work, Job) and self._in:
                    return
            self._waiting.popleft()
            if ticket.cancelled:
                ticket.events.put(Done())
            elif isinstance(ticket.work, Job):
                self._begin(model, ticket, ticket.work)
            else:
                self._perform(model, ticket, ticket.work)

    def _begin(self, model: TextModel, ticket: Ticket, job: Job) -> None:
        self._next += 1
        self._moved = clock.monotonic()
        self._busy = len(self._in) + 1
        try:
            ticket.events.put(Begun(self._moved))
            model.begin(self._next, job)
            self._in[self._next] = ticket
        except Exception as error:  # noqa: BLE001 - a framework raises what it likes; the asker must hear of it
            ticket.events.put(_failure(error))
        self._busy = len(self._in)

    def _perform(self, model: TextModel, ticket: Ticket, task: Task) -> None:
        self._moved = clock.monotonic()
        self._busy = 1
        try:
            for value in task(model):
                if ticket.cancelled:
                    break
                self._moved = clock.monotonic()
                ticket.events.put(Value(value))
            ticket.events.put(Done())
        except Exception as error:  # noqa: BLE001 - as above
            ticket.events.put(_failure(error))
        self._busy = 0

    def _step(self, model: TextModel) -> None:
        try:
            steps = model.step()
        except Exception as error:  # noqa: BLE001 - whose fault it was cannot be told: all hear of it
            for number in list(self._in):
                self._leave(model, number, _failure(error))
            return
        now = clock.monotonic()
        if steps:
            self._moved = now
        else:
            clock.sleep(_IDLE_SECONDS)
        for step in steps:
            ticket = self._in.get(step.job)
            if ticket is not None and step.token is not None and isinstance(ticket.work, Job):
                self._hand_out(model, ticket, ticket.work, step, step.token, now)

    def _hand_out(self, model: TextModel, ticket: Ticket, job: Job, step: Step, token: int, now: float) -> None:
        ends = token in model.facts.ends and not job.past_end
        ticket.count += 1
        ticket.events.put(Token(token, now, ends, step.logprob, step.top, step.cached))
        if ends or ticket.count >= job.max_tokens:
            self._leave(model, step.job, Done())

    def _leave(self, model: TextModel, number: int, last: Done | Failed) -> None:
        ticket = self._in.pop(number)
        self._busy = len(self._in)
        try:
            model.end(number)
        except Exception as error:  # noqa: BLE001 - its answer is whole already, unless it was cut
            last = _failure(error) if isinstance(last, Done) else last
        ticket.events.put(last)


def note(error: Exception) -> None:
    """Write into the log where an error came from; not its text, which may be somebody's prompt."""
    traceback.print_tb(error.__traceback__)
    sys.stderr.write(f"{type(error).__name__}\n")


def _failure(error: Exception) -> Failed:
    if not isinstance(error, ValueError):
        note(error)
    text = str(error).strip() or type(error).__name__
    return Failed(text, isinstance(error, ValueError))
