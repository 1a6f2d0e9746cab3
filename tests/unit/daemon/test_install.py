"""Installing the daemon: what is asked, in which order, and what stands when something fails.

The keeper is a small program that does what launchd does with a property list, started for real; the daemon is real, too.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ultralab.daemon.install import Service, Unit, install, require_rights, service_of, uninstall, unit_for
from ultralab.daemon.keepers import Keeper, keeper_for, launchd, systemd
from ultralab.daemon.units import lab_of
from ultralab.kernel.errors import AlreadyExists, Busy, NotFound, RequestError, ToolFailed, Unsupported
from ultralab.setup.tree import create_lab
from ultralab.system import clock, presence
from ultralab.system.process import ProcessId, alive

ULTRALAB = (sys.executable, "-P", "-m", "ultralab.cli")
ME = pwd.getpwuid(os.getuid())

# start|stop UNIT: starts what a property list says, as launchd would, or ends it and waits for its end.
KEEPER = """
import os, plistlib, signal, subprocess, sys, time
from pathlib import Path
unit, note = Path(sys.argv[2]), Path(sys.argv[2] + ".pid")
with Path(sys.argv[2] + ".log").open("a") as log:
    log.write(sys.argv[1] + "\\n")
if sys.argv[1] == "start":
    told = plistlib.loads(unit.read_bytes())
    said = Path(sys.argv[2] + ".said").open("ab")
    quiet = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
    environment = {**os.environ, **told["EnvironmentVariables"]}
    made = subprocess.Popen(told["ProgramArguments"], env=environment, start_new_session=True, **quiet)
    note.write_text(str(made.pid))
