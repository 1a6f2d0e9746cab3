"""Opening the queue beside others who rebuild it, and when what is damaged is not seen by SQLite's own check."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ultralab.jobs import schedules
from ultralab.jobs.store import record, rows
from ultralab.jobs.store.prune import prune
from ultralab.jobs.store.queue import Queue, changing, happen, job, listed, open_queue, start, submit
from ultralab.jobs.types import Condition, Event, Job, JobSpec
from ultralab.kernel.errors import FileDamaged
from ultralab.system import clock
from ultralab.system.process import ProcessId

SECONDS = 5.0
FIRST = 20

# What each process does until its time is over; it prints, as one JSON list, what it knows to be in the queue then.
CROWD = """
import json, sys
from pathlib import Path
from ultralab.jobs.store.queue import happen, job, listed, open_queue, rebuild_queue, submit
from ultralab.jobs.types import Event, JobSpec
from ultralab.system import clock
folder, role, seconds, first = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
end, turns, known = clock.monotonic() + seconds, 0, []
daemon = open_queue(folder)
while clock.monotonic() < end:
    turns += 1
    if role == "rebuild":
        rebuild_queue(folder).database.close()
        clock.sleep(0.02)  # so that the others have something to do
    elif role == "daemon":
        assert len(listed(daemon)) >= first
    else:
        queue = open_queue(folder)
        if role == "read":
            found = listed(queue)
            assert [item.spec.name for item in found[:first]] == [f"first-{n}" for n in range(1, first + 1)]
        else:
            made = submit(queue, JobSpec(("x",), "/", f"{role} {turns}"), {}, 1.0)
            happen(queue, made.id, Event("hold", 2.0))
            assert job(queue, made.id).spec == made.spec
            known.append([made.id, made.spec.name, "held"])
        queue.database.close()
print(json.dumps([turns, known]))
"""


def crowd(folder: Path, roles: list[str]) -> list[tuple[int, list[tuple[int, str, str]]]]:
    """Let processes with these roles work at the same time; how often each did its work, and what it knows."""
    several = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(folder), role, str(SECONDS), str(FIRST)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in roles
    ]
    for one in several:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in several:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    answers = [one.communicate() for one in several]
    assert [problems for _out, problems in answers] == [""] * len(roles)
    return [(turns, [tuple(one) for one in known]) for turns, known in (json.loads(out) for out, _problems in answers)]


def test_nothing_is_lost_beside_those_who_rebuild(queue: Queue) -> None:
    for number in range(1, FIRST + 1):
        submit(queue, JobSpec(("x",), "/", f"first-{number}"), {}, 1.0)
    roles = ["rebuild", "rebuild", "read", "read", "daemon", "submit a", "submit b"]
    answers = crowd(queue.folder, roles)
    assert min(turns for turns, _known in answers) >= 1
    expected = [(number, f"first-{number}", "queued") for number in range(1, FIRST + 1)]
    expected += sorted(one for _turns, known in answers for one in known)
    with closing((again := open_queue(queue.folder)).database):
        assert again.notice == ""
        assert [(item.id, item.spec.name, item.state) for item in listed(again)] == expected
        assert again.database.integrity(full=True) == "ok"
    assert Counter(number for number, _name, _state in expected).most_common(1)[0][1] == 1
    assert listed(queue) == listed(open_queue(queue.folder))


def filled(queue: Queue) -> list[Job]:
    """Three jobs and a schedule, in a closed database without a log."""
    for name in ("one", "two", "three"):
        submit(queue, JobSpec(("x",), "/", name), {}, 1.0)
    happen(queue, 2, Event("hold", 2.0))
    schedules.add(queue, "nightly", "@daily", "once", JobSpec(("x",), "/", "x"), {}, 1.0)
    found = listed(queue)
    queue.database.close()
    return found


def changed(queue: Queue, statement: str) -> None:
    """Do something to the closed database that no ultralab does, and SQLite's quick check does not see."""
    with closing(apsw.Connection(str(queue.folder / "queue.db"))) as connection:
        connection.execute(statement)
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE job SET argv = '[\"x' WHERE id = 1",
        "UPDATE job SET argv = '1' WHERE id = 1",
        "UPDATE job SET argv = '[1]' WHERE id = 1",
        "UPDATE job SET cwd = '{' WHERE id = 1",
        "UPDATE job SET name = CAST(x'66ff' AS TEXT) WHERE id = 1",
        "UPDATE job SET state = 'queuee' WHERE id = 1",
        "UPDATE job SET cause = 'exis' WHERE id = 1",
        "UPDATE job SET id = 12 WHERE id = 1",
        "DELETE FROM job WHERE id = 1",
        "UPDATE schedule SET spec = '{' WHERE name = 'nightly'",
        "UPDATE schedule SET cron = '@dailx' WHERE name = 'nightly'",
        "ALTER TABLE job RENAME COLUMN argv TO arfv",
        "ALTER TABLE job RENAME TO jab",
        "DROP INDEX job_by_name",
        "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, 'shared', 'sharee')",
    ],
)
def test_damage_that_the_quick_check_does_not_see_is_found_under_suspicion(queue: Queue, statement: str) -> None:
    before = filled(queue)
    changed(queue, statement)
    (queue.folder / "queue.suspect").touch()
    with closing((again := open_queue(queue.folder)).database):
        assert again.notice.endswith("rebuilt from the job folders: 3 jobs.")
        assert listed(again) == before
        assert [item.cron for item in schedules.schedules(again)] == ["@daily"]
    assert not (queue.folder / "queue.suspect").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE job SET argv = '[\"x' WHERE id = 1",
        "UPDATE job SET argv = '1' WHERE id = 1",
        "UPDATE job SET name = CAST(x'66ff' AS TEXT) WHERE id = 1",
        "ALTER TABLE job RENAME COLUMN argv TO arfv",
        "ALTER TABLE job RENAME TO jab",
        "PRAGMA user_version=0",
        "DELETE FROM job",
    ],
)
def test_damage_that_is_met_is_mended(queue: Queue, statement: str) -> None:
    before = filled(queue)
    changed(queue, statement)
    with closing((again := open_queue(queue.folder)).database):
        assert listed(again) == before
    assert len(list((queue.folder / "damaged").glob("*.db"))) == 1


