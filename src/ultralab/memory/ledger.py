"""Reservations in SQLite: every change is one immediate transaction, so two processes cannot both take the rest."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ultralab.kernel.errors import OutOfMemory
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.memory.envelopes import Reservation, contents, envelope_for, outermost, room, total, weight
from ultralab.system import clock
from ultralab.system.database import Database, Row, open_database
from ultralab.system.files import explained
from ultralab.system.process import ProcessId, alive, identify


@dataclass(frozen=True)
class Ledger:
    """The ledger's file and the bytes that all holders together may have.

    ``within``: the id of the reservation that new ones lie inside (a job's, for what its processes reserve); where it
    names no living one, it says nothing.
    """

    database: Database
    limit: int
    within: int | None = None


def open_ledger(folder: Path, limit: int, within: int | None = None) -> Ledger:
    """Open the ledger kept in ``folder``; ``limit`` in bytes.

    For its owner only, the folder where it is made here: names of jobs and models are in it. Raises FileAccess,
    DiskFull, Busy, FileDamaged.
    """
    with explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_to_others(folder / "memory.db")
    return Ledger(open_database(folder / "memory.db", "ultralab.memory"), limit, within)


def _close_to_others(path: Path) -> None:
    """One that an earlier ultralab made may be open to everybody."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        file = path.with_name(name)
        with suppress(OSError):  # it is not there, or not ours
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                file.chmod(0o600)


def reserve(ledger: Ledger, amount: int, purpose: str, holder: ProcessId | None = None) -> Reservation:
    """Take ``amount`` bytes for ``holder`` (this process by default), or raise OutOfMemory and take nothing.

    The error says what is held by whom, so that a person can decide.
    """
    owner = holder or identify()
    assert owner is not None, "this process is alive"
    since = clock.now().isoformat()
    with ledger.database.transaction():
        living = _drop_the_dead(ledger)
        if amount > room(ledger.limit, ledger.within, living):
            raise _refusal(ledger, amount, purpose, living)
        envelope = envelope_for(ledger.within, living)
        rows = ledger.database.run(
            "take",
            pid=owner.pid,
            start=owner.start,
            amount=amount,
            purpose=purpose,
            since=since,
            envelope=envelope.id if envelope else None,
        )
    return _reservation(rows[0])


def free(ledger: Ledger) -> int:
    """The bytes that :func:`reserve` would grant now."""
    return room(ledger.limit, ledger.within, holders(ledger))


def release(ledger: Ledger, reservation: Reservation) -> None:
    """Give the bytes back. Idempotent."""
    ledger.database.run("give_back", id=reservation.id)


def holders(ledger: Ledger) -> tuple[Reservation, ...]:
    """What living processes hold, oldest first."""
    with ledger.database.transaction():
        return _drop_the_dead(ledger)


@contextmanager
def held(ledger: Ledger, amount: int, purpose: str) -> Iterator[Reservation]:
    """Hold ``amount`` bytes for the length of a block. Raises OutOfMemory."""
    reservation = reserve(ledger, amount, purpose)
    try:
        yield reservation
    finally:
        release(ledger, reservation)


def _drop_the_dead(ledger: Ledger) -> tuple[Reservation, ...]:
    living = []
    for row in ledger.database.run("everything"):
        reservation = _reservation(row)
        if alive(reservation.holder):
            living.append(reservation)
        else:
            ledger.database.run("give_back", id=reservation.id)
    return tuple(living)


def _reservation(row: Row) -> Reservation:
    return Reservation(
        id=int(str(row["id"])),
        holder=ProcessId(int(str(row["pid"])), str(row["start"])),
        amount=int(str(row["amount"])),
        purpose=str(row["purpose"]),
        since=str(row["since"]),
        within=None if row["envelope"] is None else int(str(row["envelope"])),
    )


def _refusal(ledger: Ledger, amount: int, purpose: str, living: tuple[Reservation, ...]) -> OutOfMemory:
    message = _("{purpose} needs {need}, but of {limit} only {free} are free.").format(
        purpose=purpose,
        need=format_bytes(amount),
        limit=format_bytes(ledger.limit),
        free=format_bytes(room(ledger.limit, ledger.within, living)),
    )
    if listed := "; ".join(_obstacles(ledger, living)):
        hint = _("Held now: {listed}. Wait for one of them, or choose a smaller model or context.").format(
            listed=listed
        )
    else:
        hint = _("Choose a smaller model, a lower quantization or a shorter context.")
    return OutOfMemory(message, hint=hint, needed=amount, limit=ledger.limit, taken=total(living))


def _obstacles(ledger: Ledger, living: tuple[Reservation, ...]) -> Iterator[str]:
    """What stands in the way, in words: what lies inside another's envelope is part of that, and one's own is none."""
    own = envelope_for(ledger.within, living)
    others = tuple(item for item in outermost(living) if item != own)
    for item in (*others, *(contents(own.id, living) if own else ())):
        yield _("{amount} by process {pid} ({purpose})").format(
            amount=format_bytes(weight(item, living)), pid=item.holder.pid, purpose=item.purpose
        )
