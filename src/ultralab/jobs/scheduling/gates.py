"""What keeps a job back whatever the machine has left: its owner, its size, other jobs, the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ultralab.jobs.scheduling.fit import too_large
from ultralab.jobs.scheduling.reasons import Reason
from ultralab.jobs.scheduling.wallclock import next_opening, night_open
from ultralab.jobs.types import OVER, WAITING, Capacity, Dependency, Job, Rules, State

Endings = Mapping[int, State]

_HELD = Reason("held")


def waits_since(job: Job) -> float:
    """From when on the job waits, in seconds since the epoch: submitted, or what it was delayed to."""
    not_before = job.spec.not_before
    submitted = job.condition.submitted
    return submitted if not_before is None or not_before < submitted else not_before


def met(need: Dependency, endings: Endings) -> bool:
    """Whether the other job is over as it has to be."""
    state = endings.get(need.job)
    return state == "succeeded" or (need.how == "end" and state in OVER)


class Gates:
    """The gates at one moment. ``opens``: when time alone will open those that were asked about (since the epoch)."""

    def __init__(
        self, endings: Endings, capacity: Capacity, rules: Rules, now: datetime, queued: Sequence[Job] = ()
    ) -> None:
        self.opens: set[float] = set()
        self._endings = endings
        self._capacity = capacity
        self._rules = rules
        self._now = now
        self._moment = now.timestamp()
        self._dark = night_open(rules.night, now)
        self._night: Reason | None = None
        self._queued = queued
        self._roots: Mapping[int, int] | None = None

    def reason(self, job: Job) -> Reason | None:
        """Why the job is not to be considered; None: all that it waits for is room."""
        spec = job.spec
        timed = spec.night or spec.not_before is not None
        if not (
            spec.after or timed or job.condition.state == "held" or spec.needs.memory > self._capacity.memory_limit
        ):
            return None  # most jobs of a long queue, so this must be quick
        return self._owner_and_size(job) or self._dependencies(job) or self._time(job)

    def without_others(self, job: Job) -> Reason | None:
        """The same, as if what it depends on had happened."""
        return self._owner_and_size(job) or self._time(job)

    def _owner_and_size(self, job: Job) -> Reason | None:
        return _HELD if job.condition.state == "held" else too_large(job, self._capacity)

    def _time(self, job: Job) -> Reason | None:
        spec = job.spec
        if spec.not_before is not None and spec.not_before > self._moment:
            self.opens.add(spec.not_before)
            return Reason("delayed", at=spec.not_before)
        return self._until_dark() if spec.night and not self._dark else None

    def _until_dark(self) -> Reason:
        if self._night is None:
            opening = next_opening(self._rules.night, self._now)
            self.opens.add(opening.timestamp())
            self._night = Reason("night", at=opening.timestamp())
        return self._night

    def _dependencies(self, job: Job) -> Reason | None:
        waiting = None
        for need in job.spec.after:
            if not met(need, self._endings):
                reason = self._dependency(need)
                if reason.code != "dependency":
                    return reason  # what needs its owner's hand goes before what will come by itself
                waiting = waiting or reason
        return waiting

    def _dependency(self, need: Dependency) -> Reason:
        state = self._endings.get(need.job)
        if state is None:
            return Reason("dependency_missing", jobs=(need.job,))
        if state in OVER:
            return Reason("dependency_failed", jobs=(need.job,), state=state, how=need.how)
        if state in WAITING and (root := self._root(need.job)) is not None:
            return Reason("dependency_failed", jobs=(need.job, root), state=self._endings[root], how=need.how)
        return Reason("dependency", jobs=(need.job,), state=state, how=need.how)

    def _root(self, number: int) -> int | None:
        """The job that is over, but not as it had to be, for which this waiting one waits in vain."""
        if self._roots is None:
            self._roots = roots(self._queued, self._endings)
        return self._roots.get(number)


def roots(queued: Sequence[Job], endings: Endings) -> dict[int, int]:
    """For each queued job that can never run, since another is over otherwise than it had to be: that other one."""
    found: dict[int, int] = {}
    for job in sorted((job for job in queued if job.spec.after), key=lambda job: job.id):  # after older ones only
        for need in job.spec.after:
            if not met(need, endings):
                root = need.job if endings.get(need.job) in OVER else found.get(need.job)
                if root is not None:
                    found[job.id] = root
                    break
    return found
