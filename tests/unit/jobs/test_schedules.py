"""Schedules: kept, mirrored, and no due moment submitted twice."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ultralab.jobs import schedules
from ultralab.jobs.schedules import Schedule
from ultralab.jobs.store import opening, record
from ultralab.jobs.store.mirror import write_mirror
from ultralab.jobs.store.queue import Queue, changing, environment, listed, rebuild_queue
from ultralab.jobs.types import Condition, Dependency, Job, JobSpec
from ultralab.kernel.errors import AlreadyExists, FileAccess, NotFound, RequestError, UnknownChoice

SPEC = JobSpec(argv=("backup", os.fsdecode(b"\xff"), "a\n'b'"), cwd="/", name="backup", retries=1)
ENVIRONMENT = {"PATH": "/bin", "TOKEN": "secret\n空"}


def nightly(queue: Queue, name: str = "nightly") -> Schedule:
    return schedules.add(queue, name, "0 2 * * *", "once", SPEC, ENVIRONMENT, 100.0)


def mirrored(queue: Queue) -> list[tuple[str, float, bool]]:
    data = json.loads((queue.folder / "schedules.json").read_text())
    return [(item["name"], item["considered"], bool(item["paused"])) for item in data["schedules"]]


def test_what_was_added_is_kept(queue: Queue) -> None:
    assert schedules.schedules(queue) == []
    made = nightly(queue)
    assert made == Schedule("nightly", "0 2 * * *", "once", paused=False, spec=SPEC, added=100.0, considered=100.0)
    other = nightly(queue, "hourly")
    assert schedules.schedules(queue) == [other, made]
    assert schedules.get(queue, "nightly") == made
    assert mirrored(queue) == [("hourly", 100.0, False), ("nightly", 100.0, False)]
    assert stat.S_IMODE((queue.folder / "schedules.json").stat().st_mode) == 0o600
    assert "secret" not in repr(made)
    schedules.remove(queue, "hourly")
    assert schedules.schedules(queue) == [made]
    assert mirrored(queue) == [("nightly", 100.0, False)]


@pytest.mark.parametrize("name", ["", "Nightly", "a b", "-x", "../x", "x" * 101, "夜"])
def test_a_name_that_is_none_is_refused(queue: Queue, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        nightly(queue, name)
    assert caught.value.message == f"{name!r} is not a name for a schedule."
    assert caught.value.hint
    assert schedules.schedules(queue) == []


def test_what_cannot_be_asked_for(queue: Queue) -> None:
    made = nightly(queue)
    with pytest.raises(AlreadyExists) as taken:
        nightly(queue)
    assert taken.value.hint == "Choose another name, or remove that one: ultralab jobs schedules remove nightly"
    with pytest.raises(UnknownChoice) as choice:
        schedules.add(queue, "other", "@daily", "alls", SPEC, {}, 1.0)
    assert choice.value.hint == "Did you mean all? Known: all, once, skip."
    with pytest.raises(RequestError, match="cannot wait for another job"):
        schedules.add(queue, "other", "@daily", "all", replace(SPEC, after=(Dependency(1),)), {}, 1.0)
    for work in (schedules.get, schedules.remove):
        with pytest.raises(NotFound) as missing:
            work(queue, "nightyl")
        assert missing.value.message == "There is no schedule 'nightyl'."
        assert missing.value.hint == "Did you mean nightly?"
    with pytest.raises(NotFound) as missing:
        schedules.pause(queue, "x", paused=True, now=1.0)
    assert missing.value.hint == "See them all: ultralab jobs schedules list"
    assert schedules.schedules(queue) == [made]


def test_resting_and_going_on(queue: Queue) -> None:
    made = nightly(queue)
    assert schedules.pause(queue, "nightly", paused=False, now=500.0) == made  # it did not rest
    resting = schedules.pause(queue, "nightly", paused=True, now=600.0)
    assert resting == replace(made, paused=True)
    assert schedules.get(queue, "nightly") == resting
    assert mirrored(queue) == [("nightly", 100.0, True)]
    assert schedules.submit_due(queue, made, [150.0], 150.0) == []  # who read it before
    resumed = schedules.pause(queue, "nightly", paused=False, now=700.0)
    assert resumed == replace(made, considered=700.0)
    assert schedules.get(queue, "nightly") == resumed
    schedules.pause(queue, "nightly", paused=True, now=700.0)
    assert schedules.pause(queue, "nightly", paused=False, now=50.0) == resumed  # the clock went backwards
    assert listed(queue) == []


def test_what_is_due_is_submitted_once(queue: Queue) -> None:
    made = nightly(queue)
    jobs = schedules.submit_due(queue, made, [200.0, 300.0], 350.0)
    spec = replace(SPEC, schedule="nightly")
    assert jobs == [Job(1, spec, Condition("queued", 200.0)), Job(2, spec, Condition("queued", 300.0))]
    assert listed(queue) == jobs
    assert [environment(queue, job) for job in jobs] == [ENVIRONMENT] * 2
    after = schedules.get(queue, "nightly")
    assert after == replace(made, considered=350.0)
    assert mirrored(queue) == [("nightly", 350.0, False)]
    assert schedules.submit_due(queue, made, [200.0, 300.0], 350.0) == []
    assert schedules.submit_due(queue, replace(after, considered=351.0), [400.0], 400.0) == []
    assert schedules.submit_due(queue, after, [], 400.0) == []  # passed over
    assert schedules.get(queue, "nightly").considered == 400.0
    schedules.remove(queue, "nightly")
    assert schedules.submit_due(queue, replace(made, considered=400.0), [500.0], 500.0) == []
    assert listed(queue) == jobs


def test_a_schedule_of_the_same_name_is_another_one(queue: Queue) -> None:
    made = nightly(queue)
    schedules.remove(queue, "nightly")
    schedules.add(queue, "nightly", "0 2 * * *", "once", replace(SPEC, argv=("other",)), {}, 100.0)
    assert schedules.submit_due(queue, made, [200.0], 200.0) == []


def test_a_submit_that_fails_leaves_the_schedule_as_it_was(queue: Queue) -> None:
    made = nightly(queue)
    (queue.folder / "000002").write_text("in the way")
    with pytest.raises(FileAccess):
        schedules.submit_due(queue, made, [200.0, 300.0], 350.0)
    assert (listed(queue), schedules.schedules(queue)) == ([], [made])
    assert mirrored(queue) == [("nightly", 100.0, False)]
    assert not (queue.folder / "000001").exists()
    (queue.folder / "000002").unlink()
    assert [job.id for job in schedules.submit_due(queue, made, [200.0, 300.0], 350.0)] == [1, 2]


@pytest.mark.parametrize(
    "spec", [replace(SPEC, name="x\udcff"), replace(SPEC, kind="x\udcff"), replace(SPEC, owner="x\udcff")]
)
def test_what_is_no_text_is_refused(queue: Queue, spec: JobSpec) -> None:
    made = nightly(queue)
    with pytest.raises(RequestError) as caught:
        schedules.add(queue, "bad", "@daily", "once", spec, {}, 1.0)
    assert r"'x\udcff'" in caught.value.message
    assert schedules.schedules(queue) == [made]


def test_a_folder_that_is_no_text_is_a_folder(queue: Queue) -> None:
    spec = replace(SPEC, cwd=os.fsdecode(b"/\xff"))
    made = schedules.add(queue, "odd", "@daily", "once", spec, {}, 1.0)
    assert schedules.schedules(queue) == [made]
    (job,) = schedules.submit_due(queue, made, [2.0], 2.0)
    assert job.spec == replace(spec, schedule="odd")
    again = rebuild_queue(queue.folder)
    assert (listed(again), schedules.schedules(again)) == ([job], [replace(made, considered=2.0)])
    again.database.close()


def spoil(queue: Queue, name: str, value: str) -> None:
    """Put into a row, and into the mirror, what an earlier ultralab took and could not read."""
    with changing(queue):
        row = queue.database.run("schedule", name="bad")[0]
        queue.database.run("remove_schedule", name="bad")
        queue.database.run("add_schedule", **{**row, name: value})  # type: ignore[arg-type]
        write_mirror(queue.folder, queue.database)


SPOILT = [
    ("spec", json.dumps(record.form(replace(SPEC, kind="x\udcff"), {}))),
    ("spec", "{"),
    ("cron", "no cron"),
]


@pytest.mark.parametrize(("name", "value"), SPOILT)
def test_a_row_that_cannot_be_read_takes_no_other_with_it(queue: Queue, name: str, value: str) -> None:
    made = nightly(queue)
    nightly(queue, "bad")
    spoil(queue, name, value)
    mirror = (queue.folder / "schedules.json").read_text()
    assert schedules.schedules(queue) == [made]
    assert schedules.schedules(queue) == [made]  # mended meanwhile
    assert not (queue.folder / "queue.suspect").exists()
    there = queue.folder / "damaged" / "schedules.json"
    assert there.read_text() == mirror
    assert mirrored(queue) == [("nightly", 100.0, False)]
    notice = opening.take_notice(queue.folder)
    assert notice.endswith(f" Schedules that could not be read, add them again: bad ({there})")
    with pytest.raises(NotFound):
        schedules.remove(queue, "bad")


@pytest.mark.parametrize(("name", "value"), SPOILT)
def test_any_row_can_be_removed(queue: Queue, name: str, value: str) -> None:
    made = nightly(queue)
    nightly(queue, "bad")
    spoil(queue, name, value)
    schedules.remove(queue, "bad")
    assert schedules.schedules(queue) == [made]
    assert mirrored(queue) == [("nightly", 100.0, False)]
    assert not (queue.folder / "damaged").exists()


def test_bytes_that_are_no_text_name_no_schedule(queue: Queue) -> None:
    for work in (schedules.get, schedules.remove):
        with pytest.raises(NotFound):
            work(queue, os.fsdecode(b"\xff"))


def test_a_mirror_that_is_behind_submits_nothing_twice(queue: Queue) -> None:
    """A process was killed after it had made the job's folder; then the database was lost."""
    made = nightly(queue)
    before = (queue.folder / "schedules.json").read_bytes()
    jobs = schedules.submit_due(queue, made, [200.0, 300.0], 350.0)
    (queue.folder / "schedules.json").write_bytes(before)
    again = rebuild_queue(queue.folder)
    assert listed(again) == jobs
    assert schedules.schedules(again) == [replace(made, considered=300.0)]
    again.database.close()


