"""The life of a job: whatever happens in whatever order, only the table's transitions do."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ultralab.jobs.states import (
    EVENTS,
    GUARDS,
    MOST_INTERRUPTIONS,
    STATE_NAMES,
    STATES,
    TRANSITIONS,
    NotPossible,
    Stale,
    fold,
    step,
)
from ultralab.jobs.types import ACTIVE, OVER, WAITING, Condition, Event, EventName, JobSpec, State
from ultralab.system.process import ProcessId

SPEC = JobSpec(argv=("true",), cwd="/", name="sample")
SUPERVISOR = ProcessId(4242, "77.5")
ALL_STATES: tuple[State, ...] = get_args(State)
ALL_EVENTS: tuple[EventName, ...] = get_args(EventName)
OF_AN_ATTEMPT: tuple[EventName, ...] = ("never_began", "end_well", "end_badly", "lose")
IN_THE_TABLE = {(row.state, row.event) for row in TRANSITIONS}
OF_THE_OWNER: tuple[EventName, ...] = ("hold", "release", "cancel", "retry")


def _event(name: EventName, at: float = 5.0, fence: int | None = None) -> Event:
    return Event(name, at, fence=fence, status=3, cause="exit", supervisor=SUPERVISOR, reservation=9)


class Life(RuleBasedStateMachine):
    """One job, many voices, some of them about attempts that are long over."""

    @initialize(
        retries=st.integers(0, 3), idempotent=st.booleans(), resumable=st.booleans(), submitted=st.floats(0, 1e9)
    )
    def submit(self, retries: int, idempotent: bool, resumable: bool, submitted: float) -> None:
        self.spec = replace(SPEC, retries=retries, idempotent=idempotent, resumable=resumable)
        self.submitted = submitted
        self.condition = Condition("queued", submitted)
        self.said: list[Event] = []

    @rule(name=st.sampled_from(ALL_EVENTS), at=st.floats(0, 1e9), off=st.sampled_from([0, 0, 0, 1, 1, -1, 2, None]))
    def happen(self, name: EventName, at: float, off: int | None) -> None:
        before = self.condition
        event = _event(name, at, None if off is None else before.fence + off)
        self.said.append(event)
        try:
            after = step(self.spec, before, event)
        except Stale:
            expected = 1 if name == "start" else 0
            assert name in (*OF_AN_ATTEMPT, "start")
            assert off != expected
            return
        except NotPossible:
            assert (before.state, name) not in IN_THE_TABLE
            return
        rows = [row for row in TRANSITIONS if (row.state, row.event) == (before.state, name)]
        assert after.state in [row.next for row in rows]
        if name == "start":
            assert (before.state, after.fence) == ("queued", before.fence + 1)
        else:
            assert after.fence == before.fence
        if before.state in OVER:
            assert name == "retry"
        self.condition = after

    @invariant()
    def the_attempts_are_bounded(self) -> None:
        assert self.condition.failures <= self.spec.retries + 1
        assert self.condition.interruptions <= MOST_INTERRUPTIONS + 1

    @invariant()
    def only_an_attempt_has_a_supervisor(self) -> None:
        active = self.condition.state in ACTIVE
        assert (self.condition.supervisor is not None, self.condition.reservation is not None) == (active, active)

    @invariant()
    def what_is_over_says_when(self) -> None:
        assert self.condition.ended is not None or self.condition.state not in OVER
        assert self.condition.ended is None or self.condition.state not in ACTIVE

    @invariant()
    def the_events_tell_the_same(self) -> None:
        assert fold(self.spec, self.submitted, self.said) == self.condition


TestLife = Life.TestCase


def test_the_states_are_sorted_and_named() -> None:
    assert sorted((*ACTIVE, *WAITING, *OVER)) == sorted(ALL_STATES)
    assert (set(STATES), set(STATE_NAMES), set(EVENTS)) == (set(ALL_STATES), set(ALL_STATES), set(ALL_EVENTS))
    assert {row.guard for row in TRANSITIONS} == set(GUARDS)


def test_every_row_of_the_table_can_be_the_one_that_counts() -> None:
    """A row behind an unguarded one of the same state and event would be dead."""
    seen: set[tuple[State, EventName]] = set()
    for row in TRANSITIONS:
        assert (row.state, row.event) not in seen
        if not row.guard:
            seen.add((row.state, row.event))


def test_every_state_can_be_reached() -> None:
    reached: set[State] = {"queued"}
    while more := {row.next for row in TRANSITIONS if row.state in reached} - reached:
        reached |= more
    assert reached == set(ALL_STATES)


@pytest.mark.parametrize("state", ALL_STATES)
@pytest.mark.parametrize("name", ALL_EVENTS)
def test_each_event_in_each_state_is_in_the_table_or_not_possible(state: State, name: EventName) -> None:
    condition = Condition(state, 1.0, fence=2)
    event = _event(name, fence=3 if name == "start" else 2)
    if (state, name) in IN_THE_TABLE:
        assert step(SPEC, condition, event).state in ALL_STATES
    else:
        with pytest.raises(NotPossible) as raised:
            step(SPEC, condition, event)
        assert (raised.value.data, type(raised.value)) == ({"state": state, "event": name}, NotPossible)


@pytest.mark.parametrize("state", ALL_STATES)
@pytest.mark.parametrize("name", ["start", *OF_AN_ATTEMPT])
@pytest.mark.parametrize("fence", [None, 0, 1, 4])
def test_a_stale_fence_is_refused_in_every_state(state: State, name: EventName, fence: int | None) -> None:
    with pytest.raises(Stale):
        step(SPEC, Condition(state, 1.0, fence=2), _event(name, fence=fence))


def test_an_attempt_that_is_told_to_be_over_twice_is_over_once() -> None:
    spec = replace(SPEC, retries=5)
    running = step(spec, Condition("queued", 1.0), _event("start", 2.0, 1))
    again = step(spec, running, _event("end_badly", 3.0, 1))
    assert again == Condition("queued", 1.0, fence=1, failures=1, started=2.0, ended=3.0, status=3, cause="exit")
    for name in OF_AN_ATTEMPT:
        with pytest.raises(NotPossible):
            step(spec, again, _event(name, 4.0, 1))


def test_a_failed_attempt_is_repeated_as_often_as_was_asked() -> None:
    spec = replace(SPEC, retries=2)
    condition = Condition("queued", 1.0)
    states = []
    for fence in (1, 2, 3):
        condition = step(spec, condition, _event("start", 2.0, fence))
        condition = step(spec, condition, _event("end_badly", 3.0, fence))
        states.append(condition.state)
    assert (states, condition.failures) == (["queued", "queued", "failed"], 3)
    assert step(spec, condition, _event("retry")) == replace(condition, state="queued", failures=0)


@pytest.mark.parametrize("how", ["idempotent", "resumable"])
def test_a_lost_job_runs_again_only_where_it_may_and_not_for_ever(how: str) -> None:
    running = Condition("running", 1.0, fence=1, supervisor=SUPERVISOR, reservation=9, started=2.0)
    assert step(SPEC, running, _event("lose", fence=1)).state == "interrupted"
    spec = replace(SPEC, idempotent=how == "idempotent", resumable=how == "resumable")
    condition = Condition("queued", 1.0)
    attempts = 0
    while condition.state == "queued":
        attempts += 1
        condition = step(spec, condition, _event("start", 2.0, attempts))
        condition = step(spec, condition, _event("lose", 3.0, attempts))
    assert (condition.state, attempts) == ("interrupted", MOST_INTERRUPTIONS + 1)
    assert step(spec, condition, _event("retry")) == replace(condition, state="queued", interruptions=0)


def test_an_attempt_that_never_began_leaves_only_its_fence() -> None:
    fresh = Condition("queued", 1.0)
    running = step(SPEC, fresh, _event("start", 2.0, 1))
    assert step(SPEC, running, _event("never_began", 3.0, 1)) == replace(fresh, fence=1)
    cancelling = step(SPEC, running, _event("cancel", 3.0))
    assert step(SPEC, cancelling, _event("never_began", 4.0, 1)) == Condition(
        "cancelled", 1.0, fence=1, ended=4.0, cause="cancel"
    )


@pytest.mark.parametrize("name", ["never_began", "end_well", "end_badly", "lose"])
def test_a_job_that_was_told_to_end_ends_cancelled_however_it_ends(name: EventName) -> None:
    spec = replace(SPEC, retries=5, idempotent=True)
    cancelling = step(spec, step(spec, Condition("queued", 1.0), _event("start", 2.0, 1)), _event("cancel", 3.0))
    assert cancelling.state == "cancelling"
    assert step(spec, cancelling, _event(name, 4.0, 1)).state == "cancelled"


@given(st.lists(st.tuples(st.sampled_from(OF_THE_OWNER), st.floats(0, 1e9)), max_size=20))
def test_without_a_scheduler_a_job_never_runs(said: list[tuple[EventName, float]]) -> None:
    condition = fold(SPEC, 1.0, [Event(name, at) for name, at in said])
    assert (condition.fence, condition.started, condition.state in (*ACTIVE, "succeeded", "failed")) == (0, None, False)
