"""Who is served when: turn by turn, on the test's own thread, with a model that notes what it is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ultralab.engines.fake.model import FakeModel, favourite
from ultralab.engines.fake.trouble import Trouble
from ultralab.engines.serving.account import Account
from ultralab.engines.serving.scheduler import Begun, Done, Event, Failed, Scheduler, Ticket, Token, Value
from ultralab.engines.serving.types import Facts, Job, Step, TextModel
from ultralab.engines.types import Timings


class _Model(FakeModel):
    """The fake, which notes who came and went and fails when it is told to."""

    def __init__(self, parallel: int = 1) -> None:
        facts = Facts(100, parallel, 257, frozenset({33}), frozenset())
        super().__init__(facts, Trouble(), piece=4)
        self.notes: list[str] = []
        self.fail = ""

    def begin(self, number: int, job: Job) -> None:
        self._perhaps("begin")
        self.notes.append(f"+{job.prompt[0]}")
        super().begin(number, job)

    def step(self) -> Sequence[Step]:
        self._perhaps("step")
        return super().step()

    def end(self, number: int) -> None:
        self.notes.append(f"-{self.work[number].job.prompt[0]}")
        super().end(number)
        self._perhaps("end")

    def _perhaps(self, where: str) -> None:
        if self.fail == where:
            raise RuntimeError(f"{where} failed")


def _turn(scheduler: Scheduler, model: TextModel, times: int) -> None:
    for _number in range(times):
        scheduler.turn(model)


def _events(ticket: Ticket) -> list[Event]:
    found = []
    while not ticket.events.empty():
        found.append(ticket.events.get())
    return found


def _kinds(ticket: Ticket) -> str:
    return "".join(type(event).__name__[0] for event in _events(ticket))


def _ask(scheduler: Scheduler, first: int, count: int, **more: Any) -> Ticket:
    return scheduler.submit(Job((first, 60), count, **more))


def test_first_come_first_served() -> None:
    model, scheduler = _Model(parallel=1), Scheduler()
    tickets = [_ask(scheduler, first, 2) for first in (1, 2, 3)]
    _turn(scheduler, model, 9)
    assert model.notes == ["+1", "-1", "+2", "-2", "+3", "-3"]
    assert [_kinds(ticket) for ticket in tickets] == ["BTTD"] * 3


def test_as_many_as_the_model_takes_are_in_at_once() -> None:
    model, scheduler = _Model(parallel=2), Scheduler()
    for first in (1, 2, 3):
        _ask(scheduler, first, 2)
    _turn(scheduler, model, 3)
    assert model.notes == ["+1", "+2", "-1", "-2"]
    _turn(scheduler, model, 1)
    assert model.notes[4:] == ["+3"]


def test_a_task_waits_for_generations_and_is_not_overtaken() -> None:
    model, scheduler = _Model(parallel=2), Scheduler()

    def work(given: TextModel) -> Iterator[object]:
        assert given is model
        model.notes.append("task")
        yield 1
        yield 2

    _ask(scheduler, 1, 2)
    task = scheduler.submit(work)
    _ask(scheduler, 2, 2)
    _turn(scheduler, model, 3)
    assert model.notes == ["+1", "-1"]
    _turn(scheduler, model, 1)
    assert model.notes == ["+1", "-1", "task", "+2"]
    assert [event.value for event in _events(task) if isinstance(event, Value)] == [1, 2]


def test_an_end_of_text_ends_a_job_unless_it_goes_on_past_it() -> None:
    model, scheduler = _Model(parallel=2), Scheduler()
    before = next(token for token in range(256) if favourite((token,)) == 33)
    short, long = (scheduler.submit(Job((before,), 5, past_end=past)) for past in (False, True))
    _turn(scheduler, model, 6)
    tokens = [event for event in _events(short) if isinstance(event, Token)]
    assert [(token.token, token.ends) for token in tokens] == [(33, True)]
    others = [event for event in _events(long) if isinstance(event, Token)]
    assert len(others) == 5
    assert not any(token.ends for token in others)


def test_a_cancelled_job_is_ended_and_a_waiting_one_never_begins() -> None:
    model, scheduler = _Model(), Scheduler()
    first, second, third = (_ask(scheduler, number, 50) for number in (1, 2, 3))
    _turn(scheduler, model, 3)
    first.cancel()
    second.cancel()
    _turn(scheduler, model, 2)
    assert model.notes == ["+1", "-1", "+3"]
    assert _kinds(first).endswith("D")
    assert _kinds(second) == "D"
    assert _kinds(third).startswith("B")


def test_a_cancelled_task_stops_between_two_pieces() -> None:
    model, scheduler = _Model(), Scheduler()
    done: list[int] = []

    def work(_model: TextModel) -> Iterator[object]:
        for number in range(10):
            done.append(number)
            if number == 3:
                ticket.cancel()
            yield number

    ticket = scheduler.submit(work)
    _turn(scheduler, model, 1)
    assert done == [0, 1, 2, 3]
    assert _kinds(ticket) == "VVVD"


@pytest.mark.parametrize("where", ["begin", "step"])
def test_a_failure_reaches_everybody_in_and_the_next_is_served(where: str) -> None:
    model, scheduler = _Model(parallel=2), Scheduler()
    model.fail = where
    failing = [_ask(scheduler, first, 3) for first in (1, 2)]
    _turn(scheduler, model, 1)
    for ticket in failing:
        assert _events(ticket)[-1] == Failed(f"{where} failed", refused=False)
    model.fail = ""
    ticket = _ask(scheduler, 3, 2)
    _turn(scheduler, model, 3)
    assert _kinds(ticket) == "BTTD"
    assert not model.work


def test_a_failure_at_the_end_is_told_instead_of_it() -> None:
    model, scheduler = _Model(), Scheduler()
    model.fail = "end"
    ticket = _ask(scheduler, 1, 1)
    _turn(scheduler, model, 2)
    assert _events(ticket)[-1] == Failed("end failed", refused=False)


def test_a_value_error_is_the_askers_fault() -> None:
    model, scheduler = _Model(), Scheduler()

    def work(_model: TextModel) -> Iterator[object]:
        yield from [int("not of this model")]

    ticket = scheduler.submit(work)
    _turn(scheduler, model, 1)
    assert _events(ticket) == [Failed("invalid literal for int() with base 10: 'not of this model'", refused=True)]


def test_health_tells_who_is_at_work() -> None:
    model, scheduler = _Model(), Scheduler()
    assert (scheduler.health().busy, scheduler.health().stalled) == (0, 0.0)
    _ask(scheduler, 1, 3)
    _ask(scheduler, 2, 3)
    assert scheduler.health().busy == 2
    _turn(scheduler, model, 1)
    found = scheduler.health()
    assert found.busy == 2
    assert 0 <= found.stalled < 1
    _turn(scheduler, model, 7)
    assert (scheduler.health().busy, scheduler.health().stalled) == (0, 0.0)


def test_the_account_of_a_generation() -> None:
    account = Account(10)
    assert account.timings() == Timings(0, 10, 0.0, 0, 0.0)
    account.begin(100.0)
    account.add(Token(1, 100.5, False, math.nan, (), 4))
    assert account.timings() == Timings(4, 6, 500.0, 1, 0.0)
    account.add(Token(1, 100.75, False, math.nan, (), 4))
    assert account.timings() == Timings(4, 6, 500.0, 2, 250.0)


def test_events_begin_with_the_moment_of_the_start() -> None:
    model, scheduler = _Model(), Scheduler()
    ticket = _ask(scheduler, 1, 1)
    _turn(scheduler, model, 2)
    first, token, last = _events(ticket)
    assert isinstance(first, Begun)
    assert isinstance(token, Token)
    assert token.at >= first.at
    assert last == Done()
