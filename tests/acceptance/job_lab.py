"""A lab with jobs, its daemon and its supervisors, as the tests of survival need them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.acceptance.command import ULTRALAB, environment, ultralab, wait_until

from ultralab.app import Lab, open_lab
from ultralab.app import jobs as verbs
from ultralab.jobs.store.queue import listed, open_queue
from ultralab.jobs.types import OVER, Job
from ultralab.jobs.wake import heard
from ultralab.system.process import ProcessId, alive, identify


def make_job_lab(home: Path, **settings: str) -> Lab:
    """A lab without models."""
    assert ultralab("init", home, "--lang", "en").status == 0
    for key, value in settings.items():
        done = ultralab("config", "set", f"jobs.{key}", value, "--home", home)
        assert done.status == 0, done.err
    return open_lab(home)


def start_daemon(home: Path) -> subprocess.Popen[bytes]:
    """``ultralab serve``, in a session of its own."""
    with (home / "state" / "daemon.stderr").open("ab") as errors:
        return subprocess.Popen(
            [str(ULTRALAB), "serve", "--home", str(home)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


@contextmanager
def daemon(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon for the length of a block, asked to end at its end."""
    running = start_daemon(lab.home)
    try:
        wait_until(lambda: verbs.daemon_runs(lab) and heard(verbs.jobs_folder(lab.home)), 20)
        yield running
    finally:
        running.terminate()
        running.wait(20)


def rows(lab: Lab) -> list[Job]:
    """The jobs as they stand in the queue, without looking at what became of them."""
    queue = open_queue(verbs.jobs_folder(lab.home))
    try:
        return listed(queue)
    finally:
        queue.database.close()


def all_over(lab: Lab) -> bool:
    """Whether no job of the lab waits or runs."""
    return all(job.state in OVER for job in rows(lab))


def drains(home: Path) -> list[ProcessId]:
    """The processes that schedule this lab's jobs because no daemon does."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"drain" in words and os.fsencode(str(home)) in words and (process := identify(int(folder.name))):
                found.append(process)
    return found


def kill(process: ProcessId) -> bool:
    """``kill -9``, if it still lives."""
    if not alive(process):
        return False
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
        return True
    return False
