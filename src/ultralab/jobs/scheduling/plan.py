"""Which jobs start now, why the others wait, and when to look again. Values in, values out: no clock, no effect.

The order is by priority, which grows by one with each ``ageing`` of waiting; within one step of it, who has fewer jobs
running goes first, then who came first. What fits starts. What does not fit lets later ones pass (backfill) until it
has waited for ``patience``: from then on its needs are charged as if it ran, all but its place among the parallel jobs,
so that only what leaves room for it may overtake.

Nothing starves by that. Who comes later than ``ageing`` × (the difference of the priorities + 1) after a job can never
stand before it, so the jobs before it become fewer; and who is first and out of patience starts when those that run
then have ended, at the latest, because nothing that starts since takes what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import heapify, heappop, heappush
from itertools import groupby

from ultralab.jobs.scheduling.fit import (
    Tally,
    blocked,
    charge,
    closed,
    copied,
    figure_of,
    short_of,
    shortage,
    takes,
    tally,
)
from ultralab.jobs.scheduling.gates import Endings, Gates, met, waits_since
from ultralab.jobs.scheduling.reasons import Code, Reason
from ultralab.jobs.scheduling.wallclock import local, next_opening, night_open
from ultralab.jobs.types import ACTIVE, Capacity, Job, Rules

__all__ = ["Plan", "blocked", "level", "next_opening", "night_open", "plan", "resting"]


@dataclass(frozen=True)
class Plan:
    """What to start, in this order; why each other queued job waits; when time alone changes that (a whole second)."""

    start: tuple[Job, ...]
    waiting: Mapping[int, Reason]
    look_again: datetime | None


def plan(
    queued: Sequence[Job],
    running: Sequence[Job],
    endings: Endings,
    capacity: Capacity,
    rules: Rules,
    now: datetime,
) -> Plan:
    """Decide about every queued or held job.

    ``endings``: the state of each job that one of them depends on; one that is missing is unknown. ``now`` is aware.
    """
    gates = Gates(endings, capacity, rules, now, queued)
    waiting: dict[int, Reason] = {}
    ready: list[tuple[int, int, Job]] = []
    moment = now.timestamp()
    for job in queued:
        reason = gates.reason(job)
        if reason is None:
            ready.append((-level(job, rules, moment), job.id, job))
        else:
            waiting[job.id] = reason
    shut = closed(capacity, rules)
    if shut:
        waiting.update((number, shut) for _level, number, _job in ready)
        return Plan((), waiting, _whole_second(gates.opens, now))
    memory = capacity.memory_free + sum(job.spec.needs.memory for job in running)
    empty = tally((), replace(capacity, memory_free=memory), rules)
    room = _Room(tally(running, capacity, rules), empty, rules, moment, waiting)
    _fill(room, sorted(ready, key=lambda item: item[:2]), running)
    return Plan(tuple(room.started), waiting, _whole_second((*gates.opens, *room.patience_ends), now))


def level(job: Job, rules: Rules, moment: float) -> int:
    """The job's priority and what it has gained by waiting; higher goes first. ``moment``: seconds since the epoch."""
    if rules.ageing <= 0:
        return job.spec.priority
    return job.spec.priority + int(max(0.0, moment - waits_since(job)) // rules.ageing)


def resting(
    queued: Sequence[Job],
    running: Sequence[Job],
    endings: Endings,
    capacity: Capacity,
    rules: Rules,
    now: datetime,
) -> bool:
    """Whether no queued job could start soon by the ends of others alone.

    All are held, too large, delayed, outside the night, or depend on a job that failed or rests itself. Jobs that wait
    for room do not rest, whoever takes it now.
    """
    gates = Gates(endings, capacity, rules, now)
    moving = {job.id for job in running}
    moving.update(number for number, state in endings.items() if state in ACTIVE)
    candidates = sorted((job for job in queued if gates.without_others(job) is None), key=lambda job: job.id)
    found = len(moving)
    while True:  # a job depends on older ones, so that one round finds them all and a second one sees that
        for job in candidates:
            if all(met(need, endings) or need.job in moving for need in job.spec.after):
                moving.add(job.id)
        if len(moving) == found:
            return not any(job.id in moving for job in candidates)
        found = len(moving)


@dataclass
class _Room:
    """The machine while it is being filled: what is taken, and what is kept for those whom nothing may overtake."""

    taken: Tally
    empty: Tally  # as if no job ran
    rules: Rules
    moment: float
    waiting: dict[int, Reason]
    started: list[Job] = field(default_factory=list)
    kept_for: list[Job] = field(default_factory=list)
    kept: Tally | None = None
    patience_ends: list[float] = field(default_factory=list)
    reasons: dict[tuple[Code, int | str], Reason] = field(default_factory=dict)
    behind: dict[tuple[Code, str], Reason] = field(default_factory=dict)

    def offer(self, job: Job) -> bool:
        """Start the job if it fits; else say why it waits."""
        code = short_of(job, self.taken, self.rules)
        if code is None and self.kept is not None:
            code = short_of(job, self.kept, self.rules)
            if code is not None:
                self.waiting[job.id] = self._overtaking(code, job)
                return False
        if code is None:
            self._start(job)
            return True
        self.waiting[job.id] = self._reason(code, job)
        if code != "parallel":  # with no place left nothing overtakes anybody
            self._lose_patience(job)
        return False

    def _start(self, job: Job) -> None:
        self.started.append(job)
        self.reasons.clear()
        charge(self.taken, job)
        if self.kept is not None:
            charge(self.kept, job)

    def _reason(self, code: Code, job: Job) -> Reason:
        key = (code, figure_of(code, job))
        if key not in self.reasons:
            self.reasons[key] = shortage(code, job, self.taken, self.rules)
        return self.reasons[key]

    def _overtaking(self, code: Code, job: Job) -> Reason:
        key = (code, job.spec.kind)
        if key not in self.behind:
            first = next(other for other in self.kept_for if takes(other, code, job.spec.kind))
            self.behind[key] = Reason("overtaking", jobs=(first.id,), what=code)
        return self.behind[key]

    def _lose_patience(self, job: Job) -> None:
        if short_of(job, self.empty, self.rules):
            return  # no end of another job would let it start: keeping room for it would only stop them all
        ends = waits_since(job) + self.rules.patience
        if self.moment < ends:
            if self.kept is None:  # behind another one without patience, this one's would change little
                self.patience_ends.append(ends)
            return
        if self.kept is None:
            self.kept = copied(self.taken)
        self.kept_for.append(job)
        charge(self.kept, job, slot=False)


def _fill(room: _Room, ready: Iterable[tuple[int, int, Job]], running: Sequence[Job]) -> None:
    has: dict[str, int] = {}
    for job in running:
        has[job.spec.owner] = has.get(job.spec.owner, 0) + 1
    for _level, equals in groupby(ready, key=lambda item: item[0]):
        queues: dict[str, list[Job]] = {}
        for _same, _number, job in equals:
            queues.setdefault(job.spec.owner, []).append(job)
        for job in _in_turn(queues, has):
            if room.offer(job):
                has[job.spec.owner] = has.get(job.spec.owner, 0) + 1


def _in_turn(queues: Mapping[str, Sequence[Job]], has: Mapping[str, int]) -> Iterator[Job]:
    """The jobs of several owners: next is always who has fewest, then the oldest. ``has`` may grow meanwhile."""
    heads: list[tuple[int, int, str, int]] = [
        (has.get(owner, 0), jobs[0].id, owner, 0) for owner, jobs in queues.items()
    ]
    heapify(heads)
    while heads:
        _count, _number, owner, place = heappop(heads)
        jobs = queues[owner]
        yield jobs[place]
        if place + 1 < len(jobs):
            heappush(heads, (has.get(owner, 0), jobs[place + 1].id, owner, place + 1))


def _whole_second(moments: Iterable[float], now: datetime) -> datetime | None:
    """The earliest moment, rounded up: a clock that shows whole seconds must not be asked again too early."""
    earliest = min(moments, default=None)
    return None if earliest is None else datetime.fromtimestamp(math.ceil(earliest), local(now).tzinfo)
