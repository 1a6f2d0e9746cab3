"""Advice on how much of a Mac's memory its GPU may keep. Nothing here changes anything: it says which command would.

What is known, and from where:

- ``iogpu.wired_limit_mb`` is the limit in MiB, 0 means the system's default (its own answer on every Mac where nobody set
  it). It needs an administrator, holds at once, and is forgotten at a restart (MLX's documentation of
  ``set_wired_limit`` names the command; Metal's ``recommendedMaxWorkingSetSize`` follows it: AlexsJones/llmfit#754).
- The default: see ``machine.macos.default_wired_limit``. macOS 26 gave 107.52 of 128 GiB (antirez/ds4#893) and 464 of 512
  GiB (llama.cpp's log of an M3 Ultra).
- What ran well above the default: 112 of 128 GiB (antirez/ds4#890, #893), 58 of 64 GiB without a desktop
  (jundot/omlx#1533). What went wrong: a machine of 128 GiB with a ceiling of 125 restarted three times
  (jundot/omlx#3065).
- oMLX's memory guard leaves 6 to 16 GB to the rest of the Mac in its safe tier, 3 to 8 GB in its balanced one
  (jundot/omlx, ``process_memory_enforcer.py``).
- ``mlx.core.set_wired_limit`` is another thing, a process's own: runs with it ended in kernel panics, runs without it did
  not (ml-explore/mlx#3186). ultralab does not call it.
- ``/etc/sysctl.conf`` is said to be ignored (facebook/watchman#880) and said to work (notatestuser/ds4-control#12);
  a launch daemon that runs the command at start is what launchd.plist(5) documents (``RunAtLoad``).
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from ultralab.kernel.errors import ToolFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import GIB, MIB, format_bytes
from ultralab.machine.macos import default_wired_limit
from ultralab.system import process

NAME: Final = "iogpu.wired_limit_mb"
_ASK: Final = ("/usr/sbin/sysctl", "-n", NAME)
_LEAST_RESERVE: Final = 8 * GIB
_MOST_RESERVE: Final = 48 * GIB
_SHARE: Final = 8
_WORTH_IT: Final = 32  # a gain below this part of the memory is not worth a setting


@dataclass(frozen=True)
class LimitAdvice:
    """What to do about the limit. Bytes; ``set_mb`` and ``recommended_mb`` in MiB, 0 for the system's default.

    ``command`` is empty where nothing is to be done, ``undo`` where nothing was done; both are for a person to type.
    ``why``, ``risks`` and ``persistence`` (how it would outlast a restart) are translated.
    """

    verdict: Literal["raise", "lower", "keep"]
    memory_bytes: int
    current_bytes: int
    set_mb: int
    recommended_mb: int
    command: str
    undo: str
    why: str
    risks: tuple[str, ...] = ()
    persistence: str = ""

    @property
    def recommended_bytes(self) -> int:
        """What models could take after it."""
        return self.recommended_mb * MIB or self.current_bytes

    def to_data(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "risks": list(self.risks), "recommended_bytes": self.recommended_bytes}


def reserve(memory_bytes: int) -> int:
    """Bytes to leave to macOS and everything else: an eighth of the memory, at least 8 and at most 48 GiB.

    It gives the 112 of 128 GiB that ran well, and for 512 GiB the 464 that macOS 26 allows by itself.
    """
    return max(_LEAST_RESERVE, min(memory_bytes // _SHARE, _MOST_RESERVE))


def recommended_limit(memory_bytes: int) -> int:
    """The most that is advised, bytes: all but the reserve, never less than the default of old versions of macOS."""
    return max(memory_bytes - reserve(memory_bytes), default_wired_limit(memory_bytes)) // MIB * MIB


def advice_on_limit(memory_bytes: int, current_limit: int, wired_limit_mb: int) -> LimitAdvice:
    """What to do on a Mac with so much memory, where the GPU may keep ``current_limit`` bytes now and
    ``wired_limit_mb`` was set (0: it was not). Pure. Raises Unsupported (the figures are of no Mac).
    """
    if memory_bytes <= 0 or current_limit <= 0:
        raise Unsupported(
            _("There is no GPU memory limit to advise on: the memory is {memory}, the limit {limit}.").format(
                memory=format_bytes(memory_bytes), limit=format_bytes(current_limit)
            ),
            hint=_("Only a Mac with Apple silicon has one. Plan for one by name: ultralab plan machines"),
        )
    best, now = recommended_limit(memory_bytes), max(0, wired_limit_mb)
    undo = _command(0) if now else ""
    if now * MIB > best:
        return _lower(memory_bytes, current_limit, now, best)
    if best - current_limit < memory_bytes // _WORTH_IT:
        why = _("The GPU may keep {current} of {memory}, and more than {best} is not advised.").format(
            current=format_bytes(current_limit), memory=format_bytes(memory_bytes), best=format_bytes(best)
        )
        return LimitAdvice("keep", memory_bytes, current_limit, now, now, "", undo, why, (), _kept() if now else "")
    why = _("It would let models take {gain} more: {best} instead of {current}, and leave {rest} to everything else.")
    told = why.format(
        gain=format_bytes(best - current_limit),
        best=format_bytes(best),
        current=format_bytes(current_limit),
        rest=format_bytes(memory_bytes - best),
    )
    command = _command(best // MIB)
    return LimitAdvice(
        "raise", memory_bytes, current_limit, now, best // MIB, command, _command(now), told, _risks(), _kept()
    )


def read_wired_limit_mb() -> int:
    """What ``iogpu.wired_limit_mb`` is set to on this Mac, MiB; 0 for the default, and on any other system."""
    platform: str = sys.platform
    if platform != "darwin":
        return 0
    try:
        answer = process.run(_ASK, timeout=10, check=False).stdout.strip()
    except ToolFailed:
        return 0
    return int(answer) if answer.isascii() and answer.isdigit() else 0


def _lower(memory_bytes: int, current_limit: int, now: int, best: int) -> LimitAdvice:
    why = _("It is set to {now}, which leaves only {rest} of {memory} to macOS and everything else: too little.")
    told = why.format(
        now=format_bytes(now * MIB),
        rest=format_bytes(max(0, memory_bytes - now * MIB)),
        memory=format_bytes(memory_bytes),
    )
    return LimitAdvice(
        verdict="lower",
        memory_bytes=memory_bytes,
        current_bytes=current_limit,
        set_mb=now,
        recommended_mb=best // MIB,
        command=_command(best // MIB),
        undo=_command(0),
        why=told,
        risks=_risks(),
        persistence=_kept(),
    )


def _command(megabytes: int) -> str:
    return f"sudo sysctl {NAME}={megabytes}"


def _risks() -> tuple[str, ...]:
    return (
        _("What the GPU keeps cannot be compressed or swapped: with too little left, the Mac stutters or restarts."),
        _("It is a ceiling, not a reservation: nothing is taken before a model is loaded."),
        _("Close what needs much memory (browsers, virtual machines) before a model takes most of the limit."),
    )


def _kept() -> str:
    return _(
        "macOS forgets it at a restart. To keep it, let a launch daemon in /Library/LaunchDaemons run the same command "
        "without sudo at start (RunAtLoad); remove the daemon to undo that."
    )
