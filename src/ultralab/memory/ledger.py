"""Reservations in SQLite: every change is one immediate transaction, so two processes cannot both take the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ultralab.kernel.errors import OutOfMemory
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.system import clock
from ultralab.system.database import Database, Row, open_database
from ultralab.system.process import ProcessId, alive, identify


@dataclass(frozen=True)
class Ledger:
    """The ledger's file and the bytes that all holders together may have."""

    database: Database
    limit: int


@dataclass(frozen=True)
class Reservation:
    """Bytes that a process holds for a purpose, since a moment (ISO 8601)."""

    id: int
    holder: ProcessId
    amount: int
    purpose: str
    since: str


def open_ledger(folder: Path, limit: int) -> Ledger:
    """Open the ledger kept in ``folder``; ``limit`` in bytes."""
    return Ledger(open_database(folder / "memory.db", "ultralab.memory"), limit)


def reserve(ledger: Ledger, amount: int, purpose: str, holder: ProcessId | None = None) -> Reservation:
    """Take ``amount`` bytes for ``holder`` (this process by default), or raise OutOfMemory and take nothing.

    The error says what is held by whom, so that a person can decide.
    """
    owner = holder or identify()
    assert owner is not None, "this process is alive"
    since = clock.now().isoformat()
    with ledger.database.transaction():
        living = _drop_the_dead(ledger)
        taken = sum(item.amount for item in living)
        if amount > ledger.limit - taken:
            raise _refusal(ledger, amount, purpose, living)
        rows = ledger.database.run(
            "take", pid=owner.pid, start=owner.start, amount=amount, purpose=purpose, since=since
        )
    return _reservation(rows[0])


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
    )


def _refusal(ledger: Ledger, amount: int, purpose: str, living: tuple[Reservation, ...]) -> OutOfMemory:
    taken = sum(item.amount for item in living)
    message = _("{purpose} needs {need}, but of {limit} only {free} are free.").format(
        purpose=purpose,
        need=format_bytes(amount),
        limit=format_bytes(ledger.limit),
        free=format_bytes(max(0, ledger.limit - taken)),
    )
    if living:
        listed = "; ".join(
            _("{amount} by process {pid} ({purpose})").format(
                amount=format_bytes(item.amount), pid=item.holder.pid, purpose=item.purpose
            )
            for item in living
        )
        hint = _("Held now: {listed}. Wait for one of them, or choose a smaller model or context.").format(
            listed=listed
        )
    else:
        hint = _("Choose a smaller model, a lower quantization or a shorter context.")
    return OutOfMemory(message, hint=hint, needed=amount, limit=ledger.limit, taken=taken)
