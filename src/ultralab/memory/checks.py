"""The ledger's own checks."""

from __future__ import annotations

from collections.abc import Callable

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes
from ultralab.memory.envelopes import total
from ultralab.memory.ledger import Ledger, holders


def doctor_checks(opened: Callable[[], Ledger]) -> tuple[Check, ...]:
    """The ledger can be opened, is whole, and is not overdrawn."""

    def balance() -> Finding:
        ledger = opened()
        state = ledger.database.integrity()
        if state != "ok":
            return Finding("fail", state, _("Delete {path}; it is made anew.").format(path=ledger.database.path))
        taken = total(holders(ledger))
        detail = _("{taken} of {limit} are reserved.").format(
            taken=format_bytes(taken), limit=format_bytes(ledger.limit)
        )
        return Finding("pass" if taken <= ledger.limit else "warn", detail)

    return (Check("memory.ledger", N_("The memory ledger is whole"), balance),)
