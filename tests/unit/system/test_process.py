"""The door to processes, on real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ultralab.kernel.errors import FileAccess, ToolFailed
from ultralab.system import clock, process
from ultralab.system.process import Answer, ProcessId, alive, identify, run, start_guarded

PYTHON = sys.executable


def gone(pid: int, within: float = 5) -> bool:
    deadline = clock.monotonic() + within
    while identify(pid) is not None and clock.monotonic() < deadline:
        clock.sleep(0.01)
    return identify(pid) is None


def test_run_returns_what_the_program_left() -> None:
    program = "import sys; print('out'); sys.stderr.write('err\\xff'); sys.exit(3)"
    assert run([PYTHON, "-c", program], check=False) == Answer(3, "out\n", "errÿ")


def test_run_takes_bytes_that_are_no_text_and_gives_no_input() -> None:
    program = "import sys; sys.stdout.buffer.write(b'a\\xffb' + sys.stdin.buffer.read())"
    assert run([PYTHON, "-c", program]) == Answer(0, "a\N{REPLACEMENT CHARACTER}b", "")


def test_run_in_a_folder(tmp_path: Path) -> None:
    assert run(["pwd", "-P"], cwd=tmp_path).stdout.strip() == str(tmp_path.resolve())


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ToolFailed) as caught:
        run(["no-such-program", "--version"])
    assert str(caught.value) == "The program 'no-such-program' is not installed."
    assert caught.value.data == {"program": "no-such-program"}


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed) as caught:
        run(["pwd"], cwd=tmp_path / "nowhere")
    assert str(caught.value) == f"{tmp_path / 'nowhere'}: No such file or directory"


def test_a_file_that_is_no_program_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("plain")
    with pytest.raises(ToolFailed) as caught:
        run([str(tmp_path / "notes.txt")])
    assert str(caught.value) == f"{tmp_path / 'notes.txt'}: Permission denied"


def test_a_status_other_than_zero_carries_the_last_line() -> None:
    with pytest.raises(ToolFailed) as caught:
        run(["sh", "-c", "echo first >&2; echo 'the reason' >&2; exit 7"])
    assert str(caught.value).endswith("failed with status 7: the reason")
    assert caught.value.data == {"program": "sh", "status": 7}


def test_a_silent_failure_has_a_message_too() -> None:
    with pytest.raises(ToolFailed, match=r"^'false' failed with status 1: -$"):
        run(["false"])


def test_a_slow_program_ends_with_what_it_started(tmp_path: Path) -> None:
    begun = clock.monotonic()
    with pytest.raises(ToolFailed, match=r"^'sh' did not answer within 1 s\.$"):
        run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"], timeout=1)
    assert clock.monotonic() - begun < 5
    assert gone(int((tmp_path / "pid").read_text()))


def test_identity() -> None:
    me = identify()
    assert me is not None
    assert me == identify(os.getpid())
    assert me.pid == os.getpid()
    assert alive(me)
    assert not alive(ProcessId(me.pid, me.start + "0"))  # the pid was given to another process
    clock.sleep(0.05)  # the kernel counts starts in hundredths of a second
    with subprocess.Popen(["sleep", "60"]) as child:
        other = identify(child.pid)
        assert other is not None
        assert other.start != me.start
        child.kill()


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        identity = identify(child.pid)
        assert identity is not None
        assert alive(identity)
        child.kill()
        assert gone(child.pid)
        assert child.returncode is None  # nobody has collected it
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert not alive(identity)
    assert identify(child.pid) is None


def test_a_name_with_brackets_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) Z 1 (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "60"]) as child:
        found = identify(child.pid)
        assert found is not None
        assert alive(found)
        child.kill()


def test_interruption_by_sigterm_and_sighup() -> None:
    program = (
        "import time, sys; from ultralab.system import process; process.terminate_as_interrupt()\n"
        "try: print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: print('cleaned'); sys.exit(130)\n"
    )
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        with subprocess.Popen([PYTHON, "-c", program], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            child.send_signal(number)
            assert child.stdout.read() == b"cleaned\n"
        assert child.returncode == 130


# Guarded children.


def guarded(program: str, folder: Path) -> process.Child:
    return start_guarded([PYTHON, "-u", "-c", program], log=folder / "logs" / "child.log")


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.abort()", 134),
    ],
)
def test_the_guard_tells_how_the_child_ended(program: str, status: int, tmp_path: Path) -> None:
    child = guarded(program, tmp_path)
    with child.events:
        assert child.events.read() == b""
    assert child.wait(10) == status
    assert (child.status(), child.running()) == (status, False)
    child.end()
    child.end()


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    child = start_guarded(["/no/such/program"], log=tmp_path / "child.log")
    with child.events:
        assert child.events.read() == b""
    assert child.wait(10) == 127
    child.end()
    assert (tmp_path / "child.log").read_text() == "/no/such/program: No such file or directory\n"


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a folder is needed")
    with pytest.raises(FileAccess) as caught:
        guarded("pass", tmp_path)
    assert caught.value.data == {"path": str(tmp_path / "logs" / "child.log")}


def test_the_log_is_continued_and_has_the_environment(tmp_path: Path) -> None:
    for word in ("one", "two"):
        child = start_guarded(
            ["sh", "-c", 'echo "$WORD" >&2'], log=tmp_path / "child.log", extra_environment={"WORD": word}
        )
        assert child.wait(10) == 0
        child.events.close()
        child.end()
    assert (tmp_path / "child.log").read_text() == "one\ntwo\n"


def test_the_child_has_its_usual_signals_and_no_input(tmp_path: Path) -> None:
    child = guarded(
        "import signal, sys, os\n"
        "print([signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGHUP)],"
        " signal.getsignal(signal.SIGINT) is signal.default_int_handler, repr(sys.stdin.read()),"
        " os.getpgid(0) == os.getpid(), sorted(int(n) for n in os.listdir('/dev/fd') if os.path.exists('/dev/fd/' + n)))",
        tmp_path,
    )
    with child.events:
        assert child.events.read() == b"[True, True] True '' True [0, 1, 2]\n"
    child.end()


def test_ending_is_gentle_first(tmp_path: Path) -> None:
    child = guarded(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('goodbye'), sys.exit(5)))\n"
        "print('ready'); time.sleep(60)",
        tmp_path,
    )
    with child.events:
        assert child.events.readline() == b"ready\n"
        assert child.wait(0.01) is None
        child.end()
        assert child.events.read() == b"goodbye\n"
    assert child.status() == 5


def test_ending_takes_the_whole_group(tmp_path: Path) -> None:
    for ending in ("time.sleep(60)", "pass"):  # told to end, and ending by itself
        child = guarded(
            f"import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid); {ending}",
            tmp_path,
        )
        grandchild = int(child.events.readline())
        if ending == "pass":
            assert child.wait(10) == 0
        child.end()
        child.events.close()
        assert gone(grandchild)


def test_a_descendant_that_fled_does_not_hold_up_the_end(tmp_path: Path) -> None:
    child = guarded(
        "import subprocess, time; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid); time.sleep(60)",
        tmp_path,
    )
    fled = int(child.events.readline())
    begun = clock.monotonic()
    child.end()
    assert clock.monotonic() - begun < 5
    assert identify(fled) is not None  # known: who makes a session of its own is out of reach
    os.kill(fled, signal.SIGKILL)
    child.events.close()


def test_a_lot_of_log_does_not_block(tmp_path: Path) -> None:
    child = guarded("import sys; sys.stderr.write('x' * 5_000_000); sys.exit(3)", tmp_path)
    assert child.wait(20) == 3
    child.events.close()
    child.end()
    assert (tmp_path / "logs" / "child.log").stat().st_size == 5_000_000


def test_the_signals_of_a_terminal_do_not_reach_the_guard(tmp_path: Path) -> None:
    child = guarded("print('ready'); import time; time.sleep(60)", tmp_path)
    assert child.events.readline() == b"ready\n"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        child.guard.send_signal(number)
    assert child.wait(0.3) is None
    child.end()
    child.events.close()
    assert child.status() == 128 + signal.SIGTERM


def test_a_deaf_child_is_killed_when_patience_ends(tmp_path: Path) -> None:
    child = guarded(
        "import signal, time\n"
        "for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(n, signal.SIG_IGN)\n"
        "print('ready'); time.sleep(60)",
        tmp_path,
    )
    assert child.events.readline() == b"ready\n"
    begun = clock.monotonic()
    child.end(patience=0.7)
    child.events.close()
    assert 0.6 < clock.monotonic() - begun < 5
    assert child.status() == 128 + signal.SIGKILL


def test_a_deaf_child_does_not_outlive_its_killed_owner(tmp_path: Path) -> None:
    deaf = "import signal, os, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(60)"
    owner = (
        "import sys, time; from pathlib import Path; from ultralab.system.process import start_guarded\n"
        f"child = start_guarded([sys.executable, '-c', {deaf!r}], log=Path({str(tmp_path / 'log')!r}))\n"
        "print(int(child.events.readline()), child.guard.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([PYTHON, "-c", owner], stdout=subprocess.PIPE) as boss:
        assert boss.stdout is not None
        child, guard = (int(word) for word in boss.stdout.readline().split())
        boss.kill()
        boss.wait()
        assert identify(child) is not None
        assert gone(child, within=2)
        assert gone(guard, within=1)


def test_a_child_whose_guard_was_killed_can_still_be_ended(tmp_path: Path) -> None:
    child = guarded("import os, time; print(os.getpid()); time.sleep(60)", tmp_path)
    leader = identify(int(child.events.readline()))
    assert leader is not None
    child.guard.kill()
    child.end()
    child.events.close()
    assert alive(leader)
    process.end_stray(leader)
    process.end_stray(leader)
    process.end_stray(None)
    assert not alive(leader)


def test_a_stray_that_leads_no_group_is_ended_alone() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:  # in our own group
        stray = identify(child.pid)
        assert stray is not None
        begun = clock.monotonic()
        process.end_stray(stray)
        assert clock.monotonic() - begun < 3
    assert child.returncode == -signal.SIGKILL


def test_a_stray_that_claims_to_be_init_or_us_is_left_alone() -> None:
    begun = clock.monotonic()
    for pid in (1, os.getpid()):
        process.end_stray(identify(pid))
    for pid in (0, -1, -os.getpid()):
        assert identify(pid) is None
        process.end_stray(ProcessId(pid, "-"))
    assert clock.monotonic() - begun < 1


def test_a_child_whose_parent_is_gone_before_it_looks_ends_at_once(tmp_path: Path) -> None:
    orphan = (
        "import os, sys, time; from ultralab.system.parent import end_with_parent\n"
        "mother = int(sys.argv[1])\n"
        "while os.getppid() == mother: time.sleep(0.01)\n"
        "print(os.getpid(), os.getppid(), flush=True); end_with_parent(); print('goes on', flush=True)"
    )
    mother = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {orphan!r}, str(os.getpid())])"
    with subprocess.Popen([PYTHON, "-c", mother], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        pid, reaper = first.stdout.readline().split()
        rest = first.stdout.read()
    # On a desktop another process than init may take orphans over: it is watched like any parent.
    assert rest == ("" if reaper == "1" else "goes on\n")
    assert gone(int(pid))