SCHEDULER = """
import sys
from pathlib import Path
from ultralab.jobs import schedules
from ultralab.jobs.store.queue import open_queue
queue = open_queue(Path(sys.argv[1]))
print("ready", flush=True)
made = 0
for line in sys.stdin:
    (schedule,) = schedules.schedules(queue)
    moment = float(line)
    if schedule.considered < moment:
        made += len(schedules.submit_due(queue, schedule, [moment], moment))
    print(made, flush=True)
"""


def test_two_schedulers_submit_each_moment_once(queue: Queue) -> None:
    nightly(queue)
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", SCHEDULER, str(queue.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    moments = [200.0 + number for number in range(100)]
    counts: list[str] = []
    for line in ["ready", *moments]:
        for one in pair:
            assert one.stdin is not None
            if line != "ready":
                one.stdin.write(f"{line}\n")
                one.stdin.flush()
        counts = []
        for one in pair:
            assert one.stdout is not None
            counts.append(one.stdout.readline().strip())
    for one in pair:
        one.communicate()
    assert sum(map(int, counts)) == 100
    assert [job.condition.submitted for job in listed(queue)] == moments
    assert sorted(path.name for path in queue.folder.glob("0*")) == [
        record.job_folder(Path(), number).name for number in range(1, 101)
    ]
