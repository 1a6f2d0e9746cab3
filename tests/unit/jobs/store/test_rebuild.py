"""A damaged queue, rebuilt from its folders: equal to what it was, and nothing is thrown away."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ultralab.jobs import schedules
from ultralab.jobs.schedules import Schedule
from ultralab.jobs.store import record
from ultralab.jobs.store.prune import prune
from ultralab.jobs.store.queue import Queue, environment, happen, listed, open_queue, rebuild_queue, start, submit
from ultralab.jobs.types import Dependency, Event, Job, JobSpec, Needs
from ultralab.kernel.errors import Failure
from ultralab.system.process import ProcessId

ENVIRONMENT = {"PATH": "/bin", "空": "b\n"}
REBUILT = r"The job queue's database was set aside \((.*)\) and rebuilt from the job folders: (\d+) jobs?\.(?: (.*))?"


def filled(queue: Queue) -> tuple[list[Job], list[Schedule]]:
    """Jobs in every state, one that was pruned, two schedules."""
    for number in range(1, 11):
        spec = JobSpec(
            argv=("sh", "-c", f"echo '\"{number}\"' 训练"),
            cwd="/",
            name=f"job-{number}",
            needs=Needs(memory=number),
            after=(Dependency(1), Dependency(2, "end")) if number > 6 else (),
            retries=number % 2,
            idempotent=number == 5,
        )
        submit(queue, spec, ENVIRONMENT, 100.0 + number / 3)
    for number in range(1, 8):
        event = Event("start", 200.0, 1, supervisor=ProcessId(number, "boot"), reservation=number)
        start(queue, number, event, lambda _job, _active: True)
    happen(queue, 1, Event("end_well", 300.25, 1, status=0, cause="exit"))
    happen(queue, 2, Event("end_badly", 300.5, 1, status=3, cause="exit"))
    happen(queue, 3, Event("end_badly", 300.5, 1, status=3, cause="exit"))  # queued again: it has a retry
    happen(queue, 4, Event("lose", 301.0, 1, cause="lost"))
    happen(queue, 5, Event("lose", 301.0, 1, cause="lost"))  # queued again: it is idempotent
    happen(queue, 6, Event("cancel", 302.0))
    happen(queue, 8, Event("hold", 303.0))
    happen(queue, 9, Event("cancel", 304.0))
    happen(queue, 10, Event("cancel", 1.0))
    prune(queue, ended_before=2.0)
    daily = JobSpec(argv=("backup",), cwd="/", name="backup", schedule="")
    schedules.add(queue, "daily", "@daily", "once", daily, ENVIRONMENT, 50.0)
    schedules.add(queue, "weekly", "0 3 * * 0", "all", daily, {}, 60.0)
    schedules.pause(queue, "weekly", paused=True, now=61.0)
    found = listed(queue)
    assert {job.state for job in found} == {
        "queued", "held", "running", "cancelling", "succeeded", "failed", "cancelled", "interrupted",
    }  # fmt: skip
    assert [job.id for job in found] == list(range(1, 10))
    return found, schedules.schedules(queue)


def truncated(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2 + 100)


def without_header(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(bytes(100))


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(path.stat().st_size))


def garbage_behind_the_first_page(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(random.Random(7).randbytes(path.stat().st_size - 4096))


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [truncated, without_header, garbage, garbage_behind_the_first_page, zeros, short, empty]
)
@pytest.mark.parametrize("log", ["checkpointed", "left behind"])
def test_a_damaged_queue_is_set_aside_and_rebuilt(
    queue: Queue, tmp_path: Path, damage: Callable[[Path], None], log: str
) -> None:
    before = filled(queue)
    place = tmp_path / "copy"
    if log == "checkpointed":
        queue.database.close()
    shutil.copytree(queue.folder, place)
    damage(place / "queue.db")
    content = (place / "queue.db").read_bytes()
    again = open_queue(place)
    with closing(again.database):
        if damage is garbage_behind_the_first_page and not again.notice:  # which only who reads it meets
            again.database.close()
            (place / "queue.suspect").touch()
            again = open_queue(place)
        assert (listed(again), schedules.schedules(again)) == before
        assert again.database.integrity() == "ok"
        if again.notice:  # a write-ahead log that holds every page needs no help
            found = re.fullmatch(REBUILT, again.notice)
            assert found is not None
            assert Path(found[1]).parent == place / "damaged"
            assert re.fullmatch(r"queue-\d{8}-\d{6}\.db", Path(found[1]).name)
            assert (found[2], found[3]) == ("9", None)
            # Whoever opened it in vain may have brought the log into it.
            assert Path(found[1]).read_bytes() == content or log == "left behind"
        else:
            assert log == "left behind"
        assert submit(again, JobSpec(("x",), "/", "x"), {}, 1.0).id == 11  # the tenth was pruned
        assert happen(again, 8, Event("release", 400.0)).state == "queued"
        assert environment(again, listed(again)[0]) == ENVIRONMENT
        after = listed(again)
    with closing((third := open_queue(place)).database):
        assert third.notice == ""
        assert listed(third) == after


def test_a_missing_queue_is_rebuilt(queue: Queue) -> None:
    before = filled(queue)
    queue.database.close()
    (queue.folder / "queue.db").unlink()
    with closing((again := open_queue(queue.folder)).database):
        assert again.notice == "The job queue's database was missing; it was rebuilt from the job folders: 9 jobs."
        assert (listed(again), schedules.schedules(again)) == before


def test_a_log_without_its_database_is_not_given_to_the_next_one(queue: Queue, tmp_path: Path) -> None:
    """A process was killed after it had set the damaged database aside, and before its log."""
    filled(queue)
    shutil.copytree(queue.folder, tmp_path / "copy")
    (tmp_path / "copy" / "queue.db").unlink()
    log = (tmp_path / "copy" / "queue.db-wal").read_bytes()
    assert len(log) > 4096
    with closing((again := open_queue(tmp_path / "copy")).database):
        assert listed(again) == listed(queue)
        assert again.database.integrity() == "ok"
    kept = [path.read_bytes() for path in (tmp_path / "copy" / "damaged").glob("*.db-wal")]
    assert kept == [log]


def test_a_rebuilding_that_was_killed_is_begun_again(queue: Queue) -> None:
    before = filled(queue)
    queue.database.close()
    (queue.folder / "queue.db").rename(queue.folder / "queue.new.db")
    (queue.folder / "queue.new.db-wal").write_bytes(b"half")
    with closing((again := open_queue(queue.folder)).database):
        assert (listed(again), schedules.schedules(again)) == before
    assert not list(queue.folder.glob("queue.new*"))


def test_setting_aside_twice_in_a_second_keeps_both(queue: Queue) -> None:
    before, _ = filled(queue)
    queue.database.close()
    notices = set()
    for _ in range(3):
        again = rebuild_queue(queue.folder)
        notices.add(again.notice)
        assert listed(again) == before
        again.database.close()
    assert len(notices) == len(list((queue.folder / "damaged").glob("queue-*.db"))) == 3


def test_a_job_whose_file_is_damaged_is_set_aside_with_a_notice(queue: Queue) -> None:
    filled(queue)
    expected = [job for job in listed(queue) if job.id not in (1, 4)]
    (queue.folder / "000001" / "job.json").write_text("{")
    (queue.folder / "000004" / "job.json").unlink()
    with closing((again := rebuild_queue(queue.folder)).database):
        assert listed(again) == expected  # those that depended on the first one still say so
        places = [queue.folder / "damaged" / name for name in ("000001", "000004")]
        found = re.fullmatch(REBUILT, again.notice)
        assert found is not None
        assert found[3] == " ".join(
            f"{queue.folder / place.name / 'job.json'} is missing or damaged. Its folder is now {place}."
            for place in places
        )
        assert all((place / "events.jsonl").exists() for place in places)
        assert submit(again, JobSpec(("x",), "/", "x"), {}, 1.0).id == 11


def test_the_number_of_a_damaged_job_is_not_used_again(queue: Queue) -> None:
    for name in ("one", "two"):
        submit(queue, JobSpec(("x",), "/", name), {}, 1.0)
    (queue.folder / "000002" / "job.json").write_text("")
    with closing((again := rebuild_queue(queue.folder)).database):
        assert [job.spec.name for job in listed(again)] == ["one"]
        assert submit(again, JobSpec(("x",), "/", "three"), {}, 1.0).id == 3


def test_what_a_killed_submit_left_is_no_job(queue: Queue) -> None:
    submit(queue, JobSpec(("x",), "/", "one"), {}, 1.0)
    left = queue.folder / "000002"
    left.mkdir()
    (left / "events.jsonl").touch()
    (left / ".job.json.abc.part").write_text('{"version": 1, "sub')
    (queue.folder / "000003").mkdir()
    with closing((again := rebuild_queue(queue.folder)).database):
        assert [job.spec.name for job in listed(again)] == ["one"]
        assert not list((queue.folder / "damaged").glob("0*"))
        assert submit(again, JobSpec(("x",), "/", "two"), {}, 1.0).id == 2
        assert sorted(path.name for path in left.iterdir()) == ["events.jsonl", "job.json"]


def test_a_torn_or_unknown_line_among_the_events_is_passed_over(queue: Queue) -> None:
    submit(queue, JobSpec(("x",), "/", "one"), {}, 1.0)
    expected = happen(queue, 1, Event("hold", 2.0))
    with (queue.folder / "000001" / "events.jsonl").open("ab") as stream:
        stream.write(b'{"event": "dance", "at": 3}\n\x00\xff\n{"event": "release", "at": 4')
    with closing((again := rebuild_queue(queue.folder)).database):
        assert listed(again) == [expected]
        happen(again, 1, Event("release", 5.0))
        assert record.read_events(again.folder / "000001") == [Event("hold", 2.0), Event("release", 5.0)]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schedules": {"a": 1}}', "[" * 100_000])
def test_schedules_that_cannot_be_read_are_set_aside(queue: Queue, content: str) -> None:
    before, _ = filled(queue)
    (queue.folder / "schedules.json").write_text(content)
    with closing((again := rebuild_queue(queue.folder)).database):
        assert (listed(again), schedules.schedules(again)) == (before, [])
        there = queue.folder / "damaged" / "schedules.json"
        assert again.notice.endswith(f" The schedules could not be read, add them again: {there}")
        assert there.read_text() == content


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"catch_up": "sometimes"}, "daily"), ({"considered": math.nan}, "daily"), ({"considered": 1e15}, "daily"),
        ({"added": "x"}, "daily"), ({"name": "A \udcff"}, r"A \udcff"), ({"name": None}, "?"), ({"name": "weekly"}, "weekly"),
        ({"cron": "\udcff"}, "daily"), ({"cron": "0 3 * * j"}, "daily"), ({"spec": "{"}, "daily"), ({"spec": 1}, "daily"),
        (None, "?"),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be_read_takes_no_other_with_it(
    queue: Queue, wrong: dict[str, object] | None, name: str
) -> None:
    before, (_daily, weekly) = filled(queue)
    mirror = queue.folder / "schedules.json"
    data = json.loads(mirror.read_text())
    data["schedules"].reverse()
    data["schedules"][1] = wrong and data["schedules"][1] | wrong
    content = json.dumps(data)
    mirror.write_text(content)
    with closing((again := rebuild_queue(queue.folder)).database):
        assert (listed(again), schedules.schedules(again)) == (before, [weekly])
        there = queue.folder / "damaged" / "schedules.json"
        assert again.notice.endswith(f" Schedules that could not be read, add them again: {name} ({there})")
        assert there.read_text() == content
    with closing((third := rebuild_queue(queue.folder)).database):
        assert schedules.schedules(third) == [weekly]
        assert "could not be read" not in third.notice


def test_folders_from_a_newer_version_are_refused_and_kept(queue: Queue) -> None:
    filled(queue)
    path = queue.folder / "000002" / "job.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "version": 2}))
    with pytest.raises(Failure, match="was written by a newer ultralab"):
        rebuild_queue(queue.folder)
    path.write_text(json.dumps(data))
    with closing((again := open_queue(queue.folder)).database):
        assert len(listed(again)) == 9


OPENER = """
import sys
from pathlib import Path
from ultralab.jobs.store.queue import listed, open_queue
print("ready", flush=True)
sys.stdin.readline()
queue = open_queue(Path(sys.argv[1]))
print(len(listed(queue)), bool(queue.notice))
"""


def test_of_many_that_find_the_damage_one_rebuilds(queue: Queue) -> None:
    filled(queue)
    queue.database.close()
    garbage(queue.folder / "queue.db")
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(queue.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    answers = sorted(one.communicate()[0] for one in crowd)
    assert answers == ["9 False\n"] * 5 + ["9 True\n"]
    assert len(list((queue.folder / "damaged").glob("*.db"))) == 1


# The queue on a disk that was remounted read-only.
READ_ONLY = """
import subprocess, sys
from pathlib import Path
from ultralab.jobs.store.queue import listed, open_queue, submit
from ultralab.jobs.types import JobSpec
from ultralab.kernel.errors import FileAccess
folder = Path(sys.argv[1])
queue = open_queue(folder)
submit(queue, JobSpec(("true",), "/", "one"), {}, 1.0)
if sys.argv[2] == "damaged":
    queue.database.close()
    (folder / "queue.db").write_bytes(b"garbage" * 1000)
subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
for work in (
    lambda: submit(open_queue(folder), JobSpec(("true",), "/", "two"), {}, 1.0), lambda: open_queue(folder.parent / "jobs" / "x")
):
    try:
        print("went well", work())
    except FileAccess as error:
        print(error.message, "|", error.hint)
"""
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:

    @pytest.mark.parametrize("state", ["whole", "damaged"])
    def test_a_read_only_disk(tmp_path: Path, state: str) -> None:
        folder = tmp_path / "jobs"
        answer = subprocess.run(
            [*OWN_MOUNTS, sys.executable, "-c", READ_ONLY, str(folder), state],
            capture_output=True,
            text=True,
            check=False,
        )
        hint = "Make it writable for this user (or its disk, if that is read-only), or use another lab (--home)."
        refusal = f"{folder / 'queue.db'} cannot be used: {folder} is read-only here. | {hint}"
        no_folder = f"{folder / 'x'}: Read-only file system | Check the path and its permissions."
        locked = f"{folder / 'queue.lock'}: Read-only file system | Check the path and its permissions."
        assert answer.stdout.splitlines() == [refusal if state == "whole" else locked, no_folder], answer.stderr
