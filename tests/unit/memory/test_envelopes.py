"""Reservations inside others: what a job declared is not counted twice, and the total never passes the limit."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.app.job_site import ledger_of
from ultralab.app.lab import Lab, machine_ledger
from ultralab.kernel.errors import OutOfMemory
from ultralab.kernel.units import GIB
from ultralab.machine import Bandwidth, Machine
from ultralab.memory import Ledger, Reservation, free, holders, open_ledger, release, reserve, total
from ultralab.memory.checks import doctor_checks
from ultralab.settings import Settings
from ultralab.system.process import identify

MACHINE = Machine(
    chip="x", vendor="x", architecture="x", os_name="x", os_version="", performance_cores=1, efficiency_cores=0,
    logical_cores=1, memory_bytes=8 * GIB, gpu_cores=0, gpu_memory_limit_bytes=0, unified_memory=False,
    bandwidth=Bandwidth(0.0, "unknown", ""),
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path, 100)


def test_what_lies_inside_an_envelope_counts_once(ledger: Ledger) -> None:
    job = reserve(ledger, 60, "job")
    inside = replace(ledger, within=job.id)
    assert (free(ledger), free(inside)) == (40, 100)
    engine = reserve(inside, 50, "engine")
    assert engine == Reservation(2, engine.holder, 50, "engine", engine.since, within=1)
    assert holders(ledger) == (job, engine)
    assert (total(holders(ledger)), free(ledger), free(inside)) == (60, 40, 50)
    more = reserve(inside, 30, "more than declared")  # 80 inside 60: the rest comes from the machine
    assert (total(holders(ledger)), free(ledger), free(inside)) == (80, 20, 20)
    release(ledger, engine)
    assert (total(holders(ledger)), free(ledger), free(inside)) == (60, 40, 70)
    release(ledger, more)
    release(ledger, job)
    assert (free(ledger), free(inside)) == (100, 100)


def test_the_contents_of_an_envelope_that_is_gone_count_by_themselves(ledger: Ledger) -> None:
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        job = reserve(ledger, 60, "job", identify(supervisor.pid))
        inside = replace(ledger, within=job.id)
        engine = reserve(inside, 50, "engine")
        supervisor.kill()
    assert holders(ledger) == (engine,)
    assert (free(ledger), free(inside)) == (50, 50)
    late = reserve(inside, 50, "late")
    assert late.within is None
    with pytest.raises(OutOfMemory):
        reserve(inside, 1, "later")


def test_a_reservation_inside_one_that_lies_inside_belongs_to_the_outermost(ledger: Ledger) -> None:
    job = reserve(ledger, 60, "job")
    engine = reserve(replace(ledger, within=job.id), 30, "engine")
    inner = reserve(replace(ledger, within=engine.id), 30, "inner")
    assert inner.within == job.id
    assert total(holders(ledger)) == 60
    release(ledger, job)
    assert total(holders(ledger)) == 60
    assert reserve(replace(ledger, within=inner.id), 20, "in what is outermost now").within == inner.id
    assert total(holders(ledger)) == 60


@pytest.mark.parametrize("named", [99, 0, -1])
def test_an_envelope_that_is_none_says_nothing(ledger: Ledger, named: int) -> None:
    inside = replace(ledger, within=named)
    assert free(inside) == 100
    assert reserve(inside, 40, "x").within is None
    assert free(inside) == 60


def test_an_overdrawn_machine_still_gives_a_job_what_it_was_granted(ledger: Ledger) -> None:
    job = reserve(ledger, 80, "job")
    smaller = Ledger(ledger.database, 50, within=job.id)  # the owner of the machine chose a lower limit
    assert (free(smaller), free(Ledger(ledger.database, 50))) == (80, 0)
    assert reserve(smaller, 80, "engine").within == job.id
    with pytest.raises(OutOfMemory):
        reserve(smaller, 1, "more")


def test_a_refusal_names_what_stands_in_the_way_and_not_the_own_envelope(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, 8 * GIB)
    job, other = reserve(ledger, 4 * GIB, "job 1"), reserve(ledger, 2 * GIB, "job 2")
    inside, beside = replace(ledger, within=job.id), replace(ledger, within=other.id)
    reserve(inside, 3 * GIB, "engine of 1")
    reserve(beside, 3 * GIB, "engine of 2")
    me = os.getpid()
    with pytest.raises(OutOfMemory) as caught:
        reserve(inside, 4 * GIB, "second engine of 1")
    assert caught.value.message == "second engine of 1 needs 4.00 GiB, but of 8.00 GiB only 2.00 GiB are free."
    assert caught.value.hint == (
        f"Held now: 3.00 GiB by process {me} (job 2); 3.00 GiB by process {me} (engine of 1). "
        "Wait for one of them, or choose a smaller model or context."
    )
    assert caught.value.data == {"needed": 4 * GIB, "limit": 8 * GIB, "taken": 7 * GIB}
    with pytest.raises(OutOfMemory) as caught:
        reserve(ledger, 2 * GIB, "another")
    assert caught.value.hint.startswith(
        f"Held now: 4.00 GiB by process {me} (job 1); 3.00 GiB by process {me} (job 2). Wait"
    )
    (check,) = doctor_checks(lambda: ledger)
    assert (check.run().verdict, check.run().detail) == ("pass", "7.00 GiB of 8.00 GiB are reserved.")


def test_alone_in_its_envelope_nothing_stands_in_the_way(ledger: Ledger) -> None:
    job = reserve(ledger, 60, "job")
    with pytest.raises(OutOfMemory) as caught:
        reserve(replace(ledger, within=job.id), 101, "engine")
    assert caught.value.hint == "Choose a smaller model, a lower quantization or a shorter context."


@pytest.mark.parametrize(
    ("told", "within"),
    [("17", 17), ("", None), ("x", None), ("-3", None), ("1.5", None), ("٣", None), ("9" * 30, None), (" 7", None)],
)
def test_a_job_tells_its_processes_their_envelope(
    monkeypatch: pytest.MonkeyPatch, told: str, within: int | None
) -> None:
    monkeypatch.setenv("ULTRALAB_RESERVATION", told)
    found = machine_ledger(MACHINE, 0)
    assert (found.within, found.limit) == (within, 6 * GIB)


def test_a_scheduler_that_a_job_started_reserves_in_no_envelope(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ULTRALAB_RESERVATION", "17")
    assert ledger_of(Lab(tmp_path, Settings())).within is None


def test_outside_a_job_there_is_no_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ULTRALAB_RESERVATION", raising=False)
    assert machine_ledger(MACHINE, 0).within is None


def test_a_ledger_of_the_first_version_is_migrated_with_what_it_holds(tmp_path: Path) -> None:
    me = identify()
    assert me is not None
    old = apsw.Connection(str(tmp_path / "memory.db"))
    old.execute(files("ultralab.memory").joinpath("migrations", "0001_reservations.sql").read_text())
    old.execute("PRAGMA user_version=1")
    old.execute(
        "INSERT INTO reservation (pid, start, amount, purpose, since) VALUES (?, ?, 40, 'old', 'then')",
        (me.pid, me.start),
    )
    old.close()
    assert holders(open_ledger(tmp_path, 100)) == (Reservation(1, me, 40, "old", "then", None),)


# (what, number, size): reserve ``size`` outside or inside the reservation of that number (as it is made, perhaps gone),
# or release the one of that number.
STEPS = st.lists(
    st.tuples(st.sampled_from(["outside", "inside", "inside", "release"]), st.integers(0, 15), st.integers(0, 120)),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_lies_in_whatever_the_total_never_passes_the_limit(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(Path(folder), 100)
        made: list[Reservation] = []
        for what, number, size in steps:
            chosen = made[number % len(made)] if made else None
            before = total(holders(ledger))
            if what == "release":
                if chosen:
                    release(ledger, chosen)
                    assert total(holders(ledger)) <= before
                continue
            asked = replace(ledger, within=chosen.id if chosen and what == "inside" else None)
            promised = free(asked)
            try:
                made.append(reserve(asked, size, "step"))
            except OutOfMemory:
                assert size > promised
            else:
                assert size <= promised
                grown = total(holders(ledger))
                assert before <= grown <= min(100, before + size)
        ledger.database.close()
