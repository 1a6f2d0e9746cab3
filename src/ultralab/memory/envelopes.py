"""What reservations count together, where some lie inside others: pure functions.

An envelope is a reservation that others lie inside: a job declares its memory, and what its processes then reserve for
an engine is part of that. Together they count as the envelope, or as its contents where these are more. What lies
inside an envelope that is gone counts by itself, so an envelope that goes first never makes the total larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultralab.system.process import ProcessId


@dataclass(frozen=True)
class Reservation:
    """Bytes that a process holds for a purpose, since a moment (ISO 8601); ``within``: the id of its envelope."""

    id: int
    holder: ProcessId
    amount: int
    purpose: str
    since: str
    within: int | None = None


def outermost(living: Sequence[Reservation]) -> tuple[Reservation, ...]:
    """Those that lie inside no living one."""
    known = {item.id for item in living}
    return tuple(item for item in living if item.within not in known)


def contents(envelope: int, living: Sequence[Reservation]) -> tuple[Reservation, ...]:
    """What lies inside an envelope."""
    return tuple(item for item in living if item.within == envelope)


def weight(item: Reservation, living: Sequence[Reservation]) -> int:
    """The bytes that an outermost reservation counts, with what lies inside it."""
    return max(item.amount, sum(inner.amount for inner in contents(item.id, living)))


def total(living: Sequence[Reservation]) -> int:
    """The bytes that all living reservations count together."""
    return sum(weight(item, living) for item in outermost(living))


def envelope_for(within: int | None, living: Sequence[Reservation]) -> Reservation | None:
    """The living reservation that a new one inside ``within`` belongs to: always an outermost one, so that envelopes
    are one deep. None where ``within`` names nothing that lives.
    """
    by_id = {item.id: item for item in living}
    named = by_id.get(within) if within is not None else None
    if named is None or named.within is None:
        return named
    return by_id.get(named.within, named)


def room(limit: int, within: int | None, living: Sequence[Reservation]) -> int:
    """The bytes that a new reservation may take: what is free in its envelope, and of the machine's ``limit``."""
    envelope = envelope_for(within, living)
    free = max(0, limit - total(living))
    if envelope is None:
        return free
    return free + max(0, envelope.amount - sum(item.amount for item in contents(envelope.id, living)))
