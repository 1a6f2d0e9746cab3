"""The jobs of a lab whose disk is full, or read-only: they can be looked at, ended and removed.

Real disks: small ones in memory. Run as a program (in a mount name space of its own), this file is that second part.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ultralab.app import Lab, open_lab
from ultralab.app import jobs as verbs
from ultralab.jobs.store.queue import job, open_queue
from ultralab.jobs.types import Job, JobSpec
from ultralab.kernel.errors import DiskFull
from ultralab.settings import set_value
from ultralab.setup.tree import create_lab
from ultralab.system.process import alive

PRINTED = 300_000


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def shell(text: str, name: str) -> JobSpec:
    return JobSpec(argv=("/bin/sh", "-c", text), cwd="/", name=name, idempotent=True, retries=3)


def states(lab: Lab) -> list[str]:
    return [found.state for found in verbs.overview(lab, everything=True).jobs]


def row(lab: Lab, number: int) -> Job:
    queue = open_queue(verbs.jobs_folder(lab.home))
    try:
        return job(queue, number)
    finally:
        queue.database.close()


def fill(place: Path) -> None:
    with (place / "filler").open("ab", buffering=0) as stream:
        for size in (65_536, 4096, 512, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue
    assert shutil.disk_usage(place).free == 0


def everything_can_be_seen(lab: Lab, expected: list[str]) -> None:
    seen = verbs.overview(lab)
    assert [found.state for found in seen.jobs] == expected
    assert seen.more == 0
    assert [found.state for found in verbs.listed(lab)] == expected
    assert sum(verbs.counts(lab).values()) == len(expected)
    assert verbs.find(lab, "last").spec.name == "waits"
    assert verbs.names(lab, 9) == ["3", "2", "1", "waits", "long", "prints"]
    first = verbs.view(lab, "prints")
    assert (first.job.state, [attempt.output_bytes for attempt in first.attempts]) == ("succeeded", [PRINTED])
    assert (first.attempts[0].folder / "output-00000000000000000000.log").read_bytes() == b"x" * PRINTED
    waits = verbs.view(lab, "waits")
    assert (waits.job.state, waits.waiting.code if waits.waiting else "") == ("held", "held")
    assert verbs.all_schedules(lab) == []


def on_a_full_disk(lab: Lab, place: Path) -> None:
    """It is filled while a job runs; that one is seen and ended, and what is over gives its space back."""
    fill(place)
    everything_can_be_seen(lab, ["succeeded", "running", "held"])
    worker = verbs.view(lab, "long").attempts[-1].worker
    assert worker is not None
    assert verbs.cancel(lab, "long").state == "cancelling"
    until(lambda: not alive(worker), "the job was not ended")
    try:
        verbs.cancel(lab, "waits")
        raise AssertionError("what waits cannot be cancelled where nothing can be written")
    except DiskFull:
        pass
    (place / "filler").unlink()
    until(lambda: states(lab) == ["succeeded", "cancelled", "held"], "the cancelled job did not end so")
    assert verbs.find(lab, "long").condition.fence == 1
    assert [attempt.worker for attempt in verbs.view(lab, "long").attempts] == [None]
    until(lambda: not others(), "a drain went on")
    fill(place)
    everything_can_be_seen(lab, ["succeeded", "cancelled", "held"])
    assert [found.id for found in verbs.prune(lab, older_than=0.0, dry_run=True)] == [1, 2]
    assert [found.id for found in verbs.prune(lab, older_than=0.0, dry_run=False)] == [1, 2]
    assert shutil.disk_usage(place).free >= PRINTED
    assert states(lab) == ["held"]
    (place / "filler").unlink()
    verbs.cancel(lab, "waits")
    verbs.submit(lab, shell(f"head -c {PRINTED} /dev/zero", "prints"))  # and now the newest one has filled it
    until(lambda: states(lab) == ["cancelled", "succeeded"] and not others(), "it did not run")
    fill(place)
    assert [found.id for found in verbs.prune(lab, older_than=0.0, dry_run=False)] == [3, 4]
    assert shutil.disk_usage(place).free >= PRINTED
    assert states(lab) == []
    (place / "filler").unlink()
    (place / "lab" / "state" / "jobs" / "queue.db").unlink()
    assert verbs.submit(lab, shell("true", "next")).id == 5


def on_a_read_only_disk(lab: Lab, place: Path) -> None:
    until(lambda: not others(), "a drain went on")
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    everything_can_be_seen(lab, ["succeeded", "cancelled", "held"])
    subprocess.run(["mount", "-o", "remount,rw", place], check=True)


def others() -> list[str]:
    """The processes that still work for the lab: drains and supervisors, which are nobody's children."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(LAB) in words and b"drain" in words:
            found.append(folder.name)
    return found


def main(place: Path) -> None:
    """Mount a small disk with a lab on it, and let its disk be full."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    create_lab(place / "lab", language="en")
    set_value(place / "lab", "jobs.disk_reserve", "0")
    lab = open_lab(place / "lab")
    verbs.submit(lab, shell(f"head -c {PRINTED} /dev/zero | tr '\\0' x", "prints"))
    until(lambda: row(lab, 1).state == "succeeded", "it did not run")
    verbs.submit(lab, shell("sleep 60", "long"))
    until(lambda: row(lab, 2).state == "running" and verbs.view(lab, "long").attempts[0].worker, "it did not start")
    verbs.submit(lab, shell("true", "waits"), held=True)
    if sys.argv[2] == "full":
        on_a_full_disk(lab, place)
    else:
        verbs.cancel(lab, "long")
        until(lambda: states(lab)[1] == "cancelled", "it did not end")
        on_a_read_only_disk(lab, place)


OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:
    import pytest

    @pytest.mark.parametrize("disk", ["full", "read-only"])
    def test_a_disk_that_takes_nothing(tmp_path: Path, disk: str, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "disk").mkdir()
        monkeypatch.setenv("ULTRALAB_STATE", str(tmp_path / "machine"))
        answer = subprocess.run(
            [*OWN_MOUNTS, sys.executable, __file__, tmp_path / "disk", disk],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert answer.returncode == 0, answer.stderr


if __name__ == "__main__":
    LAB = str(Path(sys.argv[1]) / "lab")
    main(Path(sys.argv[1]))
