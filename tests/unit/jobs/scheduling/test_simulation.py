"""The scheduler over time: 1,000 random workloads, and the ones that are made to starve somebody."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.jobs_simulation import BEGIN, GIB, Figures, Workload, faults, random_workload, run, simulate

from ultralab.jobs.types import Condition, Gpu, Job, JobSpec, Needs, Rules

RULES = Rules(parallel=4, ageing=3600.0, patience=900.0)


def _job(number: int, at: float, memory: int = 0, gpu: Gpu = "none", priority: int = 0) -> Job:
    needs = Needs(memory=memory * GIB, gpu=gpu)
    spec = JobSpec(argv=("true",), cwd="/", name=str(number), priority=priority, needs=needs)
    return Job(number, spec, Condition("queued", BEGIN + at))


def _load(jobs: list[Job], rules: Rules = RULES) -> Workload:
    return Workload(tuple(jobs), {job.id: 1000 for job in jobs}, {job.id: "succeeded" for job in jobs}, rules)


def _start_of(number: int, load: Workload) -> float:
    figures = Figures()
    started = simulate(load, figures)
    assert faults(figures) == {}
    return started[number] - BEGIN


def test_1000_random_workloads_are_never_too_much_starve_nobody_and_keep_priorities() -> None:
    figures = run(1000)
    assert faults(figures) == {}
    assert (figures.workloads, 20_000 <= figures.jobs <= 60_000, figures.jobs < figures.passes) == (1000, True, True)


def test_the_same_seed_gives_the_same_workload() -> None:
    assert random_workload(7) == random_workload(7)
    assert random_workload(7) != random_workload(8)


def test_an_endless_stream_of_small_jobs_does_not_starve_a_large_one() -> None:
    """They come as fast as they run, two at once, and each may go before the large one for five hours."""
    stream = [_job(number, 500 * number, memory=40, priority=5) for number in range(2, 102)]
    jobs = [*stream[:2], _job(1, 1500, memory=100), *stream[2:]]
    bound = 1500 + (5 + 1) * RULES.ageing + RULES.patience + 2 * 1000
    assert _start_of(1, _load(jobs)) <= bound
    assert _start_of(1, _load(jobs, replace(RULES, patience=1e9))) > 500 * 101


def test_a_job_that_needs_two_things_gets_both_though_they_are_never_free_together() -> None:
    memory = [_job(10 + number, 900 * number, memory=60) for number in range(50)]
    gpu = [_job(100 + number, 450 + 900 * number, gpu="exclusive") for number in range(50)]
    jobs = sorted([_job(1, 1, memory=60, gpu="exclusive"), *memory, *gpu], key=lambda job: job.condition.submitted)
    assert _start_of(1, _load(jobs)) <= 1 + RULES.patience + 1000
    assert _start_of(1, _load(jobs, replace(RULES, patience=1e9))) > 900 * 49
