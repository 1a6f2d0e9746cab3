"""Linux control groups: how much memory and how many cores a container may use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
# Version 1 says "no limit" with the largest number of whole pages; nothing real comes near.
_NO_LIMIT: Final = 1 << 60


@dataclass(frozen=True)
class Cgroups:
    """The control groups of a process: its path in version 2's tree and in version 1's trees for memory and CPU."""

    unified: str
    memory: str
    cpu: str = ""


def parse_cgroups(text: str) -> Cgroups:
    """``/proc/<pid>/cgroup``: lines ``number:controllers:path``; version 2's has number 0 and no controllers."""
    unified = memory = cpu = ""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            unified = path
        elif "memory" in controllers.split(","):
            memory = path
        elif "cpu" in controllers.split(","):
            cpu = path
    return Cgroups(unified, memory, cpu)


def parse_limit(text: str) -> int:
    """``memory.max`` or ``memory.limit_in_bytes`` in bytes, 0 for no limit."""
    stripped = text.strip()
    if not stripped.isdigit() or int(stripped) >= _NO_LIMIT:
        return 0
    return int(stripped)


def parse_cpu_quota(text: str) -> int:
    """Whole cores of ``cpu.max`` (``quota period``, microseconds), at least 1; 0 for no quota."""
    match = re.match(r"(\d+)\s+(\d+)\s*\Z", text)
    return max(1, round(int(match.group(1)) / int(match.group(2)))) if match and int(match.group(2)) else 0


def parse_inactive_file(text: str) -> int:
    """Bytes of a group's file cache that the kernel may drop at once, from ``memory.stat``."""
    found = dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line)
    return int(found.get("total_inactive_file") or found.get("inactive_file") or 0)


def limiting_groups(groups: Cgroups, root: Path = _CGROUPS) -> tuple[tuple[int, int], ...]:
    """(limit, in use) in bytes of every group around this process that has a memory limit.

    A limit binds everything below it, so each ancestor counts. A container sees its own group at the root of the
    mount while ``/proc`` may name it by the host's path: missing folders are passed over.
    """
    trees = (
        (root, groups.unified, "memory.max", "memory.current"),
        (root / "unified", groups.unified, "memory.max", "memory.current"),
        (root / "memory", groups.memory, "memory.limit_in_bytes", "memory.usage_in_bytes"),
    )
    found = []
    for tree, path, limit_name, usage_name in trees:
        for folder in _around(tree, path):
            if limit := parse_limit(read_file(folder / limit_name)):
                used = parse_limit(read_file(folder / usage_name)) - parse_inactive_file(
                    read_file(folder / "memory.stat")
                )
                found.append((limit, max(0, used)))
    return tuple(found)


def cpu_quota(groups: Cgroups, root: Path = _CGROUPS) -> int:
    """The cores that the tightest CPU quota around this process allows (``docker --cpus``), 0 for no quota."""
    unified = [folder for tree in (root, root / "unified") for folder in _around(tree, groups.unified)]
    texts = [
        *(read_file(folder / "cpu.max") for folder in unified),
        # Version 1 has two files, and -1 for no quota.
        *(
            f"{read_file(folder / 'cpu.cfs_quota_us').strip()} {read_file(folder / 'cpu.cfs_period_us').strip()}"
            for folder in _around(root / "cpu", groups.cpu)
        ),
    ]
    return min(filter(None, map(parse_cpu_quota, texts)), default=0)


def own_groups() -> Cgroups:
    """The control groups of this process."""
    return parse_cgroups(read_file(Path("/proc/self/cgroup")))


def own_limits() -> tuple[tuple[int, int], ...]:
    """(limit, in use) of every memory limit that binds this process, bytes."""
    return limiting_groups(own_groups())


def read_file(path: Path) -> str:
    """A kernel's file, empty where it is missing or refused: each one is optional."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _around(tree: Path, path: str) -> set[Path]:
    """The folders of a group and of all its ancestors, up to the root of the tree."""
    inside = PurePosixPath(path.lstrip("/"))
    return {tree / step for step in (inside, *inside.parents)}
