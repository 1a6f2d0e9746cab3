"""Monitoring: sensors, and a thread that asks one regularly while something is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ultralab.monitor.base import Sampler
from ultralab.system import clock

__all__ = ["Sampler", "Sampling", "sample_while"]

Record = Callable[[float, dict[str, float]], None]

_PATIENCE_SECONDS = 5.0


@dataclass
class Sampling:
    """What a sampling did: samples recorded, and the first error of the sensor or of its record, if there was one."""

    samples: int = 0
    problem: Exception | None = None


@contextmanager
def sample_while(sampler: Sampler, record: Record, every: float = 1.0) -> Iterator[Sampling]:
    """Sample at once, then each ``every`` seconds while the block runs, and once more at its end.

    ``record`` gets the moment (seconds since the epoch) and the readings, always from the one thread of this sampling.
    An error never reaches the measured work: the first is kept in ``Sampling.problem``, and the next sample is taken
    all the same. A sensor that hangs delays the end of the block by five seconds at most; its readings are dropped.
    """
    sampling, stop, abandoned = Sampling(), threading.Event(), threading.Event()

    def take() -> None:
        try:
            readings = sampler.sample()
            if not abandoned.is_set():
                record(clock.timestamp(), readings)
                sampling.samples += 1
        except Exception as error:  # noqa: BLE001 - whatever a third party's sensor raises, the measured work goes on
            sampling.problem = sampling.problem or error

    def work() -> None:
        due = clock.monotonic()
        take()
        while True:
            due = max(due + every, clock.monotonic())  # after a slow sample the beat starts anew, nothing is caught up
            stopped = stop.wait(due - clock.monotonic())
            take()
            if stopped:
                return

    thread = threading.Thread(target=work, name="ultralab-sampler", daemon=True)
    thread.start()
    try:
        yield sampling
    finally:
        stop.set()
        thread.join(_PATIENCE_SECONDS)
        abandoned.set()
