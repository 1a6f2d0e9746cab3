"""The life of a job: one table of transitions that the code, the documentation and the tests share, and its fold.

Nothing here has an effect or reads a clock: :func:`step` takes a condition and an event and gives the next condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from ultralab.jobs.types import Condition, Event, EventName, JobSpec, State
from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import N_, _

Guard = Literal["", "retries_left", "may_run_again"]

MOST_INTERRUPTIONS: Final = 20


@dataclass(frozen=True)
class Transition:
    """In ``state``, ``event`` leads to ``next``, where ``guard`` holds. The first row that fits counts."""

    state: State
    event: EventName
    guard: Guard
    next: State


TRANSITIONS: Final = (
    Transition("queued", "hold", "", "held"),
    Transition("queued", "cancel", "", "cancelled"),
    Transition("queued", "start", "", "running"),
    Transition("held", "release", "", "queued"),
    Transition("held", "cancel", "", "cancelled"),
    Transition("running", "never_began", "", "queued"),
    Transition("running", "end_well", "", "succeeded"),
    Transition("running", "end_badly", "retries_left", "queued"),
    Transition("running", "end_badly", "", "failed"),
    Transition("running", "lose", "may_run_again", "queued"),
    Transition("running", "lose", "", "interrupted"),
    Transition("running", "cancel", "", "cancelling"),
    Transition("cancelling", "never_began", "", "cancelled"),
    Transition("cancelling", "end_well", "", "cancelled"),
    Transition("cancelling", "end_badly", "", "cancelled"),
    Transition("cancelling", "lose", "", "cancelled"),
    Transition("succeeded", "retry", "", "queued"),
    Transition("failed", "retry", "", "queued"),
    Transition("cancelled", "retry", "", "queued"),
    Transition("interrupted", "retry", "", "queued"),
)

STATES: Final[dict[State, str]] = {
    "queued": N_("waits for its turn"),
    "held": N_("waits until its owner releases it"),
    "running": N_("its supervisor lives and its command was started"),
    "cancelling": N_("was told to end, and has not ended yet"),
    "succeeded": N_("ended with status 0"),
    "failed": N_("ended with another status, by a signal, too late, or could not be started"),
    "cancelled": N_("was ended, or taken from the queue, by its owner"),
    "interrupted": N_("was cut off (power, kill -9, shutdown), and may not run again by itself"),
}

EVENTS: Final[dict[EventName, str]] = {
    "hold": N_("the owner holds it back"),
    "release": N_("the owner lets it go on"),
    "start": N_("a scheduler hands it to a supervisor, with a new fence"),
    "never_began": N_("the supervisor is gone and had not begun"),
    "end_well": N_("the supervisor recorded status 0"),
    "end_badly": N_("the supervisor recorded another end"),
    "lose": N_("the supervisor is gone without a record, or was shut down"),
    "cancel": N_("the owner cancels it"),
    "retry": N_("the owner wants it again"),
}

GUARDS: Final[dict[Guard, str]] = {
    "": "",
    "retries_left": N_("it failed no more often than --retry allows"),
    "may_run_again": N_("it is idempotent or resumable, and was interrupted no more than 20 times"),
}

# What is said about an attempt, and counts only with that attempt's fence.
_OF_AN_ATTEMPT: Final = ("never_began", "end_well", "end_badly", "lose")


class NotPossible(RequestError):
    """The table has no such transition: the job is in a state in which this cannot happen."""


class Stale(NotPossible):
    """It is about an attempt that is no longer the job's: whoever says so has lost the job."""


def step(spec: JobSpec, condition: Condition, event: Event) -> Condition:
    """The condition after ``event``. Raises Stale (another attempt's fence), NotPossible (no such transition)."""
    if event.name in _OF_AN_ATTEMPT and event.fence != condition.fence:
        raise Stale(_("This is about attempt {number}, which is over.").format(number=event.fence))
    if event.name == "start" and event.fence != condition.fence + 1:
        raise Stale(_("Another scheduler has started this job."))
    target = _target(spec, condition, event)
    if event.name == "start":
        return _started(condition, event)
    if event.name in _OF_AN_ATTEMPT:
        return _ended(condition, event, target)
    if event.name == "retry":
        return replace(condition, state=target, failures=0, interruptions=0)
    ended = event.at if target == "cancelled" else condition.ended
    return replace(condition, state=target, ended=ended, cause="cancel" if event.name == "cancel" else condition.cause)


def fold(spec: JobSpec, submitted: float, events: Iterable[Event]) -> Condition:
    """The condition after all of a job's events; what does not fit is passed over, as it was when it was said."""
    condition = Condition("queued", submitted)
    for event in events:
        try:
            condition = step(spec, condition, event)
        except NotPossible:
            continue
    return condition


def _target(spec: JobSpec, condition: Condition, event: Event) -> State:
    for row in TRANSITIONS:
        if (row.state, row.event) == (condition.state, event.name) and _holds(row.guard, spec, condition):
            return row.next
    raise NotPossible(
        _("This cannot be done with a job that is {state}.").format(state=_(STATE_NAMES[condition.state])),
        hint=_("See what it is doing: ultralab jobs show"),
        state=condition.state,
        event=event.name,
    )


STATE_NAMES: Final[dict[State, str]] = {
    "queued": N_("queued"),
    "held": N_("held"),
    "running": N_("running"),
    "cancelling": N_("being cancelled"),
    "succeeded": N_("succeeded"),
    "failed": N_("failed"),
    "cancelled": N_("cancelled"),
    "interrupted": N_("interrupted"),
}


def _holds(guard: Guard, spec: JobSpec, condition: Condition) -> bool:
    if guard == "retries_left":
        return condition.failures < spec.retries
    if guard == "may_run_again":
        return (spec.idempotent or spec.resumable) and condition.interruptions < MOST_INTERRUPTIONS
    return True


def _started(condition: Condition, event: Event) -> Condition:
    assert event.fence is not None
    return replace(
        condition,
        state="running",
        fence=event.fence,
        supervisor=event.supervisor,
        reservation=event.reservation,
        started=event.at,
        ended=None,
        status=None,
        cause="",
    )


def _ended(condition: Condition, event: Event, target: State) -> Condition:
    changed = replace(condition, state=target, supervisor=None, reservation=None)
    if event.name == "never_began":  # as if that start had not been; its fence stays used up
        return replace(changed, started=None, ended=event.at if target == "cancelled" else None)
    return replace(
        changed,
        ended=event.at,
        status=event.status,
        cause=event.cause,
        failures=condition.failures + (event.name == "end_badly"),
        interruptions=condition.interruptions + (event.name == "lose"),
    )
