"""The scheduler against 1,000 random workloads: a discrete-event simulation that decides only through ``plan()``.

What the plan does is judged here by rules of its own, not by the plan's. Prints a Markdown table; exits 1 where one of
the figures that must be 0 is not. ``python benchmarks/jobs_simulation.py [WORKLOADS]``
"""

from __future__ import annotations

import heapq
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ultralab.jobs.scheduling.plan import Plan, plan
from ultralab.jobs.types import OVER, Capacity, Condition, Dependency, Gpu, Job, JobSpec, Needs, Rules, State

GIB: Final = 1024**3
BEGIN: Final = datetime(2026, 11, 23, 8, tzinfo=UTC).timestamp()
LIMIT: Final = 100 * GIB
DISK: Final = 500 * GIB
GPU_USES: Final[tuple[Gpu, ...]] = ("none", "none", "shared", "exclusive")


@dataclass(frozen=True)
class Workload:
    """Jobs in the order of their arrival (which is when they were submitted), how long each runs and how it ends."""

    jobs: tuple[Job, ...]
    seconds: Mapping[int, int]
    ends: Mapping[int, State]
    rules: Rules


@dataclass
class Figures:
    """What was counted. All but the first three and ``longest_wait`` (seconds) must be 0.

    ``overcommits``: moments at which more ran than may; ``starved``: jobs that could have run and never did, and moments
    at which nothing ran though something could; ``inversions``: starts while a job of higher priority, which would have
    fitted there, waited; ``late``: jobs first in order and out of patience that did not start when all that ran had ended.
    """

    workloads: int = 0
    jobs: int = 0
    passes: int = 0
    overcommits: int = 0
    starved: int = 0
    inversions: int = 0
    late: int = 0
    beyond_bound: int = 0
    longest_wait: float = 0.0


def random_workload(seed: int) -> Workload:
    """The same workload for the same seed."""
    chance = random.Random(seed)
    rules = Rules(
        parallel=chance.randint(1, 6),
        ageing=float(chance.choice((300, 900, 3600))),
        patience=float(chance.choice((0, 300, 900))),
        kinds={"bench": 1, "download": 2},
        network=chance.randint(1, 2),
        disk_reserve=50 * GIB,
    )
    arrivals = sorted(chance.randint(0, 12 * 3600) for _number in range(chance.randint(20, 60)))
    jobs = tuple(_random_job(chance, number, BEGIN + at) for number, at in enumerate(arrivals, start=1))
    seconds = {job.id: chance.randint(60, 7200) for job in jobs}
    ends: dict[int, State] = {job.id: chance.choices(("succeeded", "failed"), (9, 1))[0] for job in jobs}
    return Workload(jobs, seconds, ends, rules)


def _random_job(chance: random.Random, number: int, submitted: float) -> Job:
    needs = Needs(
        memory=chance.choice((0, 1, 4, 10, 30, 60, 100, *((101,) if chance.random() < 0.2 else ()))) * GIB,
        gpu=chance.choice(GPU_USES),
        disk=chance.choice((0, 0, 0, 50, 200, 450)) * GIB,
        network=chance.random() < 0.2,
    )
    after = [
        Dependency(chance.randint(max(1, number - 10), number - 1), chance.choice(("success", "end")))
        for _need in range(chance.choice((0, 0, 0, 0, 1, 2)) if number > 1 else 0)
    ]
    spec = JobSpec(
        argv=("true",),
        cwd="/",
        name=str(number),
        kind=chance.choice(("command", "bench", "download")),
        owner=chance.choice(("ada", "ben", "cleo")),
        priority=chance.randint(-10, 10),
        needs=needs,
        after=tuple(after),
        not_before=submitted + chance.randint(0, 20_000) if chance.random() < 0.1 else None,
        night=chance.random() < 0.1,
    )
    return Job(number, spec, Condition("queued", submitted))


