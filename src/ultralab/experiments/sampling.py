"""The sensors beside a run: each one's readings go to the run's record, and its failure is only a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ultralab import monitor
from ultralab.experiments import capsule
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.monitor.base import Sampler


@contextmanager
def sampled(
    samplers: Mapping[str, Callable[[int], Sampler]], pid: int, folder: Path, warnings: list[str]
) -> Iterator[None]:
    """Sample the process ``pid`` into ``folder``'s metrics while the block runs; what went wrong joins ``warnings``."""

    def record(step: float, values: dict[str, float]) -> None:
        for name, value in values.items():
            capsule.append_reading(folder, f"system/{name}", value, round(step))

    started: dict[str, monitor.Sampling] = {}
    try:
        with ExitStack() as stack:
            for name, opening in samplers.items():
                try:
                    sampler = opening(pid)
                except Exception as error:  # noqa: BLE001 - whatever a third party's sensor raises, the run goes on
                    _warn(warnings, name, error)
                    continue
                started[name] = stack.enter_context(monitor.sample_while(sampler, record))
            yield
    finally:
        for name, sampling in started.items():
            if sampling.problem:
                _warn(warnings, name, sampling.problem)


def _warn(warnings: list[str], name: str, error: Exception) -> None:
    reason = error.message if isinstance(error, UltralabError) else repr(error)
    warning = _("The sampler {name!r} failed, its readings are incomplete: {reason}").format(name=name, reason=reason)
    if warning not in warnings:  # once, not once for every run
        warnings.append(warning)
