"""The queue's checks for ``ultralab doctor``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

from ultralab.jobs.store.queue import Queue, counts
from ultralab.jobs.store.rebuild import DAMAGED
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _
from ultralab.system.files import explained


def doctor_checks(opened: Callable[[], Queue]) -> tuple[Check, ...]:
    """The queue is whole, its folder can be written, and nothing damaged waits for its owner.

    Each check opens a queue of its own and closes it. One that cannot be opened is one failure, the first.
    """
    return (
        Check("jobs.queue", N_("The job queue is whole"), _checked(opened, _whole, _unopened)),
        Check("jobs.folder", N_("The job folder can be written"), _checked(opened, _writable, _passed_over)),
        Check("jobs.damaged", N_("Nothing damaged was set aside"), _checked(opened, _nothing_set_aside, _passed_over)),
    )


def _checked(
    opened: Callable[[], Queue], look: Callable[[Queue], Finding], otherwise: Callable[[UltralabError], Finding]
) -> Callable[[], Finding]:
    def run() -> Finding:
        try:
            queue = opened()
        except UltralabError as error:
            return otherwise(error)
        try:
            return look(queue)
        except UltralabError as error:
            return Finding("fail", error.message, error.hint)
        finally:
            queue.database.close()

    return run


def _unopened(error: UltralabError) -> Finding:
    return Finding("fail", error.message, error.hint)


def _passed_over(_error: UltralabError) -> Finding:
    return Finding("skip", _("the job queue cannot be opened"))


def _whole(queue: Queue) -> Finding:
    complaint = queue.database.integrity()
    if complaint != "ok":
        return Finding("fail", complaint, _("Rebuild it from the job folders: ultralab jobs rebuild"))
    detail = _("{count} jobs").format(count=sum(counts(queue).values()))
    return Finding("warn" if queue.notice else "pass", f"{queue.notice} {detail}".strip())


def _writable(queue: Queue) -> Finding:
    with explained(queue.folder), tempfile.TemporaryFile(dir=queue.folder) as probe:
        probe.write(b"x")
    return Finding("pass", str(queue.folder))


def _nothing_set_aside(queue: Queue) -> Finding:
    place = queue.folder / DAMAGED
    found = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    if not found:
        return Finding("pass", _("nothing was set aside"))
    return Finding(
        "warn",
        _("{count} in {path}: {names}").format(count=len(found), path=place, names=", ".join(found[:5])),
        _("Look whether you need them, then delete them."),
    )
