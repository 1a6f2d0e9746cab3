"""Jobs on the command line: submit, follow, end, repeat them; every kind of bad command and bad request."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.acceptance.command import (
    ULTRALAB,
    Done,
    environment,
    finish,
    make_lab,
    start,
    statuses_of,
    ultralab,
    wait_until,
)

from ultralab.jobs.store.queue import listed, open_queue
from ultralab.jobs.store.queue import submit as put
from ultralab.jobs.types import OVER, Job, JobSpec, Needs
from ultralab.kernel.text import display_width

SPEC_KEYS = [
    *("name", "kind", "owner", "priority", "argv", "cwd", "memory", "gpu", "disk", "network", "after"),
    *("not_before", "night", "retries", "idempotent", "resumable", "timeout", "schedule"),
]
JOB_KEYS = [
    *("id", "state", *SPEC_KEYS, "submitted", "started", "ended", "attempts", "failures", "interruptions"),
    *("status", "cause", "supervisor"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lab with a small model, and an experiment file."""
    home = tmp_path_factory.mktemp("jobs") / "lab"
    spec = make_lab(home)
    for setting in (("jobs.grace", "1"), ("jobs.log_limit", "64KiB"), ("jobs.disk_reserve", "1MiB")):
        assert ultralab("config", "set", *setting, "--home", home).status == 0
    return home, spec


@pytest.fixture
def lab(made: tuple[Path, Path]) -> Iterator[Path]:
    """That lab; nothing waits or runs in it afterwards."""
    home = made[0]
    yield home
    if left := [str(job.id) for job in rows(home) if job.state not in OVER]:
        ultralab("jobs", "cancel", *left, "--home", home)
        for number in left:
            ultralab("jobs", "attach", number, "--json", "--home", home)
    assert [job for job in rows(home) if job.state not in OVER] == []


def rows(home: Path) -> list[Job]:
    """The lab's jobs as they stand in the queue."""
    queue = open_queue(home / "state" / "jobs")
    with closing(queue.database):
        return listed(queue)


def jobs(home: Path, *options: str) -> list[dict[str, Any]]:
    """The lab's jobs, as ``--json`` says."""
    found: list[dict[str, Any]] = ultralab("jobs", "list", "--json", *(options or ("--all",)), "--home", home).data
    return found


def submit(home: Path, *words: str) -> dict[str, Any]:
    """Submit a job; what ``--json`` says about it."""
    done = ultralab("jobs", "submit", "--json", "--home", home, *words)
    assert (done.status, done.err) == (0, ""), done.err
    found: dict[str, Any] = done.data
    return found


def seen(home: Path, number: int) -> dict[str, Any]:
    """What ``jobs show --json`` says."""
    found: dict[str, Any] = ultralab("jobs", "show", str(number), "--json", "--home", home).data
    return found


def state(home: Path, number: int) -> str:
    """A job's state."""
    return str(seen(home, number)["job"]["state"])


def ended(home: Path, number: int) -> dict[str, Any]:
    """A job, once it is over."""
    done = ultralab("jobs", "attach", str(number), "--json", "--home", home)
    found: dict[str, Any] = done.data
    return found


def printed(home: Path, number: int, *options: str) -> bytes:
    """The bytes that a job printed."""
    done = ultralab("jobs", "logs", str(number), "--home", home, *options)
    assert (done.status, done.err) == (0, ""), done.err
    return done.out.encode(errors="surrogateescape")


def python(code: str, *words: str) -> tuple[str, ...]:
    """A command that runs Python code."""
    return ("--", sys.executable, "-c", code, *words)


def shell(script: str) -> tuple[str, ...]:
    """A command that runs a shell script."""
    return ("--", "sh", "-c", script)


def says(done: Done, status: int, message: str) -> None:
    """One message and at most one hint, no traceback, nothing on standard output."""
    assert (done.status, done.out) == (status, ""), done.err
    first, *rest = done.err.splitlines()
    assert first.startswith(f"Error: {message}"), done.err
    assert all(line.startswith("  → ") for line in rest), done.err
    assert len(rest) <= 1, done.err


# --- what works -----------------------------------------------------------------------------------------------------


