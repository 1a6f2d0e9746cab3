"""The memory ledger: never overdrawn, by whomever, whatever happens to the holders."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.kernel.errors import Failure, OutOfMemory
from ultralab.kernel.units import GIB
from ultralab.memory import Ledger, Reservation, held, holders, open_ledger, release, reserve
from ultralab.memory.checks import doctor_checks
from ultralab.system.process import ProcessId, identify

# Opens the ledger, waits for the word, takes 10 bytes as often as it gets them, says how often, keeps them until told.
RACER = """
import sys
from pathlib import Path
from ultralab.kernel.errors import OutOfMemory
from ultralab.memory import open_ledger, reserve
print("ready", flush=True)
sys.stdin.readline()
ledger, got = open_ledger(Path(sys.argv[1]), 1000), 0
try:
    while True:
        reserve(ledger, 30, f"racer {sys.argv[2]}")
        got += 1
except OutOfMemory:
    print(got, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path, 100)


def racer(folder: Path, name: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RACER, str(folder), str(name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_a_reservation_says_who_what_and_since_when(ledger: Ledger) -> None:
    taken = reserve(ledger, 40, "模型")
    me = identify()
    assert me is not None
    assert taken == Reservation(1, me, 40, "模型", taken.since)
    assert taken.since.startswith("20")
    assert holders(ledger) == (taken,)
    assert holders(open_ledger(ledger.database.path.parent, 100)) == (taken,)


def test_the_limit_can_be_reached_and_not_passed(ledger: Ledger) -> None:
    first = reserve(ledger, 60, "first")
    second = reserve(ledger, 40, "second")
    nothing = reserve(ledger, 0, "nothing")
    with pytest.raises(OutOfMemory) as caught:
        reserve(ledger, 1, "third")
    assert caught.value.data == {"needed": 1, "limit": 100, "taken": 100}
    assert holders(ledger) == (first, second, nothing)


def test_the_refusal_names_the_holders(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, 4 * GIB)
    reserve(ledger, 3 * GIB, "the first model")
    reserve(ledger, GIB // 2, "the second model")
    with pytest.raises(OutOfMemory) as caught:
        reserve(ledger, GIB, "the third model")
    me = os.getpid()
    assert caught.value.message == "the third model needs 1.00 GiB, but of 4.00 GiB only 512 MiB are free."
    assert caught.value.hint == (
        f"Held now: 3.00 GiB by process {me} (the first model); 512 MiB by process {me} (the second model). "
        "Wait for one of them, or choose a smaller model or context."
    )


def test_a_refusal_by_an_empty_ledger_says_what_helps(ledger: Ledger) -> None:
    with pytest.raises(OutOfMemory) as caught:
        reserve(ledger, 101, "much")
    assert caught.value.message == "much needs 101 B, but of 100 B only 100 B are free."
    assert caught.value.hint == "Choose a smaller model, a lower quantization or a shorter context."
    assert holders(ledger) == ()


def test_an_overdrawn_ledger_gives_nothing(tmp_path: Path) -> None:
    reserve(open_ledger(tmp_path, 100), 80, "early")
    smaller = open_ledger(tmp_path, 50)  # the owner of the machine chose a lower limit
    with pytest.raises(OutOfMemory, match=r"of 50 B only 0 B are free"):
        reserve(smaller, 1, "late")
    (check,) = doctor_checks(lambda: smaller)
    assert (check.run().verdict, check.run().detail) == ("warn", "80 B of 50 B are reserved.")


def test_no_negative_amounts(ledger: Ledger) -> None:
    reserve(ledger, 100, "all")
    with pytest.raises(Failure):
        reserve(ledger, -50, "trick")
    assert sum(item.amount for item in holders(ledger)) == 100


def test_release_is_idempotent_and_hits_only_its_own(ledger: Ledger) -> None:
    first, second = reserve(ledger, 60, "first"), reserve(ledger, 40, "second")
    release(ledger, first)
    release(ledger, first)
    assert holders(ledger) == (second,)


def test_releasing_late_does_not_hit_a_newer_reservation(ledger: Ledger) -> None:
    first = reserve(ledger, 60, "first")
    release(ledger, first)
    newer = reserve(ledger, 60, "newer")
    release(ledger, first)
    assert holders(ledger) == (newer,)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_held_for_a_block(ledger: Ledger, error: type[BaseException]) -> None:
    def work() -> None:
        with held(ledger, 70, "block") as reservation:
            assert holders(ledger) == (reservation,)
            raise error

    with pytest.raises(error):
        work()
    assert holders(ledger) == ()


def test_the_dead_are_dropped(ledger: Ledger) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        identity = identify(child.pid)
        assert identity is not None
        theirs = reserve(ledger, 90, "theirs", identity)
        assert holders(ledger) == (theirs,)
        with pytest.raises(OutOfMemory):
            reserve(ledger, 20, "ours")
        child.kill()
    ours = reserve(ledger, 20, "ours")
    assert holders(ledger) == (ours,)


def test_a_recycled_pid_is_not_the_holder(ledger: Ledger) -> None:
    reserve(ledger, 90, "before the restart", ProcessId(os.getpid(), "another-boot-123"))
    assert holders(ledger) == ()


def test_eight_processes_race_for_the_last_bytes(tmp_path: Path) -> None:
    crowd = [racer(tmp_path, number) for number in range(8)]
    assert [line(one) for one in crowd] == ["ready"] * 8
    for one in crowd:
        go(one)
    got = [int(line(one)) for one in crowd]
    ledger = open_ledger(tmp_path, 1000)
    taken = holders(ledger)
    assert sum(got) == 33  # 990 of 1000 bytes, in pieces of 30
    assert [sum(item.holder.pid == one.pid for item in taken) for one in crowd] == got
    for one in crowd[:4]:
        one.kill()
    for one in crowd[4:]:
        go(one)
    for one in crowd:
        one.communicate()
    assert holders(ledger) == ()


def test_the_doctor_sees_a_whole_ledger(ledger: Ledger) -> None:
    reserve(ledger, 30, "some")
    (check,) = doctor_checks(lambda: ledger)
    assert (check.name, check.run().verdict, check.run().detail) == (
        "memory.ledger",
        "pass",
        "30 B of 100 B are reserved.",
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 120), st.tuples(st.integers(0, 20))), max_size=12))
def test_whatever_is_done_the_limit_holds(steps: list[int | tuple[int]]) -> None:
    """A number reserves so many bytes, a tuple releases the reservation of that number (again, perhaps)."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(Path(folder), 100)
        made: list[Reservation] = []
        model: dict[int, int] = {}
        for step in steps:
            if isinstance(step, tuple):
                if made:
                    chosen = made[step[0] % len(made)]
                    release(ledger, chosen)
                    model.pop(chosen.id, None)
            elif sum(model.values()) + step <= 100:
                made.append(reserve(ledger, step, "step"))
                model[made[-1].id] = step
            else:
                with pytest.raises(OutOfMemory):
                    reserve(ledger, step, "step")
        assert {item.id: item.amount for item in holders(ledger)} == model
        ledger.database.close()


def test_the_ledger_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ledger = open_ledger(tmp_path / "state" / "machine", 100)
        reserve(ledger, 1, "a model with a name")
        names = ("memory.db", "memory.db-wal", "memory.db-shm")
        modes = {name: stat.S_IMODE((tmp_path / "state" / "machine" / name).stat().st_mode) for name in names}
        assert modes == dict.fromkeys(names, 0o600)
        assert stat.S_IMODE((tmp_path / "state" / "machine").stat().st_mode) == 0o700
        for name in names:
            (tmp_path / "state" / "machine" / name).chmod(0o644)  # as an earlier ultralab made it
        (tmp_path / "state" / "machine").chmod(0o755)  # and its owner may have chosen this
        assert holders(open_ledger(tmp_path / "state" / "machine", 100)) == holders(ledger)
        modes = {name: stat.S_IMODE((tmp_path / "state" / "machine" / name).stat().st_mode) for name in names}
        assert modes == dict.fromkeys(names, 0o600)
        assert stat.S_IMODE((tmp_path / "state" / "machine").stat().st_mode) == 0o755
    finally:
        os.umask(before)
