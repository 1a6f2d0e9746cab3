"""A sampler: the machine's load average."""

from __future__ import annotations

import os


class LoadSampler:
    """Reads the load of the last minute; ``pid`` is the process to watch, which this sensor does not need."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def sample(self) -> dict[str, float]:
        """One reading; none where the system has no load average."""
        try:
            return {"load_1min": os.getloadavg()[0]}
        except OSError:
            return {}
