"""The door to the environment, to the clock, and the folder of this machine's state."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ultralab.system import clock, environ, folders


def test_only_listed_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRALAB_HOME", "/somewhere")
    assert environ.read("ULTRALAB_HOME") == "/somewhere"
    monkeypatch.setenv("ULTRALAB_HOME", "")
    assert environ.read("ULTRALAB_HOME") is None
    monkeypatch.setenv("ULTRALAB_UNLISTED", "x")
    with pytest.raises(KeyError):
        environ.read("ULTRALAB_UNLISTED")


def test_locale_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert environ.locale_variables() == {}
    monkeypatch.setenv("LC_ALL", "")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert environ.locale_variables() == {"LANG": "zh_CN.UTF-8"}


def test_user_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    assert environ.user_name() == "ada"
    monkeypatch.delenv("USER")
    monkeypatch.setenv("LOGNAME", "grace")
    assert environ.user_name() == "grace"
    monkeypatch.delenv("LOGNAME")
    assert environ.user_name() == subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout[:-1]


def test_what_a_child_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRALAB_HOME", "/ours")
    assert environ.for_child()["ULTRALAB_HOME"] == "/ours"
    assert environ.for_child({"ULTRALAB_HOME": "/theirs"})["ULTRALAB_HOME"] == "/theirs"
    assert environ.read("ULTRALAB_HOME") == "/ours"


def test_what_a_job_gets() -> None:
    """In a process of its own, whose whole environment is known."""
    kept = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "CONDA_PREFIX": "/opt/conda",
        "HF_TOKEN": "secret",
        "ULTRALAB_HOME": "/lab",
        "ULTRALAB_STATE": "/state",
        "MY_DISPLAY": "kept",
        "TEXT": "two\nlines 🙂",
    }
    dropped = (
        "SSH_AUTH_SOCK", "SSH_CONNECTION", "SSH_TTY", "TERM_SESSION_ID", "TERM_PROGRAM", "COLORTERM", "TMUX",
        "TMUX_PANE", "STY", "WINDOWID", "GPG_TTY", "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS",
        "XDG_SESSION_ID", "XDG_SESSION_TYPE", "SHLVL", "OLDPWD", "_", "COLUMNS", "LINES", "ULTRALAB_JOB",
        "ULTRALAB_ATTEMPT", "ULTRALAB_RESERVATION", "ULTRALAB_PROGRESS", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "XPC_SERVICE_NAME",
    )  # fmt: skip
    program = "import json; from ultralab.system import environ; print(json.dumps(environ.for_job()))"
    given = {**kept, **dict.fromkeys(dropped, "x"), "TERM": "xterm-256color", "PYTHONPATH": "", "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {**kept, "TERM": "dumb", "PYTHONPATH": "", "PYTHONUTF8": "1"}


def test_take_removes_it_for_children_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRALAB_TOKEN", "secret")
    assert environ.take("ULTRALAB_TOKEN") == "secret"
    assert "ULTRALAB_TOKEN" not in environ.for_child()
    with pytest.raises(KeyError):
        environ.take("ULTRALAB_TOKEN")


def test_set_default_respects_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRALAB_SOME", "mine")
    environ.set_default("ULTRALAB_SOME", "default")
    assert environ.for_child()["ULTRALAB_SOME"] == "mine"
    monkeypatch.delenv("ULTRALAB_SOME")
    environ.set_default("ULTRALAB_SOME", "default")
    assert environ.take("ULTRALAB_SOME") == "default"


def test_machine_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ULTRALAB_STATE", "~/state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folders.machine_state() == tmp_path / "state"
    monkeypatch.delenv("ULTRALAB_STATE")
    assert tmp_path in folders.machine_state().parents
    assert folders.machine_state().name == "ultralab"


def test_the_clock_has_a_zone_and_no_fractions() -> None:
    now = clock.now()
    assert now.utcoffset() is not None
    assert now.microsecond == 0
    assert abs(now.timestamp() - clock.timestamp()) < 2
    assert clock.now().isoformat().count(":") == 3  # 2026-11-23T04:15:07+00:00


def test_durations_do_not_go_back() -> None:
    begun = clock.monotonic()
    clock.sleep(0.02)
    assert 0.02 <= clock.monotonic() - begun < 5


def test_importing_the_doors_to_processes_needs_no_http() -> None:
    program = "import sys; import ultralab.system.process; sys.exit('httpx' in sys.modules or 'apsw' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
