"""Which volume new bytes go to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ultralab.kernel.errors import DiskFull, NotFound, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.models.store.volumes import HOME, Placement, Volume, VolumeState


def choose(size: int, states: Sequence[VolumeState], placement: Placement) -> Volume:
    """The volume for ``size`` more bytes.

    A named one is taken or refused; ``auto`` takes the lab's own while ``keep_free`` bytes stay free there, else the one
    with the most free space. Raises NotFound (no such volume, or not plugged in), Unsupported (read-only, another lab's),
    DiskFull, which names each volume's free space and what is missing.
    """
    if placement.volume != "auto":
        chosen = _named(placement.volume, states)
        if chosen.free < size + placement.keep_free:
            raise _no_room(size, (chosen,), placement)
        return chosen.volume
    present = [state for state in states if state.state == "present"]
    fitting = [state for state in present if state.free >= size + placement.keep_free]
    if not fitting:
        raise _no_room(size, present, placement)
    own = next((state for state in fitting if state.volume.name == HOME), None)
    return (own or max(fitting, key=lambda state: state.free)).volume


def _named(name: str, states: Sequence[VolumeState]) -> VolumeState:
    state = next((state for state in states if state.volume.name == name), None)
    if state is None:
        raise NotFound(
            _("There is no volume {name}.").format(name=name),
            hint=_("Known: {known}.").format(known=", ".join(state.volume.name for state in states)),
            volume=name,
        )
    require_usable(state)
    return state


def require_usable(state: VolumeState) -> None:
    """Raise NotFound for a volume that is not plugged in, Unsupported for one that nothing can be written to."""
    if state.state == "present":
        return
    name, path = state.volume.name, state.volume.root
    if state.state == "missing":
        raise not_plugged_in(name, path)
    if state.state == "read-only":
        raise Unsupported(
            _("The volume {name} is read-only here: {path}").format(name=name, path=path),
            hint=_("Make it writable for this user, or choose another volume."),
            volume=name,
        )
    raise Unsupported(
        _("{path} is not the volume {name}: its marker is another's.").format(name=name, path=path),
        hint=_("Plug the right disk in, or mend models.volumes in lab.toml."),
        volume=name,
    )


def not_plugged_in(name: str, path: object) -> NotFound:
    """The error for a volume that is not there."""
    return NotFound(
        _("The volume {name} is not plugged in: {path}").format(name=name, path=path),
        hint=_("Plug the disk in and try again."),
        volume=name,
    )


def _no_room(size: int, states: Sequence[VolumeState], placement: Placement) -> DiskFull:
    free = "; ".join(
        _("{name}: {free} free").format(name=state.volume.name, free=format_bytes(state.free)) for state in states
    )
    needed = size + placement.keep_free
    missing = needed - max((state.free for state in states), default=0)
    message = _("{need} are needed on one volume, {missing} more than is free ({free}).")
    if placement.keep_free:
        message = _("{need} are needed on one volume and {keep} are to stay free: {missing} are missing ({free}).")
    return DiskFull(
        message.format(
            need=format_bytes(size),
            keep=format_bytes(placement.keep_free),
            missing=format_bytes(missing),
            free=free or "-",
        ),
        hint=_("Free some space, add a volume, or lower models.keep_free."),
        needed=needed,
        missing=missing,
    )
