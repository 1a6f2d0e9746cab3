"""Looking at a job again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultralab.app import jobs as verbs
from ultralab.app import open_lab
from ultralab.app.lab import Lab
from ultralab.cli.jobs.look import Look
from ultralab.jobs.types import JobSpec
from ultralab.kernel.errors import NotFound
from ultralab.setup.tree import create_lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("ULTRALAB_STATE", str(tmp_path / "machine"))
    create_lab(tmp_path / "lab")
    return open_lab(tmp_path / "lab")


def test_why_a_job_waits_is_not_asked_at_every_look(lab: Lab) -> None:
    number = verbs.submit(lab, JobSpec(("true",), "/", "x", not_before=4e9), held=True).id
    seen = verbs.view(lab, str(number))
    look = Look(lab, seen)
    views = [look() for _again in range(20)]
    assert views == [seen] * 20
    assert all(view.waiting is seen.waiting for view in views)
    assert seen.waiting is not None


def test_what_changed_is_seen_at_once(lab: Lab) -> None:
    number = verbs.submit(lab, JobSpec(("true",), "/", "x", not_before=4e9), held=True).id
    look = Look(lab, verbs.view(lab, str(number)))
    verbs.release(lab, str(number))
    released = look()
    assert (released.job.state, released.waiting and released.waiting.code) == ("queued", "delayed")
    verbs.cancel(lab, str(number))
    assert (look().job.state, look().waiting) == ("cancelled", None)
    assert [job.id for job in verbs.prune(lab, older_than=0, dry_run=False)] == [number]
    with pytest.raises(NotFound):
        look()
