"""The scheduler's loop: sleeps until it is poked, until time changes the picture, or to see who was killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from ultralab.jobs.passes import Pass, run_pass, submit_due
from ultralab.jobs.settle import settle
from ultralab.jobs.site import Site
from ultralab.jobs.store.queue import Queue
from ultralab.jobs.wake import Ear, listening, poke
from ultralab.kernel.errors import Busy, Failure
from ultralab.system import clock, locks

# A killed supervisor is found within this time; a record that a supervisor wrote is found at once, by its poke.
_LOOK_FOR_KILLED: Final = 1.0
# Memory that others hold, and disk space, come back without a poke.
_LOOK_FOR_ROOM: Final = 3.0
# Sleeping machines and changed clocks: no wait on the clock is longer.
_LONGEST: Final = 60.0
_AFTER_TROUBLE: Final = 2.0
# What a plan wanted to start could not be: somebody else was quicker, or took the memory.
_LOOK_FOR_UNSURE: Final = 1.0
_AT_ONCE: Final = 0.05

SiteNow = Callable[[], Site]
Trouble = Callable[[Failure], None]


def serve(queue: Queue, site: SiteNow, trouble: Trouble) -> None:
    """Schedule until this process is interrupted. ``trouble`` is told what went wrong; the loop goes on."""
    with listening(queue.folder) as ear:
        _turns(queue, site, trouble, ear, schedules=True, enough=lambda _found: False)


def drain(queue: Queue, site: SiteNow, relieved: Callable[[], bool]) -> None:
    """Schedule until nothing is left that could start soon, or ``relieved`` says that a daemon does it.

    Only one drain runs; another one ends as soon as somebody listens. It submits nothing that a schedule wants: that is
    the daemon's.
    """
    while not (relieved() or poke(queue.folder)):
        try:
            with locks.exclusive(queue.folder / "drain.lock", "", timeout=0):
                _drain(queue, site, relieved)
                return
        except Busy:
            clock.sleep(_AT_ONCE)


def _drain(queue: Queue, site: SiteNow, relieved: Callable[[], bool]) -> None:
    def enough(found: Pass) -> bool:
        return relieved() or (found.resting and not found.running)

    while True:
        with listening(queue.folder) as ear:
            _turns(queue, site, _unheard, ear, schedules=False, enough=enough)
        # Whoever poked us had written its row before: one more look, now that nobody is told that we listen.
        try:
            settle(queue, site().release)
            if enough(run_pass(queue, site(), clock.now())):
                return
        except Failure:  # a full disk, say: whoever goes now leaves a queue that nobody looks after
            clock.sleep(_AFTER_TROUBLE)


def _turns(
    queue: Queue, site: SiteNow, trouble: Trouble, ear: Ear, *, schedules: bool, enough: Callable[[Pass], bool]
) -> None:
    """Settle, submit, plan and sleep, until what was found is ``enough``."""
    plan_at, running, woken, rules = clock.monotonic(), 0, True, None
    while True:
        try:
            here = site()
            changed = settle(queue, here.release) or here.rules != rules
            rules = here.rules
            if woken or changed or clock.monotonic() >= plan_at:
                now = clock.now()
                due = _submit_due(queue, now, trouble) if schedules else None
                found = run_pass(queue, here, now)
                if enough(found):
                    return
                plan_at, running = clock.monotonic() + _rest(found, due, now), found.running
        except Failure as failure:  # the disk is full, the file is locked: nothing is lost, so try again
            trouble(failure)
            plan_at, running = clock.monotonic() + _AFTER_TROUBLE, 0
        woken = ear.wait(min(plan_at - clock.monotonic(), _LOOK_FOR_KILLED if running else _LONGEST))


def _submit_due(queue: Queue, now: datetime, trouble: Trouble) -> datetime | None:
    """What cannot be submitted now keeps nothing from starting that was."""
    try:
        return submit_due(queue, now)
    except Failure as failure:
        trouble(failure)
        return now + timedelta(seconds=_AFTER_TROUBLE)


def _rest(found: Pass, due: datetime | None, now: datetime) -> float:
    """Seconds until the next planning, if nobody pokes and nothing ends."""
    waits = [_LONGEST]
    if found.unsure:
        waits.append(_LOOK_FOR_UNSURE)
    if found.blocked:
        waits.append(_LOOK_FOR_ROOM)
    waits += [max(_AT_ONCE, (moment - now) / timedelta(seconds=1)) for moment in (found.look_again, due) if moment]
    return min(waits)


def _unheard(_failure: Failure) -> None:
    """A drain has nobody to tell; whoever looks at the queue meets the same trouble."""
