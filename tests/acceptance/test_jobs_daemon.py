"""The daemon and the jobs: it starts what is due, takes over what stands there, and ends without ending a job."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.acceptance.command import ULTRALAB, finish, make_lab, start, ultralab, wait_until
from tests.acceptance.job_lab import all_over, daemon, drains, kill, make_job_lab, rows

from ultralab.app import Lab, open_lab
from ultralab.app import jobs as verbs
from ultralab.app.job_site import ledger_of
from ultralab.jobs.types import JobSpec, Needs
from ultralab.jobs.wake import heard, poke
from ultralab.memory import holders
from ultralab.system.process import alive


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An empty lab."""
    return make_job_lab(tmp_path / "lab")


def shell(text: str, **more: object) -> JobSpec:
    return JobSpec(argv=("/bin/sh", "-c", text), cwd="/", name="job", **more)  # type: ignore[arg-type]


def states(lab: Lab) -> list[str]:
    return [job.state for job in rows(lab)]


def test_a_delayed_job_starts_when_its_time_has_come(lab: Lab) -> None:
    job = verbs.submit(lab, shell("true", not_before=time.time() + 2.5))
    with daemon(lab):
        assert states(lab) == ["queued"]
        wait_until(lambda: all_over(lab), 20)
    (over,) = rows(lab)
    assert (over.state, over.condition.fence) == ("succeeded", 1)
    assert over.condition.started is not None
    assert job.spec.not_before is not None
    assert 0 <= over.condition.started - job.spec.not_before < 5


def test_there_is_one_daemon_per_lab(lab: Lab) -> None:
    with daemon(lab) as first:
        second = finish(start("serve", "--home", lab.home))
        assert second.status == 1
        assert f"process {first.pid}" in second.err
        assert "Traceback" not in second.err
        assert verbs.daemon_runs(lab)
    assert first.returncode == 0
    assert not verbs.daemon_runs(lab)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_go_on_without_the_daemon_and_the_next_one_knows_them(lab: Lab, tmp_path: Path, number: int) -> None:
    with daemon(lab) as first:
        verbs.submit(lab, shell(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; exit 5"))
        wait_until(lambda: states(lab) == ["running"])
        os.kill(first.pid, number)
        first.wait(20)
    (running,) = rows(lab)
    assert running.condition.supervisor is not None
    assert alive(running.condition.supervisor)
    with daemon(lab):
        (tmp_path / "go").touch()
        wait_until(lambda: all_over(lab), 20)
    (over,) = rows(lab)
    assert (over.state, over.condition.status, over.condition.fence) == ("failed", 5, 1)


def test_a_drain_gives_way_to_the_daemon(lab: Lab) -> None:
    verbs.submit(lab, shell("sleep 30"))
    wait_until(lambda: states(lab) == ["running"])
    assert len(drains(lab.home)) == 1
    with daemon(lab):
        wait_until(lambda: drains(lab.home) == [], 20)
        verbs.cancel(lab, "last")
        wait_until(lambda: states(lab) == ["cancelled"], 20)


def test_changed_settings_count_at_once(lab: Lab) -> None:
    with daemon(lab):
        assert ultralab("config", "set", "jobs.parallel", "1", "--home", lab.home).status == 0
        for _ in range(3):
            verbs.submit(lab, shell("sleep 30"))
        wait_until(lambda: "running" in states(lab))
        time.sleep(0.5)
        assert sorted(states(lab)) == ["queued", "queued", "running"]
        assert ultralab("config", "set", "jobs.parallel", "2", "--home", lab.home).status == 0
        wait_until(lambda: sorted(states(lab)) == ["queued", "running", "running"], 20)
        for number in (3, 2, 1):
            verbs.cancel(lab, str(number))
        wait_until(lambda: states(lab) == ["cancelled"] * 3, 20)


def test_the_daemon_ends_when_its_lab_is_gone(lab: Lab, tmp_path: Path) -> None:
    running = start("serve", "--home", lab.home)
    wait_until(lambda: heard(verbs.jobs_folder(lab.home)), 20)
    lab.home.rename(tmp_path / "elsewhere")
    poke(tmp_path / "elsewhere" / "state" / "jobs")
    done = finish(running)
    assert done.status == 2
    assert f"There is no lab in {lab.home}." in done.err


def test_what_runs_inside_a_job_lies_inside_its_memory(tmp_path: Path) -> None:
    spec = make_lab(tmp_path / "lab")
    lab = open_lab(tmp_path / "lab")
    everything = ledger_of(lab).limit
    words = ("jobs", "submit", "--memory", str(everything), "--home", lab.home, "--")
    done = ultralab(*words, ULTRALAB, "run", spec, "--home", lab.home)
    assert done.status == 0, done.err
    attached = ultralab("jobs", "attach", "last", "--home", lab.home)
    assert attached.status == 0, attached.out + attached.err
    assert [job.spec.needs for job in rows(lab)] == [Needs(memory=everything)]
    assert holders(ledger_of(lab)) == ()


def test_after_everything_was_killed_a_look_goes_on(lab: Lab, tmp_path: Path) -> None:
    assert ultralab("config", "set", "jobs.parallel", "1", "--home", lab.home).status == 0
    for _ in range(2):
        verbs.submit(lab, shell(f"touch {tmp_path}/began; sleep 0.5"))
    wait_until((tmp_path / "began").exists)  # one whose supervisor dies before that is only queued again
    for process in [*drains(lab.home), *(job.condition.supervisor for job in rows(lab) if job.condition.supervisor)]:
        kill(process)
    wait_until(lambda: drains(lab.home) == [], 10)
    time.sleep(5.1)  # a drain that was started a moment ago is believed to be on its way
    assert sorted(states(lab)) == ["queued", "running"]
    assert ultralab("jobs", "list", "--home", lab.home).status == 0
    wait_until(lambda: states(lab) == ["interrupted", "succeeded"], 20)
