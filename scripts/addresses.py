"""Refuse download addresses of package registries in the files of the project: locks name hashes, not places."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Written in two halves so that this file does not find itself.
HOSTS = tuple(
    left + right
    for left, right in (
        ("files.python", "hosted.org"),
        ("pypi", ".org"),
        ("conda.ana", "conda.org"),
        ("registry.npm", "js.org"),
    )
)
PATTERN = re.compile("|".join(re.escape(host) for host in HOSTS))
LOCK_LINE = re.compile(r"^\s*(?:-i|-f|--index-url|--extra-index-url|--find-links)\b|://|@ file:")


def project_files(root: Path) -> list[Path]:
    """The files that git tracks or would track; without git, everything outside hidden folders."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        everything = (path for path in root.rglob("*") if path.is_file())
        return sorted(p for p in everything if not any(part.startswith(".") for part in p.relative_to(root).parts[:-1]))
    return sorted(root / name for name in listed.split("\0") if name)


def offences(root: Path) -> list[str]:
    """``file:line: text`` for each address."""
    found = []
    for path in project_files(root):
        if not path.is_file():
            continue
        is_lock = path.parent == root / "requirements" and path.suffix == ".txt"
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if PATTERN.search(line) or (is_lock and LOCK_LINE.search(line)):
                found.append(f"{path.relative_to(root)}:{number}: {line.strip()[:120]}")
    return found


if __name__ == "__main__":
    bad = offences(ROOT)
    for offence in bad:
        print(offence)
    sys.exit(1 if bad else 0)
