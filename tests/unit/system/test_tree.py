"""Who belongs to an attempt, on tables and on real processes, and how all of them end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ultralab.system import clock, tree
from ultralab.system.identity import identify
from ultralab.system.proctable import MARK, Entry, parse_ps
from ultralab.system.tree import belonging, end, members

PYTHON = sys.executable
OURS = "/lab/state/jobs/000017/2"
OTHER = "/lab/state/jobs/000018/1"

# Pid, parent, session, mark. 10: the supervisor; 20: its command; 30: another job's supervisor, started below it.
TABLE: list[Entry] = [
    (1, 0, 1, None),
    (10, 1, 10, OURS),
    (20, 10, 20, OURS),
    (21, 20, 20, None),  # dropped its environment
    (22, 21, 22, None),  # and its child left the session
    (23, 1, 20, None),  # an orphan without environment, still in the session
    (24, 1, 24, OURS),  # an orphan in a session of its own
    (25, 24, 25, None),
    (26, 10, 26, None),  # adopted by the supervisor
    (30, 20, 30, OTHER),
    (31, 30, 31, OTHER),
    (32, 31, 20, None),  # below another job, though in our session
    (33, 10, 33, ""),  # says that it is no part of any job
    (34, 33, 33, None),
    (40, 1, 40, None),
    (41, 40, 40, None),
]


def test_marked_and_descended() -> None:
    assert belonging(TABLE, OURS, None, None, 99) == [10, 20, 21, 22, 24, 25, 26]


def test_the_session_takes_what_nobody_claims() -> None:
    assert belonging(TABLE, OURS, 20, None, 99) == [10, 20, 21, 22, 23, 24, 25, 26]


def test_never_oneself() -> None:
    assert belonging(TABLE, OURS, 20, 10, 10) == [20, 21, 22, 23, 24, 25, 26]


def test_the_other_job_has_its_own() -> None:
    assert belonging(TABLE, OTHER, None, None, 99) == [30, 31, 32]


def test_a_root_without_a_mark() -> None:
    assert belonging(TABLE, OURS, None, 40, 99) == [10, 20, 21, 22, 24, 25, 26, 40, 41]
    assert belonging(TABLE, "none", None, 40, 40) == [41]


def test_nobody() -> None:
    assert belonging(TABLE, "/lab/state/jobs/000017", None, None, 99) == []
    assert belonging([], OURS, 20, 10, 99) == []


def test_a_circle_of_parents_is_no_trap() -> None:
    circle: list[Entry] = [(50, 51, 50, None), (51, 50, 50, None), (52, 51, 52, OURS)]
    assert belonging(circle, OURS, None, None, 99) == [52]
    assert belonging(circle, OURS, 50, None, 99) == [50, 51, 52]


# After ps(1) of macOS: -E shows the environment behind the arguments; keywords with "=" have no header.
PS = """\
    1     0 Ss   /sbin/launchd
  501     1 S    /opt/homebrew/bin/python3.12 -I -S supervisor.py job 17 PATH=/usr/bin ULTRALAB_JOB=/lab/state/jobs/000017/2
  502   501 Ss+  python train.py HOME=/Users/a ULTRALAB_JOB=/Users/a/my lab/state/jobs/000017/2 ULTRALAB_ATTEMPT=2 _=/bin/x
  503   502 Z    <defunct>
  504   502 R    /bin/sleep 60
  505   502 S    sh -c ULTRALAB_JOB=spoken cmd ULTRALAB_JOB=/lab/实验/000018/1
  506   502 S    drain ULTRALAB_JOB= HOME=/Users/a
  507   502 S    talk XULTRALAB_JOB=/lab/state/jobs/000017/2
  508   502 T
