"""Whether one job fits beside others: what is taken is a tally, and a job is charged to it when it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ultralab.jobs.scheduling.reasons import Code, Reason
from ultralab.jobs.types import Capacity, Job, Rules

_MOST_NAMED = 3


@dataclass(slots=True)
class Tally:
    """What is taken and what is left. Mutable: it belongs to the one call that made it."""

    jobs: int
    network: int
    memory_free: int
    disk_free: int
    kinds: dict[str, int]
    gpu_alone: list[int]
    gpu_shared: list[int]
    memory_held: list[tuple[int, int]]  # bytes, job
    holders: tuple[tuple[str, int], ...]  # who else holds memory, and bytes
    largest: tuple[tuple[int, ...], tuple[int, ...]] | None = None  # jobs, bytes: kept, as 10,000 reasons may name them


def tally(running: Sequence[Job], capacity: Capacity, rules: Rules) -> Tally:
    """What the running jobs take.

    Their memory is in ``capacity.memory_free`` already, since each holds a reservation; their disk is not, since
    nobody knows how much of it they have written: all that they declared counts as still to come.
    """
    taken = Tally(0, 0, capacity.memory_free, capacity.disk_free - rules.disk_reserve, {}, [], [], [], capacity.holders)
    for job in running:
        charge(taken, job)
    taken.memory_free = capacity.memory_free
    return taken


def copied(taken: Tally) -> Tally:
    """A tally that may be charged without changing this one."""
    return replace(
        taken,
        kinds=dict(taken.kinds),
        gpu_alone=[*taken.gpu_alone],
        gpu_shared=[*taken.gpu_shared],
        memory_held=[*taken.memory_held],
    )


def charge(taken: Tally, job: Job, *, slot: bool = True) -> None:
    """Add what a job takes; without ``slot`` all but its place among the parallel ones."""
    needs = job.spec.needs
    taken.jobs += slot
    taken.network += needs.network
    taken.memory_free -= needs.memory
    taken.disk_free -= needs.disk
    taken.kinds[job.spec.kind] = taken.kinds.get(job.spec.kind, 0) + 1
    if needs.gpu == "exclusive":
        taken.gpu_alone.append(job.id)
    elif needs.gpu == "shared":
        taken.gpu_shared.append(job.id)
    if needs.memory:
        taken.memory_held.append((needs.memory, job.id))
        taken.largest = None


def short_of(job: Job, taken: Tally, rules: Rules) -> Code | None:
    """The first thing of which too little is left for the job; None: it fits."""
    spec = job.spec
    needs = spec.needs
    if taken.jobs >= rules.parallel:
        return "parallel"
    if spec.kind in rules.kinds and taken.kinds.get(spec.kind, 0) >= rules.kinds[spec.kind]:
        return "kind"
    if needs.gpu != "none" and (taken.gpu_alone or (needs.gpu == "exclusive" and taken.gpu_shared)):
        return "gpu"
    if needs.network and taken.network >= rules.network:
        return "network"
    if needs.memory and needs.memory > taken.memory_free:
        return "memory"
    return "disk" if needs.disk and needs.disk > taken.disk_free else None


def shortage(code: Code, job: Job, taken: Tally, rules: Rules) -> Reason:
    """The reason for what :func:`short_of` said, with its figures."""
    needs = job.spec.needs
    if code == "parallel":
        return Reason(code, limit=rules.parallel)
    if code == "kind":
        return Reason(code, kind=job.spec.kind, limit=rules.kinds[job.spec.kind])
    if code == "gpu":
        return Reason(code, gpu=needs.gpu, jobs=tuple(sorted((*taken.gpu_alone, *taken.gpu_shared))))
    if code == "network":
        return Reason(code, limit=rules.network)
    if code == "disk":
        return Reason(code, need=needs.disk, free=taken.disk_free)
    jobs, held = _largest(taken)
    return Reason(code, need=needs.memory, free=taken.memory_free, jobs=jobs, held=held, held_by=taken.holders)


def _largest(taken: Tally) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Who holds most of the memory, and how much each of them."""
    if taken.largest is None:
        named = sorted(taken.memory_held, key=lambda item: (-item[0], item[1]))[:_MOST_NAMED]
        taken.largest = (tuple(job for _amount, job in named), tuple(amount for amount, _job in named))
    return taken.largest


def figure_of(code: Code, job: Job) -> int | str:
    """The figure of a job by which two reasons of the same code, for the same tally, differ."""
    needs = job.spec.needs
    if code == "memory":
        return needs.memory
    if code == "disk":
        return needs.disk
    return {"kind": job.spec.kind, "gpu": needs.gpu}.get(code, "")


def closed(capacity: Capacity, rules: Rules) -> Reason | None:
    """Why nothing at all may start on this machine now."""
    if capacity.pressure:
        return Reason("pressure")
    if capacity.disk_free < rules.disk_reserve:
        return Reason("disk_low", free=capacity.disk_free, limit=rules.disk_reserve)
    return None


def too_large(job: Job, capacity: Capacity) -> Reason | None:
    """Why the job could never start on this machine."""
    need = job.spec.needs.memory
    return Reason("too_large", need=need, limit=capacity.memory_limit) if need > capacity.memory_limit else None


def takes(job: Job, code: Code, kind: str) -> bool:
    """Whether a job takes of that of which another one, of a ``kind``, is short."""
    needs = job.spec.needs
    return {
        "kind": job.spec.kind == kind,
        "gpu": needs.gpu != "none",
        "network": needs.network,
        "memory": needs.memory > 0,
        "disk": needs.disk > 0,
    }.get(code, True)


def blocked(job: Job, running: Sequence[Job], capacity: Capacity, rules: Rules) -> Reason | None:
    """Why the job cannot run now beside those that run; None: it fits. Neither order nor time of day count.

    ``capacity.memory_free`` is what is left for this job: what was reserved for it already must be in it.
    """
    reason = too_large(job, capacity) or closed(capacity, rules)
    if reason:
        return reason
    taken = tally(running, capacity, rules)
    code = short_of(job, taken, rules)
    return shortage(code, job, taken, rules) if code else None
