"""What llama.cpp's server says of its slots (``GET /slots``, llama.cpp ``tools/server/README.md``)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ultralab.engines.types import Health


class Observer:
    """Compares what the slots say from one look to the next: is the work going on?"""

    def __init__(self) -> None:
        self._busy = 0
        self._work: Hashable = None
        self._since = 0.0

    def seen(self, slots: Sequence[Mapping[str, Any]], now: float) -> Health:
        """The slots answered at ``now`` (seconds of a clock that only goes on)."""
        working = [one for one in slots if one.get("is_processing")]
        work = tuple(_state(one) for one in working)
        if work != self._work or not working:
            self._work, self._since = work, now
        self._busy = len(working)
        return Health(self._busy, now - self._since)

    def silent(self, now: float) -> Health:
        """The slots did not answer in time: something is at work, since they last showed another state."""
        if not self._busy:
            self._busy, self._since = 1, now
        return Health(self._busy, now - self._since)


def rows(found: object) -> list[dict[str, Any]]:
    """The slots in an answer. Raises TypeError where it holds none."""
    if not isinstance(found, list):
        raise TypeError(type(found).__name__)
    return found


def latest(slots: Sequence[Mapping[str, Any]]) -> int:
    """The slot that worked last and holds a prompt (of a version that counts them); the first where none did."""
    worked = [one for one in slots if int(one.get("n_prompt_tokens", 1)) > 0]
    return int(max(worked, key=lambda one: int(one.get("id_task", -1)))["id"]) if worked else 0


def _state(slot: Mapping[str, Any]) -> Hashable:
    """What changes while a slot works: its task, prompt tokens read, tokens generated (a list in newer versions)."""
    steps = slot.get("next_token") or {}
    if isinstance(steps, Sequence):
        steps = steps[0] if steps else {}
    return (slot.get("id"), slot.get("id_task"), slot.get("n_prompt_tokens_processed"), steps.get("n_decoded"))
