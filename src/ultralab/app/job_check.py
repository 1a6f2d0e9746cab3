"""The jobs' selftest: one real job on this machine, with a process that tries to leave it."""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.language import N_, _
from ultralab.system import clock, environ

# Leaves a child in a session of its own behind, which would sleep for ten minutes.
_LEAVER: Final = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nprint('left', flush=True)\n"
)
_PATIENCE_SECONDS: Final = 30.0


def job_checks() -> tuple[Check, ...]:
    """What only the machine itself can show about jobs."""
    return (Check("jobs.run", N_("A job runs to its end, and nothing of it stays behind"), _run),)


def _run() -> Finding:
    from ultralab.app.job_site import awake
    from ultralab.jobs.settle import settle
    from ultralab.jobs.site import Site
    from ultralab.jobs.start import start
    from ultralab.jobs.store.attempts import read_ended, read_worker
    from ultralab.jobs.store.queue import job, open_queue, submit
    from ultralab.jobs.store.record import attempt_folder
    from ultralab.jobs.types import ACTIVE, Capacity, JobSpec, Rules

    site = Site(
        rules=Rules(),
        capacity=lambda: Capacity(memory_limit=1, memory_free=1, disk_free=1),
        reserve=lambda _amount, _purpose, _holder: 0,
        release=lambda _reservation, _holder: None,
        awake=awake,
        drain=(sys.executable, "-I", "-S", "-c", "pass"),
        log_limit=1_048_576,
        grace=2.0,
    )
    with tempfile.TemporaryDirectory() as place, closing((queue := open_queue(Path(place) / "jobs")).database):
        spec = JobSpec(argv=(sys.executable, "-I", "-S", "-c", _LEAVER), cwd=place, name="selftest")
        made = submit(queue, spec, environ.for_job(), clock.timestamp())
        begun = clock.monotonic()
        start(queue, site, site.capacity(), made)
        folder = attempt_folder(queue.folder, made.id, 1)
        started = None
        while job(queue, made.id).state in ACTIVE and clock.monotonic() - begun < _PATIENCE_SECONDS:
            if started is None and read_worker(folder):
                started = clock.monotonic() - begun
            settle(queue, site.release)
            clock.sleep(0.005)
        ended = read_ended(folder)
    if ended is None:
        return Finding("fail", _("The job did not end within {seconds:.0f} s.").format(seconds=_PATIENCE_SECONDS))
    detail = _(
        "started in {milliseconds:.0f} ms, ended with status {status}; processes that tried to stay and were ended: {count}"
    ).format(milliseconds=1000 * (started or 0), status=ended.status, count=ended.left_behind)
    return Finding("pass" if (ended.status, ended.left_behind) == (0, 1) else "fail", detail)
