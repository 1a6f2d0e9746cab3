"""kill -9 of daemon, supervisor or command at 200 random moments: no job is lost, none is started twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.acceptance.command import wait_until
from tests.acceptance.job_lab import all_over, kill, make_job_lab, rows, start_daemon

from ultralab.app import Lab
from ultralab.app import jobs as verbs
from ultralab.jobs.marks import mark
from ultralab.jobs.states import MOST_INTERRUPTIONS
from ultralab.jobs.store.attempts import read_worker
from ultralab.jobs.store.record import attempt_folder
from ultralab.jobs.types import ACTIVE, Job, JobSpec
from ultralab.system.process import alive, identify
from ultralab.system.proctable import table

# Says in its own folder when it began and ended, and whether this attempt, or another one, was there before it.
WORKER = """
import fcntl, os, sys, time
folder, seconds = sys.argv[1], float(sys.argv[2])
def say(word):
    with open(os.path.join(folder, "said"), "a") as stream:
        stream.write(f"{word} {os.environ['ULTRALAB_ATTEMPT']}\\n")
try:
    os.mkdir(os.path.join(folder, os.environ["ULTRALAB_ATTEMPT"]))
except FileExistsError:
    say("twice")
lock = open(os.path.join(folder, "lock"), "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    say("beside")
say("begin")
print("working", flush=True)
time.sleep(seconds)
say("end")
"""

KILLS = 200
LOOK_AFTER = 20
JOBS = 40
SEED = 20261123


def said(folder: Path) -> list[tuple[str, int]]:
    """What the worker of a job told: word and attempt."""
    path = folder / "said"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(word, int(number)) for word, number in map(str.split, lines)]


def submit_all(lab: Lab, folder: Path, chance: random.Random) -> dict[int, Path]:
    """Forty short jobs; every second one may run again by itself. Each one's own folder."""
    folders = {}
    for number in range(JOBS):
        own = folder / str(number)
        own.mkdir(parents=True)
        again = number % 2 == 0
        seconds = chance.uniform(0.2, 0.7)
        job = verbs.submit(
            lab,
            JobSpec(
                argv=(sys.executable, "-I", "-S", "-c", WORKER, str(own), f"{seconds:.3f}"),
                cwd=str(own),
                name=f"short-{number}",
                idempotent=again,
                retries=1000 if again else 0,
            ),
        )
        folders[job.id] = own
    return folders


def target(lab: Lab, daemon: subprocess.Popen[bytes], chance: random.Random) -> tuple[str, int] | None:
    """Somebody to kill, at random: the daemon, a supervisor or a command; None where the chosen kind does not live."""
    kind = chance.choice(["daemon", "supervisor", "command"])
    if kind == "daemon":
        return ("daemon", daemon.pid) if daemon.poll() is None else None
    running = [job for job in rows(lab) if job.state in ACTIVE]
    if not running:
        return None
    job = chance.choice(running)
    folder = attempt_folder(verbs.jobs_folder(lab.home), job.id, job.condition.fence)
    process = job.condition.supervisor if kind == "supervisor" else read_worker(folder)
    return (kind, process.pid) if process is not None and alive(process) else None


def right(lab: Lab) -> bool:
    """A row that says running has a living supervisor, and nothing lives of an attempt that no row says is running."""
    folder = verbs.jobs_folder(lab.home)
    marks = {carried for _pid, _parent, _session, carried in table() if carried}
    active = [job for job in rows(lab) if job.state in ACTIVE]
    place = folder.stat()
    ours = {carried for carried in marks if carried.startswith(f"{place.st_dev:x}-{place.st_ino:x}/")}
    return all(job.condition.supervisor and alive(job.condition.supervisor) for job in active) and ours <= {
        mark(folder, job.id, job.condition.fence) for job in active
    }


def restarted(daemon: subprocess.Popen[bytes], lab: Lab) -> subprocess.Popen[bytes]:
    """Another daemon after a kill -9 of this one."""
    daemon.kill()
    daemon.wait(10)
    return start_daemon(lab.home)


@pytest.mark.slow
def test_nothing_is_lost_or_started_twice(tmp_path: Path) -> None:
    lab = make_job_lab(tmp_path / "lab", parallel="3")
    chance = random.Random(SEED)
    daemon = start_daemon(lab.home)
    killed = dict.fromkeys(("daemon", "supervisor", "command"), 0)
    looks = 0
    try:
        folders = submit_all(lab, tmp_path / "work", chance)
        while sum(killed.values()) < KILLS:
            assert not all_over(lab), f"all jobs ended after {killed}"
            time.sleep(chance.uniform(0.0, 0.12))
            found = target(lab, daemon, chance)
            if found is None:
                continue
            kind, pid = found
            process = identify(pid)
            before = sum(killed.values()) // LOOK_AFTER
            killed[kind] += process is not None and kill(process)
            if kind == "daemon":
                daemon.wait(10)
                daemon = start_daemon(lab.home)
            if sum(killed.values()) // LOOK_AFTER > before:
                daemon = restarted(daemon, lab)
                wait_until(lambda: right(lab), 10)
                looks += 1
        wait_until(lambda: all_over(lab), 120)
        found_jobs = rows(lab)
    finally:
        daemon.terminate()
        daemon.wait(20)

    assert (sum(killed.values()), looks) == (KILLS, KILLS // LOOK_AFTER)
    assert min(killed.values()) > 20, killed
    assert sorted(job.id for job in found_jobs) == sorted(folders)
    for job in found_jobs:
        words = said(folders[job.id])
        assert {word for word, _attempt in words} <= {"begin", "end"}, (job, words)
        begun = [attempt for word, attempt in words if word == "begin"]
        assert len(begun) == len(set(begun))
        assert job.spec.idempotent or len(begun) <= 1, (job, words)
        assert job.state == right_end(job, words), (job, words)


def right_end(job: Job, words: list[tuple[str, int]]) -> str:
    """The only right state for what the job's command told about itself."""
    if ("end", job.condition.fence) in words and job.condition.cause == "exit":
        return "succeeded"
    if job.spec.idempotent:  # it runs again by itself, unless it was cut off so often that something must be wrong
        return "succeeded" if job.condition.interruptions <= MOST_INTERRUPTIONS else "interrupted"
    return "failed" if job.condition.cause == "signal" else "interrupted"