not a line of ps
"""


def test_what_ps_tells_on_macos() -> None:
    assert parse_ps(PS) == [
        (1, 0, None),
        (501, 1, "/lab/state/jobs/000017/2"),
        (502, 501, "/Users/a/my lab/state/jobs/000017/2"),
        (504, 502, None),
        (505, 502, "/lab/实验/000018/1"),
        (506, 502, ""),
        (507, 502, None),
        (508, 502, None),
    ]


# Real processes.


@contextmanager
def started(*argv: str, mark: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program in a session of its own, killed at the end with all of its mark and session."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    if mark is not None:
        environment[MARK] = mark
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:  # fmt: skip
        try:
            yield child
        finally:
            end(lambda: members(mark or "-", child.pid, child.pid), 0)


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def gone(pid: int) -> bool:
    deadline = clock.monotonic() + 5
    while identify(pid) is not None and clock.monotonic() < deadline:
        clock.sleep(0.005)
    return identify(pid) is None


if sys.platform == "linux":

    def test_a_mark_follows_however_one_detaches(tmp_path: Path) -> None:
        mark = str(tmp_path / "a \udcff=b ")
        script = "setsid sh -c 'sleep 61 & echo $!'; echo $$; exec sleep 60"
        with started("sh", "-c", script, mark=mark) as child:
            orphan, leader = int(line(child)), int(line(child))
            assert leader == child.pid
            assert members(mark) == sorted([leader, orphan])
            assert members(str(tmp_path)) == []
            child.kill()
            child.wait()
            assert members(mark) == [orphan]

    def test_descent_and_session_without_environment(tmp_path: Path) -> None:
        script = (
            "env -i sh -c 'sleep 61 & echo $!; exec sleep 62' & env -i setsid sh -c 'echo $$; exec sleep 63' & wait"
        )
        with started("sh", "-c", script) as child:
            pids = {int(line(child)), int(line(child))}
            by_root = set(members(str(tmp_path), root=child.pid))
            by_session = set(members(str(tmp_path), session=child.pid))
            assert pids < by_root
            assert child.pid in by_root
            assert len(by_root) == 4
            assert by_session < by_root
            assert len(by_session) == 3
            assert end(lambda: members(str(tmp_path), root=child.pid), 5) == 4
            assert child.wait(5) == -signal.SIGTERM


def test_another_job_below_is_left_alone(tmp_path: Path) -> None:
    ours, other = str(tmp_path / "1"), str(tmp_path / "2")
    script = f"export {MARK}={other}; sh -c 'env -i sleep 62 & echo $!; wait' & wait"
    with started("sh", "-c", script, mark=ours) as child:
        nested = int(line(child))
        found = members(other)
        assert nested in found
        assert members(ours, session=child.pid, root=child.pid) == [child.pid]
        assert end(lambda: members(ours, root=child.pid), 5) == 1
        child.wait()
        assert set(found) == set(members(other))
        assert end(lambda: members(other), 0) == len(found)
        assert gone(nested)


def test_what_is_stopped_is_told_and_goes_on_to_end(tmp_path: Path) -> None:
    program = "import os, signal, sys; signal.signal(15, lambda *_: sys.exit(5)); print('ready', flush=True); os.kill(os.getpid(), signal.SIGSTOP)"
    with started(PYTHON, "-c", program, mark=str(tmp_path)) as child:
        assert line(child) == "ready\n"
        assert end(lambda: members(str(tmp_path)), 20) == 1
        assert child.wait(5) == 5


def test_the_deaf_are_killed_after_the_grace(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    with started(PYTHON, "-c", program, mark=str(tmp_path)) as child:
        assert line(child) == "ready\n"
        begun = clock.monotonic()
        assert end(lambda: members(str(tmp_path)), 0.5) == 1
        assert 0.5 <= clock.monotonic() - begun < 5
        assert child.wait(5) == -signal.SIGKILL


def test_without_grace_nobody_is_asked(tmp_path: Path) -> None:
    program = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(5)); print('ready', flush=True); time.sleep(60)"
    with started(PYTHON, "-c", program, mark=str(tmp_path)) as child:
        assert line(child) == "ready\n"
        assert end(lambda: members(str(tmp_path)), 0) == 1
        assert child.wait(5) == -signal.SIGKILL


def test_a_newcomer_is_told_too(tmp_path: Path) -> None:
    # At SIGTERM it starts a successor, which would live on, and ends.
    program = (
        "import signal, subprocess, sys, time\n"
        "def succeed(*_): subprocess.Popen(['sleep', '60']); sys.exit(0)\n"
        "signal.signal(15, succeed); print('ready', flush=True); time.sleep(60)"
    )
    with started(PYTHON, "-c", program, mark=str(tmp_path)) as child:
        assert line(child) == "ready\n"
        begun = clock.monotonic()
        assert end(lambda: members(str(tmp_path)), 20) == 2
        assert clock.monotonic() - begun < 10
        assert members(str(tmp_path)) == []


def test_nobody_to_end() -> None:
    assert end(list, 5) == 0


@pytest.mark.slow
def test_what_does_not_die_hangs_nobody() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        child.kill()
        begun = clock.monotonic()
        assert end(lambda: [child.pid], 0.2) == 1  # a zombie, said to live: no signal reaches it any more
        assert tree.KILL_SECONDS < clock.monotonic() - begun < tree.KILL_SECONDS + 2
