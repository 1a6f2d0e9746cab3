"""Passes and the loops that run them, with real jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.jobs.test_start import put, shell, until_over, wait

from ultralab.jobs import schedules
from ultralab.jobs.loop import drain
from ultralab.jobs.passes import run_pass, submit_due
from ultralab.jobs.scheduling.plan import plan
from ultralab.jobs.scheduling.reasons import sentence
from ultralab.jobs.site import Site
from ultralab.jobs.store import queue as rows
from ultralab.jobs.store.queue import Queue, listed, under_way
from ultralab.jobs.types import Dependency, JobSpec, Needs, Rules
from ultralab.jobs.wake import poke
from ultralab.kernel.errors import DiskFull
from ultralab.kernel.units import GIB
from ultralab.system import clock

if TYPE_CHECKING:
    from tests.unit.jobs.conftest import Sited


def test_an_empty_queue_costs_nothing(queue: Queue, site: Site) -> None:
    found = run_pass(queue, site, clock.now())
    assert (found.started, found.running, found.resting, found.blocked) == ((), 0, True, False)


def test_a_pass_starts_what_fits_and_says_why_the_rest_waits(queue: Queue, sited: Sited) -> None:
    site = sited(Rules(parallel=4))
    small = put(queue, shell("true", needs=Needs(memory=40 * GIB)))
    large = put(queue, shell("true", needs=Needs(memory=30 * GIB)))
    found = run_pass(queue, site, clock.now())
    assert [job.id for job in found.started] == [small.id]
    assert found.blocked
    assert not found.resting
    waiting = plan(*under_way(queue), site.capacity(), site.rules, clock.now()).waiting[large.id]
    assert "30.0 GiB" in sentence(waiting)
    until_over(queue, site, found.started[0])
    assert [job.id for job in run_pass(queue, site, clock.now()).started] == [large.id]
    until_over(queue, site, large)


def test_who_waits_for_a_moment_needs_no_look_before(queue: Queue, site: Site) -> None:
    put(queue, JobSpec(argv=("/bin/true",), cwd="/", name="later", not_before=clock.timestamp() + 86_400))
    found = run_pass(queue, site, clock.now())
    assert (found.started, found.blocked, found.resting, found.look_again is None) == ((), False, True, False)


def test_the_drain_runs_a_chain_and_ends(queue: Queue, site: Site, tmp_path: Path) -> None:
    first = put(queue, shell(f"echo 1 >> {tmp_path}/order"))
    second = put(
        queue,
        JobSpec(
            argv=("/bin/sh", "-c", f"echo 2 >> {tmp_path}/order; exit 1"),
            cwd="/",
            name="second",
            after=(Dependency(first.id),),
            retries=1,
        ),
    )
    third = put(queue, JobSpec(argv=("/bin/true",), cwd="/", name="third", after=(Dependency(second.id, "end"),)))
    never = put(queue, JobSpec(argv=("/bin/true",), cwd="/", name="never", after=(Dependency(second.id),)))
    later = put(queue, JobSpec(argv=("/bin/true",), cwd="/", name="later", not_before=time.time() + 3600))
    drain(queue, lambda: site, lambda: False)
    states = {job.id: job.state for job in listed(queue)}
    assert states == {
        first.id: "succeeded",
        second.id: "failed",
        third.id: "succeeded",
        never.id: "queued",
        later.id: "queued",
    }
    assert (tmp_path / "order").read_text() == "1\n2\n2\n"
    assert not poke(queue.folder)


def test_a_drain_goes_when_a_daemon_has_come(queue: Queue, site: Site) -> None:
    put(queue, shell("sleep 60"))
    drain(queue, lambda: site, lambda: True)
    assert [job.state for job in listed(queue)] == ["queued"]


DRAIN = """
import sys
from pathlib import Path
from typing import TYPE_CHECKING
sys.path.insert(0, sys.argv[2])
from tests.unit.jobs.conftest import site_with
from ultralab import memory
from ultralab.jobs.loop import drain
from ultralab.jobs.store.queue import open_queue
from ultralab.jobs.types import Rules
root = Path(sys.argv[1])
site = site_with(memory.open_ledger(root / "machine", 64 * 2**30), Rules(parallel=3))
drain(open_queue(root / "jobs"), lambda: site, lambda: False)
"""


def test_many_drains_at_once_leave_nothing_behind(queue: Queue, tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[3])
    jobs = [put(queue, shell(f"echo x >> {tmp_path}/{number}")) for number in range(10)]
    running = [subprocess.Popen([sys.executable, "-c", DRAIN, str(tmp_path), root]) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert {job.id: job.state for job in listed(queue)} == {job.id: "succeeded" for job in jobs}
    assert [(tmp_path / str(number)).read_text() for number in range(10)] == ["x\n"] * 10


def test_schedules_submit_each_due_moment_once(queue: Queue) -> None:
    now = datetime(2026, 11, 23, 12, 0, 30).astimezone()
    spec = JobSpec(argv=("/bin/true",), cwd="/", name="nightly")
    begin = (now - timedelta(minutes=10)).timestamp()
    schedules.add(queue, "often", "*/2 * * * *", "all", spec, {"PATH": os.environ["PATH"]}, begin)
    following = submit_due(queue, now)
    assert following == now.replace(minute=2, second=0)
    submitted = listed(queue)
    assert [(job.spec.schedule, job.spec.name, job.state) for job in submitted] == [("often", "nightly", "queued")] * 5
    submit_due(queue, now)
    submit_due(queue, now - timedelta(hours=1))  # the clock went backwards
    assert listed(queue) == submitted
    submit_due(queue, now + timedelta(minutes=2))
    assert len(listed(queue)) == 6


def test_the_one_that_may_start_is_found_among_many(queue: Queue, site: Site) -> None:
    for number in range(300):
        rows.submit(queue, JobSpec(argv=("x",), cwd="/", name=f"later-{number}", night=True, not_before=9e9), {}, 0.0)
    job = put(queue, shell("true"))
    found = run_pass(queue, site, clock.now())
    assert [made.id for made in found.started] == [job.id]
    wait(lambda: until_over(queue, site, job).state == "succeeded")


def test_a_drain_outlives_a_full_disk_at_its_last_look(queue: Queue, site: Site, tmp_path: Path) -> None:
    looks = 0

    def here() -> Site:
        nonlocal looks
        looks += 1
        if looks == 2:  # the look after it has stopped listening
            put(queue, shell(f"echo late > {tmp_path}/late"))
            raise DiskFull("the disk is full")
        return site

    drain(queue, here, lambda: False)
    assert [job.state for job in listed(queue)] == ["succeeded"]
    assert (tmp_path / "late").read_text() == "late\n"
