"""The calibration of a lab's machine: measured once by ``ultralab plan calibrate``, kept in ``state/calibration.json``.

The file holds what was measured, not what follows from it: how fast memory was read, and samples of speed. It counts for
the machine that it was made on only; of another one, or damaged, it is passed over, with a sentence that says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, cast

from ultralab.assess.calibration.engine_run import Subject, measure_engine
from ultralab.assess.calibration.reading import BY_CPU, BY_GPU, Reading, measured_reading
from ultralab.assess.calibration.samples import from_data, merged, to_data, undisturbed
from ultralab.assess.places import hardware_of
from ultralab.engines.base import Engine
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.machine.types import Machine
from ultralab.memory import Ledger
from ultralab.planner.hardware import Hardware, Sample
from ultralab.planner.speed import Calibration, fit
from ultralab.system import clock, files

VERSION: Final = 1
MOST_SAMPLES: Final = 500
_BUSY: Final = 0.3
_MOST_BYTES: Final = 4 * 1024 * 1024
_BASES: Final = {"cpu": BY_CPU, "gpu": BY_GPU}


@dataclass(frozen=True)
class Kept:
    """A calibration. ``made``: when (ISO 8601); ``memory_bytes`` and ``hardware`` say of which machine it is.

    ``disturbed``: runs that do not count because other programs slowed them down; then it should be made again.
    """

    made: str
    memory_bytes: int
    hardware: Hardware
    reading: Reading
    samples: tuple[Sample, ...]
    disturbed: int = 0

    @cached_property
    def calibration(self) -> Calibration:
        """What the planner makes of it."""
        return fit(self.samples)

    def is_of(self, machine: Machine) -> bool:
        """Whether it was made on this machine, or one that is equal."""
        here = hardware_of(machine)
        mine = self.hardware
        return self.memory_bytes == machine.memory_bytes and (mine.chip, mine.gpu_cores, mine.cpu_cores) == (
            here.chip,
            here.gpu_cores,
            here.cpu_cores,
        )


def calibrate(
    home: Path,
    machine: Machine,
    runs: Sequence[tuple[Engine, Subject]],
    *,
    ledger: Ledger,
    log: Path,
    measured: Sequence[Sample] = (),
    progress: Progress = SILENT,
) -> Kept:
    """Measure this machine and keep the result in the lab at ``home``.

    ``runs``: engines that are ready, each with a small model (none: only memory is measured). ``measured``: the runs of
    the lab's experiments on this machine. What an earlier calibration measured stays, unless it was measured anew. Where
    other programs keep the cores busy, before or after, no run counts; then :attr:`Kept.disturbed` says so. Raises
    OutOfMemory, EngineFailed, EngineDied, FileAccess, DiskFull.
    """
    before = read(home, machine)
    busy = _busy_share()
    with progress.step(_("Measuring the bandwidth"), 1, "items") as step:
        reading = measured_reading(machine, ledger)
        step.advance()
    hardware = hardware_of(machine, reading.bytes_per_second)
    counted: list[Sample] = []
    disturbed = 0
    for engine, subject in runs:
        if busy > _BUSY:
            disturbed += 1
            continue
        own = measure_engine(engine, subject, hardware, ledger=ledger, log=log, progress=progress)
        busy = _busy_share()
        steady = () if busy > _BUSY else undisturbed(own)
        counted.extend(steady)
        disturbed += len(own) - len(steady)
    kept = Kept(
        made=clock.now().isoformat(),
        memory_bytes=machine.memory_bytes,
        hardware=hardware,
        reading=reading,
        samples=of_this(hardware, merged(before.samples if before else (), measured, counted)),
        disturbed=disturbed,
    )
    write(home, kept)
    return kept


def _busy_share() -> float:
    """Of all cores, the share that programs use at the moment, 0 to 1; takes 0.3 s."""
    import psutil

    return float(psutil.cpu_percent(0.3)) / 100


def of_this(hardware: Hardware, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Those of ``samples`` that were measured on this chip, as of this very machine; the latest 500."""
    chips = (hardware.chip, hardware.gpu_cores)
    own = [sample for sample in samples if (sample.hardware.chip, sample.hardware.gpu_cores) == chips]
    return tuple(replace(sample, hardware=hardware) for sample in own[-MOST_SAMPLES:])


def path_of(home: Path) -> Path:
    """The file of a lab's calibration."""
    return home / "state" / "calibration.json"


def write(home: Path, kept: Kept) -> None:
    """Keep it, whole or not at all. Raises FileAccess, DiskFull."""
    data = {
        "version": VERSION,
        "made": kept.made,
        "memory_bytes": kept.memory_bytes,
        "hardware": asdict(kept.hardware),
        "reading": {"bytes_per_second": kept.reading.bytes_per_second, "by": kept.reading.by},
        "disturbed": kept.disturbed,
        "samples": [to_data(sample) for sample in kept.samples],
    }
    files.write(path_of(home), json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def read(home: Path, machine: Machine | None = None) -> Kept | None:
    """The lab's calibration; None where there is none that counts. See :func:`read_with_warning`."""
    return read_with_warning(home, machine)[0]


def read_with_warning(home: Path, machine: Machine | None = None) -> tuple[Kept | None, str]:
    """The lab's calibration, and a sentence (translated) where there is one that does not count; it raises nothing.

    With ``machine``, one that was made on another machine does not count.
    """
    path = path_of(home)
    try:
        kept = _parsed(path)
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None, _(
            "{path} is no calibration that can be read: it is passed over. Run: ultralab plan calibrate"
        ).format(path=path)
    if machine is not None and not kept.is_of(machine):
        warning = _("The calibration in {path} was made on another machine ({chip}): it is passed over.")
        return None, warning.format(path=path, chip=kept.hardware.chip)
    return kept, ""


def _parsed(path: Path) -> Kept:
    """Raises OSError, and ValueError, KeyError, TypeError for what this version did not write."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["version"] != VERSION:
        raise ValueError(data["version"])
    given, by = data["hardware"], data["reading"]["by"]
    if by not in _BASES or len(data["samples"]) > MOST_SAMPLES:
        raise ValueError(by)
    hardware = Hardware(
        chip=str(given["chip"]),
        bandwidth=_rate(given["bandwidth"]),
        gpu=given["gpu"] is True,
        gpu_cores=int(given["gpu_cores"]),
        cpu_cores=int(given["cpu_cores"]),
        measured_bandwidth=_rate(given["measured_bandwidth"]),
    )
    return Kept(
        made=datetime.fromisoformat(data["made"]).isoformat(),
        memory_bytes=int(data["memory_bytes"]),
        hardware=hardware,
        reading=Reading(_rate(data["reading"]["bytes_per_second"]), cast("Literal['cpu', 'gpu']", by), _BASES[by]),
        samples=tuple(from_data(sample, hardware) for sample in data["samples"]),
        disturbed=int(data["disturbed"]),
    )


def _rate(value: object) -> float:
    """Bytes per second. Raises ValueError, TypeError."""
    rate = float(cast("float", value))
    if not 0 <= rate < math.inf:
        raise ValueError(value)
    return rate