def test_an_index_that_lost_its_entries_hides_nothing(queue: Queue) -> None:
    before = filled(queue)
    with closing(apsw.Connection(str(queue.folder / "queue.db"))) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'job_by_state'").fetchall()
    assert isinstance(page, int)
    with (queue.folder / "queue.db").open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\x0a\0\0\0\0\x10\0\0" + bytes(4088))  # an empty leaf (sqlite.org/fileformat2.html)
    with closing((again := open_queue(queue.folder)).database):
        assert listed(again) == before
        assert again.notice.endswith("rebuilt from the job folders: 3 jobs.")


def test_a_whole_queue_under_suspicion_stays(queue: Queue) -> None:
    before = filled(queue)
    (queue.folder / "queue.suspect").touch()
    with closing((again := open_queue(queue.folder)).database):
        assert (again.notice, listed(again)) == ("", before)
    assert not (queue.folder / "queue.suspect").exists()
    assert not (queue.folder / "damaged").exists()


def test_an_empty_queue_is_not_always_an_emptied_one(queue: Queue) -> None:
    submit(queue, JobSpec(("x",), "/", "x"), {}, 1.0)
    happen(queue, 1, Event("cancel", 2.0))
    assert [item.id for item in prune(queue, ended_before=10.0)] == [1]
    (queue.folder / "000002").mkdir()  # what a killed submit left
    with closing((again := open_queue(queue.folder)).database):
        assert (again.notice, listed(again)) == ("", [])
        assert submit(again, JobSpec(("x",), "/", "x"), {}, 1.0).id == 2


OPENER = """
import sys
from pathlib import Path
from ultralab.jobs.store.queue import listed, open_queue
print("ready", flush=True)
queue = open_queue(Path(sys.argv[1]))
print(len(listed(queue)), queue.notice, flush=True)
"""


def test_who_opens_during_the_first_submit_waits_for_it(queue: Queue) -> None:
    """Its folder is there and its row cannot be seen yet: that is no damage."""
    with changing(queue):
        record.create(queue.folder, 1, record.Submitted(JobSpec(("x",), "/", "x"), {}, 1.0))
        other = subprocess.Popen([sys.executable, "-c", OPENER, str(queue.folder)], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        queue.database.run(
            "add_job", id=1, recorded=0, **rows.job_values(JobSpec(("x",), "/", "x"), Condition("queued", 1.0))
        )
    assert other.communicate()[0] == "1 \n"
    assert not (queue.folder / "damaged").exists()


def test_the_folder_of_a_job_that_the_database_forgot_is_not_given_away(queue: Queue) -> None:
    """The highest number was forgotten with its rows: the next submit would take the folder of a running job."""
    made = [submit(queue, JobSpec(("x",), "/", name), {}, 1.0) for name in ("one", "two")]
    event = Event("start", 2.0, 1, supervisor=ProcessId(7, "boot"))
    running = start(queue, 2, event, lambda _job, _active: True)
    queue.database.close()
    (queue.folder / "000002" / "1").mkdir()
    (queue.folder / "000002" / "1" / "begun.json").write_text("{}")
    changed(queue, "DELETE FROM job WHERE id = 2; UPDATE sqlite_sequence SET seq = 1")
    with closing((again := open_queue(queue.folder)).database):
        with pytest.raises(FileDamaged) as caught:
            submit(again, JobSpec(("x",), "/", "three"), {}, 1.0)
        database = queue.folder / "queue.db"
        assert caught.value.message == f"{database} is damaged: it does not know job 2, whose folder is there"
        assert caught.value.hint == "Run the command again: the queue is then rebuilt from the job folders."
        assert submit(again, JobSpec(("x",), "/", "three"), {}, 1.0).id == 3
        assert [job(again, 1), job(again, 2)] == [made[0], running]
        assert (queue.folder / "000002" / "1" / "begun.json").exists()


def test_prune_leaves_the_folder_of_a_job_that_the_database_forgot(queue: Queue) -> None:
    before = filled(queue)
    changed(queue, "DELETE FROM job WHERE id = 2")
    with closing((again := open_queue(queue.folder)).database):
        assert prune(again, ended_before=10.0) == []
        assert listed(again) == before


REBUILDER = """
import sys
from pathlib import Path
from ultralab.jobs.store.queue import rebuild_queue
print("ready", flush=True)
rebuild_queue(Path(sys.argv[1])).database.close()
print("done", flush=True)
"""


def test_a_rebuilding_waits_for_a_change(queue: Queue) -> None:
    """A change that goes on while the database is moved away could give out a number that the next one gives out too."""
    submit(queue, JobSpec(("x",), "/", "x"), {}, 1.0)
    with changing(queue):
        other = subprocess.Popen(
            [sys.executable, "-c", REBUILDER, str(queue.folder)], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        deadline = clock.monotonic() + 10
        while not (queue.folder / "queue.suspect").exists() and clock.monotonic() < deadline:
            clock.sleep(0.01)
        assert (queue.folder / "queue.suspect").exists()  # it is about to move the files
        assert queue.database.is_current()
        queue.database.run("remove", ids="[1]")
        record.discard(queue.folder, 1)
    assert other.communicate()[0] == "done\n"
    assert not queue.database.is_current()
    assert listed(queue) == []
