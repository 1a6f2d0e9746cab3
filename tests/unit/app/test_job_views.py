"""What can be seen of a lab's jobs, with a real queue and a real ledger."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ultralab.app import Lab, open_lab
from ultralab.app import jobs as verbs
from ultralab.app.job_site import holders_beside, ledger_of
from ultralab.jobs.scheduling.reasons import Reason
from ultralab.jobs.states import NotPossible
from ultralab.jobs.store.queue import Queue, happen, job, open_queue, start, submit
from ultralab.jobs.store.record import attempt_folder
from ultralab.jobs.types import Event, JobSpec, Needs
from ultralab.kernel.units import GIB, MIB
from ultralab.memory import held, reserve
from ultralab.settings import set_value
from ultralab.setup.tree import create_lab
from ultralab.system.process import ProcessId, identify

NOBODY = ProcessId(4_000_000, "gone")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    create_lab(tmp_path / "lab", language="en")
    set_value(tmp_path / "lab", "jobs.disk_reserve", "0")
    return open_lab(tmp_path / "lab")


@pytest.fixture
def queue(lab: Lab) -> Iterator[Queue]:
    """The lab's queue, into which jobs go without waking anybody."""
    with closing((opened := open_queue(verbs.jobs_folder(lab.home))).database):
        yield opened


def spec(name: str, memory: int = 0) -> JobSpec:
    return JobSpec(argv=("true",), cwd="/", name=name, needs=Needs(memory=memory))


def run_through(queue: Queue, number: int) -> None:
    start(queue, number, Event("start", 2.0, 1, supervisor=NOBODY), lambda _job, _active: True)
    happen(queue, number, Event("end_well", 3.0, 1, status=0, cause="exit"))


def test_an_overview(lab: Lab, queue: Queue) -> None:
    for number in range(1, 9):
        submit(queue, spec(f"job-{number}"), {}, 1.0)
    for number in (1, 2, 3, 5, 6):
        run_through(queue, number)
    happen(queue, 7, Event("hold", 2.0))

    def ids(**given: object) -> tuple[list[int], int]:
        seen = verbs.overview(lab, **given)  # type: ignore[arg-type]
        return [found.id for found in seen.jobs], seen.more

    assert ids() == ([1, 2, 3, 4, 5, 6, 7, 8], 0)
    assert ids(ended=2) == ([4, 5, 6, 7, 8], 3)
    assert ids(ended=2, limit=3) == ([6, 7, 8], 4)
    assert ids(ended=2, limit=99) == ([4, 5, 6, 7, 8], 3)
    assert ids(everything=True) == ([1, 2, 3, 4, 5, 6, 7, 8], 0)
    assert ids(everything=True, limit=2) == ([7, 8], 0)
    assert ids(states=("succeeded",), limit=2) == ([5, 6], 0)
    assert ids(states=("failed",)) == ([], 0)


def test_words_for_completion(lab: Lab, tmp_path: Path) -> None:
    assert verbs.names(lab, 9) == []
    assert not verbs.jobs_folder(lab.home).exists()
    with closing((queue := open_queue(verbs.jobs_folder(lab.home))).database):
        for name in ("train", "eval", "train"):
            submit(queue, spec(name), {}, 1.0)
    assert verbs.names(lab, 9) == ["3", "2", "1", "train", "eval"]
    assert verbs.names(lab, 4) == ["3", "2", "1", "train"]
    (verbs.jobs_folder(lab.home) / "queue.db").write_bytes(b"garbage" * 1000)
    assert verbs.names(lab, 9) == ["3", "2", "1", "train", "eval"]
    (verbs.jobs_folder(lab.home) / "queue.db").write_bytes(b"")
    (verbs.jobs_folder(lab.home) / "000001" / "job.json").write_text('{"version": 99}')  # from a newer ultralab
    assert verbs.names(lab, 9) == []


def test_memory_that_others_hold_has_a_name(lab: Lab, queue: Queue) -> None:
    ledger = ledger_of(lab)
    me = identify()
    assert me is not None
    submit(queue, spec("large", ledger.limit), {}, 1.0)
    assert verbs.view(lab, "large").waiting is None  # it could start: nobody schedules here
    with held(ledger, GIB, "a model"), held(ledger, MIB, "another"), held(ledger, 7, "x"), held(ledger, 8, "y"):
        reason = verbs.view(lab, "large").waiting
        named = (
            (f"a model of process {me.pid}", GIB),
            (f"another of process {me.pid}", MIB),
            (f"y of process {me.pid}", 8),
        )
        free = ledger.limit - GIB - MIB - 15
        assert reason == Reason("memory", need=ledger.limit, free=free, held_by=named)
    submit(queue, spec("running", GIB), {}, 1.0)
    with held(ledger, MIB, "a model"):
        reservation = reserve(ledger, GIB, "job 2 (running)").id
        event = Event("start", 2.0, 1, supervisor=me, reservation=reservation)
        assert start(queue, 2, event, lambda _job, _active: True) is not None
        assert holders_beside(ledger, [job(queue, 2)]) == ((f"a model of process {me.pid}", MIB),)
        assert dict(holders_beside(ledger, []))[f"job 2 (running) of process {me.pid}"] == GIB


def test_what_a_job_left_in_its_folder_is_seen(lab: Lab, queue: Queue) -> None:
    submit(queue, spec("one"), {}, 1.0)
    me = identify()
    assert me is not None
    folder = attempt_folder(queue.folder, 1, 1)
    folder.mkdir()
    (folder.parent / "no attempt").mkdir()
    (folder / "worker.json").write_text(json.dumps({"pid": me.pid, "start": me.start}))
    os.mkfifo(folder / "progress.json")
    seen = verbs.view(lab, "one")
    assert ([(attempt.fence, attempt.worker) for attempt in seen.attempts], seen.progress) == ([(1, None)], None)
    words = {"a": 1, "b": float("nan")}
    (folder / "progress.json").unlink()
    (folder / "progress.json").write_text(json.dumps(words))
    assert verbs.view(lab, "one").progress == {"a": 1}


def test_what_cannot_be_done_is_said_of_the_job(lab: Lab, queue: Queue) -> None:
    submit(queue, spec("leaves"), {}, 1.0)
    run_through(queue, 1)
    with pytest.raises(NotPossible) as refused:
        verbs.cancel(lab, "leaves")
    assert refused.value.message == "Job 1 (leaves) has succeeded: it cannot be cancelled."
    assert refused.value.hint == "See what became of it: ultralab jobs show 1"


def test_what_was_mended_is_told_once(lab: Lab, queue: Queue) -> None:
    submit(queue, spec("one"), {}, 1.0)
    queue.database.close()
    assert verbs.notice(lab.home) == ""
    (queue.folder / "queue.db").write_bytes(b"garbage" * 1000)
    assert [found.id for found in verbs.listed(lab)] == [1]
    assert verbs.notice(lab.home).endswith("rebuilt from the job folders: 1 job.")
    assert verbs.notice(lab.home) == ""
    assert verbs.rebuild(lab).endswith("rebuilt from the job folders: 1 job.")
    assert verbs.notice(lab.home) == ""  # whoever asked for it was told


def test_how_this_program_is_started() -> None:
    assert verbs.program_command() == (sys.executable, "-P", "-m", "ultralab.cli")


def test_a_state_of_the_machine_is_made_for_its_owner(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRALAB_STATE", str(tmp_path / "own" / "machine"))
    ledger_of(lab).database.close()
    assert stat.S_IMODE((tmp_path / "own" / "machine").stat().st_mode) == 0o700
