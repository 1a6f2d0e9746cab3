"""What launchd and systemd are told of the daemon: pure functions from values to the text of a unit.

Both run it as its owner, from the start of the machine, before anybody logs in, again whenever it ends; and both leave
alone what it started, since a job's supervisor outlives the daemon.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError

LABEL: Final = "org.ultralab.serve"
UNIT: Final = "ultralab.service"
THROTTLE_SECONDS: Final = 10
_LAB_LINE: Final = "# Lab: "


def launchd_plist(
    program: tuple[str, ...], label: str, user: str, home: Path, log: Path, environment: Mapping[str, str]
) -> bytes:
    """A property list for ``/Library/LaunchDaemons``. ``home`` is the account's home folder, ``log`` gets both outputs.

    From launchd.plist(5): ``UserName`` runs a daemon of the system as that user; ``KeepAlive`` runs it "continuously";
    ``AbandonProcessGroup`` switches off that launchd "kills any remaining processes with the same process group ID"
    when the job dies; ``ProcessType`` decides about "resource limits": with ``Standard`` they are "light" and throttle
    processor and disk, with ``Interactive`` there are none, and what the daemon starts shall measure this machine's
    speed; ``ThrottleInterval`` is the least time between two starts (10 s by default). launchd sets no ``HOME`` for a
    daemon; and a folder that is missing at the start would keep it from starting: so it works in the account's own.
    """
    content = {
        "Label": label,
        "ProgramArguments": list(program),
        "UserName": user,
        "WorkingDirectory": str(home),
        "EnvironmentVariables": {"HOME": str(home), "USER": user, "LOGNAME": user, **environment},
        "RunAtLoad": True,
        "KeepAlive": True,
        "AbandonProcessGroup": True,
        "ProcessType": "Interactive",
        "ThrottleInterval": THROTTLE_SECONDS,
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    return plistlib.dumps(content, sort_keys=False)


def systemd_unit(program: tuple[str, ...], user: str, lab: Path, environment: Mapping[str, str]) -> str:
    """A unit for ``/etc/systemd/system``. Its output goes to the journal.

    ``KillMode=process``: "only the main process itself is killed" (systemd.kill(5)); ``OOMPolicy=continue``: otherwise
    one job that the kernel ends for want of memory stops the whole service; ``Restart=always`` with
    ``StartLimitIntervalSec=0`` never gives up; ``TasksMax=infinity``, since jobs count as the service's tasks
    (systemd.service(5), systemd.unit(5), systemd.resource-control(5)). ``User=`` sets HOME, USER and LOGNAME, and
    ``WorkingDirectory=~`` is that user's home folder (systemd.exec(5)).
    """
    lines = [
        "# Written by: ultralab serve --install",
        f"{_LAB_LINE}{lab}",
        "[Unit]",
        f"Description=ultralab, serving {_literal(str(lab))}",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        *_mounts(str(lab)),
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={command_line(program)}",
        f"User={_literal(user)}",
        "WorkingDirectory=~",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in environment.items()),
        "Restart=always",
        "RestartSec=2",
        "KillMode=process",
        "TimeoutStopSec=30",
        "OOMPolicy=continue",
        "TasksMax=infinity",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def command_line(program: tuple[str, ...]) -> str:
    """The value of ``ExecStart=``: every word in double quotes.

    In them C escapes count (systemd.syntax(7)), ``%`` begins a specifier (systemd.unit(5)), and ``$`` a variable, in
    the arguments but not in the program's path (systemd.service(5)). Control characters are not for this.
    """
    first, *others = program
    return " ".join([_quoted(first), *(_quoted(word).replace("$", "$$") for word in others)])


def lab_of(content: bytes) -> str:
    """The lab that a unit of ours serves; empty for a file that is none of ours."""
    if content.lstrip().startswith(b"<?xml"):
        try:
            arguments = plistlib.loads(content)["ProgramArguments"]
            return str(arguments[arguments.index("--home") + 1])
        except (plistlib.InvalidFileException, ExpatError, ValueError, KeyError, IndexError, TypeError, AttributeError):
            return ""
    lines = content.decode(errors="replace").splitlines()
    return next((line.removeprefix(_LAB_LINE) for line in lines if line.startswith(_LAB_LINE)), "")


def _mounts(lab: str) -> list[str]:
    """On a disk of its own the lab comes later than the system. Not every version reads escapes in here."""
    return [] if "\\" in lab or '"' in lab else [f'RequiresMountsFor="{_literal(lab)}"']


def _quoted(word: str) -> str:
    escaped = _literal(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _literal(text: str) -> str:
    return text.replace("%", "%%")
