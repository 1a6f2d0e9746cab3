"""Who keeps a service running here, launchd or systemd, and the commands by which it is told to: values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ultralab.daemon.units import LABEL, UNIT
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _

Command = tuple[str, ...]


@dataclass(frozen=True)
class Keeper:
    """What keeps services running.

    ``sign`` exists where it is at work. ``lint`` judges a unit's file, whose path is added. ``load`` are the commands
    that start a written unit, repeated as a whole for ``patience`` seconds while they fail; ``unload`` those that end it
    (a failure is no error: it may not be loaded); ``forget`` those after its file is gone. ``log`` shows a person what
    the service said. ``ready``: seconds within which a daemon comes up, or ends.
    ``needs_root``: only root may do all this.
    """

    name: str
    sign: Path
    unit: Path
    lint: Command
    load: tuple[Command, ...]
    unload: tuple[Command, ...]
    forget: tuple[Command, ...]
    log: Command
    patience: float
    ready: float = 30
    needs_root: bool = True


def launchd(log: Path) -> Keeper:
    """For macOS. ``bootout`` answers before launchd has let go of the label, and until then ``bootstrap`` fails with status
    5 (Input/output error), for some five seconds: github.com/headroomlabs-ai/headroom#1289. ``enable`` undoes a
    ``disable`` of former times (launchctl(1)).
    """
    launchctl = "/bin/launchctl"
    unit = Path("/Library/LaunchDaemons") / f"{LABEL}.plist"
    return Keeper(
        name="launchd",
        sign=Path(launchctl),
        unit=unit,
        lint=("/usr/bin/plutil", "-lint"),
        load=((launchctl, "enable", f"system/{LABEL}"), (launchctl, "bootstrap", "system", str(unit))),
        unload=((launchctl, "bootout", f"system/{LABEL}"),),
        forget=(),
        log=("tail", "-n", "50", str(log)),
        patience=20,
    )


def systemd() -> Keeper:
    """For Linux. The sign is that of sd_booted(3)."""
    return Keeper(
        name="systemd",
        sign=Path("/run/systemd/system"),
        unit=Path("/etc/systemd/system") / UNIT,
        lint=("systemd-analyze", "verify"),
        load=(("systemctl", "daemon-reload"), ("systemctl", "enable", "--now", UNIT)),
        unload=(("systemctl", "disable", "--now", UNIT),),
        forget=(("systemctl", "daemon-reload"),),
        log=("journalctl", "-u", UNIT, "-n", "50"),
        patience=0,
    )


def keeper_for(platform: str, log: Path) -> Keeper:
    """The keeper of a platform (``sys.platform``). Raises Unsupported."""
    if platform == "darwin":
        return launchd(log)
    if platform == "linux":
        return systemd()
    raise Unsupported(
        _("ultralab runs on macOS and Linux, not on {system}.").format(system=platform),
        hint=_("On Windows, use it inside WSL 2."),
        system=platform,
    )
