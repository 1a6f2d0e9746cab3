"""What is said to a person who wants of a job what its state does not allow: one whole sentence per state and verb."""

from __future__ import annotations

from typing import Final

from ultralab.jobs.types import EventName, Job, State
from ultralab.kernel.language import N_, _

SENTENCES: Final[dict[tuple[State, EventName], str]] = {
    ("held", "hold"): N_("Job {id} ({name}) is held back already."),
    ("running", "hold"): N_("Job {id} ({name}) is running: it cannot be held back any more."),
    ("cancelling", "hold"): N_("Job {id} ({name}) is being cancelled: it cannot be held back."),
    ("succeeded", "hold"): N_("Job {id} ({name}) has succeeded: it cannot be held back."),
    ("failed", "hold"): N_("Job {id} ({name}) has failed: it cannot be held back."),
    ("cancelled", "hold"): N_("Job {id} ({name}) was cancelled: it cannot be held back."),
    ("interrupted", "hold"): N_("Job {id} ({name}) was interrupted: it cannot be held back."),
    ("queued", "release"): N_("Job {id} ({name}) is not held back: it waits for its turn."),
    ("running", "release"): N_("Job {id} ({name}) is not held back: it is running."),
    ("cancelling", "release"): N_("Job {id} ({name}) is not held back: it is being cancelled."),
    ("succeeded", "release"): N_("Job {id} ({name}) is not held back: it has succeeded."),
    ("failed", "release"): N_("Job {id} ({name}) is not held back: it has failed."),
    ("cancelled", "release"): N_("Job {id} ({name}) is not held back: it was cancelled."),
    ("interrupted", "release"): N_("Job {id} ({name}) is not held back: it was interrupted."),
    ("cancelling", "cancel"): N_("Job {id} ({name}) is being cancelled already."),
    ("succeeded", "cancel"): N_("Job {id} ({name}) has succeeded: it cannot be cancelled."),
    ("failed", "cancel"): N_("Job {id} ({name}) has failed: it cannot be cancelled."),
    ("cancelled", "cancel"): N_("Job {id} ({name}) was cancelled before: it cannot be cancelled again."),
    ("interrupted", "cancel"): N_("Job {id} ({name}) was interrupted: it cannot be cancelled."),
    ("queued", "retry"): N_("Job {id} ({name}) is queued: only a job that is over can be retried."),
    ("held", "retry"): N_("Job {id} ({name}) is held back: only a job that is over can be retried."),
    ("running", "retry"): N_("Job {id} ({name}) is running: only a job that is over can be retried."),
    ("cancelling", "retry"): N_("Job {id} ({name}) is being cancelled: only a job that is over can be retried."),
}


def refusal(job: Job, event: EventName) -> str | None:
    """Why a person cannot have this of the job, in a sentence; None for what no person asks for."""
    text = SENTENCES.get((job.state, event))
    return None if text is None else _(text).format(id=job.id, name=job.spec.name)
