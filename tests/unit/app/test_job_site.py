"""What jobs are told of the lab's settings and the machine, and the jobs' selftest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ultralab.app import Lab, open_lab
from ultralab.app.job_check import job_checks
from ultralab.app.job_site import awake, ledger_of, rules_of, sites
from ultralab.jobs.types import Rules
from ultralab.kernel.errors import NotFound
from ultralab.kernel.units import GIB, MIB
from ultralab.memory import held, holders
from ultralab.settings import set_value
from ultralab.settings.schema import JobSettings
from ultralab.setup.tree import create_lab
from ultralab.system.process import ProcessId, identify

DRAIN = ("ultralab", "jobs", "drain")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    create_lab(tmp_path / "lab", language="en")
    return open_lab(tmp_path / "lab")


def test_the_settings_as_the_scheduler_takes_them() -> None:
    settings = JobSettings(parallel=3, night="21:30-06:15", ageing=30, patience=5, kinds=("pull=2",), network=1)
    assert rules_of(settings) == Rules(
        parallel=3,
        night=(21 * 60 + 30, 6 * 60 + 15),
        ageing=1800.0,
        patience=300.0,
        kinds={"pull": 2},
        network=1,
        disk_reserve=5 * GIB,
    )


def test_the_site_follows_the_settings_file(lab: Lab) -> None:
    site = sites(lab, DRAIN)
    assert (site().rules.parallel, site().log_limit, site().grace, site().drain) == (4, 64 * MIB, 10.0, DRAIN)
    set_value(lab.home, "jobs.parallel", "7")
    assert site().rules.parallel == 7
    (lab.home / "lab.toml").write_text("this is no TOML")
    assert site().rules.parallel == 7
    set_back = "[jobs]\nparallel = 2\n"
    (lab.home / "lab.toml").write_text(set_back)
    assert site().rules.parallel == 2


def test_a_lab_that_is_gone_ends_the_scheduler(lab: Lab) -> None:
    site = sites(lab, DRAIN)
    shutil.rmtree(lab.home)
    with pytest.raises(NotFound):
        site()


def test_capacity_is_what_the_ledger_and_the_disk_have(lab: Lab) -> None:
    site = sites(lab, DRAIN)()
    ledger = ledger_of(lab)
    me = identify()
    assert me is not None
    before = site.capacity()
    assert before.memory_limit == before.memory_free == ledger.limit
    assert abs(before.disk_free - shutil.disk_usage(lab.home).free) < GIB
    with held(ledger, MIB, "a model"):
        taken = site.reserve(GIB, "a job", me)
        assert site.capacity().memory_free == ledger.limit - GIB - MIB
        site.release(taken, ProcessId(me.pid, "another"))
        assert site.capacity().memory_free == ledger.limit - GIB - MIB
        site.release(taken, me)
        site.release(taken, me)
    assert holders(ledger) == ()


def test_the_power_assertion_lasts_as_long_as_the_supervisor() -> None:
    assert awake(17, "darwin") == ("/usr/bin/caffeinate", "-i", "-s", "-w", "17")
    assert awake(17, "linux") is None


def test_the_selftest_runs_a_real_job() -> None:
    (check,) = job_checks()
    found = check.run()
    assert (check.name, found.verdict) == ("jobs.run", "pass"), found
    assert "processes that tried to stay and were ended: 1" in found.detail
