"""The power is cut, or the disk is full, in the middle of one change: the old state or the new one, never another.

A power cut is simulated from what the change wrote: the files in the order in which they are synced, whole up to a
random one, and of that one a random part of its 512-byte sectors. The full disk is a real one: a small tmpfs, filled up
to a random remainder. Run as a program (in a mount name space of its own), this file is that second part.
"""

from __future__ import annotations

import math
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ultralab.jobs import schedules
from ultralab.jobs.schedules import Schedule
from ultralab.jobs.states import TRANSITIONS
from ultralab.jobs.store.prune import prune
from ultralab.jobs.store.queue import (
    Queue,
    environment,
    happen,
    job,
    listed,
    open_queue,
    rebuild_queue,
    start,
    submit,
)
from ultralab.jobs.types import Dependency, Event, Job, JobSpec
from ultralab.kernel.errors import DiskFull
from ultralab.system.process import ProcessId

POWER_CUTS = 320
FULL_DISKS = 320
SECTOR = 512
LOG = "queue.db-wal"

State = tuple[list[Job], list[Schedule], list[dict[str, str]]]
Files = dict[str, bytes]


def state(queue: Queue) -> State:
    jobs = listed(queue)
    return jobs, schedules.schedules(queue), [environment(queue, item) for item in jobs]


# The changes


def fresh_job(dice: random.Random, queue: Queue) -> None:
    after = tuple(Dependency(item.id, "end") for item in listed(queue)[: dice.randrange(2)])
    spec = JobSpec(("sh", "-c", "训练" * dice.randrange(200)), "/", "fresh", after=after, retries=1, idempotent=True)
    submit(queue, spec, {"PADDING": "x" * dice.randrange(20_000)}, 100.0)


def something_happens(dice: random.Random, queue: Queue) -> None:
    item = dice.choice(listed(queue))
    name = dice.choice([row.event for row in TRANSITIONS if row.state == item.state and row.event != "start"])
    fence = item.condition.fence if name in ("never_began", "end_well", "end_badly", "lose") else None
    happen(queue, item.id, Event(name, 200.0, fence, status=0, cause="exit"))


def job_starts(dice: random.Random, queue: Queue) -> None:
    item = dice.choice(listed(queue, states=["queued"]))
    event = Event("start", 300.0, item.condition.fence + 1, supervisor=ProcessId(17, "boot"), reservation=4)
    assert start(queue, item.id, event, lambda _job, _active: True) is not None


def old_ones_go(_dice: random.Random, queue: Queue) -> None:
    assert prune(queue, ended_before=math.inf) != []


def due(dice: random.Random, queue: Queue) -> None:
    moments = [float(moment) for moment in range(500, 500 + dice.randrange(4))]
    schedules.submit_due(queue, schedules.get(queue, "nightly"), moments, 600.0)


def new_schedule(dice: random.Random, queue: Queue) -> None:
    spec = JobSpec(("backup",), "/", "backup")
    schedules.add(queue, "another", "@daily", "all", spec, {"PADDING": "x" * dice.randrange(20_000)}, 50.0)


def no_schedule(_dice: random.Random, queue: Queue) -> None:
    schedules.remove(queue, "nightly")


def resting_schedule(_dice: random.Random, queue: Queue) -> None:
    schedules.pause(queue, "nightly", paused=True, now=70.0)


Change = Callable[[random.Random, Queue], None]
CHANGES: tuple[Change, ...] = (
    fresh_job, something_happens, job_starts, old_ones_go, due, new_schedule, no_schedule, resting_schedule,
)  # fmt: skip


def make_queue(folder: Path) -> None:
    """Eight jobs in different states (the newest is over), attempts with files, one schedule; the write-ahead log as after a killed process."""
    queue = open_queue(folder)
    for number in range(1, 9):
        after = (Dependency(2, "end"),) if number == 3 else ()
        submit(queue, JobSpec(("x", str(number)), "/", f"job-{number}", after=after), {"N": str(number)}, 1.0)
    for number in (1, 2, 3, 4):
        event = Event("start", 2.0, 1, supervisor=ProcessId(number, "boot"))
        start(queue, number, event, lambda _job, _active: True)
        attempt = folder / f"{number:06d}" / "1"
        attempt.mkdir()
        (attempt / "output-00000000000000000000.log").write_bytes(bytes(3000))
    happen(queue, 1, Event("end_well", 3.0, 1, status=0, cause="exit"))
    happen(queue, 2, Event("end_badly", 3.0, 1, status=1, cause="exit"))
    happen(queue, 3, Event("cancel", 3.0))
    happen(queue, 5, Event("hold", 3.0))
    for number in (6, 8):
        happen(queue, number, Event("cancel", 3.0))
    schedules.add(queue, "nightly", "@daily", "once", JobSpec(("backup",), "/", "backup"), {"A": "b"}, 50.0)
    shutil.copytree(folder, folder.with_name("made"))
    queue.database.close()