elif note.exists():
    pid = int(note.read_text())
    note.unlink()
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(200):
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().split()[2] == "Z":
                break
            os.kill(pid, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        pass
else:
    sys.exit("it is not loaded")
"""

JUDGE = "import plistlib, sys; plistlib.loads(open(sys.argv[1], 'rb').read())"

# Fails twice, then succeeds; notes each time in a file.
THIRD_TIME = (
    "import sys; note = open(sys.argv[1], 'a+'); note.write('x'); note.seek(0); sys.exit(5 * (len(note.read()) < 3))"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    create_lab(tmp_path / "my lab")
    return tmp_path / "my lab"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    script, unit = tmp_path / "keeper.py", tmp_path / "units" / "org.ultralab.serve.plist"
    script.write_text(KEEPER)
    unit.parent.mkdir()
    start, stop = ((sys.executable, str(script), verb, str(unit)) for verb in ("start", "stop"))
    yield Keeper(
        name="launchd", sign=unit.parent, unit=unit, lint=(sys.executable, "-c", JUDGE), load=(start,), unload=(stop,), forget=(), log=("tail", "x"),
        patience=0, ready=20, needs_root=False,
    )  # fmt: skip
    subprocess.run(stop, capture_output=True, check=False)


def told(keeper: Keeper) -> list[str]:
    """What the keeper was told, in order."""
    log = Path(f"{keeper.unit}.log")
    return log.read_text().split() if log.exists() else []


def unit_of(service: Service, keeper: Keeper) -> Unit:
    return replace(unit_for("darwin", service), keeper=keeper)


def daemon_of(home: Path) -> ProcessId | None:
    return presence.present(home / "state" / "daemon.json")


def gone(process: ProcessId) -> bool:
    deadline = clock.monotonic() + 20
    while alive(process) and clock.monotonic() < deadline:
        clock.sleep(0.02)
    return not alive(process)


def test_what_is_installed_runs_as_the_labs_owner(home: Path) -> None:
    service = service_of(home, ULTRALAB, {"ULTRALAB_STATE": "/state"})
    assert service == Service(
        (*ULTRALAB, "serve", "--home", str(home)), home, ME.pw_name, Path(ME.pw_dir), {"ULTRALAB_STATE": "/state"}
    )
    for platform, keeper in (("darwin", launchd(service.log)), ("linux", systemd())):
        unit = unit_for(platform, service)
        assert (unit.keeper, lab_of(unit.content)) == (keeper, str(home))
        assert b"ULTRALAB_STATE" in unit.content
        assert str(Path(sys.executable).parent).encode() in unit.content


def test_the_commands_of_each_keeper(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    plist = Path("/Library/LaunchDaemons/org.ultralab.serve.plist")
    assert keeper_for("darwin", log) == Keeper(
        name="launchd",
        sign=Path("/bin/launchctl"),
        unit=plist,
        lint=("/usr/bin/plutil", "-lint"),
        load=(
            ("/bin/launchctl", "enable", "system/org.ultralab.serve"),
            ("/bin/launchctl", "bootstrap", "system", str(plist)),
        ),
        unload=(("/bin/launchctl", "bootout", "system/org.ultralab.serve"),),
        forget=(),
        log=("tail", "-n", "50", str(log)),
        patience=20,
        ready=30,
        needs_root=True,
    )
    assert keeper_for("linux", log) == Keeper(
        name="systemd",
        sign=Path("/run/systemd/system"),
        unit=Path("/etc/systemd/system/ultralab.service"),
        lint=("systemd-analyze", "verify"),
        load=(("systemctl", "daemon-reload"), ("systemctl", "enable", "--now", "ultralab.service")),
        unload=(("systemctl", "disable", "--now", "ultralab.service"),),
        forget=(("systemctl", "daemon-reload"),),
        log=("journalctl", "-u", "ultralab.service", "-n", "50"),
        patience=0,
        ready=30,
        needs_root=True,
    )
    with pytest.raises(Unsupported):
        keeper_for("win32", log)


def test_only_root_and_only_where_the_keeper_is_at_work(tmp_path: Path) -> None:
    keeper = replace(systemd(), sign=tmp_path)
    require_rights(keeper, "sudo x", 0)
    with pytest.raises(RequestError) as caught:
        require_rights(keeper, "sudo ultralab serve --install --home '/a b'", 501)
    assert caught.value.message == "A service of the system is installed by root."
    assert caught.value.hint == "Run: sudo ultralab serve --install --home '/a b'"
    with pytest.raises(Unsupported) as missing:
        require_rights(replace(keeper, sign=tmp_path / "no"), "sudo x", 0)
    assert missing.value.message == f"systemd does not run this machine: there is no {tmp_path / 'no'}."


@pytest.mark.parametrize("program", ["/nowhere/python", "relative", "/", str(Path(__file__))])
def test_a_program_that_cannot_be_started_is_refused(home: Path, program: str) -> None:
    with pytest.raises(NotFound) as caught:
        service_of(home, (program,), {})
    assert caught.value.message == f"There is no such program: {program}"


def test_a_lab_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        service_of(tmp_path / "no", ULTRALAB, {})
    assert caught.value.message == f"There is no lab in {tmp_path / 'no'}."


@pytest.mark.parametrize("name", ["new\nline", "tab\t", "caf\udce9"])
def test_a_path_that_no_unit_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RequestError) as caught:
        service_of(tmp_path / name, ULTRALAB, {})
    assert caught.value.message.endswith("has a character that no service's unit can hold.")
    assert caught.value.hint == "Rename the folder."


def test_quotes_are_refused_in_the_programs_path_only(tmp_path: Path) -> None:
    lab, program = tmp_path / 'it\'s "my" lab', tmp_path / "it's" / "python"
    lab.mkdir()
    assert service_of(lab, ULTRALAB, {}).home == lab
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(RequestError):
        service_of(lab, (str(program),), {})


def test_into_a_folder_it_is_written_and_nothing_started(home: Path, keeper: Keeper, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    unit = unit_of(service_of(home, ULTRALAB, {}), keeper)
    path = install(service_of(home, ULTRALAB, {}), unit, "", folder)
    assert (path, path.read_bytes(), path.stat().st_mode & 0o777) == (folder / keeper.unit.name, unit.content, 0o644)
    assert [item.name for item in folder.iterdir()] == [path.name]
    assert uninstall(home, keeper, "", folder) == path
    assert list(folder.iterdir()) == []
    assert uninstall(home, keeper, "", folder) is None
    assert told(keeper) == []


def test_installed_replaced_and_removed_with_a_real_daemon(home: Path, keeper: Keeper) -> None:
    service = service_of(home, ULTRALAB, {})
    unit = unit_of(service, keeper)
    assert install(service, unit, "") == keeper.unit
    first = daemon_of(home)
    assert first is not None
    assert keeper.unit.read_bytes() == unit.content
    install(service, unit, "")
    second = daemon_of(home)
    assert second not in (None, first)
    assert not alive(first)
    assert uninstall(home, keeper, "") == keeper.unit
    assert second is not None
    assert gone(second)
    assert not keeper.unit.exists()
    assert told(keeper) == ["start", "stop", "start", "stop"]


def test_a_daemon_that_does_not_come_up_is_taken_back(home: Path, keeper: Keeper) -> None:
    service = service_of(home, ("/bin/false",), {})
    with pytest.raises(ToolFailed) as caught:
        install(service, unit_of(service, replace(keeper, ready=1)), "")
    assert caught.value.message == "The daemon did not come up within 1 s, so its service was taken back."
    assert caught.value.hint == "What it said: tail x"
    assert not keeper.unit.exists()
    assert told(keeper) == ["start", "stop"]


def test_what_ran_before_comes_back_where_its_successor_fails(home: Path, keeper: Keeper) -> None:
    good = service_of(home, ULTRALAB, {})
    unit = unit_of(good, keeper)
    install(good, unit, "")
    bad = service_of(home, ("/bin/false",), {})
    with pytest.raises(ToolFailed):
        install(bad, unit_of(bad, replace(keeper, ready=8)), "")
    assert keeper.unit.read_bytes() == unit.content
    assert told(keeper) == ["start", "stop", "start", "stop", "start"]
    deadline = clock.monotonic() + 20
    while daemon_of(home) is None and clock.monotonic() < deadline:
        clock.sleep(0.05)
    assert daemon_of(home) is not None


def test_a_load_that_fails_for_a_while_is_repeated(home: Path, keeper: Keeper, tmp_path: Path) -> None:
    mark = tmp_path / "tries"
    slow = (sys.executable, "-c", THIRD_TIME, str(mark))
    service = service_of(home, ULTRALAB, {})
    install(service, unit_of(service, replace(keeper, load=(slow, *keeper.load), patience=60)), "")
    assert mark.read_text() == "xxx"
    assert told(keeper) == ["start"]
    never = replace(keeper, load=((sys.executable, "-c", "raise SystemExit(5)"),), patience=0)
    with pytest.raises(ToolFailed, match="failed with status 5"):
        install(service, unit_of(service, never), "")


def test_a_unit_that_its_keeper_refuses_changes_nothing(home: Path, keeper: Keeper) -> None:
    keeper.unit.write_bytes(before := unit_for("darwin", service_of(home, ULTRALAB, {})).content)
    service = service_of(home, ULTRALAB, {})
    with pytest.raises(ToolFailed):
        install(service, Unit(keeper, b"no property list"), "")
    assert (keeper.unit.read_bytes(), told(keeper)) == (before, [])


def test_without_the_judge_the_keeper_itself_judges(home: Path, keeper: Keeper, tmp_path: Path) -> None:
    service = service_of(home, ULTRALAB, {})
    unit = unit_of(service, replace(keeper, lint=("/nowhere/plutil",)))
    assert install(service, unit, "", tmp_path / "f").read_bytes() == unit.content


def test_another_labs_service_and_a_foreign_file_are_left_alone(home: Path, keeper: Keeper, tmp_path: Path) -> None:
    create_lab(tmp_path / "other lab")
    other = service_of(tmp_path / "other lab", ULTRALAB, {})
    keeper.unit.write_bytes(unit_for("darwin", other).content)
    service = service_of(home, ULTRALAB, {})
    with pytest.raises(AlreadyExists) as caught:
        install(service, unit_of(service, keeper), "")
    assert caught.value.message == f"{keeper.unit} serves another lab: {tmp_path / 'other lab'}"
    assert caught.value.hint.endswith(f"ultralab serve --uninstall --home '{tmp_path / 'other lab'}'")
    with pytest.raises(AlreadyExists):
        uninstall(home, keeper, "")
    keeper.unit.write_bytes(b"# somebody else's\n")
    with pytest.raises(AlreadyExists):
        install(service, unit_of(service, keeper), "")
    assert (keeper.unit.read_bytes(), told(keeper)) == (b"# somebody else's\n", [])


def test_a_daemon_that_somebody_started_by_hand_must_be_ended_first(home: Path, keeper: Keeper) -> None:
    by_hand = subprocess.Popen([*ULTRALAB, "serve", "--home", home], stdout=subprocess.PIPE, text=True)
    assert by_hand.stdout is not None
    assert str(home) in by_hand.stdout.readline()
    service = service_of(home, ULTRALAB, {})
    with pytest.raises(Busy) as caught:
        install(service, unit_of(service, keeper), "")
    assert caught.value.hint == f"End it, then install: kill {by_hand.pid}"
    assert not keeper.unit.exists()
    assert "start" not in told(keeper)
    by_hand.send_signal(signal.SIGTERM)
    by_hand.communicate(timeout=20)