@dataclass
class World:
    """One workload while it runs."""

    load: Workload
    figures: Figures
    now: float = BEGIN
    running: dict[int, tuple[Job, float]] = field(default_factory=dict)
    waiting: dict[int, Job] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    ready_since: dict[int, float] = field(default_factory=dict)
    first_until: dict[int, float] = field(default_factory=dict)
    started: dict[int, float] = field(default_factory=dict)


def simulate(load: Workload, figures: Figures) -> Mapping[int, float]:
    """Run one workload to its end and add to the figures; when each job started."""
    world = World(load, figures)
    arriving = list(reversed(load.jobs))
    moments = [job.condition.submitted for job in load.jobs]
    heapq.heapify(moments)
    while moments:
        world.now = heapq.heappop(moments)
        while moments and moments[0] == world.now:
            heapq.heappop(moments)
        for number in [number for number, (_job, end) in world.running.items() if end <= world.now]:
            world.states[number] = load.ends[number]
            del world.running[number]
        while arriving and arriving[-1].condition.submitted <= world.now:
            job = arriving.pop()
            world.waiting[job.id] = job
            world.states[job.id] = "queued"
        for moment in _pass(world):
            heapq.heappush(moments, moment)
    figures.workloads += 1
    figures.jobs += len(load.jobs)
    figures.starved += len({job.id for job in _possible(load)} & set(world.waiting))
    return world.started


def _pass(world: World) -> list[float]:
    """Plan, judge, start; the moments at which to go on."""
    load, figures = world.load, world.figures
    running = [job for job, _end in world.running.values()]
    free = LIMIT - sum(job.spec.needs.memory for job in running)
    decided = plan(
        tuple(world.waiting.values()),
        running,
        world.states,
        Capacity(LIMIT, free, DISK),
        load.rules,
        datetime.fromtimestamp(world.now, UTC),
    )
    figures.passes += 1
    assert {job.id for job in decided.start} | set(decided.waiting) == set(world.waiting)
    ready = [job for job in world.waiting.values() if _is_ready(job, world)]
    figures.inversions += _inversions(decided, ready, running, world)
    for job in decided.start:
        _start(job, world)
    left = [job for job in ready if job.id in world.waiting]
    figures.overcommits += _too_much([job for job, _end in world.running.values()], load.rules)
    figures.starved += bool(left) and not world.running
    _remember(left, ready, world)
    moments = [world.now + load.seconds[job.id] for job in decided.start]
    if decided.look_again:
        assert decided.look_again.timestamp() > world.now
        moments.append(decided.look_again.timestamp())
    return moments


def _start(job: Job, world: World) -> None:
    del world.waiting[job.id]
    world.running[job.id] = (job, world.now + world.load.seconds[job.id])
    world.states[job.id] = "running"
    world.started[job.id] = world.now
    wait = world.now - world.ready_since.pop(job.id, world.now)
    world.figures.longest_wait = max(world.figures.longest_wait, wait)
    # something runs whenever a ready job waits, so that nobody waits longer than all others together run
    everything = sum(world.load.seconds.values()) - world.load.seconds[job.id]
    world.figures.beyond_bound += wait > everything
    world.figures.late += world.now > world.first_until.pop(job.id, world.now)


def _remember(left: Sequence[Job], ready: Sequence[Job], world: World) -> None:
    """Since when each job has been waiting for room alone, and until when who is first must have started."""
    numbers = {job.id for job in left}
    world.ready_since = {number: since for number, since in world.ready_since.items() if number in numbers}
    for job in left:
        world.ready_since.setdefault(job.id, world.now)
    first = _first(left, ready, world)
    world.first_until = {number: until for number, until in world.first_until.items() if number == first}
    if first is not None and first not in world.first_until:
        world.first_until[first] = max(end for _job, end in world.running.values())


