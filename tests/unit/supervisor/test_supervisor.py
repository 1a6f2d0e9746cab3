"""The supervisor of an attempt, with real commands of every temper."""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ultralab.kernel.errors import ToolFailed
from ultralab.supervisor import SCRIPT
from ultralab.system import clock, output, process, tree
from ultralab.system.identity import ProcessId, alive, identify
from ultralab.system.process import Supervisor, end_attempt, signal_process, start_supervisor

PYTHON = sys.executable
LINUX = sys.platform == "linux"


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = clock.monotonic() + seconds
    while not (found := condition()):
        assert clock.monotonic() < deadline, "it did not come in time"
        clock.sleep(0.005)
    return found


def wait_for_the_end(supervisor: Supervisor) -> None:
    wait_for(lambda: not alive(supervisor.identity))


def gone(pid: int) -> bool:
    return bool(wait_for(lambda: identify(pid) is None, 5))


@dataclass(frozen=True)
class Attempt:
    folder: Path
    supervisor: Supervisor

    @property
    def identity(self) -> ProcessId:
        return self.supervisor.identity

    def printed(self) -> bytes:
        return b"".join(piece for piece in output.read(self.folder) if isinstance(piece, bytes))

    def says(self, words: bytes) -> bytes:
        wait_for(lambda: words in self.printed())
        return self.printed()

    def ended(self, seconds: float = 20) -> dict[str, Any]:
        """The record of the end, once the supervisor is gone."""
        wait_for(lambda: not alive(self.identity), seconds)
        return read(self.folder / "ended.json")

    def how(self, seconds: float = 20) -> tuple[int, int | None, str, str]:
        record = self.ended(seconds)
        return record["status"], record["signal"], record["cause"], record["problem"]

    def signal(self, number: int) -> None:
        assert signal_process(self.identity, number)


def read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_bytes())
    assert isinstance(found, dict)
    return found


def instruction(folder: Path, argv: list[str], **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "folder": str(folder),
        "fence": 3,
        "argv": argv,
        "cwd": "/",
        "environment": {"PATH": os.environ["PATH"], "ULTRALAB_JOB": str(folder)},
        "log_limit": 1 << 20,
        "timeout": None,
        "grace": 5.0,
        "alongside": None,
        "wake": str(folder.parent / "wake"),
        "afterwards": None,
        "afterwards_cwd": "/",
        **changes,
    }


@contextmanager
def attempt(tmp_path: Path, *argv: str, **changes: Any) -> Iterator[Attempt]:
    """An attempt that was told to go; whatever is left of it at the end is killed."""
    folder = tmp_path / "3"
    supervisor = start_supervisor(SCRIPT, "job test", str(folder))
    try:
        supervisor.go(instruction(folder, list(argv), **changes))
        yield Attempt(folder, supervisor)
    finally:
        signal_process(supervisor.identity, signal.SIGKILL)
        wait_for(lambda: not alive(supervisor.identity))
        end_attempt(str(folder), None)
        process.reap()


def program(text: str) -> tuple[str, str, str, str]:
    return PYTHON, "-u", "-c", text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


LOG = "output-00000000000000000000.log"


def test_the_records_of_a_command_that_runs_well(tmp_path: Path) -> None:
    before = clock.timestamp()
    with attempt(tmp_path, "sh", "-c", "echo out; echo err >&2") as one:
        ended = one.ended()
        begun, worker = (read(one.folder / name) for name in ("begun.json", "worker.json"))
        assert names(one.folder) == ["begun.json", "ended.json", LOG, "worker.json"]
        assert one.printed() == b"out\nerr\n"
    assert begun == {
        "version": 1,
        "fence": 3,
        "at": begun["at"],
        "mark": str(one.folder),
        "supervisor": {"pid": one.identity.pid, "start": one.identity.start},
    }
    assert sorted(worker) == ["pid", "start"]
    measured = ("at", "seconds", "cpu_seconds", "peak_rss_bytes")
    assert {name: value for name, value in ended.items() if name not in measured} == {
        "version": 1,
        "fence": 3,
        "status": 0,
        "cause": "exit",
        "signal": None,
        "problem": "",
        "output_bytes": 8,
        "output_lost": 0,
        "left_behind": 0,
    }
    assert before <= begun["at"] <= ended["at"] <= clock.timestamp()
    assert 0 < ended["seconds"] < ended["at"] - begun["at"] + 0.01
    assert 0 < ended["cpu_seconds"] < 5
    assert 100_000 < ended["peak_rss_bytes"] < 100_000_000