def test_a_job_from_submit_to_its_end(lab: Path) -> None:
    job = submit(lab, "--name", "greeting", "--priority", "3", *shell("echo hello; exit 5"))
    assert list(job) == [*JOB_KEYS, "waiting", "daemon"]
    assert (job["name"], job["kind"], job["priority"], job["cwd"]) == ("greeting", "command", 3, str(Path.cwd()))
    assert (job["argv"], job["daemon"], job["waiting"]) == (["sh", "-c", "echo hello; exit 5"], False, None)
    done = ultralab("jobs", "attach", "greeting", "--home", lab)
    assert (done.status, done.out) == (5, "hello\n")
    assert done.err.splitlines()[-1] == f"Job {job['id']}: failed (exit 5)."
    shown = seen(lab, job["id"])
    assert list(shown) == ["job", "waiting", "now", "stopped", "worker", "folder", "attempts", "progress"]
    assert (shown["now"], shown["worker"]) == (None, None)
    assert list(shown["job"]) == JOB_KEYS
    assert (shown["job"]["state"], shown["job"]["status"], shown["job"]["cause"]) == ("failed", 5, "exit")
    (attempt,) = shown["attempts"]
    assert list(attempt) == ["number", "folder", "begun", "ended", "output_bytes"]
    assert (attempt["number"], attempt["output_bytes"], attempt["ended"]["status"]) == (1, 6, 5)
    row = next(row for row in jobs(lab) if row["id"] == job["id"])
    assert row == {key: shown["job"][key] for key in row}
    assert {"id", "state", "argv", "status"} < row.keys()


def test_the_line_after_submit(lab: Path) -> None:
    done = ultralab("jobs", "submit", "--home", lab, "--hold", "--name", "x", "--", "true")
    number = jobs(lab)[-1]["id"]
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        f"Job {number} (x): Is held back until its owner releases it. Follow it: ultralab jobs attach {number}\n"
    )


def test_a_delayed_job_without_a_daemon(lab: Path) -> None:
    done = ultralab("jobs", "submit", "--home", lab, "--when", "+2h", "--", "true")
    first, second = done.out.splitlines()
    assert ": Starts on " in first
    assert second == (
        "Nobody watches the clock: delayed and scheduled jobs wait for the daemon. Start it: ultralab serve"
    )
    shown = seen(lab, jobs(lab)[-1]["id"])
    assert (shown["job"]["state"], shown["waiting"]["code"]) == ("queued", "delayed")


@pytest.mark.parametrize(
    "words",
    [
        ("it's", 'a "quoted" word', "", " ", "a\nb\tc", "--json", "--", "--home", "x", "-f", "$HOME `id` $(id) \\ *"),
        ("实验", "🧪 naïve é", "\u202eabc", "\x1b[31mred", "nul-less\x01\x7f"),
        (os.fsdecode(b"not utf-8 \xff\xfe \xc3"),),
    ],
    ids=["quotes", "unicode", "bytes"],
)
def test_arguments_come_through_untouched(words: tuple[str, ...], lab: Path) -> None:
    code = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    job = submit(lab, *python(code, *words))
    assert job["argv"][3:] == list(words)
    assert ended(lab, job["id"])["job"]["argv"] == job["argv"]
    assert jobs(lab)[-1]["argv"] == job["argv"]
    assert state(lab, job["id"]) == "succeeded"
    assert printed(lab, job["id"]) == b"\0".join(map(os.fsencode, words))
    page = ultralab("jobs", "show", str(job["id"]), "--home", lab)
    assert (page.status, page.err, "\x1b" in page.out) == (0, "", False)


def test_words_without_two_dashes(lab: Path) -> None:
    job = submit(lab, "echo", "--json", "--", "-n")
    assert job["argv"] == ["echo", "--json", "--", "-n"]
    assert ended(lab, job["id"])["job"]["status"] == 0
    assert printed(lab, job["id"]) == b"--json -- -n\n"


def test_jobs_after_others(lab: Path) -> None:
    first = submit(lab, "--hold", "--name", "first", *shell("exit 3"))
    well = submit(lab, "--after", "first", "--", "true")
    anyhow = submit(lab, "--after-end", str(first["id"]), "--", "true")
    assert well["after"] == [{"job": first["id"], "how": "success"}]
    assert anyhow["after"] == [{"job": first["id"], "how": "end"}]
    assert well["waiting"]["sentence"] == f"Waits for job {first['id']} to succeed."
    assert ultralab("jobs", "release", "first", "--home", lab).status == 0
    assert ended(lab, anyhow["id"])["job"]["state"] == "succeeded"
    shown = seen(lab, well["id"])
    assert (shown["job"]["state"], shown["waiting"]["code"]) == ("queued", "dependency_failed")


def test_a_job_that_is_repeated_until_it_succeeds(lab: Path) -> None:
    job = submit(lab, "--retry", "2", *shell('echo "attempt $ULTRALAB_ATTEMPT"; test "$ULTRALAB_ATTEMPT" = 3'))
    shown = ended(lab, job["id"])
    assert (shown["job"]["state"], shown["job"]["attempts"], shown["job"]["failures"]) == ("succeeded", 3, 2)
    assert [attempt["ended"]["status"] for attempt in shown["attempts"]] == [1, 1, 0]
    assert [printed(lab, job["id"], "--attempt", str(number)) for number in (1, 2, 3)] == [
        b"attempt 1\n",
        b"attempt 2\n",
        b"attempt 3\n",
    ]
    assert printed(lab, job["id"]) == b"attempt 3\n"
    says(
        ultralab("jobs", "logs", str(job["id"]), "--attempt", "4", "--home", lab),
        2,
        f"Job {job['id']} has no attempt 4.",
    )