def _first(left: Sequence[Job], ready: Sequence[Job], world: World) -> int | None:
    """Who waits, is out of patience, and comes before all that wait or have just started."""
    top = max((_level(job, world) for job in ready), default=0)
    foremost = [job for job in ready if _level(job, world) == top]
    patience = world.load.rules.patience
    return next((j.id for j in left if foremost == [j] and world.now >= _since(j) + patience), None)


def _is_ready(job: Job, world: World) -> bool:
    spec = job.spec
    hour = datetime.fromtimestamp(world.now, UTC).hour
    states = [(need.how, world.states[need.job]) for need in spec.after]
    return (
        spec.needs.memory <= LIMIT
        and (spec.not_before is None or spec.not_before <= world.now)
        and (not spec.night or hour >= 22 or hour < 7)
        and all(state == "succeeded" or (how == "end" and state in OVER) for how, state in states)
    )


def _possible(load: Workload) -> Iterable[Job]:
    """The jobs that can ever run: not too large, and needing the success of none that fails or cannot run."""
    possible: set[int] = set()
    for job in load.jobs:
        met = (
            need.job in possible and (need.how == "end" or load.ends[need.job] == "succeeded")
            for need in job.spec.after
        )
        if job.spec.needs.memory <= LIMIT and all(met):
            possible.add(job.id)
            yield job


def _inversions(decided: Plan, ready: Sequence[Job], running: Sequence[Job], world: World) -> int:
    count = 0
    beside = list(running)
    for job in decided.start:
        above = _level(job, world)
        for other in ready:
            if other.id in decided.waiting and _level(other, world) > above:
                count += _passed_over(other, decided, beside, world)
        beside.append(job)
    return count


def _passed_over(job: Job, decided: Plan, beside: Sequence[Job], world: World) -> bool:
    """Whether a waiting job would have fitted, and does not rightly let another one go first."""
    if _too_much([*beside, job], world.load.rules):
        return False
    reason = decided.waiting[job.id]
    if reason.code != "overtaking":
        return True
    first = world.waiting[reason.jobs[0]]
    impatient = world.now >= _since(first) + world.load.rules.patience
    return not (impatient and _level(first, world) >= _level(job, world))


def _too_much(running: Sequence[Job], rules: Rules) -> bool:
    needs = [job.spec.needs for job in running]
    kinds = [job.spec.kind for job in running]
    uses = [need.gpu for need in needs if need.gpu != "none"]
    return (
        len(running) > rules.parallel
        or sum(need.memory for need in needs) > LIMIT
        or sum(need.disk for need in needs) > DISK - rules.disk_reserve
        or sum(need.network for need in needs) > rules.network
        or ("exclusive" in uses and len(uses) > 1)
        or any(kinds.count(kind) > most for kind, most in rules.kinds.items())
    )


def _since(job: Job) -> float:
    return max(job.condition.submitted, job.spec.not_before or 0.0)


def _level(job: Job, world: World) -> int:
    return job.spec.priority + int(max(0.0, world.now - _since(job)) / world.load.rules.ageing)


def run(workloads: int) -> Figures:
    """The figures of that many workloads, seeded from 0."""
    figures = Figures()
    for seed in range(workloads):
        simulate(random_workload(seed), figures)
    return figures


def faults(figures: Figures) -> dict[str, int]:
    """The figures that must be 0 and are not."""
    good = Figures(figures.workloads, figures.jobs, figures.passes, longest_wait=figures.longest_wait)
    return {name: value for name, value in vars(figures).items() if value != vars(good)[name]}


def main() -> int:
    """Simulate and print; the exit status."""
    begin = time.perf_counter()
    figures = run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print("| workloads | jobs | overcommits | starved | inversions | late | longest wait | passes | took |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {figures.workloads} | {figures.jobs} | {figures.overcommits} | {figures.starved + figures.beyond_bound} "
        f"| {figures.inversions} | {figures.late} | {figures.longest_wait / 3600:.1f} h | {figures.passes} "
        f"| {time.perf_counter() - begin:.1f} s |"
    )
    return 1 if faults(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
