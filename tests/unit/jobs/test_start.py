"""A job is started once, by whoever is first, and what became of it is found out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.jobs.conftest import LIMIT, Sited

from ultralab import memory
from ultralab.jobs.marks import mark
from ultralab.jobs.settle import settle
from ultralab.jobs.site import Site
from ultralab.jobs.start import start
from ultralab.jobs.store import queue as rows
from ultralab.jobs.store.attempts import has_begun, read_ended, read_worker
from ultralab.jobs.store.queue import Queue, happen, submit
from ultralab.jobs.store.record import attempt_folder
from ultralab.jobs.types import Event, Job, JobSpec, Needs, Rules
from ultralab.kernel.errors import OutOfMemory
from ultralab.kernel.units import GIB
from ultralab.system import output
from ultralab.system.process import ProcessId, alive, identify, signal_process
from ultralab.system.tree import members

NOW = 1_795_000_000.0


NOTHING = Needs()


def spec(*argv: str, needs: Needs = NOTHING, idempotent: bool = False, retries: int = 0) -> JobSpec:
    return JobSpec(argv=argv, cwd="/", name="job", needs=needs, idempotent=idempotent, retries=retries)


def shell(text: str, **more: object) -> JobSpec:
    return spec("/bin/sh", "-c", text, **more)  # type: ignore[arg-type]


def put(queue: Queue, what: JobSpec) -> Job:
    return submit(queue, what, {"PATH": os.environ["PATH"]}, NOW)


def wait(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def until_over(queue: Queue, site: Site, job: Job) -> Job:
    """Settle until the job is no longer active."""
    wait(lambda: settle(queue, site.release) or rows.job(queue, job.id).state not in ("running", "cancelling"))
    return rows.job(queue, job.id)


def folder_of(queue: Queue, job: Job) -> Path:
    return attempt_folder(queue.folder, job.id, job.condition.fence)


def printed(queue: Queue, job: Job) -> bytes:
    parts = output.read(folder_of(queue, job))
    return b"".join(part for part in parts if isinstance(part, bytes))


def begun(queue: Queue, site: Site, what: JobSpec) -> Job:
    """A job whose command runs."""
    started = start(queue, site, site.capacity(), put(queue, what))
    assert started is not None
    wait(lambda: read_worker(folder_of(queue, started)))
    return started


def claimed(queue: Queue, job: Job, supervisor: ProcessId) -> Job:
    """A job that a scheduler gave to this supervisor, and whose supervisor had not begun."""
    fence = job.condition.fence + 1
    attempt_folder(queue.folder, job.id, fence).mkdir()
    event = Event("start", NOW, fence, supervisor=supervisor)
    started = rows.start(queue, job.id, event, lambda _job, _running: True)
    assert started is not None
    return started


def kill_supervisor(job: Job) -> None:
    assert job.condition.supervisor is not None
    os.kill(job.condition.supervisor.pid, signal.SIGKILL)


def test_from_start_to_end(queue: Queue, site: Site, ledger: memory.Ledger) -> None:
    job = put(queue, shell('echo "$ULTRALAB_ATTEMPT:$ULTRALAB_RESERVATION"; exit 3', needs=Needs(memory=GIB)))
    started = start(queue, site, site.capacity(), job)
    assert started is not None
    assert (started.state, started.condition.fence) == ("running", 1)
    assert started.condition.supervisor is not None
    (held,) = memory.holders(ledger)
    assert (held.holder, held.amount, held.id) == (started.condition.supervisor, GIB, started.condition.reservation)

    over = until_over(queue, site, started)
    assert (over.state, over.condition.status, over.condition.cause) == ("failed", 3, "exit")
    assert printed(queue, over) == f"1:{held.id}\n".encode()
    assert memory.holders(ledger) == ()


def test_the_second_scheduler_loses(queue: Queue, site: Site, tmp_path: Path) -> None:
    job = put(queue, shell(f"echo x >> {tmp_path}/ran"))
    first = start(queue, site, site.capacity(), job)
    second = start(queue, site, site.capacity(), job)
    assert first is not None
    assert second is None
    until_over(queue, site, first)
    assert (tmp_path / "ran").read_text() == "x\n"


RACER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.unit.jobs.conftest import site_with
from ultralab import memory
from ultralab.jobs.store.queue import open_queue, listed
from ultralab.jobs.start import start
from ultralab.jobs.types import Rules
root = Path(sys.argv[1])
queue = open_queue(root / "jobs")
site = site_with(memory.open_ledger(root / "machine", 64 * 2**30), Rules(parallel=1000))
jobs = listed(queue)
print("ready", flush=True)
sys.stdin.readline()
won = [job.id for job in jobs if start(queue, site, site.capacity(), job) is not None]
print(*won, flush=True)
"""


