"""What jobs are told of the machine and the lab: capacity, rules, who grants memory, what keeps the machine awake."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from ultralab import memory
from ultralab.app.lab import Lab, machine_ledger
from ultralab.jobs.scheduling.when import parse_night
from ultralab.jobs.site import Site
from ultralab.jobs.types import Capacity, Job, Rules
from ultralab.kernel.errors import NotFound
from ultralab.kernel.language import _
from ultralab.machine import read_machine
from ultralab.machine.pressure import under_pressure
from ultralab.memory import Ledger
from ultralab.memory.envelopes import outermost, weight
from ultralab.settings import LAB_FILE, load
from ultralab.settings.schema import JobSettings
from ultralab.system import clock
from ultralab.system.process import ProcessId

_PRESSURE_SECONDS: Final = 2.0
_EDITED_SECONDS: Final = 0.5
_MOST_NAMED: Final = 3
_LOOKS: Final = 10


def ledger_of(lab: Lab) -> Ledger:
    """The machine's ledger, without measuring what only predictions need.

    What a scheduler reserves is for others: it lies in no envelope, even where a job's own command started it.
    """
    return replace(machine_ledger(read_machine(measure=False), lab.settings.memory.reserve), within=None)


def sites(lab: Lab, drain: tuple[str, ...]) -> Callable[[], Site]:
    """Gives the site as ``lab.toml`` has it at this moment; a changed file counts from the next look on.

    A file that cannot be read leaves what held before.
    """
    ledger = ledger_of(lab)
    pressure = _remembered(under_pressure, _PRESSURE_SECONDS)
    seen = _changed(lab)
    settings = lab.settings.jobs

    def now() -> Site:
        nonlocal seen, settings
        if (stamp := _changed(lab)) != seen:
            seen = stamp
            settings = _settings_of(lab, settings)
        return _site(lab, ledger, settings, drain, pressure)

    return now


def _site(
    lab: Lab, ledger: Ledger, settings: JobSettings, drain: tuple[str, ...], pressure: Callable[[], bool]
) -> Site:
    def capacity() -> Capacity:
        return Capacity(
            memory_limit=ledger.limit,
            memory_free=memory.free(ledger),
            disk_free=shutil.disk_usage(lab.home).free,
            pressure=pressure(),
        )

    return Site(
        rules=rules_of(settings),
        capacity=capacity,
        reserve=partial(_reserve, ledger),
        release=partial(give_back, ledger),
        awake=awake,
        drain=drain,
        log_limit=settings.log_limit,
        grace=float(settings.grace),
    )


def rules_of(settings: JobSettings) -> Rules:
    """The settings as the scheduler takes them."""
    kinds = (item.partition("=") for item in settings.kinds)
    return Rules(
        parallel=settings.parallel,
        night=parse_night(settings.night),
        ageing=settings.ageing * 60.0,
        patience=settings.patience * 60.0,
        kinds={name: int(count) for name, _sign, count in kinds},
        network=settings.network,
        disk_reserve=settings.disk_reserve,
    )


def awake(pid: int, platform: str = sys.platform) -> tuple[str, ...] | None:
    """The command that holds a power assertion while a process lives; None where none is needed.

    caffeinate(8): ``-i`` no idle sleep, ``-s`` no system sleep on mains power, ``-w`` until that process ends.
    """
    return ("/usr/bin/caffeinate", "-i", "-s", "-w", str(pid)) if platform == "darwin" else None


def give_back(ledger: Ledger, reservation: int, holder: ProcessId) -> None:
    """Release what a process holds under an id; nothing where it is gone, or (a ledger made anew) somebody else's."""
    for held in memory.holders(ledger):
        if (held.id, held.holder) == (reservation, holder):
            memory.release(ledger, held)


def holders_beside(ledger: Ledger, running: Sequence[Job]) -> tuple[tuple[str, int], ...]:
    """Who holds memory beside these jobs, and how many bytes: those who hold most, the largest first."""
    ours = {(job.condition.reservation, job.condition.supervisor) for job in running}
    living = memory.holders(ledger)
    others = [(weight(item, living), item) for item in outermost(living) if (item.id, item.holder) not in ours]
    named = sorted(others, key=lambda other: (-other[0], other[1].id))[:_MOST_NAMED]
    text = _("{purpose} of process {pid}")
    return tuple((text.format(purpose=item.purpose, pid=item.holder.pid), amount) for amount, item in named)


def _reserve(ledger: Ledger, amount: int, purpose: str, holder: ProcessId) -> int:
    return memory.reserve(ledger, amount, purpose, holder).id


def _changed(lab: Lab) -> tuple[int, int]:
    """What tells one state of the settings' file from another. Raises NotFound: the lab itself is gone."""
    for _look in range(_LOOKS):
        with suppress(OSError):
            found = (lab.home / LAB_FILE).stat()
            return (found.st_mtime_ns, found.st_size)
        if not lab.home.is_dir():
            break
        clock.sleep(_EDITED_SECONDS)  # an editor, a checkout, may take a file away before it writes the new one
    raise NotFound(
        _("There is no lab in {home}.").format(home=lab.home),
        hint=_("It was moved or deleted; its waiting jobs are not started any more."),
        home=str(lab.home),
    )


def _settings_of(lab: Lab, before: JobSettings) -> JobSettings:
    from ultralab.kernel.errors import UltralabError

    try:
        return load(lab.home).jobs
    except UltralabError:
        return before


def _remembered(read: Callable[[], bool], seconds: float) -> Callable[[], bool]:
    """The same answer for a while: on macOS each reading is a process."""
    value, until = False, -1.0

    def remembered() -> bool:
        nonlocal value, until
        if clock.monotonic() >= until:
            value, until = read(), clock.monotonic() + seconds
        return value

    return remembered
