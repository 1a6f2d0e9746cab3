"""The guard's own promises: a log that stays small, children that are stopped, and who ends when everybody is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.kernel.errors import ToolFailed
from ultralab.system import clock, guard
from ultralab.system.process import Child, alive, identify, start_guarded


def filled(path: Path, limit: int, pieces: list[bytes]) -> bytes:
    with path.open("a+b") as stream:
        log = guard.Log(stream.fileno(), limit)
        for piece in pieces:
            log.write(piece)
            assert path.stat().st_size <= limit + len(piece)
    return path.read_bytes()


def test_a_small_log_is_kept_to_the_byte(tmp_path: Path) -> None:
    assert filled(tmp_path / "log", 100, [b"one\n", b"two", b"\n\xff\n"]) == b"one\ntwo\n\xff\n"
    assert filled(tmp_path / "log", 100, [b"three"]) == b"one\ntwo\n\xff\nthree"


def test_a_large_log_keeps_its_beginning_and_its_newest_part(tmp_path: Path) -> None:
    lines = [b"line %05d\n" % number for number in range(10_000)]
    kept = filled(tmp_path / "log", 4000, lines)
    head, _, tail = kept.partition(b"... ")
    note, _, tail = tail.partition(b"\n")
    assert (b"".join(lines).startswith(head), len(head)) == (True, 990)
    assert (b"".join(lines).endswith(tail), len(tail) >= 900) == (True, True)
    assert note == b"%d bytes were left out here ..." % (110_000 - len(head) - len(tail))
    assert len(kept) <= 4000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=40))
def test_whatever_is_written_the_end_is_there(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    kept = filled(tmp_path_factory.mktemp("log") / "log", 2000, pieces)
    assert len(kept) <= 2000
    whole = b"".join(pieces)
    last = whole.rpartition(b"\n")[2][-400:]
    assert kept.endswith(last)


def test_a_disk_that_is_full_stops_nobody(tmp_path: Path) -> None:
    program = "import sys\nfor _ in range(300): sys.stderr.write('x' * 1000)\nsys.exit(7)"
    child = start_guarded([sys.executable, "-c", program], log=Path("/dev/full"), log_limit=1000)
    assert child.wait(20) == 7
    child.events.close()
    child.end()


def test_a_flood_is_cut_and_its_child_ends_in_time(tmp_path: Path) -> None:
    program = "import os\nblock = b'flooding the disk\\n' * 4000\nwhile True: os.write(2, block)"
    child = start_guarded([sys.executable, "-c", program], log=tmp_path / "log", log_limit=1_000_000)
    most = 0
    deadline = clock.monotonic() + 1.5
    while clock.monotonic() < deadline:
        most = max(most, (tmp_path / "log").stat().st_size)
        clock.sleep(0.005)
    begun = clock.monotonic()
    child.end()
    child.events.close()
    assert clock.monotonic() - begun < 4
    kept = (tmp_path / "log").read_bytes()
    assert 250_000 < max(most, len(kept)) < 1_100_000
    assert kept.count(b" bytes were left out here ...") == 1
    left_out = int(kept.partition(b"... ")[2].partition(b" ")[0])
    assert left_out > 5_000_000


def test_a_stopped_child_hears_that_it_shall_end(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('ready', flush=True); os.kill(os.getpid(), signal.SIGSTOP); signal.pause()"
    )
    child = start_guarded([sys.executable, "-c", program], log=tmp_path / "log")
    assert child.events.readline() == b"ready\n"
    begun = clock.monotonic()
    child.end(patience=5)
    child.events.close()
    assert clock.monotonic() - begun < 3
    assert child.status() == 5


def test_many_may_end_it_at_once(tmp_path: Path) -> None:
    child = start_guarded(["sleep", "60"], log=tmp_path / "log")
    ending = [threading.Thread(target=child.end) for _ in range(8)]
    for one in ending:
        one.start()
    for one in ending:
        one.join(10)
    child.events.close()
    assert child.status() == 128 + signal.SIGTERM


def test_who_ends_with_its_parent_takes_along_what_it_started(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, time; from ultralab.system.parent import end_with_parent; end_with_parent()\n"
        "print(os.getpid(), subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    child = start_guarded([sys.executable, "-c", program], log=tmp_path / "log")
    both = [identify(int(pid)) for pid in child.events.readline().split()]
    child.guard.kill()
    child.guard.wait()
    deadline = clock.monotonic() + 2
    while any(one and alive(one) for one in both) and clock.monotonic() < deadline:
        clock.sleep(0.02)
    assert [one for one in both if one is None or alive(one)] == []
    child.end()
    child.events.close()


def python(program: str, folder: Path) -> Child:
    return start_guarded([sys.executable, "-c", program], log=folder / "log")


def test_who_fled_and_floods_the_log_does_not_keep_the_guard(tmp_path: Path) -> None:
    program = (
        "import os, time\nif os.fork() == 0:\n os.setsid(); os.close(1); end = time.monotonic() + 4\n"
        " while time.monotonic() < end: os.write(2, b'flooding' * 1000)\n os._exit(0)\ntime.sleep(0.3); os._exit(3)"
    )
    child = python(program, tmp_path)
    assert child.wait(3) == 3
    child.end()
    child.events.close()


def test_who_left_its_group_and_is_deaf_is_ended_all_the_same(tmp_path: Path) -> None:
    program = (
        "import os, signal, time\nif os.fork() == 0: time.sleep(4); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setpgid(0, os.getpgid(os.getppid()))\n"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    child = python(program, tmp_path)
    process = identify(int(child.events.readline()))
    child.end(patience=0.2)
    child.events.close()
    assert child.status() == 128 + signal.SIGKILL
    assert process is None or not alive(process)


def test_signals_that_the_owner_blocks_are_not_blocked_in_what_it_starts(tmp_path: Path) -> None:
    blocked = {signal.SIGCHLD, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        child = python("import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))", tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert child.events.readline() == b"set()\n"
    assert child.wait(5) == 0
    child.end()
    child.events.close()


def test_the_first_patience_counts_where_two_spoke_at_once(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.5), sys.exit(5)))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    child = python(program, tmp_path)
    child.events.readline()
    child.leash.write(b"9\n0\n")
    child.end()
    child.events.close()
    assert child.status() == 5


def test_a_killed_owner_that_had_forked_ends_its_child_all_the_same(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path; from ultralab.system.process import start_guarded\n"
        f"child = start_guarded(['sleep', '60'], log=Path({str(tmp_path / 'log')!r}))\n"
        "if os.fork() == 0: os.close(1); time.sleep(5); os._exit(0)\n"  # it holds the leash as well
        "print(child.guard.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        guard_process = identify(int(owner.stdout.readline()))
        owner.kill()
        owner.wait()
        deadline = clock.monotonic() + 2
        while guard_process and alive(guard_process) and clock.monotonic() < deadline:
            clock.sleep(0.02)
        assert guard_process
        assert not alive(guard_process)


def test_a_process_that_the_system_refuses_is_not_the_logs_fault(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="Argument list too long"):
        start_guarded(["true"], log=tmp_path / "log", extra_environment={"LONG": "x" * 4_000_000})


def test_the_guard_imports_nothing_of_ours() -> None:
    program = f"import sys; sys.argv = ['guard', '1000', 'true']; sys.path = [p for p in sys.path if 'site-packages' not in p]; import runpy; runpy.run_path({guard.__file__!r}); print([m for m in sys.modules if m.startswith('ultralab')])"
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
    assert os.access(guard.__file__, os.R_OK)
