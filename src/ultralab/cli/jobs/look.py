"""Looking at one job again and again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ultralab.app import jobs as verbs
from ultralab.jobs.types import WAITING
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.app.jobs import JobView

_FRESH_SECONDS: Final = 5.0


class Look:
    """Reads a job again, by its number: a newer one may take its name.

    Why a job waits is known only by planning the whole queue. So of one that waits, its row alone is read, until it has
    changed or what was said last is some seconds old.
    """

    def __init__(self, lab: Lab, seen: JobView) -> None:
        self._lab = lab
        self._seen = seen
        self._at = clock.monotonic()

    def __call__(self) -> JobView:
        """The job as it is now. Raises NotFound (it was pruned)."""
        number = str(self._seen.job.id)
        if self._seen.job.state in WAITING and clock.monotonic() - self._at < _FRESH_SECONDS:
            row = verbs.find(self._lab, number)
            if (row.state, row.condition.fence) == (self._seen.job.state, self._seen.job.condition.fence):
                return replace(self._seen, job=row)
        self._seen = verbs.view(self._lab, number)
        self._at = clock.monotonic()
        return self._seen