def test_two_schedulers_that_both_believe_they_own_the_jobs(queue: Queue, site: Site, tmp_path: Path) -> None:
    jobs = [put(queue, shell(f"echo $ULTRALAB_ATTEMPT >> {tmp_path}/ran-{number}")) for number in range(12)]
    root = Path(__file__).resolve().parents[3]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(name), str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in range(2)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    won = [racer.communicate("\n", timeout=120)[0].split() for racer in racers]
    assert sorted(int(number) for numbers in won for number in numbers) == [job.id for job in jobs]
    for number, job in enumerate(jobs):
        assert until_over(queue, site, job).state == "succeeded"
        assert (tmp_path / f"ran-{number}").read_text() == "1\n"


def test_what_no_longer_fits_is_not_started(queue: Queue, sited: Sited) -> None:
    site = sited(Rules(parallel=4))
    exclusive = Needs(gpu="exclusive")
    first = begun(queue, site, shell("sleep 60", needs=exclusive))
    second = put(queue, shell("sleep 60", needs=exclusive))
    assert start(queue, site, site.capacity(), second) is None  # a scheduler that had looked before the first started
    assert rows.job(queue, second.id) == second
    happen(queue, first.id, Event("cancel", NOW))
    assert until_over(queue, site, first).state == "cancelled"


def test_memory_is_granted_or_nothing_starts(queue: Queue, site: Site, ledger: memory.Ledger) -> None:
    job = put(queue, shell("true", needs=Needs(memory=LIMIT)))
    with memory.held(ledger, GIB, "a model"), pytest.raises(OutOfMemory):
        start(queue, site, site.capacity(), job)
    assert rows.job(queue, job.id) == job
    assert memory.holders(ledger) == ()


def test_a_supervisor_killed_before_it_began_costs_nothing(queue: Queue, site: Site) -> None:
    job = put(queue, shell("true"))
    gone = ProcessId(4_000_000, "another-boot")  # as after a power cut
    claimed(queue, job, gone)
    assert [changed.state for changed in settle(queue, site.release)] == ["queued"]
    again = start(queue, site, site.capacity(), rows.job(queue, job.id))
    assert again is not None
    over = until_over(queue, site, again)
    assert (over.state, over.condition.fence, over.condition.interruptions) == ("succeeded", 2, 0)


@pytest.mark.parametrize(("idempotent", "state"), [(False, "interrupted"), (True, "queued")])
def test_after_a_power_cut(queue: Queue, site: Site, idempotent: bool, state: str) -> None:
    job = begun(queue, site, shell("sleep 60", idempotent=idempotent))
    worker = read_worker(folder_of(queue, job))
    assert worker is not None
    kill_supervisor(job)
    over = until_over(queue, site, job)
    assert (over.state, over.condition.cause, over.condition.interruptions) == (state, "lost", 1)
    assert not alive(worker)
    assert has_begun(folder_of(queue, job))
    assert read_ended(folder_of(queue, job)) is None


def test_a_shutdown_is_no_failure(queue: Queue, site: Site) -> None:
    job = begun(queue, site, shell("sleep 60", retries=5))
    assert job.condition.supervisor is not None
    signal_process(job.condition.supervisor, signal.SIGTERM)
    over = until_over(queue, site, job)
    assert (over.state, over.condition.cause, over.condition.failures) == ("interrupted", "shutdown", 0)


def test_a_recycled_pid_is_never_taken_for_the_supervisor(queue: Queue, site: Site) -> None:
    job = put(queue, shell("true"))
    recycled = ProcessId(os.getpid(), "an-earlier-start")
    claimed(queue, job, recycled)
    assert [changed.state for changed in settle(queue, site.release)] == ["queued"]


def test_a_cancel_whose_signal_was_never_sent_arrives_anyway(queue: Queue, site: Site) -> None:
    job = begun(queue, site, shell("sleep 60"))
    happen(queue, job.id, Event("cancel", NOW))  # and here whoever cancelled was killed
    over = until_over(queue, site, job)
    assert (over.state, over.condition.cause) == ("cancelled", "cancel")


def test_settling_waits_for_those_who_live(queue: Queue, site: Site) -> None:
    job = begun(queue, site, shell("sleep 60"))
    assert settle(queue, site.release) == []
    happen(queue, job.id, Event("cancel", NOW))
    until_over(queue, site, job)
    with suppress(ProcessLookupError):
        assert job.condition.supervisor is not None
        assert not alive(job.condition.supervisor) or signal_process(job.condition.supervisor, 0)


def test_supervisors_that_never_begin_are_not_tried_for_ever(queue: Queue, site: Site) -> None:
    job = put(queue, shell("true"))
    for _ in range(9):
        job = claimed(queue, job, ProcessId(4_000_000, "gone"))
        (job,) = settle(queue, site.release)
        assert job.state == "queued"
    claimed(queue, job, ProcessId(4_000_000, "gone"))
    (job,) = settle(queue, site.release)
    assert (job.state, job.condition.cause, job.condition.status) == ("failed", "not_started", 126)


