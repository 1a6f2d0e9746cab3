"""Who holds this machine's memory: reservations of models, and the largest processes beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes
from ultralab.machine import available_memory, footprint
from ultralab.memory import Reservation


@dataclass(frozen=True)
class Holder:
    """A process and what it holds (``machine.footprint``, bytes)."""

    pid: int
    name: str
    bytes: int


@dataclass(frozen=True)
class MemoryUse:
    """How this machine's memory is divided now, bytes.

    ``limit``: what models may take in all; ``reserved``: what reservations hold of it, for whatever runs or is about to;
    ``free``: what can be taken without pushing anything out; ``holders``: the largest processes, the largest first. On a
    Mac the processes of other users are not seen; the rest of what is not free is macOS itself.
    """

    memory: int
    limit: int
    reserved: int
    free: int
    holders: tuple[Holder, ...] = ()

    @property
    def held(self) -> int:
        """What is not free, by whomever."""
        return max(0, self.memory - self.free)

    @property
    def unaccounted(self) -> int:
        """What is held and is none of the listed processes': the system, its caches, smaller processes."""
        return max(0, self.held - sum(holder.bytes for holder in self.holders))

    @property
    def for_a_model(self) -> int:
        """What a model could take now: within the limit, and without pushing anything out of memory."""
        return max(0, min(self.limit - self.reserved, self.free))

    def to_data(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "memory_bytes": self.memory,
            "limit_bytes": self.limit,
            "reserved_bytes": self.reserved,
            "free_bytes": self.free,
            "held_bytes": self.held,
            "for_a_model_bytes": self.for_a_model,
            "holders": [{"pid": holder.pid, "name": holder.name, "bytes": holder.bytes} for holder in self.holders],
        }


def memory_use(memory: int, limit: int, reserved: int, *, largest: int = 5) -> MemoryUse:
    """Look now. ``memory``, ``limit`` and ``reserved`` in bytes are the machine's and the ledger's."""
    return MemoryUse(memory, limit, reserved, available_memory(), largest_holders(largest))


def largest_holders(count: int) -> tuple[Holder, ...]:
    """The processes that hold most, of those that we may see. Takes some 10 ms per hundred processes."""
    import psutil

    found = [
        Holder(process.pid, printable(str(process.info["name"] or "?"), 60), footprint(process.pid))
        for process in psutil.process_iter(["name"])
    ]
    return tuple(sorted((holder for holder in found if holder.bytes), key=lambda holder: -holder.bytes)[:count])


def sentences(use: MemoryUse, reservations: tuple[Reservation, ...] = ()) -> tuple[str, ...]:
    """The same for a person, with what ``reservations`` are for: the limit, who holds it, what is left (translated)."""
    held_for = "; ".join(
        _("{amount} for {purpose}").format(amount=format_bytes(item.amount), purpose=printable(item.purpose, 60))
        for item in reservations
    )
    said = _("Models may take {limit} of {memory}; {reserved} of that are reserved.").format(
        limit=format_bytes(use.limit), memory=format_bytes(use.memory), reserved=format_bytes(use.reserved)
    )
    others = "; ".join(
        _("{name} (process {pid}) {amount}").format(name=item.name, pid=item.pid, amount=format_bytes(item.bytes))
        for item in use.holders
    )
    shown = [said]
    if held_for:
        shown.append(_("Reserved: {listed}.").format(listed=held_for))
    if others:
        shown.append(_("The largest processes: {listed}.").format(listed=others))
    now = _("{free} are free now: a model of up to {amount} could be loaded without pushing anything out.")
    return (*shown, now.format(free=format_bytes(use.free), amount=format_bytes(use.for_a_model)))
