"""The ledger's own checks."""

from __future__ import annotations

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes
from ultralab.memory.ledger import Ledger, holders


def doctor_checks(ledger: Ledger) -> tuple[Check, ...]:
    """The ledger is readable, whole, and not overdrawn."""

    def balance() -> Finding:
        state = ledger.database.integrity()
        if state != "ok":
            return Finding("fail", state, _("Delete {path}; it is made anew.").format(path=ledger.database.path))
        taken = sum(item.amount for item in holders(ledger))
        detail = _("{taken} of {limit} are reserved.").format(
            taken=format_bytes(taken), limit=format_bytes(ledger.limit)
        )
        return Finding("pass" if taken <= ledger.limit else "warn", detail)

    return (Check("memory.ledger", N_("The memory ledger is whole"), balance),)