def test_the_command_is_known_by_pid_and_start(tmp_path: Path) -> None:
    with attempt(tmp_path, "sleep", "60") as one:
        worker = wait_for(lambda: (one.folder / "worker.json").exists() and read(one.folder / "worker.json"))
        assert identify(worker["pid"]) == ProcessId(worker["pid"], worker["start"])
        assert os.getsid(worker["pid"]) == worker["pid"]
        assert os.getsid(one.identity.pid) == one.identity.pid
        assert tree.members(str(one.folder)) == sorted([one.identity.pid, worker["pid"]])


# Before it begins.


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b'{"version": 1, "folder": "FOLDER", "argv": ["touch", "FOLDER.started"]',
        b"nonsense\n",
        b"[]\n",
        b'{"version": 1, "folder": "FOLDER"}\n',
        b'{"version": 2}\n',
    ],
)
def test_without_a_whole_instruction_it_goes_and_has_touched_nothing(tmp_path: Path, words: bytes) -> None:
    words = words.replace(b"FOLDER", os.fsencode(tmp_path / "3"))
    answer = subprocess.run([PYTHON, "-I", "-S", SCRIPT, "job"], input=words, capture_output=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_supervisor_is_gone(tmp_path: Path) -> None:
    supervisor = start_supervisor(SCRIPT, "job test", str(tmp_path / "3"))
    assert alive(supervisor.identity)
    supervisor.abandon()
    assert not alive(supervisor.identity)
    supervisor.abandon()
    with pytest.raises(ChildProcessError):  # nor is it a zombie
        os.waitpid(supervisor.identity.pid, os.WNOHANG)
    assert list(tmp_path.iterdir()) == []


def test_the_go_ahead_to_a_dead_supervisor_is_an_error(tmp_path: Path) -> None:
    supervisor = start_supervisor(SCRIPT, "job test", str(tmp_path / "3"))
    assert signal_process(supervisor.identity, signal.SIGKILL)
    wait_for(lambda: not alive(supervisor.identity))
    with pytest.raises(ToolFailed) as caught:
        supervisor.go(instruction(tmp_path / "3", ["true"]))
    assert caught.value.message == "The job's supervisor ended before it began."
    supervisor.abandon()
    assert list(tmp_path.iterdir()) == []


def test_an_attempt_is_never_made_twice(tmp_path: Path) -> None:
    with attempt(tmp_path, "sh", "-c", "echo once") as one:
        first = one.ended()
    with attempt(tmp_path, "sh", "-c", "echo twice") as two:
        assert two.ended() == first
        assert two.printed() == b"once\n"


def test_a_folder_whose_parent_is_gone_is_no_reason_to_stay(tmp_path: Path) -> None:
    folder = tmp_path / "none" / "3"
    supervisor = start_supervisor(SCRIPT, "job test", str(folder))
    supervisor.go(instruction(folder, ["touch", str(tmp_path / "started")]))
    wait_for(lambda: not alive(supervisor.identity))
    process.reap()
    assert list(tmp_path.iterdir()) == []


def ready(supervisor: Supervisor) -> bool:
    """Whether it waits for its instruction: its handlers stand, and it sleeps."""
    status = Path(f"/proc/{supervisor.identity.pid}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
    return bool(caught >> (signal.SIGCHLD - 1) & 1) and "State:\tS" in status


if LINUX:

    @pytest.mark.parametrize(("number", "cause"), [(signal.SIGUSR1, "cancel"), (signal.SIGTERM, "shutdown")])
    def test_told_to_end_before_the_go_ahead(tmp_path: Path, number: int, cause: str) -> None:
        folder = tmp_path / "3"
        supervisor = start_supervisor(SCRIPT, "job test", str(folder))
        wait_for(lambda: ready(supervisor))
        assert signal_process(supervisor.identity, number)
        supervisor.go(instruction(folder, ["touch", str(tmp_path / "started")]))
        one = Attempt(folder, supervisor)
        assert one.how() == (143, None, cause, "")
        assert names(tmp_path) == ["3"]
        assert names(folder) == ["begun.json", "ended.json"]
        process.reap()

    def test_it_is_small_and_imports_little(tmp_path: Path) -> None:
        supervisor = start_supervisor(SCRIPT, "job test", str(tmp_path / "3"))
        wait_for(lambda: ready(supervisor))
        status = Path(f"/proc/{supervisor.identity.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1:]
        assert peak[1] == "kB"
        assert int(peak[0]) <= 16 * 1024
        command = Path(f"/proc/{supervisor.identity.pid}/cmdline").read_bytes().split(b"\0")
        assert command[-3:] == [os.fsencode(SCRIPT), b"job test", b""]
        supervisor.abandon()
        heavy = "{'typing', 'dataclasses', 'pathlib', 'subprocess', 'logging', 'gettext', 'asyncio', 'psutil'}"
        text = (
            f"import sys; sys.path.append({str(Path(SCRIPT).parents[2])!r}); import ultralab.supervisor.main;"
            f"print(sorted({heavy} & set(sys.modules)))"
        )
        answer = subprocess.run([PYTHON, "-I", "-S", "-c", text], capture_output=True, text=True, check=True)
        assert answer.stdout == "[]\n"


# What the command finds.


def test_what_the_command_finds(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    text = (
        "import json, os, signal, sys\n"
        "ignored = [n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN]\n"
        "print(json.dumps([dict(os.environ), os.getcwd(), sys.stdin.read(), os.getsid(0) == os.getpid(),"
        " [int(n) for n in ignored], list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),"
        " [n for n in range(256) if os.path.exists(f'/dev/fd/{n}')]]))"
    )
    environment = {"A": "1", "EMPTY": "", "ULTRALAB_JOB": str(tmp_path / "3"), "LC_CTYPE": "C.UTF-8"}
    with attempt(tmp_path, *program(text), cwd=str(tmp_path / "work"), environment=environment) as one:
        assert one.how() == (0, None, "exit", "")
        # Python itself ignores these two.
        expected = [int(signal.SIGPIPE), int(signal.SIGXFSZ)]
        assert json.loads(one.printed()) == [environment, str(tmp_path / "work"), "", True, expected, [], [0, 1, 2]]


def test_arguments_of_every_kind_arrive_as_they_are(tmp_path: Path) -> None:
    odd = [
        "a b",
        "quote ' \" `",
        "new\nline",
        "",
        "-n",
        "$HOME *",
        "\\",
        "读我 🧪",
        os.fsdecode(b"\xff\xfe raw"),
        "x" * 100_000,
    ]
    place = tmp_path / os.fsdecode(b"no \xfftf-8 \xe8")
    place.mkdir()
    folder = place / "3"
    environment = {"PATH": os.environ["PATH"], "ULTRALAB_JOB": str(folder), "ODD": odd[8]}
    supervisor = start_supervisor(SCRIPT, "job '🧪' \n", str(folder))
    script = 'for word in "$@" "$ODD" "$PWD"; do printf "%s\\0" "$word"; done'
    supervisor.go(
        instruction(
            folder, ["sh", "-c", script, "sh", *odd], environment=environment, cwd=str(place), log_limit=1 << 23
        )
    )
    one = Attempt(folder, supervisor)
    assert one.how() == (0, None, "exit", "")
    assert one.printed().split(b"\0") == [os.fsencode(word) for word in [*odd, odd[8], str(place)]] + [b""]
    process.reap()


# How it ends.


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("exit 0", (0, None, "exit", "")),
        ("exit 7", (7, None, "exit", "")),
        ("exit 255", (255, None, "exit", "")),
        ("kill -KILL $$", (137, 9, "signal", "")),
        ("kill -TERM $$", (143, 15, "signal", "")),
        ("kill -ABRT $$", (134, 6, "signal", "")),
        ("kill -HUP $$", (129, 1, "signal", "")),
    ],
)
def test_the_status_is_a_shells(tmp_path: Path, script: str, how: tuple[int, int | None, str, str]) -> None:
    with attempt(tmp_path, "sh", "-c", script) as one:
        assert one.how() == how


def test_commands_that_cannot_be_started(tmp_path: Path) -> None:
    plain, headless, orphaned = (tmp_path / name for name in ("notes.txt", "headless", "orphaned"))
    plain.write_text("plain")
    headless.write_text("echo no first line")
    orphaned.write_text("#!/no/such/interpreter\n")
    for path in (headless, orphaned):
        path.chmod(0o755)
    here = {"PATH": f"{tmp_path}:/bin", "ULTRALAB_JOB": ""}
    cases: list[tuple[list[str], dict[str, Any], int, str]] = [
        (["no-such-program"], {}, 127, "no-such-program: No such file or directory"),
        (["/no/such/program"], {}, 127, "/no/such/program: No such file or directory"),
        (["notes.txt"], {"environment": here}, 126, "notes.txt: Permission denied"),
        ([str(plain)], {}, 126, f"{plain}: Permission denied"),
        ([str(tmp_path)], {}, 126, f"{tmp_path}: Permission denied"),
        ([str(headless)], {}, 126, f"{headless}: Exec format error"),
        ([str(orphaned)], {}, 127, f"{orphaned}: No such file or directory"),
        (["true"], {"cwd": "/no/such/folder"}, 126, "/no/such/folder: No such file or directory"),
        (["true"], {"cwd": str(plain)}, 126, f"{plain}: Not a directory"),
        ([], {}, 126, "argv: Invalid argument"),
        (["true", "x" * 3_000_000], {}, 126, "true: Argument list too long"),
    ]
    for number, (argv, changes, status, problem) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        with attempt(tmp_path / str(number), *argv, **changes) as one:
            assert one.how() == (status, None, "not_started", problem)
            assert names(one.folder) == ["begun.json", "ended.json"]
            assert one.ended()["seconds"] == one.ended()["output_bytes"] == 0


def test_a_nul_in_an_argument(tmp_path: Path) -> None:
    with attempt(tmp_path, "echo", "a\0b") as one:
        assert one.how()[:3] == (126, None, "not_started")
        assert "null" in one.ended()["problem"]


def test_the_timeout_ends_everything(tmp_path: Path) -> None:
    with attempt(tmp_path, "sh", "-c", "sleep 60 & echo $!; wait", timeout=1.5) as one:
        assert one.how() == (124, 15, "timeout", "")
        assert gone(int(one.printed()))
        assert 1.5 <= one.ended()["seconds"] < 8


def test_a_command_that_ends_in_time_does_not_know_its_timeout(tmp_path: Path) -> None:
    with attempt(tmp_path, "true", timeout=60.0) as one:
        assert one.how() == (0, None, "exit", "")


def test_cancel_asks_first_and_hears_the_answer(tmp_path: Path) -> None:
    text = (
        "import signal, sys, time\n"
        "def bye(*_): print('x' * 300_000 + 'goodbye'); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, bye); print('ready'); time.sleep(60)"
    )
    with attempt(tmp_path, *program(text)) as one:
        one.says(b"ready\n")
        one.signal(signal.SIGUSR1)
        assert one.how() == (5, None, "cancel", "")
        assert one.printed().endswith(b"xgoodbye\n")
        assert one.ended()["output_bytes"] == 6 + 300_000 + 8


def test_cancel_takes_what_left_the_group_and_the_session(tmp_path: Path) -> None:
    text = (
        "import subprocess as s, time\n"
        "for own in (dict(), dict(process_group=0), dict(start_new_session=True)):\n"
        "    print(s.Popen(['sleep', '60'], **own).pid)\n"
        "print('ready'); time.sleep(60)"
    )
    with attempt(tmp_path, *program(text)) as one:
        pids = [int(word) for word in one.says(b"ready\n").split()[:3]]
        one.signal(signal.SIGUSR1)
        assert one.how() == (143, 15, "cancel", "")
        assert [identify(pid) for pid in pids] == [None] * 3
        assert one.ended()["left_behind"] == 0


def test_the_deaf_are_killed_after_the_grace(tmp_path: Path) -> None:
    text = (
        "import signal, time\n"
        "for n in (1, 2, 10, 12, 13, 15): signal.signal(n, signal.SIG_IGN)\n"
        "print('ready'); time.sleep(60)"
    )
    with attempt(tmp_path, *program(text), grace=0.5) as one:
        one.says(b"ready\n")
        begun = clock.monotonic()
        one.signal(signal.SIGUSR1)
        assert one.how() == (137, 9, "cancel", "")
        assert 0.5 <= clock.monotonic() - begun < 5


def test_a_shutdown_waits_three_seconds_at_most(tmp_path: Path) -> None:
    text = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('ready'); time.sleep(60)"
    with attempt(tmp_path, *program(text), grace=50.0) as one:
        one.says(b"ready\n")
        one.signal(signal.SIGUSR1)
        begun = clock.monotonic()
        clock.sleep(0.1)
        one.signal(signal.SIGTERM)  # while the cancelled command still has its long grace
        assert one.how() == (137, 9, "cancel", "")
        assert 3 <= clock.monotonic() - begun < 8


def test_a_shutdown_that_told_the_command_first(tmp_path: Path) -> None:
    for number, script in enumerate(("kill -TERM $$", "exit 1")):
        (tmp_path / str(number)).mkdir()
        with attempt(tmp_path / str(number), "sh", "-c", f"echo ready; kill -TERM $PPID; {script}") as one:
            assert one.how()[2] == "shutdown"


def test_a_shutdown_that_reached_the_command_a_moment_before(tmp_path: Path) -> None:
    with attempt(tmp_path, "sleep", "60") as one:
        worker = wait_for(lambda: (one.folder / "worker.json").exists() and read(one.folder / "worker.json"))
        os.kill(worker["pid"], signal.SIGTERM)
        one.signal(signal.SIGTERM)
        assert one.how() == (143, 15, "shutdown", "")


def test_a_stopped_command_can_be_cancelled(tmp_path: Path) -> None:
    text = "import os, signal; print('ready'); os.kill(os.getpid(), signal.SIGSTOP); print('never'); os.read(0, 1)"
    with attempt(tmp_path, *program(text)) as one:
        one.says(b"ready\n")
        worker = wait_for(lambda: (one.folder / "worker.json").exists() and read(one.folder / "worker.json"))
        assert alive(one.identity)
        assert identify(worker["pid"]) is not None
        one.signal(signal.SIGUSR1)
        assert one.how() == (143, 15, "cancel", "")


def test_signals_of_a_terminal_do_not_reach_it(tmp_path: Path) -> None:
    with attempt(tmp_path, "sh", "-c", f"echo ready; until [ -e {tmp_path}/go ]; do sleep 0.02; done") as one:
        one.says(b"ready\n")
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            one.signal(number)
        (tmp_path / "go").touch()
        assert one.how() == (0, None, "exit", "")


# What it leaves behind.


def test_a_command_that_forks_and_leaves(tmp_path: Path) -> None:
    with attempt(tmp_path, "sh", "-c", "sleep 60 & echo $!; setsid sleep 61 & echo $!") as one:
        assert one.how() == (0, None, "exit", "")
        assert [identify(int(word)) for word in one.printed().split()] == [None, None]
        assert one.ended()["left_behind"] == 2
        assert one.ended()["seconds"] < 5


if LINUX:

    def test_a_daemon_without_environment_is_ended_too(tmp_path: Path) -> None:
        # Two forks, a session of its own, no environment, no parent: only the supervisor, its new parent, knows it.
        place = tmp_path / "pid"
        script = f"(env -i setsid sh -c 'sleep 61 & echo $! > {place}' &); until [ -s {place} ]; do sleep 0.02; done"
        with attempt(tmp_path, "sh", "-c", script) as one:
            assert one.how() == (0, None, "exit", "")
            assert identify(int(place.read_text())) is None
            assert one.ended()["left_behind"] == 1

    def test_orphans_that_end_are_collected(tmp_path: Path) -> None:
        script = "for n in 1 2 3 4 5 6 7 8; do (true &); done; echo ready; until [ -e {}/go ]; do sleep 0.02; done"
        with attempt(tmp_path, "sh", "-c", script.format(tmp_path)) as one:
            one.says(b"ready\n")

            def children() -> list[str]:
                pid = one.identity.pid
                return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

            wait_for(lambda: len(children()) == 1)
            (tmp_path / "go").touch()
            assert one.how() == (0, None, "exit", "")
            assert one.ended()["left_behind"] == 0


def test_a_deaf_one_that_is_left_behind_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    text = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {deaf!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid)"
    )
    with attempt(tmp_path, *program(text), grace=0.3) as one:
        assert one.how() == (0, None, "exit", "")
        assert gone(int(one.printed()))
        assert one.ended()["left_behind"] == 1


NEST = """
import os, sys, time
from pathlib import Path
from ultralab.supervisor import SCRIPT
from ultralab.system import process
folder = Path(sys.argv[1])
inner = process.start_supervisor(SCRIPT, "inner", str(folder))
inner.go({"version": 1, "folder": str(folder), "fence": 1, "argv": ["env", "-i", "sleep", "60"], "cwd": "/",
          "environment": {"PATH": os.environ["PATH"], "ULTRALAB_JOB": str(folder)}, "log_limit": 0, "timeout": None,
          "grace": 5.0, "alongside": None, "wake": "/nowhere", "afterwards": None, "afterwards_cwd": "/"})
process.start_detached(["sh", "-c", "echo $$ > " + sys.argv[2] + "; exec sleep 60"], Path("/"))
while not (folder / "worker.json").exists(): time.sleep(0.01)
print(inner.identity.pid)
"""


def test_another_job_that_was_started_from_inside_goes_on(tmp_path: Path) -> None:
    inner, pid_file = tmp_path / "inner", tmp_path / "pid"
    with attempt(tmp_path, PYTHON, "-c", NEST, str(inner), str(pid_file)) as one:
        detached = int(wait_for(lambda: pid_file.exists() and pid_file.read_text()))
        assert one.how() == (0, None, "exit", "")
        assert one.ended()["left_behind"] == 0
        nested = int(one.printed())
        worker = read(inner / "worker.json")
        assert identify(detached) is not None
        assert alive(ProcessId(worker["pid"], worker["start"]))
        os.kill(detached, signal.SIGKILL)
        os.kill(nested, signal.SIGUSR1)
        assert gone(nested)
        assert gone(detached)
        assert read(inner / "ended.json")["cause"] == "cancel"


def test_who_holds_the_output_and_is_no_part_of_the_job_does_not_hold_up_the_end(tmp_path: Path) -> None:
    stranger = f"ULTRALAB_JOB= sh -c 'touch {tmp_path}/there; exec sleep 60' & echo $!"
    script = f"{stranger}; until [ -e {tmp_path}/there ]; do sleep 0.02; done; head -c 500000 /dev/zero"
    with attempt(tmp_path, "sh", "-c", script) as one:
        assert one.how() == (0, None, "exit", "")
        pid = int(one.printed().split(b"\n")[0])
        assert identify(pid) is not None
        os.kill(pid, signal.SIGKILL)
        assert len(one.printed()) == 500_000 + len(f"{pid}\n")


# Kill -9.


def test_what_is_left_of_a_killed_supervisor_is_found_and_ended(tmp_path: Path) -> None:
    text = (
        "import signal, subprocess as s, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(s.Popen(['sleep', '60'], start_new_session=True).pid)\n"
        "print(s.Popen(['env', '-i', 'sleep', '61']).pid)\n"
        "print('ready'); time.sleep(60)"
    )
    with attempt(tmp_path, *program(text)) as one:
        pids = [int(word) for word in one.says(b"ready\n").split()[:2]]
        found = read(one.folder / "worker.json")
        worker = ProcessId(found["pid"], found["start"])
        one.signal(signal.SIGKILL)
        wait_for(lambda: not alive(one.identity))
        assert set(tree.members(str(one.folder), worker.pid)) == {worker.pid, *pids}
        assert end_attempt(str(one.folder), worker)
        assert tree.members(str(one.folder), worker.pid) == []
        assert [identify(pid) for pid in [worker.pid, *pids]] == [None] * 3
        assert not (one.folder / "ended.json").exists()
        assert end_attempt(str(one.folder), worker)


def test_a_recycled_pid_is_not_taken_for_the_worker(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        known = identify(stranger.pid)
        assert known is not None
        assert end_attempt(str(tmp_path / "3"), ProcessId(known.pid, known.start + "0"))
        assert stranger.poll() is None
        assert alive(known)
        assert end_attempt(str(tmp_path / "3"), known)
        assert stranger.wait(5) == -signal.SIGKILL


def test_killed_at_any_moment_it_has_begun_or_touched_nothing(tmp_path: Path) -> None:
    """The command never runs without ``begun.json``, and nothing of it is left after the clean-up."""
    for number in range(25):
        (tmp_path / str(number)).mkdir()
        folder = tmp_path / str(number) / "3"
        started = tmp_path / str(number) / "started"
        supervisor = start_supervisor(SCRIPT, "job test", str(folder))
        supervisor.go(instruction(folder, ["sh", "-c", f"echo $$ > {started}; exec sleep 60"]))
        clock.sleep(number * 0.002)
        assert signal_process(supervisor.identity, signal.SIGKILL)
        wait_for_the_end(supervisor)
        end_attempt(str(folder), None)
        assert tree.members(str(folder)) == []
        assert (folder / "begun.json").exists() or not started.exists()
        if (folder / "begun.json").exists():
            assert read(folder / "begun.json")["fence"] == 3
    process.reap()


# Output.


def test_binary_output_to_the_byte(tmp_path: Path) -> None:
    data = random.Random(7).randbytes(5_000_000)
    (tmp_path / "data").write_bytes(data)
    with attempt(tmp_path, "cat", str(tmp_path / "data"), log_limit=1 << 26) as one:
        assert one.how() == (0, None, "exit", "")
        assert hashlib.sha256(one.printed()).digest() == hashlib.sha256(data).digest()
        assert (one.ended()["output_bytes"], one.ended()["output_lost"]) == (5_000_000, 0)


def test_a_gigabyte_is_bounded(tmp_path: Path) -> None:
    with attempt(tmp_path, "head", "-c", "1000000000", "/dev/zero", log_limit=4_000_000) as one:
        assert one.how(60) == (0, None, "exit", "")
        assert (one.ended()["output_bytes"], one.ended()["output_lost"]) == (1_000_000_000, 0)
        parts = output.segments(one.folder)
        assert sum(size for _begin, _path, size in parts) == 4_000_000
        assert [begin for begin, _path, _size in parts] == [0, 997_000_000, 998_000_000, 999_000_000]
        assert output.total(one.folder) == 1_000_000_000


def test_a_command_that_closes_its_output_and_goes_on(tmp_path: Path) -> None:
    script = f"echo before; exec >&- 2>&-; until [ -e {tmp_path}/go ]; do sleep 0.02; done; exit 4"
    with attempt(tmp_path, "sh", "-c", script) as one:
        one.says(b"before\n")
        burnt = cpu_seconds(one.identity.pid)
        clock.sleep(0.3)
        assert cpu_seconds(one.identity.pid) - burnt < 0.1  # it does not spin on the closed pipe
        (tmp_path / "go").touch()
        assert one.how() == (4, None, "exit", "")
        assert one.printed() == b"before\n"


def cpu_seconds(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def test_output_can_be_followed_while_it_comes(tmp_path: Path) -> None:
    script = f"printf one; until [ -e {tmp_path}/go ]; do sleep 0.02; done; printf two"
    with attempt(tmp_path, "sh", "-c", script) as one:
        assert one.says(b"one") == b"one"
        (tmp_path / "go").touch()
        assert one.how() == (0, None, "exit", "")
        assert one.printed() == b"onetwo"


def test_what_it_took(tmp_path: Path) -> None:
    text = "import time\nblock = bytearray(150_000_000)\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    with attempt(tmp_path, "sh", "-c", f'"{PYTHON}" -c "{text}"; true') as one:  # in a child of the command
        ended = one.ended()
        assert 0.4 < ended["cpu_seconds"] < 5
        assert 150_000_000 < ended["peak_rss_bytes"] < 250_000_000
        assert ended["seconds"] >= 0.4


# Beside it, and afterwards.


def test_what_runs_alongside_ends_with_the_job(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/beside; exec sleep 60"
    command = f"until [ -s {tmp_path}/beside ]; do sleep 0.02; done; cat {tmp_path}/beside"
    with attempt(tmp_path, "sh", "-c", command, alongside=["sh", "-c", script]) as one:
        assert one.how() == (0, None, "exit", "")
        assert gone(int(one.printed()))
        assert one.ended()["left_behind"] == 0


@pytest.mark.parametrize("alongside", [["/no/such/program"], ["true"], ["sh", "-c", "exit 3"]])
def test_a_failure_alongside_is_none_of_the_job(tmp_path: Path, alongside: list[str]) -> None:
    with attempt(tmp_path, "sh", "-c", "sleep 0.1; echo fine", alongside=alongside) as one:
        assert one.how() == (0, None, "exit", "")
        assert one.printed() == b"fine\n"


def test_the_end_is_poked_after_it_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wake")
    reader = os.open(tmp_path / "wake", os.O_RDONLY | os.O_NONBLOCK)
    try:
        afterwards = ["touch", str(tmp_path / "afterwards")]
        with attempt(tmp_path, "true", afterwards=afterwards) as one:
            assert select.select([reader], [], [], 20)[0] == [reader]
            assert read(one.folder / "ended.json")["status"] == 0
            assert os.read(reader, 10) == b"."
            one.ended()
        assert names(tmp_path) == ["3", "wake"]
    finally:
        os.close(reader)


@pytest.mark.parametrize("fifo", [True, False])
def test_where_nobody_is_woken_what_comes_afterwards_is_started(tmp_path: Path, fifo: bool) -> None:
    if fifo:
        os.mkfifo(tmp_path / "wake")
    script = f'echo "$ULTRALAB_JOB" $(pwd) $(ls {tmp_path}/3/ended.json) > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/seen'
    with attempt(tmp_path, "true", afterwards=["sh", "-c", script], afterwards_cwd="/usr"):
        wait_for((tmp_path / "seen").exists)
    assert (tmp_path / "seen").read_text() == f" /usr {tmp_path}/3/ended.json\n"


def test_afterwards_that_cannot_be_started(tmp_path: Path) -> None:
    with attempt(tmp_path, "true", afterwards=["/no/such/program"]) as one:
        assert one.how() == (0, None, "exit", "")


# A full disk.

FULL = """
import json, os, subprocess, sys, time
from pathlib import Path
from ultralab.supervisor import SCRIPT
from ultralab.system import process
place, elsewhere = Path(sys.argv[1]), Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", place], check=True)

def fill():
    with open(place / "filler", "ab", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass

def go(name, *argv):
    folder = place / name
    supervisor = process.start_supervisor(SCRIPT, "job", str(folder))
    supervisor.go({"version": 1, "folder": str(folder), "fence": 1, "argv": argv, "cwd": "/",
        "environment": {"PATH": os.environ["PATH"], "ULTRALAB_JOB": str(folder)}, "log_limit": 1 << 20, "timeout": None,
        "grace": 5.0, "alongside": None, "wake": "/nowhere", "afterwards": None, "afterwards_cwd": "/"})
    return folder, supervisor.identity

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

# It fills while the command runs: output is lost, the end is told.
folder, me = go("1", "sh", "-c", f"echo first; until [ -e {elsewhere}/go ]; do sleep 0.02; done; head -c 50000 /dev/zero; exit 7")
until(lambda: (folder / "worker.json").exists() and (folder / "output-00000000000000000000.log").exists())
fill()
(elsewhere / "go").touch()
until(lambda: not process.alive(me))
ended = json.loads((folder / "ended.json").read_bytes())
print(ended["status"], ended["output_bytes"], 40000 < ended["output_lost"] <= 50000)

# It is full before: nothing begins until there is space.
folder, me = go("2", "sh", "-c", f"touch {elsewhere}/started")
time.sleep(0.5)
print(process.alive(me), (folder / "begun.json").exists(), (elsewhere / "started").exists())
(place / "filler").unlink()
until(lambda: not process.alive(me))
print(json.loads((folder / "ended.json").read_bytes())["status"], (elsewhere / "started").exists())

# It is full, and the job is cancelled before it began.
fill()
folder, me = go("3", "sh", "-c", f"touch {elsewhere}/never")
time.sleep(0.5)
process.signal_process(me, 10)
until(lambda: not process.alive(me))
print((folder / "begun.json").exists(), (elsewhere / "never").exists())
"""

OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:

    def test_a_full_disk(tmp_path: Path) -> None:
        for name in ("small", "elsewhere"):
            (tmp_path / name).mkdir()
        answer = subprocess.run(
            [*OWN_MOUNTS, PYTHON, "-c", FULL, str(tmp_path / "small"), str(tmp_path / "elsewhere")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.stdout.splitlines() == [
            "7 50006 True",
            "True False False",
            "0 True",
            "False False",
        ], answer.stderr


def test_a_folder_that_is_removed_while_the_job_runs_holds_nobody_up(tmp_path: Path) -> None:
    folder = tmp_path / "3"
    script = f"until [ -e {folder}/worker.json ]; do sleep 0.02; done; rm -r {folder}; echo lost"
    with attempt(tmp_path, "sh", "-c", script) as one:
        wait_for(lambda: not alive(one.identity))
        assert list(tmp_path.iterdir()) == []


# The door.


def test_ended_supervisors_are_collected(tmp_path: Path) -> None:
    with attempt(tmp_path, "true") as one:
        one.ended()
        process.reap()
        with pytest.raises(ChildProcessError):
            os.waitpid(one.identity.pid, os.WNOHANG)


def test_a_starter_that_ends_leaves_its_supervisor_and_says_nothing(tmp_path: Path) -> None:
    text = f"""
import json, sys
from ultralab.supervisor import SCRIPT
from ultralab.system.process import start_supervisor
supervisor = start_supervisor(SCRIPT, "job", {str(tmp_path / "3")!r})
supervisor.go(json.loads(sys.argv[1]))
print(supervisor.identity.pid)
"""
    words = json.dumps(instruction(tmp_path / "3", ["sh", "-c", "sleep 0.3; echo done"]))
    answer = subprocess.run([PYTHON, "-X", "dev", "-W", "error", "-c", text, words], capture_output=True, check=True)
    assert answer.stderr == b""
    assert gone(int(answer.stdout))
    assert read(tmp_path / "3" / "ended.json")["status"] == 0


def test_a_detached_program_is_nobodys_child(tmp_path: Path) -> None:
    script = 'echo $PPID $(ps -o sid= -p $$) $$ "$ULTRALAB_JOB" "$1" "$A" $(pwd) > "$0.part"; mv "$0.part" "$0"; exec sleep 60'
    process.start_detached(
        ["sh", "-c", script, str(tmp_path / "seen"), "a 'b"], Path("/usr"), {"PATH": os.environ["PATH"], "A": "x"}
    )
    wait_for((tmp_path / "seen").exists)
    parent, session, pid, *rest = (tmp_path / "seen").read_text().split()
    assert int(parent) != os.getpid()
    assert int(session) not in (os.getsid(0), int(pid))
    assert rest == ["a", "'b", "x", "/usr"]
    assert Path(f"/proc/{pid}/fd/0").resolve() == Path("/dev/null") or not LINUX
    os.kill(int(pid), signal.SIGKILL)
    assert gone(int(pid))


def test_a_detached_program_in_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="No such file or directory"):
        process.start_detached(["true"], tmp_path / "none")
