"""What a pickle would do, found by following its opcodes. Nothing is imported, called or built.

Every opcode of protocols 0 to 5 is understood as CPython's ``pickle`` and ``pickletools`` document it. A pickle is a
program for a small stack machine; this one runs on stand-ins (:mod:`ultralab.models.formats.pickle_values`). What would
be called is compared with a list of what state dicts need; whatever cannot be followed counts as outside the list.
What this finds is a reason for distrust; that it finds nothing is no proof of safety.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.pickle_machine import MOST_NAMES, MOST_OPCODES, Machine, Stopped
from ultralab.models.formats.pickle_opcodes import HANDLERS
from ultralab.models.formats.pickle_values import Storage, Tensor, Value

__all__ = ["MOST_NAMES", "MOST_OPCODES", "Scan", "findings", "scan"]

_SHOWN: Final = 20


@dataclass(frozen=True)
class Scan:
    """What one pickle would do.

    ``called`` and ``imported`` are the dotted names outside the list. ``computed``: something is called or imported
    whose name only exists while loading. ``extensions`` are codes of ``copyreg``'s registry. ``problem`` says where
    following ended early (empty: the pickle was followed to its end, byte ``end``); ``truncated``: because the bytes
    ended. What was found before a problem would still have happened.
    """

    end: int
    opcodes: int
    called: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()
    computed: bool = False
    extensions: tuple[int, ...] = ()
    storages: tuple[Storage, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    names: tuple[str, ...] = field(default=())
    result: Value | None = None
    problem: str = ""
    truncated: bool = False

    @property
    def outside(self) -> bool:
        """Whether it would do anything that a state dict does not need, or could not be followed."""
        return bool(self.called or self.imported or self.computed or self.extensions or self.problem)


def scan(data: bytes, start: int = 0, most_opcodes: int = MOST_OPCODES) -> Scan:
    """Follow the pickle that begins at ``start``. Never raises for whatever ``data`` holds; linear in its length."""
    machine = Machine(data, start)
    problem, truncated = "", False
    try:
        machine.run(HANDLERS, most_opcodes)
    except Stopped as stop:
        problem, truncated = stop.problem, stop.truncated
    return Scan(
        end=machine.at,
        opcodes=machine.opcodes,
        called=tuple(machine.called),
        imported=tuple(name for name in machine.imported if name not in machine.called),
        computed=machine.computed,
        extensions=tuple(machine.extensions),
        storages=tuple(machine.storages.values()),
        tensors=tuple(machine.tensors),
        names=tuple(machine.names),
        result=machine.result,
        problem=problem,
        truncated=truncated,
    )


def findings(file: str, found: Scan) -> tuple[str, ...]:
    """A scan as sentences for people. ``file`` is printable already. Empty where only listed names are used."""
    calls, imports = found.called[:_SHOWN], found.imported[:_SHOWN]
    said = [_("Loading {file} would call {name}.").format(file=file, name=printable(name, 120)) for name in calls]
    said += [_("Loading {file} would import {name}.").format(file=file, name=printable(name, 120)) for name in imports]
    if more := len(found.called) + len(found.imported) - len(said):
        said.append(_("Loading {file} would use {count} more such names.").format(file=file, count=more))
    if found.computed:
        said.append(
            _("Loading {file} would call or import something that is only named while it loads.").format(file=file)
        )
    if found.extensions:
        codes = ", ".join(str(code) for code in found.extensions[:_SHOWN])
        said.append(_("Loading {file} would use the registered extension {codes}.").format(file=file, codes=codes))
    if found.problem:
        said.append(
            _("{file} cannot be followed beyond byte {at}: {problem}.").format(
                file=file, at=found.end, problem=found.problem
            )
        )
    return tuple(said)
