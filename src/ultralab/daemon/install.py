"""Installing the daemon as a service of the system: it runs from the start of the machine, before anybody logs in.

On macOS with FileVault the disk opens, and everything starts, only after the first password (Apple Platform Security).
"""

from __future__ import annotations

import os
import pwd
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.daemon.keepers import Command, Keeper, keeper_for
from ultralab.daemon.units import LABEL, lab_of, launchd_plist, systemd_unit
from ultralab.kernel.errors import AlreadyExists, Busy, NotFound, RequestError, ToolFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.system import clock, files, presence, process

_PATHS: Final = {
    "launchd": "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "systemd": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


@dataclass(frozen=True)
class Service:
    """What is installed: ``program`` with its arguments, for the lab in ``home``, as the account that owns the lab."""

    program: Command
    home: Path
    user: str
    account_home: Path
    environment: Mapping[str, str]

    @property
    def log(self) -> Path:
        """Where launchd keeps what the daemon says; systemd has its journal."""
        return self.home / "state" / "serve.log"


@dataclass(frozen=True)
class Unit:
    """A unit that could be installed: who keeps it, and its text."""

    keeper: Keeper
    content: bytes


def service_of(home: Path, command: Command, environment: Mapping[str, str]) -> Service:
    """The service for a lab: ``command`` is this program, without arguments; ``environment`` what it shall have besides.

    Raises NotFound (the lab, the program), RequestError (its owner has no account, a path that no unit can hold).
    """
    if not home.is_dir():
        raise NotFound(
            _("There is no lab in {home}.").format(home=home),
            hint=_("Make one: ultralab init {home} — or name another with --home.").format(home=home),
            home=str(home),
        )
    if not os.access(command[0], os.X_OK) or not Path(command[0]).is_absolute() or Path(command[0]).is_dir():
        raise NotFound(
            _("There is no such program: {path}").format(path=command[0]),
            hint=_("Install ultralab anew, and call it by its whole path."),
            path=command[0],
        )
    program = (*command, "serve", "--home", str(home))
    for text in (*program, *environment.values()):
        _require_plain(text, program=text == command[0])
    try:
        account = pwd.getpwuid(home.stat().st_uid)
    except KeyError as error:
        raise RequestError(
            _("The owner of {home} has no account on this machine.").format(home=home),
            hint=_("Give the lab to an account: sudo chown -R NAME {home}").format(home=shlex.quote(str(home))),
            home=str(home),
        ) from error
    return Service(program, home, account.pw_name, Path(account.pw_dir), environment)


def unit_for(platform: str, service: Service) -> Unit:
    """The unit of a platform (``sys.platform``). Raises Unsupported."""
    keeper = keeper_for(platform, service.log)
    folder = str(Path(service.program[0]).parent)
    environment = {"PATH": f"{folder}:{_PATHS[keeper.name]}", **service.environment}
    if keeper.name == "launchd":
        content = launchd_plist(
            service.program, LABEL, service.user, service.account_home, service.log, environment
        )  # fmt: skip
        return Unit(keeper, content)
    return Unit(keeper, systemd_unit(service.program, service.user, service.home, environment).encode())


def install(service: Service, unit: Unit, again: str, folder: Path | None = None) -> Path:
    """Write the unit, start it, and see that the daemon came up; the unit's path. The unit that was there comes back if
    that fails.

    ``again`` is this command as root would give it. ``folder``: only write the unit there, start nothing.
    Raises RequestError (not root), Unsupported, AlreadyExists (another lab's), Busy (a daemon runs that is none of the
    service's), ToolFailed (the unit is not valid, or did not come up), DiskFull, FileAccess.
    """
    keeper = unit.keeper
    path = folder / keeper.unit.name if folder else keeper.unit
    if folder is None:
        require_rights(keeper, again, os.geteuid())
    before = _read(path)
    _require_own(before, path, service.home)
    _check(unit)
    if folder is not None:
        files.write(path, unit.content)
        return path
    try:
        _end_former(service, keeper, before)
        if keeper.name == "launchd":
            _prepare_log(service)
        files.write(path, unit.content)
        _start(keeper)
        _await_daemon(service, keeper)
    except BaseException:
        _restore(keeper, path, before)
        raise
    return path


def uninstall(home: Path, keeper: Keeper, again: str, folder: Path | None = None) -> Path | None:
    """End the service and remove its unit; its path, None where there was none. Running jobs go on.

    Raises RequestError (not root), Unsupported, AlreadyExists (it is another lab's), FileAccess.
    """
    path = folder / keeper.unit.name if folder else keeper.unit
    before = _read(path)
    if before is None:
        return None
    _require_own(before, path, home)
    if folder is None:
        require_rights(keeper, again, os.geteuid())
        _run_all(keeper.unload)
    with files.explained(path):
        path.unlink(missing_ok=True)
    if folder is None:
        _run_all(keeper.forget)
    return path


def require_rights(keeper: Keeper, again: str, user: int) -> None:
    """Raise Unsupported where the keeper is not at work, RequestError for a ``user`` (a number) other than root."""
    if not keeper.sign.exists():
        raise Unsupported(
            _("{keeper} does not run this machine: there is no {sign}.").format(keeper=keeper.name, sign=keeper.sign),
            hint=_("Let what starts programs here run `ultralab serve` (in a container: as its command)."),
            keeper=keeper.name,
        )
    if keeper.needs_root and user != 0:
        raise RequestError(
            _("A service of the system is installed by root."), hint=_("Run: {command}").format(command=again)
        )


def _require_plain(text: str, *, program: bool) -> None:
    """A unit is UTF-8 text in lines; systemd takes no quotes or backslashes in the program's own path."""
    try:
        text.encode()
    except UnicodeEncodeError:
        plain = False
    else:
        plain = text.isprintable() and not (program and set(text) & set("\"'\\"))
    if not plain:
        raise RequestError(
            _("{path!r} has a character that no service's unit can hold.").format(path=text),
            hint=_("Rename the folder."),
            path=ascii(text),
        )


def _require_own(before: bytes | None, path: Path, home: Path) -> None:
    if before is None or (served := lab_of(before)) == str(home):
        return
    raise AlreadyExists(
        _("{path} serves another lab: {lab}").format(path=path, lab=served or "?"),
        hint=_(
            "There is one service per machine. Remove that one first: ultralab serve --uninstall --home {lab}"
        ).format(lab=shlex.quote(served) if served else "LAB"),
        path=str(path),
        lab=served,
    )


def _check(unit: Unit) -> None:
    """Let the keeper's own program judge the text, where it is installed. Raises ToolFailed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / unit.keeper.unit.name
        files.write(path, unit.content)
        try:
            process.run((*unit.keeper.lint, str(path)))
        except ToolFailed as error:
            if "status" in error.data:  # it ran; where it is missing, the keeper judges when it loads
                raise


def _end_former(service: Service, keeper: Keeper, before: bytes | None) -> None:
    """End the service's own daemon; another one must be ended by whoever started it. Raises Busy."""
    if before is not None:
        _run_all(keeper.unload)
    mark = service.home / "state" / "daemon.json"
    deadline = clock.monotonic() + (keeper.ready if before is not None else 0)
    while (other := presence.present(mark)) is not None:
        if clock.monotonic() >= deadline:
            raise Busy(
                _("ultralab serve runs already for this lab: process {pid}.").format(pid=other.pid),
                hint=_("End it, then install: kill {pid}").format(pid=other.pid),
                pid=other.pid,
            )
        clock.sleep(0.1)


def _prepare_log(service: Service) -> None:
    """Make the log's folder, the owner's: launchd makes only the file."""
    state = service.log.parent
    with files.explained(state):
        if not state.exists():
            state.mkdir()
            owner = service.home.stat()
            os.chown(state, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _start(keeper: Keeper) -> None:
    deadline = clock.monotonic() + keeper.patience
    while True:
        try:
            for command in keeper.load:
                process.run(command)
        except ToolFailed:
            if clock.monotonic() >= deadline:
                raise
            clock.sleep(0.5)
        else:
            return


def _await_daemon(service: Service, keeper: Keeper) -> None:
    mark = service.home / "state" / "daemon.json"
    deadline = clock.monotonic() + keeper.ready
    while presence.present(mark) is None:
        if clock.monotonic() >= deadline:
            raise ToolFailed(
                _("The daemon did not come up within {seconds:.0f} s, so its service was taken back.").format(
                    seconds=keeper.ready
                ),
                hint=_("What it said: {command}").format(command=shlex.join(keeper.log)),
                program=service.program[0],
            )
        clock.sleep(0.1)


def _restore(keeper: Keeper, path: Path, before: bytes | None) -> None:
    """The unit that was there before, running again; or none."""
    _run_all(keeper.unload)
    if before is None:
        path.unlink(missing_ok=True)
        _run_all(keeper.forget)
        return
    files.write(path, before)
    _run_all(keeper.load)


def _run_all(commands: tuple[Command, ...]) -> None:
    """Run each, whatever becomes of it."""
    for command in commands:
        try:
            process.run(command, check=False)
        except ToolFailed:
            continue


def _read(path: Path) -> bytes | None:
    with files.explained(path):
        return path.read_bytes() if path.exists() else None
