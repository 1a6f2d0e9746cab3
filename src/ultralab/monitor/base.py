"""The seam of a sensor."""

from __future__ import annotations

from typing import Protocol


class Sampler(Protocol):
    """One sensor. ``sample`` is called about once a second from one thread; it must take well under 100 ms.

    Registered as an entry point in ``ultralab.samplers``: a callable that takes the pid to watch (a process of
    the user's own, with its children) and returns a Sampler.
    """

    def sample(self) -> dict[str, float]:
        """Readings by name, units in the name (``_bytes``, ``_percent``, ``_watts``).

        A reading that cannot be had is left out. Never raises because a process ended.
        """