def test_the_end_of_the_output(lab: Path) -> None:
    job = submit(lab, *shell("seq 1000; printf last"))
    ended(lab, job["id"])
    assert printed(lab, job["id"], "--tail", "2") == b"1000\nlast"
    assert printed(lab, job["id"], "--tail", "0") == b""
    assert printed(lab, job["id"]) == b"".join(b"%d\n" % number for number in range(1, 1001)) + b"last"


def test_following_the_output_of_a_running_job(lab: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = submit(lab, *shell(f"echo begun; while ! test -e {go}; do sleep 0.05; done; echo done"))
    following = start("jobs", "logs", str(job["id"]), "-f", "--home", lab)
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    assert state(lab, job["id"]) == "running"
    go.touch()
    assert finish(following) == Done(0, "done\n", "")


def test_ctrl_c_only_stops_following(lab: Path) -> None:
    job = submit(lab, *shell("echo begun; exec sleep 100"))
    following = start("jobs", "attach", str(job["id"]), "--home", lab)
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    following.send_signal(signal.SIGINT)
    done = finish(following)
    back = f"Job {job['id']} goes on. Back to it: ultralab jobs attach {job['id']}"
    assert (done.status, done.out, done.err.splitlines()[-1]) == (130, "", back)
    assert state(lab, job["id"]) == "running"


def test_ctrl_c_ends_the_following_of_the_output_as_calmly(lab: Path) -> None:
    job = submit(lab, *shell("echo begun; exec sleep 100"))
    following = start("jobs", "logs", "-f", str(job["id"]), "--home", lab)
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    following.send_signal(signal.SIGINT)
    back = f"Job {job['id']} goes on. Back to it: ultralab jobs logs -f {job['id']}\n"
    assert finish(following) == Done(130, "", back)
    shown = seen(lab, job["id"])
    worker = json.loads((Path(shown["attempts"][0]["folder"]) / "worker.json").read_text())
    assert (shown["job"]["state"], shown["worker"]["pid"]) == ("running", worker["pid"])


def test_following_the_output_of_a_job_that_waits_says_why(lab: Path) -> None:
    job = submit(lab, "--hold", "--", "echo", "x")
    following = start("jobs", "logs", "-f", str(job["id"]), "--home", lab)
    assert following.stderr is not None
    assert following.stderr.readline() == "Is held back until its owner releases it.\n"
    assert ultralab("jobs", "release", str(job["id"]), "--home", lab).status == 0
    assert finish(following) == Done(0, "x\n", "")


def test_what_is_said_after_an_open_line_begins_a_new_one(lab: Path) -> None:
    job = submit(lab, *shell("printf abc"))
    done = subprocess.run(
        [str(ULTRALAB), "jobs", "attach", str(job["id"]), "--quiet", "--home", str(lab)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
    )  # fmt: skip
    assert done.stdout == b"abc"
    done = subprocess.run(
        [str(ULTRALAB), "jobs", "attach", str(job["id"]), "--home", str(lab)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
    )  # fmt: skip
    assert done.stdout == b"abc\nJob %d: succeeded.\n" % job["id"]


def test_more_output_than_is_kept(lab: Path) -> None:
    job = submit(lab, *python("import sys\nfor n in range(100_000): sys.stdout.write(f'{n:09d}\\n')"))
    ended(lab, job["id"])
    done = ultralab("jobs", "logs", str(job["id"]), "--home", lab)
    places = ultralab("jobs", "logs", str(job["id"]), "--json", "--home", lab).data
    (gap,) = places["gaps"]
    assert places["bytes"] == 1_000_000
    assert sum(file["bytes"] for file in places["files"]) + gap["bytes"] == 1_000_000
    assert len(done.out) == 1_000_000 - gap["bytes"] <= 65536
    assert done.out.startswith("000000000\n")
    assert done.out.endswith("000099999\n")
    assert done.err.splitlines() == [f"… {gap['bytes'] / 1024:.0f} KiB left out here (limit 64.0 KiB) …"]


def test_hold_release_cancel_and_retry_of_several(lab: Path) -> None:
    one, two = (submit(lab, "--hold", "--name", name, "--", "true") for name in ("one", "two"))
    numbers = [str(one["id"]), str(two["id"])]
    cancelled = ultralab("jobs", "cancel", *numbers, "--json", "--home", lab)
    assert cancelled.data["refused"] == []
    assert [(job["id"], job["state"]) for job in cancelled.data["jobs"]] == [
        (one["id"], "cancelled"),
        (two["id"], "cancelled"),
    ]
    attached = ultralab("jobs", "attach", "one", "--home", lab)
    assert (attached.status, attached.err) == (1, f"Job {one['id']}: cancelled.\n")
    again = ultralab("jobs", "retry", "one", "two", "--home", lab)
    assert again.out == f"{one['id']}  one  queued\n{two['id']}  two  queued\n"
    assert [ended(lab, job["id"])["job"]["state"] for job in (one, two)] == ["succeeded", "succeeded"]


def test_a_refusal_hinders_no_other_job(lab: Path) -> None:
    good = submit(lab, "--hold", "--", "true")
    done = ultralab("jobs", "cancel", "no-such-job", str(good["id"]), "--home", lab)
    assert (done.status, done.out) == (2, f"{good['id']}  true  cancelled\n")
    assert done.err.splitlines()[0] == "Error: There is no job 'no-such-job'."
    assert ultralab("jobs", "retry", str(good["id"]), "--home", lab).status == 0
    ended(lab, good["id"])
    assert ultralab("jobs", "hold", "no-such-job", str(good["id"]), "--home", lab) == Done(
        2,
        "",
        f"Error: There is no job 'no-such-job'.\nError: Job {good['id']} (true) has succeeded: it cannot be held back.\n",
    )


def test_what_became_of_each_is_told_as_data(lab: Path) -> None:
    good = submit(lab, "--hold", "--", "true")
    done = ultralab("jobs", "cancel", "no-such-job", str(good["id"]), "--json", "--home", lab)
    assert (done.status, done.err, list(done.data)) == (2, "", ["jobs", "refused"])
    assert [list(job) for job in done.data["jobs"]] == [JOB_KEYS]
    assert [(job["id"], job["state"]) for job in done.data["jobs"]] == [(good["id"], "cancelled")]
    (refused,) = done.data["refused"]
    assert list(refused) == ["job", "kind", "message", "hint"]
    assert (refused["job"], refused["kind"], refused["message"]) == (
        "no-such-job",
        "NotFound",
        "There is no job 'no-such-job'.",
    )


def test_pruning_and_rebuilding(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    assert ultralab("init", home, "--lang", "en").status == 0
    first, second = (submit(home, "--", "echo", word) for word in ("a", "b"))
    for job in (first, second):
        assert ended(home, job["id"])["job"]["state"] == "succeeded"
    before = jobs(home)
    rebuilt = ultralab("jobs", "rebuild", "--home", home)
    assert (rebuilt.status, rebuilt.err) == (0, "")
    assert jobs(home) == before
    kept = ultralab("jobs", "prune", "--home", home)
    assert kept.out == "0 jobs removed.\n"
    would = ultralab("jobs", "prune", "--older-than", "0", "--dry-run", "--home", home)
    assert would.out == "These would be removed: 1, 2\n"
    assert ultralab("jobs", "prune", "--older-than", "0", "--json", "--home", home).data == before
    assert jobs(home) == []
    assert ultralab("jobs", "list", "--home", home).out == (
        "No job here. Submit one: ultralab jobs submit -- COMMAND\n"
    )
    assert submit(home, "--", "true")["id"] == 3


def test_schedules(lab: Path) -> None:
    added = ultralab("jobs", "schedules", "add", "nightly", "--cron", "30 2 * * *", "--home", lab, "--", "echo", "-n")
    first, second = added.out.splitlines()
    assert first.startswith("Schedule nightly: next at ")
    assert "02:30" in first
    assert second.startswith("Nobody watches the clock")
    (listed,) = ultralab("jobs", "schedules", "list", "--json", "--home", lab).data
    assert list(listed) == ["name", "cron", "catch_up", "paused", "next", "added", "job"]
    assert list(listed["job"]) == SPEC_KEYS
    assert (listed["catch_up"], listed["paused"], listed["job"]["argv"]) == ("once", False, ["echo", "-n"])
    twice = ultralab("jobs", "schedules", "add", "nightly", "--cron", "@daily", "--home", lab, "--", "true")
    says(twice, 2, "There is already a schedule 'nightly'.")
    paused = ultralab("jobs", "schedules", "pause", "nightly", "--json", "--home", lab).data
    assert (paused["paused"], paused["next"]) == (True, None)
    assert ultralab("jobs", "schedules", "resume", "nightly", "--json", "--home", lab).data["next"] == listed["next"]
    assert ultralab("jobs", "schedules", "remove", "nightly", "--home", lab).out == "Schedule nightly is removed.\n"
    says(ultralab("jobs", "schedules", "pause", "nightly", "--home", lab), 2, "There is no schedule 'nightly'.")
    assert ultralab("jobs", "schedules", "list", "--home", lab).out.startswith("No schedule yet.")


def test_an_experiment_as_a_job(lab: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    number = len(statuses_of(lab))
    job = ultralab("run", made[1], "--detach", "--json", "--home", lab, cwd=tmp_path).data
    assert list(job) == [*JOB_KEYS, "waiting", "daemon"]
    assert (job["kind"], job["name"], job["gpu"]) == ("experiment", "kinds_of_trouble", "exclusive")
    assert job["memory"] > 0
    assert job["argv"][-2] == "run"
    assert (Path(job["argv"][-1]).name, job["cwd"]) == (made[1].name, str(made[1].parent))
    shown = ended(lab, job["id"])
    assert (shown["job"]["state"], statuses_of(lab)[number:]) == ("succeeded", ["finished"])
    assert all(step["ended"] for step in shown["progress"]["steps"])
    assert len(shown["progress"]["steps"]) > 0


def test_a_file_edited_after_its_submission_changes_nothing(lab: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    number = len(statuses_of(lab))
    folder = tmp_path / "mine 实验"
    (folder / "texts").mkdir(parents=True)
    (folder / "texts" / "text.txt").write_bytes((made[1].parent / "text.txt").read_bytes())
    spec = folder / "edited.yaml"
    spec.write_text(made[1].read_text().replace("text: text.txt", "text: texts/text.txt"))
    submit(lab, "--name", "first", *shell("sleep 3"))
    assert ultralab("config", "set", "jobs.parallel", "1", "--home", lab).status == 0
    try:
        done = ultralab("run", spec.name, "--detach", "--json", "--home", lab, cwd=folder)
        spec.write_text("engine: gone")
        (folder / "texts" / "text.txt").unlink()
        assert ended(lab, done.data["id"])["job"]["state"] == "succeeded"
    finally:
        assert ultralab("config", "set", "jobs.parallel", "4", "--home", lab).status == 0
    assert statuses_of(lab)[number:] == ["finished"]


def test_a_wrong_pull_is_refused_now(lab: Path, tmp_path: Path) -> None:
    before = rows(lab)
    for words, message in (
        (("nowhere:x",), "'nowhere:x' says no known source."),
        ((str(tmp_path / "none.gguf"),), f"There is no such file: {tmp_path / 'none.gguf'}"),
        (("pypi:x", "--name", "No Name"), "'No Name' cannot be a model's name."),
    ):
        says(ultralab("models", "pull", *words, "--detach", "--home", lab), 2, message)
    says(ultralab("models", "verify", "none", "--detach", "--home", lab), 2, "There is no model 'none'")
    assert rows(lab) == before


def test_a_pull_and_its_check_as_jobs(lab: Path, made: tuple[Path, Path]) -> None:
    pulled = ultralab("models", "pull", "tiny.gguf", "--detach", "--json", "--home", lab, cwd=made[1].parent).data
    assert (pulled["name"], pulled["kind"], pulled["gpu"], pulled["network"]) == (
        "pull tiny.gguf",
        "pull",
        "none",
        False,
    )
    checked = ultralab("models", "verify", "--detach", "--json", "--home", lab).data
    assert (checked["name"], checked["kind"], checked["gpu"], checked["network"]) == ("verify", "verify", "none", False)
    assert [ended(lab, job["id"])["job"]["state"] for job in (pulled, checked)] == ["succeeded", "succeeded"]


def test_a_wrong_experiment_is_refused_now(lab: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    before = rows(lab)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(made[1].read_text().replace("engine: fake", "engnie: fake"))
    says(ultralab("experiments", "run", wrong, "--detach", "--home", lab), 2, f"{wrong}:4: engnie: Unknown key")
    says(ultralab("run", tmp_path / "none.yaml", "--detach", "--home", lab), 2, "There is no such file")
    assert rows(lab) == before


# --- commands that behave badly -------------------------------------------------------------------------------------


def test_a_command_that_does_not_exist(lab: Path) -> None:
    before = rows(lab)
    says(ultralab("jobs", "submit", "--home", lab, "--", "no-such-command"), 2, "There is no such command")
    assert rows(lab) == before


def test_a_command_that_is_not_there_when_its_turn_comes(lab: Path) -> None:
    first = submit(lab, "--", "true")
    job = submit(lab, "--after-end", str(first["id"]), "--", "./not-made-by-the-first")
    shown = ended(lab, job["id"])
    assert (shown["job"]["state"], shown["job"]["status"], shown["job"]["cause"]) == ("failed", 127, "not_started")
    page = ultralab("jobs", "show", str(job["id"]), "--home", lab).out
    assert "not-made-by-the-first" in shown["attempts"][0]["ended"]["problem"]
    assert "127 (could not be started)" in page


def test_a_command_that_forks_and_leaves(lab: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    job = submit(lab, *shell(f"setsid sleep 300 & echo $! > {note}; echo gone"))
    shown = ended(lab, job["id"])
    assert (shown["job"]["state"], shown["attempts"][0]["ended"]["left_behind"]) == ("succeeded", 1)
    assert not psutil.pid_exists(int(note.read_text()))
    assert printed(lab, job["id"]) == b"gone\n"


def test_a_command_that_prints_binary(lab: Path) -> None:
    job = submit(lab, *python("import sys; sys.stdout.buffer.write(bytes(range(256)) * 200)"))
    ended(lab, job["id"])
    done = subprocess.run(
        [str(ULTRALAB), "jobs", "logs", str(job["id"]), "--home", str(lab)],
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(bytes(range(256)) * 200).digest()


def test_a_command_that_closes_its_output(lab: Path) -> None:
    job = submit(lab, *shell("echo a; exec >&- 2>&-; sleep 0.3; exit 7"))
    shown = ended(lab, job["id"])
    assert (shown["job"]["status"], printed(lab, job["id"])) == (7, b"a\n")


def test_a_command_that_ignores_signals(lab: Path) -> None:
    job = submit(lab, *shell("trap '' TERM INT HUP; echo ready; while :; do sleep 0.2; done"))
    wait_until(
        lambda: printed(lab, job["id"], "--tail", "1") == b"ready\n" if seen(lab, job["id"])["attempts"] else False
    )
    cancelled = ultralab("jobs", "cancel", str(job["id"]), "--json", "--home", lab).data
    assert [found["state"] for found in cancelled["jobs"]] == ["cancelling"]
    shown = ended(lab, job["id"])
    assert (shown["job"]["state"], shown["job"]["status"], shown["job"]["cause"]) == ("cancelled", 137, "cancel")


def test_a_command_that_stops_itself(lab: Path) -> None:
    job = submit(lab, *shell("kill -STOP $$; echo on"))
    wait_until(lambda: bool(seen(lab, job["id"])["stopped"]))
    page = ultralab("jobs", "show", str(job["id"]), "--home", lab).out
    worker = json.loads((Path(seen(lab, job["id"])["attempts"][0]["folder"]) / "worker.json").read_text())["pid"]
    assert f"Its command is stopped (SIGSTOP). It goes on with: kill -CONT {worker}" in " ".join(page.split())
    os.kill(worker, signal.SIGCONT)
    assert ended(lab, job["id"])["job"]["state"] == "succeeded"
    assert printed(lab, job["id"]) == b"on\n"


def test_a_command_that_takes_too_long(lab: Path) -> None:
    job = submit(lab, "--timeout", "0.5s", "--", "sleep", "100")
    shown = ended(lab, job["id"])
    assert (shown["job"]["state"], shown["job"]["status"], shown["job"]["cause"]) == ("failed", 124, "timeout")


def test_a_progress_file_full_of_nonsense(lab: Path) -> None:
    steps = [{"label": "\x1b[31m", "total": "x", "done": None, "started": "y"}, 3, {"total": -1, "done": 1e308}]
    code = f"import json, os; open(os.environ['ULTRALAB_PROGRESS'], 'w').write(json.dumps({{'steps': {steps!r}}}))"
    job = submit(lab, *python(code))
    ended(lab, job["id"])
    page = ultralab("jobs", "show", str(job["id"]), "--home", lab)
    assert (page.status, page.err, "\x1b" in page.out) == (0, "", False)


# --- wrong requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--when", "yesterday", "--", "true"), "'yesterday' is no moment."),
        (("--when", "2001-01-01T00:00", "--", "true"), "2001-01-01T00:00 is in the past."),
        (("--memory", "lots", "--", "true"), "Invalid value for '--memory': 'lots' is no size"),
        (("--memory", "-1", "--", "true"), "Invalid value for '--memory': '-1' is no size"),
        (("--memory", "900TiB", "--", "true"), "900 TiB of memory are asked for"),
        (("--disk", "1 elephant", "--", "true"), "Invalid value for '--disk'"),
        (("--gpu", "two", "--", "true"), "Invalid value for '--gpu'"),
        (("--priority", "11", "--", "true"), "Invalid value for '--priority'"),
        (("--retry", "-1", "--", "true"), "Invalid value for '--retry'"),
        (("--timeout", "soon", "--", "true"), "'soon' is no duration."),
        (("--cwd", "/no/such/folder", "--", "true"), "There is no such folder: /no/such/folder"),
        (("--after", "99999", "--", "true"), "There is no job '99999'."),
        (("--after", "no-such-job", "--", "true"), "There is no job 'no-such-job'."),
        (("--timeout", "0", "--", "true"), "A job needs some time to run"),
        (("--name", "", "--", "true"), "'' cannot be a job's name: it is empty."),
        (("--name", "17", "--", "true"), "'17' cannot be a job's name: only digits mean a job's number."),
        (("--name", "last", "--", "true"), "'last' cannot be a job's name: it means the newest job."),
        (("--name", "a\x07b", "--", "true"), "'a\\x07b' cannot be a job's name: it has control characters."),
        (("--name", "实" * 51, "--", "true"), "'实实实"),
        (("--kind", "My Kind", "--", "true"), "'My Kind' cannot be a kind of jobs."),
        (("--", ""), "The command is empty"),
        ((), "Missing argument 'COMMAND...'"),
        (("--no-such-option", "--", "true"), "No such option"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_a_job_that_cannot_be_submitted(words: tuple[str, ...], message: str, lab: Path) -> None:
    before = rows(lab)
    says(ultralab("jobs", "submit", "--home", lab, *words), 2, message)
    assert rows(lab) == before


UNKNOWN = [("show", word) for word in ("99999", "no-such-job", "0", "-1", "🧪", "9" * 30)]


@pytest.mark.parametrize(("verb", "reference"), [*UNKNOWN, ("logs", "no"), ("attach", "no")])
def test_an_unknown_job(verb: str, reference: str, lab: Path) -> None:
    done = ultralab("jobs", verb, "--json", "--home", lab, "--", reference)
    assert (done.status, done.out, done.error["kind"]) == (2, "", "NotFound")
    assert done.error["message"] == f"There is no job {reference!r}."


def test_a_lab_without_jobs(tmp_path: Path) -> None:
    assert ultralab("init", tmp_path / "lab", "--lang", "en").status == 0
    done = ultralab("jobs", "show", "last", "--json", "--home", tmp_path / "lab")
    assert (done.status, done.error["kind"]) == (2, "NotFound")
    assert jobs(tmp_path / "lab") == []


@pytest.mark.parametrize("verb", ["hold", "release", "cancel"])
def test_what_a_state_does_not_allow(verb: str, lab: Path) -> None:
    job = submit(lab, "--", "true")
    ended(lab, job["id"])
    done = ultralab("jobs", verb, str(job["id"]), "--home", lab)
    said = {
        "hold": "has succeeded: it cannot be held back.",
        "release": "is not held back: it has succeeded.",
        "cancel": "has succeeded: it cannot be cancelled.",
    }
    says(done, 2, f"Job {job['id']} (true) {said[verb]}")
    assert done.err.endswith(f"ultralab jobs show {job['id']}\n")


def test_settings_that_cannot_be_read_keep_nobody_from_looking_and_ending(tmp_path: Path) -> None:
    home = tmp_path / "lab"
    assert ultralab("init", home, "--lang", "en").status == 0
    over, job = (str(submit(home, *words, "--", "true")["id"]) for words in ((), ("--hold", "--when", "+1d")))
    ended(home, int(over))
    toml = home / "lab.toml"
    toml.write_text(toml.read_text().replace("parallel = 4", "parallel = 0"))
    line = 1 + toml.read_text().splitlines().index("parallel = 0")
    warned = f"Warning: the default settings are used: {toml}:{line}: jobs.parallel: must be "
    looks: list[tuple[str, ...]] = [("list",), ("show", over), ("logs", over), ("logs", "-f", over), ("attach", over)]
    changes = [("release", job), ("hold", job), ("cancel", job), ("retry", job), ("cancel", job), ("prune",)]
    for words in (*looks, *changes):
        done = ultralab("jobs", *words, "--json", "--home", home)
        assert (done.status, done.err.startswith(warned), done.err.count("\n")) == (0, True, 1), (words, done)
    refused: list[tuple[str, ...]] = [("jobs", "submit", "--", "true"), ("jobs", "schedules", "list"), ("serve",)]
    for words in refused:
        done = ultralab(words[0], "--home", home, "--json", *words[1:])
        assert (done.status, done.out, done.error["kind"]) == (2, "", "InvalidSpec")


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "@never", "a b c d e"])
def test_a_wrong_cron_expression(cron: str, lab: Path) -> None:
    done = ultralab("jobs", "schedules", "add", "x", "--cron", cron, "--home", lab, "--", "true")
    says(done, 2, f"{cron!r} is no cron line: ")
    assert ultralab("jobs", "schedules", "list", "--json", "--home", lab).data == []


def test_a_schedule_with_a_name_that_is_none(lab: Path) -> None:
    done = ultralab("jobs", "schedules", "add", "A/B", "--cron", "@daily", "--home", lab, "--", "true")
    says(done, 2, "'A/B' is not a name for a schedule.")


def test_json_behind_the_dashes_is_the_commands_own(lab: Path) -> None:
    says(ultralab("jobs", "submit", "--home", lab, "--", "no-such-command", "--json"), 2, "There is no such command")


# --- how it looks ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with jobs in several states, and a schedule."""
    home = tmp_path_factory.mktemp("shown") / "lab"
    assert ultralab("init", home, "--lang", "en").status == 0
    submit(home, "--name", "a name that is much too long for a column of a list", "--", "true")
    submit(home, "--name", "实验 实验 实验 实验 实验 实验 实验", "--hold", "--memory", "1GiB", "--", "true")
    submit(home, "--when", "+3d", "--retry", "2", "--timeout", "2h", "--priority", "-10", "--", "true")
    ultralab("jobs", "schedules", "add", "nightly", "--cron", "30 2 * * *", "--home", home, "--", "echo", "x" * 30)
    ended(home, 1)
    return home


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("command", ["list", "schedules list", "logs 2"])
def test_output_fits_eighty_columns(command: str, language: str, shown_lab: Path) -> None:
    env = environment(COLUMNS="80", NO_COLOR="1", TERM="dumb")
    done = ultralab("jobs", *command.split(), "--home", shown_lab, "--lang", language, env=env)
    assert (done.status, "\x1b" in done.out) == (0, False), done.err
    lines = [line for line in done.out.splitlines() if "/" not in line]
    assert max((display_width(line) for line in lines), default=0) <= 80, done.out


def test_a_list(shown_lab: Path) -> None:
    done = ultralab("jobs", "list", "--home", shown_lab, env=environment(COLUMNS="80"))
    head, rule, first, second, third = done.out.splitlines()
    assert head.split() == ["Job", "Name", "State", "Prio", "Memory", "Waited/ran", "Exit"]
    assert set(rule.strip()) == {"─"}
    assert first.split()[0] == "1"
    assert (first.split()[-1], "…" in first) == ("0", True)
    assert ("held" in second, "1.00 GiB" in second, third.split()[3]) == (True, True, "-10")
    assert [job["id"] for job in jobs(shown_lab, "--state", "held")] == [2]
    assert ultralab("jobs", "list", "--state", "interrupted", "--home", shown_lab).out == "No job is interrupted.\n"
    assert [job["id"] for job in jobs(shown_lab, "--all", "--limit", "2")] == [2, 3]


def test_a_page_for_a_program_is_neither_wrapped_nor_padded(shown_lab: Path) -> None:
    done = ultralab("jobs", "show", "1", "--home", shown_lab, env=environment(COLUMNS="40"))
    lines = done.out.splitlines()
    assert (done.status, [line for line in lines if line != line.rstrip()]) == (0, [])
    assert "a name that is much too long for a column of a list  1  succeeded" in lines
    assert [line.split("  ")[0] for line in lines if "  " in line][1:] == [
        *("Command", "Folder", "Exit", "Kind", "Submitted", "Started", "Ended", "Attempt 1", "Output"),
    ]
    assert "ultralab jobs logs 1" in done.out


def test_a_reader_that_goes_away(shown_lab: Path) -> None:
    script = '"$0" jobs list --home "$1" --json | head -n 1; exit "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", script, str(ULTRALAB), str(shown_lab)],
        env=environment(PYTHONUNBUFFERED="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode in (0, 141)) == ("[\n", "", True)


def test_completion_of_jobs_and_schedules(shown_lab: Path, tmp_path: Path) -> None:
    def complete(words: str, count: int, home: Path = shown_lab) -> list[str]:
        asked = {"_ULTRALAB_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
        done = ultralab(env=environment(**asked, ULTRALAB_HOME=str(home)))
        assert (done.status, done.err) == (0, "")
        return [line.partition(",")[2] for line in done.out.splitlines() if line]

    assert complete("ultralab jobs show ", 3)[:4] == ["last", "3", "2", "1"]
    assert complete("ultralab jobs cancel tr", 3) == ["true"]
    assert complete("ultralab jobs schedules pause ", 4) == ["nightly"]
    assert complete("ultralab jobs d", 2) == []
    assert complete("ultralab jobs show ", 3, tmp_path / "none") == ["last"]


@pytest.mark.slow
def test_ten_thousand_jobs_are_listed_at_once(tmp_path: Path) -> None:
    """The goal is 0.3 s on an idle machine; here only that nothing takes far too long."""
    home = tmp_path / "lab"
    assert ultralab("init", home, "--lang", "en").status == 0
    queue = open_queue(home / "state" / "jobs")
    for number in range(10_000):
        spec = JobSpec(("sleep", "1"), "/", f"job {number}", not_before=time.time() + 1e6, needs=Needs(memory=number))
        put(queue, spec, {}, time.time())
    queue.database.close()
    for options in ((), ("--all",), ("--all", "--json")):
        best = min(_seconds("jobs", "list", *options, "--home", str(home)) for _ in range(3))
        assert best < 1.5, options


def _seconds(*words: str) -> float:
    begun = time.monotonic()
    assert ultralab(*words).status == 0
    return time.monotonic() - begun
