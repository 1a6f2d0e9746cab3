"""Serving a lab: being its one daemon, and running the scheduler until told to end."""

from __future__ import annotations

from collections.abc import Callable

from ultralab.app import Lab
from ultralab.app import jobs as job_verbs
from ultralab.daemon.trouble import told_once
from ultralab.jobs.wake import poke
from ultralab.kernel.errors import Busy
from ultralab.kernel.language import _
from ultralab.system import locks, presence
from ultralab.system.process import allow_open_files


def serve(lab: Lab, say: Callable[[str], None]) -> None:
    """Schedule the lab's jobs until SIGTERM or Ctrl-C; running jobs go on without us. ``say`` gets sentences.

    Raises Busy: another daemon serves this lab.
    """
    state = lab.home / "state"
    try:
        with locks.exclusive(state / "daemon.lock", _("this lab"), timeout=0):
            _serve(lab, say)
    except Busy as error:
        other = presence.present(state / "daemon.json")
        if other is None:
            raise
        raise Busy(
            _("ultralab serve runs already for this lab: process {pid}.").format(pid=other.pid),
            hint=_("There is nothing to do. See: ultralab jobs list"),
            pid=other.pid,
        ) from error


def _serve(lab: Lab, say: Callable[[str], None]) -> None:
    path = lab.home / "state" / "daemon.json"
    presence.announce(path)
    try:
        poke(job_verbs.jobs_folder(lab.home))  # a drain looks up, sees us, and goes
        allow_open_files()
        say(_("Serving {home}: its jobs are scheduled from here. Ctrl-C ends this; jobs go on.").format(home=lab.home))
        job_verbs.serve(lab, told_once(say))
    except KeyboardInterrupt:
        return  # asked to end: that is no failure
    finally:
        path.unlink(missing_ok=True)