def test_a_job_that_removes_its_own_folder_is_not_run_again(queue: Queue, site: Site, tmp_path: Path) -> None:
    where = "$(dirname $ULTRALAB_PROGRESS)"
    job = begun(queue, site, shell(f"echo x >> {tmp_path}/ran; sleep 0.2; rm -rf {where}"))
    over = until_over(queue, site, job)
    assert (over.state, over.condition.cause) == ("interrupted", "lost")
    assert (tmp_path / "ran").read_text() == "x\n"


def test_a_job_with_a_damaged_folder_stands_in_nobodys_way(queue: Queue, site: Site) -> None:
    job = put(queue, shell("true", retries=1))
    (queue.folder / "000001" / "job.json").write_text("not JSON")
    for state in ("queued", "failed"):
        assert start(queue, site, site.capacity(), rows.job(queue, job.id)) is None
        assert [changed.state for changed in settle(queue, site.release)] == [state]
    over = rows.job(queue, job.id)
    assert (over.condition.status, over.condition.cause) == (126, "not_started")
    ended = read_ended(folder_of(queue, over))
    assert ended is not None
    assert "job.json" in ended.problem


def test_a_folder_where_the_end_should_be_written_hinders_no_other_job(queue: Queue, site: Site) -> None:
    job = begun(queue, site, shell("sleep 60"))
    (folder_of(queue, job) / "ended.json").mkdir()
    other = begun(queue, site, shell("true"))
    assert until_over(queue, site, other).state == "succeeded"
    kill_supervisor(job)
    assert until_over(queue, site, job).state == "interrupted"


def test_a_lab_by_another_path_knows_what_runs(queue: Queue, site: Site, tmp_path: Path) -> None:
    job = begun(queue, site, shell("trap '' TERM; sleep 61 & sleep 62; true", idempotent=True))
    worker = read_worker(folder_of(queue, job))
    assert worker is not None
    (tmp_path / "link").symlink_to(tmp_path)
    kill_supervisor(job)
    other = rows.open_queue(tmp_path / "link" / "jobs")
    wait(lambda: [changed.state for changed in settle(other, site.release)] == ["queued"])
    other.database.close()
    assert not alive(worker)
    assert members(mark(queue.folder, job.id, 1)) == []


def test_a_copied_lab_leaves_the_originals_jobs_alone(queue: Queue, site: Site, tmp_path: Path) -> None:
    job = begun(queue, site, spec("/usr/bin/env", "-i", "/bin/sleep", "60", idempotent=True))
    worker = read_worker(folder_of(queue, job))
    assert worker is not None
    shutil.copytree(queue.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("wake"))
    copy = rows.open_queue(tmp_path / "copy")
    assert [changed.state for changed in settle(copy, site.release)] == ["queued"]
    copy.database.close()
    assert settle(queue, site.release) == []
    assert alive(worker)
    happen(queue, job.id, Event("cancel", NOW))
    assert until_over(queue, site, job).state == "cancelled"


def test_a_lab_that_is_moved_while_its_jobs_run(queue: Queue, site: Site, tmp_path: Path) -> None:
    job = begun(queue, site, shell(f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo moved"))
    queue.database.close()
    queue.folder.rename(tmp_path / "elsewhere")
    moved = rows.open_queue(tmp_path / "elsewhere")
    assert settle(moved, site.release) == []
    (tmp_path / "go").touch()
    over = until_over(moved, site, job)
    assert (over.state, printed(moved, over)) == ("succeeded", b"moved\n")
    moved.database.close()


def test_what_hides_from_a_job_is_ended_before_it_runs_again(queue: Queue, site: Site) -> None:
    job = begun(queue, site, shell("env -i /bin/sleep 63 & echo $!; sleep 0.5", idempotent=True))
    wait(lambda: printed(queue, job).endswith(b"\n"))
    hidden = identify(int(printed(queue, job)))
    assert hidden is not None
    kill_supervisor(job)
    worker = read_worker(folder_of(queue, job))
    assert worker is not None
    wait(lambda: not alive(worker))
    assert alive(hidden)
    assert until_over(queue, site, job).state == "queued"
    assert not alive(hidden)


def test_a_cancel_that_could_not_be_written_counts(queue: Queue, site: Site) -> None:
    job = begun(queue, site, shell("sleep 60", retries=5))
    assert job.condition.supervisor is not None
    signal_process(job.condition.supervisor, signal.SIGUSR1)
    over = until_over(queue, site, job)
    assert (over.state, over.condition.cause) == ("cancelled", "cancel")