# The power cut


def files_in(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def torn(dice: random.Random, before: bytes, after: bytes) -> bytes:
    """What a disk may hold of a file that was being written: some sectors new, some old, or zeros where there were none."""
    size = dice.randint(min(len(before), len(after)), max(len(before), len(after)))
    kind = dice.choice(("prefix", "sectors", "size only"))
    border = dice.randint(0, size)
    content = bytearray(size)
    for begin in range(0, size, SECTOR):
        end = min(size, begin + SECTOR)
        if kind == "prefix":
            end_of_new = min(max(border, begin), end)
        else:
            end_of_new = end if kind == "sectors" and dice.random() < 0.5 else begin
        old = before[begin:end].ljust(end - begin, b"\0")
        new = after[begin:end].ljust(end - begin, b"\0")
        content[begin:end] = new[: end_of_new - begin] + old[end_of_new - begin :]
    return bytes(content)


def sync_order(name: str) -> tuple[int, str]:
    """Job folders by number, then what stands beside the database, then its log; the removals come after that."""
    if name == LOG:
        return 2, name
    return int("/" not in name), name


def cut(dice: random.Random, place: Path, before: Files, after: Files, checkpointed: bytes) -> str:
    """Write into ``place`` what is on the disk after a cut at a random moment; which file it hit."""
    written = sorted(
        (name for name in after if before.get(name) != after[name] and name != "queue.db-shm"), key=sync_order
    )
    removed = sorted(name for name in before if name not in after)
    moments = [*written, *(["removal"] if removed else []), "checkpoint", "nothing"]
    hit = dice.choice(moments)
    done = written[: written.index(hit)] if hit in written else written
    now = {**before, **{name: after[name] for name in done}}
    if hit == LOG or (hit in written and hit.endswith("events.jsonl")):
        now[hit] = torn(dice, before.get(hit, b""), after[hit])
    elif hit in written:  # it appears by a rename: what is torn has another name
        target = Path(hit)
        now[str(target.with_name(f".{target.name}.abcdefgh.part"))] = torn(dice, b"", after[hit])
    elif hit == "checkpoint":
        now["queue.db"] = torn(dice, before["queue.db"], checkpointed)
    folders = sorted({name.split("/")[0] for name in removed})
    gone = folders if hit in ("checkpoint", "nothing") else dice.sample(folders, dice.randint(0, len(folders)))
    if hit in ("removal", "checkpoint", "nothing"):
        now = {name: content for name, content in now.items() if name not in removed or name.split("/")[0] not in gone}
    shm = dice.choice((None, after["queue.db-shm"], dice.randbytes(32_768)))
    now = {name: content for name, content in now.items() if name != "queue.db-shm"}
    write(place, now if shm is None else {**now, "queue.db-shm": shm})
    return hit


def lose_power(dice: random.Random, made: Path, place: Path, change: Change) -> tuple[str, str]:
    """One run; which file was hit, and which state was found."""
    shutil.copytree(made, place / "live")
    with closing((queue := open_queue(place / "live")).database):
        if dice.random() < 0.5:  # then its log begins again, over what it held
            queue.database._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        for _ in range(0 if change is old_ones_go else dice.randrange(3)):  # the newest is to go: its number is kept
            fresh_job(dice, queue)
        old, before = state(queue), files_in(queue.folder)
        change(dice, queue)
        new, after = state(queue), files_in(queue.folder)
        queue.database._connection.execute("PRAGMA wal_checkpoint(FULL)")
        checkpointed = (queue.folder / "queue.db").read_bytes()
    hit = cut(dice, place / "disk", before, after, checkpointed)
    with closing((found := open_queue(place / "disk")).database):
        assert found.notice == ""  # nothing is damaged, so nothing need be rebuilt
        assert found.database.integrity() == "ok"
        now = state(found)
        assert now in (old, new)
        if hit in ("removal", "checkpoint", "nothing"):
            assert now == new  # it was synced before it was said to be done
        elif hit != LOG:
            assert now == old
        goes_on(found, now)
        kept = listed(found)
    if dice.random() < 0.3:  # it takes longer than all the rest
        with closing((rebuilt := rebuild_queue(place / "disk")).database):
            # An event that was synced, and whose transaction was cut off, may come back: then it is the new state.
            remade = {item.id: item for item in listed(rebuilt)}
            assert all(remade[item.id] == item or remade[item.id] in new[0] for item in kept)
    shutil.rmtree(place)
    return hit.rpartition("/")[2], "old" if now == old else "new"


def goes_on(queue: Queue, before: State) -> None:
    """A second change works, and changes nothing else."""
    highest = max((item.id for item in before[0]), default=0)
    made = submit(queue, JobSpec(("next",), "/", "next"), {"NEXT": "1"}, 900.0)
    assert made.id > highest
    held = happen(queue, made.id, Event("hold", 901.0))
    assert state(queue) == ([*before[0], held], before[1], [*before[2], {"NEXT": "1"}])
    assert job(queue, made.id) == held


@pytest.mark.slow  # 320 power cuts
def test_the_power_is_cut(tmp_path: Path) -> None:
    make_queue(tmp_path / "jobs")
    dice = random.Random(20261123)
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(POWER_CUTS):
        seen[lose_power(dice, tmp_path / "made", tmp_path / str(number), CHANGES[number % len(CHANGES)])] += 1
    assert sum(seen.values()) == POWER_CUTS
    # Every kind of file was hit; a torn log gave both states.
    assert {hit for hit, _found in seen} == {
        "job.json", "events.jsonl", "schedules.json", "highest.json", LOG, "removal", "checkpoint", "nothing",
    }  # fmt: skip
    assert seen[LOG, "old"] > 20
    assert seen[LOG, "new"] > 0


# The full disk


def remaining(place: Path) -> int:
    return shutil.disk_usage(place).free


def fill(place: Path, left: int) -> None:
    (place / "filler").write_bytes(bytes(max(0, remaining(place) - left)))


def what_is_there(folder: Path) -> dict[str, bytes]:
    """Every file and folder, without SQLite's own, the lock, and the highest number, which is true in both states."""
    found = {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}
    return {name: content for name, content in found.items() if not name.startswith(("queue.", "highest.json"))}


def run_full(dice: random.Random, made: Path, place: Path, change: Change) -> str:
    """One run on the small disk; what came of it."""
    folder = place / "jobs"
    shutil.copytree(made, folder)
    with closing((queue := open_queue(folder)).database):
        if dice.random() < 0.5:
            queue.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old, there = state(queue), what_is_there(folder)
        fill(place, dice.randrange(64 * 1024))
        try:
            change(dice, queue)
            outcome = "happened"
        except DiskFull:
            outcome = "refused"
        looked = state(queue)
        now = what_is_there(folder)
        (place / "filler").unlink()
        assert state(queue) == looked
        assert queue.database.integrity() == "ok"
        if outcome == "refused":
            assert looked == old
            assert now == there, [name for name in {*now, *there} if now.get(name) != there.get(name)]
        else:
            assert (looked, now) != (old, there)
        goes_on(queue, looked)
    with closing((again := open_queue(folder)).database):
        assert again.notice == ""
        kept = state(again)
    with closing((rebuilt := rebuild_queue(folder)).database):
        assert state(rebuilt) == kept
    shutil.rmtree(folder)
    return outcome


def main(made: Path, place: Path) -> None:
    """Mount a small disk and fill it, over and over; what came of it on standard output."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", place], check=True)
    dice = random.Random(20261123)
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(FULL_DISKS):
        change = CHANGES[number % len(CHANGES)]
        seen[change.__name__, run_full(dice, made, place, change)] += 1
    for (name, outcome), count in sorted(seen.items()):
        sys.stdout.write(f"{name} {outcome} {count}\n")


OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:

    def test_the_disk_is_full(tmp_path: Path) -> None:
        make_queue(tmp_path / "jobs")
        (tmp_path / "disk").mkdir()
        answer = subprocess.run(
            [*OWN_MOUNTS, sys.executable, __file__, tmp_path / "made", tmp_path / "disk"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        seen = {tuple(line.split()[:2]): int(line.split()[2]) for line in answer.stdout.splitlines()}
        assert sum(seen.values()) == FULL_DISKS
        assert {name for name, _outcome in seen} == {change.__name__ for change in CHANGES}
        assert sum(count for (_name, outcome), count in seen.items() if outcome == "refused") > FULL_DISKS // 10
        assert sum(count for (_name, outcome), count in seen.items() if outcome == "happened") > FULL_DISKS // 10


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
