"""Drives a text model as the scheduler does, and tiny models to drive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ultralab.engines.options import LoadOptions
from ultralab.engines.serving.types import Job, Step, TextModel

ROOM = 64 * 1024 * 1024


def load(path: Path, options: LoadOptions, *, room: int = ROOM, told: list[float] | None = None) -> Any:
    """A model, loaded in this process."""
    from ultralab.engines.mlx.model import opened

    heard: list[float] = [] if told is None else told
    return opened(path, options, heard.append, room)


def run(model: TextModel, jobs: Sequence[Job]) -> list[list[Step]]:
    """Every job's steps that gave a token, all jobs in at once."""
    found: list[list[Step]] = [[] for _job in jobs]
    for number, job in enumerate(jobs):
        model.begin(number, job)
    inside = set(range(len(jobs)))
    while inside:
        for step in model.step():
            if step.token is None or step.job not in inside:
                continue
            found[step.job].append(step)
            if len(found[step.job]) == jobs[step.job].max_tokens:
                model.end(step.job)
                inside.remove(step.job)
    return found


def tokens(steps: Sequence[Step]) -> list[int]:
    """The tokens of steps."""
    return [step.token for step in steps if step.token is not None]


@contextmanager
def calls_seen() -> Iterator[set[str]]:
    """The names of all functions, Python's and others', that are called in the block on this thread."""
    import sys

    seen: set[str] = set()

    def note(frame: Any, event: str, found: Any) -> None:
        seen.add(frame.f_code.co_name if event == "call" else str(getattr(found, "__name__", "")))

    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(None)
