"""Every room's checks, gathered for doctor and selftest."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ultralab.app.lab import Lab, machine_ledger, open_lab
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _
from ultralab.memory import Ledger
from ultralab.settings import Settings, is_lab


def doctor_checks(home: Path) -> tuple[Check, ...]:
    """Is this installation healthy, and the lab at ``home`` if there is one?"""
    from ultralab.assess import checks as planning
    from ultralab.machine import checks as machine
    from ultralab.machine import read_machine
    from ultralab.memory import checks as memory

    def ledger() -> Ledger:
        return machine_ledger(read_machine(measure=False), 0)

    plans = planning.doctor_checks(home if is_lab(home) else None, lambda: read_machine(measure=False))
    general = (
        *machine.doctor_checks(),
        *memory.doctor_checks(ledger),
        *plans,
        *_engine_checks(home),
    )
    return (*general, *(_lab_checks(home) if is_lab(home) else (_no_lab(home),)))


def _engine_checks(home: Path) -> tuple[Check, ...]:
    """The engines as the lab's settings want them, where there are some that can be read."""
    from ultralab.app.engines import named
    from ultralab.engines import checks as engines

    try:
        lab = open_lab(home) if is_lab(home) else Lab(home, Settings())
    except UltralabError:  # which has a check of its own
        lab = Lab(home, Settings())
    return engines.doctor_checks(lab.settings.engines.default, partial(named, lab))


def _no_lab(home: Path) -> Check:
    detail = _("There is no lab in {home}.").format(home=home)
    hint = _("Make one: ultralab init — or name another with --home.")
    return Check("lab", N_("The lab"), lambda: Finding("skip", detail, hint))


def _lab_checks(home: Path) -> tuple[Check, ...]:
    from ultralab import secrets
    from ultralab.app.jobs import jobs_folder
    from ultralab.app.model_cleaning import space_check
    from ultralab.jobs import checks as jobs
    from ultralab.jobs.store.queue import open_queue
    from ultralab.models import doctor_checks as models
    from ultralab.pages import checks as pages
    from ultralab.settings import checks as settings

    valid = settings.doctor_checks(home)
    if any(check.run().verdict == "fail" for check in valid):
        return valid  # a lab whose settings cannot be read cannot be opened
    queue = jobs.doctor_checks(lambda: open_queue(jobs_folder(home)))
    lab = open_lab(home)
    tokens = secrets.doctor_checks(lab.secrets)
    return (*valid, *pages.doctor_checks(home), *models(lab.library), space_check(lab), *tokens, *queue)


def selftest_checks(home: Path) -> tuple[Check, ...]:
    """Does what ultralab claims hold on this machine? The engines are tried with a model of the lab's library."""
    from ultralab.app.engine_check import engine_checks
    from ultralab.app.job_check import job_checks
    from ultralab.app.model_check import model_checks
    from ultralab.assess import checks as planning
    from ultralab.assess.exact import checks as exact
    from ultralab.machine import checks as machine
    from ultralab.machine import read_machine

    lab = open_lab(home) if is_lab(home) else None
    reserve = lab.settings.memory.reserve if lab else 0
    plans = planning.selftest_checks(read_machine, lambda: machine_ledger(read_machine(measure=False), reserve))
    return (
        *machine.selftest_checks(),
        *plans,
        *exact.selftest_checks(),
        *job_checks(),
        *model_checks(lab),
        *engine_checks(lab, home),
    )
