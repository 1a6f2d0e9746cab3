"""The queue on real files, with real processes beside it: nothing lost, nothing twice, nothing half."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from ultralab.jobs import schedules
from ultralab.jobs.checks import doctor_checks
from ultralab.jobs.states import TRANSITIONS, NotPossible, Stale
from ultralab.jobs.store import queue as room
from ultralab.jobs.store import record
from ultralab.jobs.store.opening import take_notice
from ultralab.jobs.store.prune import prunable, prune
from ultralab.jobs.store.queue import (
    Queue,
    endings,
    find,
    happen,
    job,
    listed,
    open_queue,
    overview,
    start,
    submit,
    under_way,
)
from ultralab.jobs.store.refusals import SENTENCES, refusal
from ultralab.jobs.types import ACTIVE, Condition, Dependency, Event, EventName, Job, JobSpec, Needs, State
from ultralab.kernel.errors import Busy, Failure, FileAccess, NotFound, RequestError
from ultralab.system.process import ProcessId

ME = ProcessId(4711, "boot-1")
ENVIRONMENT = {"PATH": "/bin", "TOKEN": "secret"}


def spec(name: str = "one", **changes: object) -> JobSpec:
    return JobSpec(**{"argv": ("true", name), "cwd": "/", "name": name, **changes})  # type: ignore[arg-type]


def starting(fence: int, at: float = 2.0) -> Event:
    return Event("start", at, fence, supervisor=ME, reservation=3)


def always(_job: Job, _active: Sequence[Job]) -> bool:
    return True


def run_through(queue: Queue, number: int, name: str = "end_well", at: float = 3.0) -> Job:
    """Start a queued job and let it end."""
    fence = job(queue, number).condition.fence + 1
    assert start(queue, number, starting(fence), always) is not None
    return happen(queue, number, Event(name, at, fence, status=0, cause="exit"))  # type: ignore[arg-type]


def folders(queue: Queue) -> list[str]:
    return sorted(path.name for path in queue.folder.iterdir() if path.is_dir())


def events(queue: Queue, number: int) -> list[Event]:
    return record.read_events(record.job_folder(queue.folder, number))


def test_a_new_queue_is_for_its_owner_only(tmp_path: Path) -> None:
    queue = open_queue(tmp_path / "state" / "jobs")
    assert queue.notice == ""
    assert stat.S_IMODE(queue.folder.stat().st_mode) == 0o700
    submit(queue, spec(), ENVIRONMENT, 1.0)
    schedules.add(queue, "nightly", "@daily", "once", spec(), ENVIRONMENT, 1.0)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in queue.folder.iterdir()}
    own = {"queue.db": 0o600, "queue.db-wal": 0o600, "queue.db-shm": 0o600, "schedules.json": 0o600, "000001": 0o700}
    assert {name: modes.get(name) for name in own} == own
    assert listed(open_queue(queue.folder)) == listed(queue)
    assert queue.database.integrity() == "ok"


def test_what_was_submitted_is_there(queue: Queue) -> None:
    whole = JobSpec(
        argv=("sh", "-c", "echo 'a \"b\"\n' 训练🙂", "", os.fsdecode(b"\xff\xfe")),
        cwd=os.fsdecode(b"/home/\xe9"),
        name="训练",
        kind="experiment",
        owner="ann",
        priority=-3,
        needs=Needs(memory=2**40, gpu="shared", disk=2**41, network=True),
        not_before=1e9 + 0.1,
        night=True,
        retries=2,
        idempotent=True,
        resumable=True,
        timeout=0.5,
        schedule="nightly",
    )
    first = submit(queue, whole, ENVIRONMENT, 1e9 + 1 / 3)
    second = submit(queue, spec("two", after=(Dependency(1),)), {}, 5.0)
    assert first == Job(1, whole, Condition("queued", 1e9 + 1 / 3))
    assert second == Job(2, spec("two", after=(Dependency(1),)), Condition("queued", 5.0))
    assert listed(queue) == [first, second]
    assert [job(queue, 1), job(queue, 2)] == [first, second]
    assert room.environment(queue, first) == ENVIRONMENT
    assert room.environment(queue, second) == {}
    assert record.read_job(queue.folder / "000001") == record.Submitted(whole, ENVIRONMENT, 1e9 + 1 / 3)


def test_dependencies_stand_in_order_each_once(queue: Queue) -> None:
    for name in ("a", "b"):
        submit(queue, spec(name), {}, 1.0)
    given = (Dependency(2, "end"), Dependency(1, "end"), Dependency(2, "success"), Dependency(2, "end"))
    made = submit(queue, spec("c", after=given), {}, 1.0)
    assert made.spec.after == (Dependency(1, "end"), Dependency(2, "success"))
    assert record.read_job(queue.folder / "000003").spec == made.spec == job(queue, 3).spec
    happen(queue, 1, Event("cancel", 2.0))
    assert endings(queue, [made]) == {1: "cancelled", 2: "queued"}
    assert endings(queue, listed(queue, states=["cancelled"])) == {}


@pytest.mark.parametrize("number", [7, 0, -1, 2**63 - 1, 2**63, 10**30])
def test_a_job_cannot_wait_for_one_that_does_not_exist(queue: Queue, number: int) -> None:
    with pytest.raises(NotFound) as caught:
        submit(queue, spec(after=(Dependency(number),)), {}, 1.0)
    assert caught.value.message == f"There is no job '{number}'."
    assert (listed(queue), folders(queue)) == ([], [])
    with pytest.raises(NotFound):
        job(queue, number)
    with pytest.raises(NotFound):
        happen(queue, number, Event("hold", 1.0))
    assert start(queue, number, starting(1), always) is None


@pytest.mark.parametrize("field", ["name", "kind", "owner", "schedule"])
def test_a_name_that_is_no_text_is_refused(queue: Queue, field: str) -> None:
    with pytest.raises(RequestError, match="it is no Unicode text"):
        submit(queue, spec(**{field: os.fsdecode(b"\xff")}), {}, 1.0)
    assert (listed(queue), folders(queue)) == ([], [])
    assert submit(queue, spec(), {}, 1.0).id == 1


def test_a_submit_that_fails_leaves_neither_row_nor_folder(queue: Queue) -> None:
    submit(queue, spec("before"), {}, 1.0)
    (queue.folder / "000002").write_text("in the way")
    with pytest.raises(FileAccess):
        submit(queue, spec(), {}, 1.0)
    assert ([item.id for item in listed(queue)], folders(queue)) == ([1], ["000001"])
    (queue.folder / "000002").unlink()
    (queue.folder / "000002" / "1").mkdir(parents=True)  # what a killed submit left: no row has this number
    assert submit(queue, spec(), {}, 1.0).id == 2
    assert not (queue.folder / "000002" / "1").exists()


def test_listing(queue: Queue) -> None:
    made = [submit(queue, spec(f"job-{number}"), {}, float(number)) for number in range(1, 7)]
    made[1] = happen(queue, 2, Event("hold", 9.0))
    made[2] = happen(queue, 3, Event("cancel", 9.0))
    running = start(queue, 4, starting(1), always)
    assert running is not None
    made[3] = running
    assert listed(queue) == made
    assert listed(queue, newest=True) == made[::-1]
    assert listed(queue, limit=2) == made[:2]
    assert listed(queue, limit=2, newest=True) == [made[5], made[4]]
    assert listed(queue, states=["queued"]) == [made[0], made[4], made[5]]
    assert listed(queue, states=("queued", "held"), limit=2, newest=True) == [made[5], made[4]]
    assert listed(queue, states=ACTIVE) == [made[3]]
    assert listed(queue, states=["succeeded"]) == []
    assert listed(queue, limit=0) == []
    assert room.counts(queue) == {
        "queued": 3, "held": 1, "running": 1, "cancelling": 0, "succeeded": 0, "failed": 0, "cancelled": 1,
        "interrupted": 0,
    }  # fmt: skip


def test_finding_what_a_person_means(queue: Queue) -> None:
    with pytest.raises(NotFound) as caught:
        find(queue, "last")
    assert caught.value.message == "There is no job 'last'."
    assert caught.value.hint == "See them all: ultralab jobs list --all"
    for name in ("bench", "download", "bench", "42", "训练"):
        submit(queue, spec(name), {}, 1.0)
    found = {word: find(queue, word).id for word in ("1", "001", "bench", "download", "last", "42", "训练", "4")}
    assert found == {"1": 1, "001": 1, "bench": 3, "download": 2, "last": 5, "42": 4, "训练": 5, "4": 4}
    with pytest.raises(NotFound) as caught:
        find(queue, "benhc")
    assert caught.value.hint == "Did you mean bench?"
    assert caught.value.data == {"near": ["bench"]}
    for word in ("6", "0", "-1", "", "Bench", "9" * 30, "9" * 5000, "１", os.fsdecode(b"\xff"), "'; DROP TABLE job"):
        with pytest.raises(NotFound):
            find(queue, word)


def test_what_happens_is_in_the_row_and_in_the_folder(queue: Queue) -> None:
    submit(queue, spec(retries=1), {}, 1.0)
    told = [
        Event("hold", 2.0),
        Event("release", 3.0),
        Event("start", 4.0, 1, supervisor=ME, reservation=9),
        Event("end_badly", 5.0, 1, status=1, cause="exit"),
        Event("start", 6.0, 2, supervisor=ProcessId(5, "x")),
        Event("cancel", 7.0),
        Event("end_badly", 8.0, 2, status=143, cause="cancel"),
        Event("retry", 9.0),
    ]
    expected = [
        Condition("held", 1.0),
        Condition("queued", 1.0),
        Condition("running", 1.0, 1, supervisor=ME, reservation=9, started=4.0),
        Condition("queued", 1.0, 1, failures=1, started=4.0, ended=5.0, status=1, cause="exit"),
        Condition("running", 1.0, 2, failures=1, supervisor=ProcessId(5, "x"), started=6.0),
        Condition("cancelling", 1.0, 2, failures=1, supervisor=ProcessId(5, "x"), started=6.0, cause="cancel"),
        Condition("cancelled", 1.0, 2, failures=2, started=6.0, ended=8.0, status=143, cause="cancel"),
        Condition("queued", 1.0, 2, started=6.0, ended=8.0, status=143, cause="cancel"),
    ]
    seen = []
    for event in told:
        seen.append(happen(queue, 1, event).condition)
        assert job(queue, 1).condition == seen[-1]
    assert seen == expected
    assert events(queue, 1) == told


def test_what_cannot_happen_changes_nothing(queue: Queue) -> None:
    submit(queue, spec(), {}, 1.0)
    before = start(queue, 1, starting(1), always)
    assert before is not None
    with pytest.raises(Stale):
        happen(queue, 1, Event("end_well", 3.0, 2, status=0))
    with pytest.raises(NotPossible) as refused:
        happen(queue, 1, Event("retry", 3.0))
    assert refused.value.message == "Job 1 (one) is running: only a job that is over can be retried."
    assert refused.value.hint == "See what became of it: ultralab jobs show 1"
    assert refused.value.data == {"job": 1, "state": "running", "event": "retry"}
    assert job(queue, 1) == before
    assert events(queue, 1) == [starting(1)]


def test_every_verb_that_a_state_does_not_allow_has_its_own_sentence() -> None:
    allowed = {(row.state, row.event) for row in TRANSITIONS}
    verbs: tuple[EventName, ...] = ("hold", "release", "cancel", "retry")
    refused = {(state, verb) for state in get_args(State) for verb in verbs} - allowed
    assert set(SENTENCES) == refused
    sample = Job(20, spec("leaves"), Condition("succeeded", 1.0))
    assert refusal(sample, "cancel") == "Job 20 (leaves) has succeeded: it cannot be cancelled."
    assert refusal(sample, "end_well") is None
    assert len(set(SENTENCES.values())) == len(SENTENCES)
    assert {text.format(id=7, name="x").partition("Job 7 (x) ")[0] for text in SENTENCES.values()} == {""}


def test_an_overview_is_of_one_moment(queue: Queue) -> None:
    for name in ("a", "b", "c", "d", "e", "f"):
        submit(queue, spec(name), {}, 1.0)
    for number in (1, 2, 4):
        run_through(queue, number)
    start(queue, 3, starting(1), always)
    happen(queue, 6, Event("hold", 2.0))
    found, more = overview(queue, 2)
    assert ([item.id for item in found], more) == ([2, 3, 4, 5, 6], 1)
    assert ([item.id for item in overview(queue, 10)[0]], overview(queue, 10)[1]) == ([1, 2, 3, 4, 5, 6], 0)
    submit(queue, spec("g", after=(Dependency(4), Dependency(5))), {}, 1.0)
    waiting, running, known = under_way(queue)
    assert ([item.id for item in waiting], [item.id for item in running]) == ([5, 6, 7], [3])
    assert known == {4: "succeeded", 5: "queued"}
    other = open_queue(queue.folder)
    with queue.database.snapshot():
        before = queue.database.tuples("counts")
        submit(other, spec("h"), {}, 1.0)
        assert queue.database.tuples("counts") == before
    assert dict(queue.database.tuples("counts"))["queued"] == 3
    other.database.close()


def test_a_start_sees_what_runs_and_asks_whether_it_fits(queue: Queue) -> None:
    made = [submit(queue, spec(f"{number}"), {}, 1.0) for number in range(3)]
    asked: list[tuple[Job, list[Job]]] = []

    def fits(item: Job, active: Sequence[Job]) -> bool:
        asked.append((item, list(active)))
        return len(active) < 2

    first, second = start(queue, 1, starting(1), fits), start(queue, 2, starting(1), fits)
    assert first is not None
    assert second is not None
    assert start(queue, 3, starting(1), fits) is None
    assert asked == [(made[0], []), (made[1], [first]), (made[2], [first, second])]
    assert job(queue, 3) == made[2]
    assert start(queue, 1, starting(1), fits) is None  # it runs
    assert start(queue, 1, starting(2), fits) is None
    assert start(queue, 3, starting(2), fits) is None  # not its next attempt
    happen(queue, 3, Event("hold", 2.0))
    assert start(queue, 3, starting(1), fits) is None
    assert len(asked) == 3
    assert events(queue, 3) == [Event("hold", 2.0)]


def test_an_error_while_it_is_asked_leaves_it_queued(queue: Queue) -> None:
    before = submit(queue, spec(), {}, 1.0)

    def fits(_job: Job, _active: Sequence[Job]) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        start(queue, 1, starting(1), fits)
    assert job(queue, 1) == before
    assert start(queue, 1, starting(1), always) is not None


def test_events_of_a_transaction_that_never_committed_do_not_count(queue: Queue) -> None:
    """A process killed between its line and its commit: the next event takes the place of that line."""
    submit(queue, spec(), {}, 1.0)
    happen(queue, 1, Event("hold", 2.0))
    with (queue.folder / "000001" / "events.jsonl").open("ab") as stream:
        stream.write(b'{"event": "cancel", "at": 3.0}\n')
    assert job(queue, 1).state == "held"
    happen(queue, 1, Event("release", 4.0))
    assert events(queue, 1) == [Event("hold", 2.0), Event("release", 4.0)]


def test_pruning(queue: Queue) -> None:
    for name in ("old", "new", "failed", "queued", "running", "held"):
        submit(queue, spec(name), ENVIRONMENT, 1.0)
    old = run_through(queue, 1, at=10.0)
    new = run_through(queue, 2, at=20.0)
    failed = run_through(queue, 3, "end_badly", at=5.0)
    start(queue, 5, starting(1), always)
    happen(queue, 6, Event("hold", 2.0))
    (record.attempt_folder(queue.folder, 1, 1)).mkdir()
    (record.attempt_folder(queue.folder, 1, 1) / "output-0.log").write_bytes(bytes(100_000))
    (queue.folder / "000099").mkdir()  # a submit was killed here
    assert prunable(queue, ended_before=20.0) == [old, failed]
    assert prunable(queue, ended_before=20.0, states=("failed", "running")) == [failed]
    assert len(listed(queue)) == 6
    assert "000099" in folders(queue)
    assert prune(queue, ended_before=20.0, states=["succeeded"]) == [old]
    assert folders(queue) == ["000002", "000003", "000004", "000005", "000006"]
    assert prune(queue, ended_before=1e12, states=("queued", "held", "running")) == []
    assert prune(queue, ended_before=1e12) == [new, failed]
    assert [item.id for item in listed(queue)] == [4, 5, 6]
    assert folders(queue) == ["000004", "000005", "000006"]
    with pytest.raises(NotFound):
        job(queue, 1)


def test_what_a_job_that_stays_depends_on_stays(queue: Queue) -> None:
    """1 ← 2 ← 3 (unfinished), 4 ← 5, 6 ← 7 (ended too late)."""
    for name, after in (("1", ()), ("2", (1,)), ("3", (2,)), ("4", ()), ("5", (4,)), ("6", ()), ("7", (6,))):
        submit(queue, spec(name, after=tuple(Dependency(need, "end") for need in after)), {}, 1.0)
    for number in (1, 2, 4, 5, 6):
        run_through(queue, number, at=3.0)
    run_through(queue, 7, at=50.0)
    assert [item.id for item in prune(queue, ended_before=10.0)] == [4, 5]
    assert [item.id for item in listed(queue)] == [1, 2, 3, 6, 7]
    happen(queue, 3, Event("cancel", 4.0))
    assert [item.id for item in prune(queue, ended_before=100.0)] == [1, 2, 3, 6, 7]
    assert folders(queue) == []


def test_numbers_are_never_used_again(queue: Queue) -> None:
    for _ in range(3):
        run_through(queue, submit(queue, spec(), {}, 1.0).id)
    prune(queue, ended_before=1e12)
    assert submit(queue, spec(), {}, 1.0).id == 4
    run_through(queue, 4)
    prune(queue, ended_before=1e12)
    queue.database.close()
    (queue.folder / "queue.db").write_bytes(b"garbage" * 1000)
    again = open_queue(queue.folder)
    assert listed(again) == []
    assert submit(again, spec(), {}, 1.0).id == 5
    again.database.close()


def test_a_newer_queue_is_refused_and_kept(queue: Queue) -> None:
    submit(queue, spec(), {}, 1.0)
    queue.database._connection.execute("PRAGMA user_version=99")
    queue.database.close()
    before = (queue.folder / "queue.db").read_bytes()
    for work in (open_queue, room.rebuild_queue):
        with pytest.raises(Failure) as caught:
            work(queue.folder)
        assert caught.value.message == f"{queue.folder / 'queue.db'} was written by a newer ultralab."
        assert caught.value.hint == "Upgrade ultralab, or use another lab (--home)."
    assert (queue.folder / "queue.db").read_bytes() == before
    assert not (queue.folder / "damaged").exists()


HOLDER = """
import sys
from pathlib import Path
from ultralab.jobs.store.queue import changing, open_queue
queue = open_queue(Path(sys.argv[1]))
with changing(queue):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_queue_that_another_process_locks(queue: Queue) -> None:
    before = submit(queue, spec(), {}, 1.0)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(queue.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "locked\n"
        queue.database._connection.set_busy_timeout(50)
        with pytest.raises(Busy):
            submit(queue, spec(), {}, 1.0)
        with pytest.raises(Busy) as caught:
            happen(queue, 1, Event("hold", 1.0))
        assert caught.value.message == f"{queue.database.path} is locked by another process."
        assert caught.value.hint
        reader = open_queue(queue.folder)
        assert listed(reader) == [before]  # looking does not wait
        reader.database.close()
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert holder.wait(20) == 0
    assert happen(queue, 1, Event("hold", 1.0)).state == "held"
    assert events(queue, 1) == [Event("hold", 1.0)]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("x")
    with pytest.raises(FileAccess):
        open_queue(tmp_path / "jobs")


CROWD = """
import sys
from pathlib import Path
from ultralab.jobs.store.queue import open_queue, submit
from ultralab.jobs.types import JobSpec
print("ready", flush=True)
sys.stdin.readline()
queue = open_queue(Path(sys.argv[1]))
for number in range(25):
    made = submit(queue, JobSpec(("true",), "/", f"{sys.argv[2]}-{number}"), {"OWN": f"{sys.argv[2]}-{number}"}, 1.0)
    print(made.id, made.spec.name, flush=True)
"""

RACER = """
import sys
from pathlib import Path
from ultralab.jobs.store.queue import open_queue, start
from ultralab.jobs.types import Event
from ultralab.system.process import ProcessId
queue = open_queue(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    number = int(line)
    event = Event("start", 2.0, 1, supervisor=ProcessId(int(sys.argv[2]), "racer"))
    print("lost" if start(queue, number, event, lambda _job, _running: True) is None else "won", flush=True)
"""


def child(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def say(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_eight_processes_make_one_queue_and_submit_at_once(tmp_path: Path) -> None:
    crowd = [child(CROWD, str(tmp_path / "jobs"), str(name)) for name in range(8)]
    assert [hear(one) for one in crowd] == ["ready"] * 8
    for one in crowd:
        say(one, "go")
    told: dict[int, str] = {}
    for one in crowd:
        for line in one.communicate()[0].splitlines():
            number, name = line.split()
            assert told.setdefault(int(number), name) == name
        assert one.returncode == 0
    queue = open_queue(tmp_path / "jobs")
    assert queue.notice == ""
    assert {item.id: item.spec.name for item in listed(queue)} == told
    assert sorted(told) == list(range(1, 201))
    assert sorted(told.values()) == sorted(f"{name}-{number}" for name in range(8) for number in range(25))
    assert {item.id: room.environment(queue, item)["OWN"] for item in listed(queue)} == told
    queue.database.close()


def test_of_two_that_start_the_same_job_one_wins(queue: Queue) -> None:
    for number in range(200):
        submit(queue, spec(f"{number}"), {}, 1.0)
    racers = {number: child(RACER, str(queue.folder), str(number)) for number in (1001, 1002)}
    assert [hear(racer) for racer in racers.values()] == ["ready"] * 2
    winners: dict[int, list[int]] = {}
    for number in range(1, 201):
        for racer in racers.values():
            say(racer, str(number))
        winners[number] = [pid for pid, racer in racers.items() if hear(racer) == "won"]
    for racer in racers.values():
        racer.communicate()
    assert {number: len(won) for number, won in winners.items()} == dict.fromkeys(range(1, 201), 1)
    for item in listed(queue):
        event = Event("start", 2.0, 1, supervisor=ProcessId(winners[item.id][0], "racer"))
        assert item.condition == Condition("running", 1.0, 1, supervisor=event.supervisor, started=2.0)
        assert events(queue, item.id) == [event]


@pytest.mark.slow
def test_ten_thousand_jobs(queue: Queue) -> None:
    begun = time.perf_counter()
    made = [
        submit(queue, spec(f"job-{number}", after=(Dependency(number),) if number % 100 == 1 else ()), ENVIRONMENT, 1.0)
        for number in range(10_000)
    ]
    submitting = time.perf_counter() - begun
    begun = time.perf_counter()
    found = listed(queue)
    listing = time.perf_counter() - begun
    assert found == made
    assert [item.id for item in found] == list(range(1, 10_001))
    assert room.counts(queue)["queued"] == 10_000
    assert find(queue, "job-4999").id == 5000
    assert submitting < 200
    assert listing < 0.4
    queue.database.close()
    again = room.rebuild_queue(queue.folder)
    assert listed(again) == made
    again.database.close()


def test_the_doctor_looks(tmp_path: Path) -> None:
    queue = open_queue(tmp_path / "jobs")
    submit(queue, spec(), {}, 1.0)
    queue.database.close()
    checks = {check.name: check for check in doctor_checks(lambda: open_queue(tmp_path / "jobs"))}
    found = {name: (check.run().verdict, check.run().detail) for name, check in checks.items()}
    assert found == {
        "jobs.queue": ("pass", "1 jobs"),
        "jobs.folder": ("pass", str(tmp_path / "jobs")),
        "jobs.damaged": ("pass", "nothing was set aside"),
    }
    (tmp_path / "jobs" / "queue.db").write_bytes(b"garbage" * 1000)
    first = checks["jobs.queue"].run()
    assert first.verdict == "warn"
    assert first.detail.endswith("rebuilt from the job folders: 1 job. 1 jobs")
    assert checks["jobs.queue"].run().verdict == "pass"
    aside = checks["jobs.damaged"].run()
    assert aside.verdict == "warn"
    assert aside.detail.startswith(f"1 in {tmp_path / 'jobs' / 'damaged'}: queue-")
    assert aside.hint == "Look whether you need them, then delete them."
    (tmp_path / "file").write_text("x")
    refused = doctor_checks(lambda: open_queue(tmp_path / "file"))
    assert [check.run().verdict for check in refused] == ["fail", "skip", "skip"]


def test_damage_in_the_middle_of_the_work_is_mended(queue: Queue) -> None:
    for number in range(300):
        submit(queue, spec(f"{number}"), {}, 1.0)
    queue.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = listed(queue)
    queue.database.close()
    path = queue.folder / "queue.db"
    content = bytearray(path.read_bytes())
    leaf = next(at for at in range(4096 * 3, len(content), 4096) if content[at] == 13)  # sqlite.org/fileformat2.html
    content[leaf : leaf + 4096] = os.urandom(4096)
    path.write_bytes(content)
    reopened = open_queue(queue.folder)  # what is read to open it is whole
    assert reopened.notice == ""
    assert listed(reopened) == before  # mended, and read again; a daemon needs no restart
    assert room.counts(reopened)["queued"] == 300
    assert listed(open_queue(queue.folder)) == before
    assert submit(reopened, spec(), {}, 1.0).id == 301
    reopened.database.close()


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_file_in_the_place_of_the_database_is_set_aside(queue: Queue, kind: str) -> None:
    submit(queue, spec(), {}, 1.0)
    queue.database.close()
    path = queue.folder / "queue.db"
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with closing((again := open_queue(queue.folder)).database):
        assert "was set aside" in again.notice
        assert [item.id for item in listed(again)] == [1]
    (aside,) = (queue.folder / "damaged").iterdir()
    assert aside.is_dir() == (kind == "folder")


def test_what_was_mended_is_told_once_to_whoever_comes_next(queue: Queue) -> None:
    submit(queue, spec(), {}, 1.0)
    assert take_notice(queue.folder) == ""
    queue.database.close()
    (queue.folder / "queue.db").write_bytes(b"garbage" * 1000)
    with closing((again := open_queue(queue.folder)).database):
        assert again.notice != ""
        assert take_notice(queue.folder) == again.notice
    assert take_notice(queue.folder) == ""
    with closing(open_queue(queue.folder).database):
        assert take_notice(queue.folder) == ""


def test_a_process_that_had_the_queue_open_follows_a_rebuilt_one(queue: Queue) -> None:
    submit(queue, spec("first"), {}, 1.0)
    other = room.rebuild_queue(queue.folder)
    assert other.notice.endswith("rebuilt from the job folders: 1 job.")
    assert submit(other, spec("second"), {}, 1.0).id == 2
    assert [item.spec.name for item in listed(queue)] == ["first", "second"]
    assert submit(queue, spec("third"), {}, 1.0).id == 3
    assert happen(queue, 1, Event("hold", 2.0)).state == "held"
    assert listed(other) == listed(queue)
    other.database.close()
    assert listed(open_queue(queue.folder)) == listed(queue)


def test_a_change_while_somebody_moves_the_database_says_so(queue: Queue) -> None:
    submit(queue, spec("first"), {}, 1.0)

    def meanwhile(_job: Job, _active: Sequence[Job]) -> bool:
        for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
            (queue.folder / name).unlink()
        return True

    with pytest.raises(room.Replaced) as caught:
        start(queue, 1, starting(1), meanwhile)
    assert caught.value.hint == "See what is there before you try again: ultralab jobs list"
    assert job(queue, 1).state == "running"  # so it was written; its supervisor gets no go-ahead
    assert happen(queue, 1, Event("never_began", 2.0, 1)).state == "queued"
    assert events(queue, 1) == [starting(1), Event("never_began", 2.0, 1)]
