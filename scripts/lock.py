"""Compile the lock files in ``requirements/``: for every system, with hashes, without an address.

.venv/bin/python scripts/lock.py              keep what is locked where it still fits
.venv/bin/python scripts/lock.py --upgrade    take the newest versions
"""

from __future__ import annotations

import sys

from installer import ROOT, SetupError, find_uv, run_uv

FLAGS = ("--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate")
NO_ADDRESSES = ("--no-emit-index-url", "--no-emit-find-links")
# dev.txt is the widest set; the others are parts of it, so that all agree on every version.
PARTS = (
    ("dev.txt", "3.11", ("pyproject.toml", "--group", "pyproject.toml:dev", "requirements/build.in")),
    ("runtime.txt", "3.11", ("pyproject.toml", "--constraint", "requirements/dev.txt")),
    ("build.txt", "3.11", ("requirements/build.in", "--constraint", "requirements/dev.txt")),
    ("uv.txt", "3.8", ("requirements/uv.in",)),
    ("old_pip.txt", "3.6", ("requirements/old_pip.in",)),
)


def main(upgrade: bool) -> int:
    """Compile every lock file; the exit status."""
    try:
        uv = find_uv()
        for name, python, sources in PARTS:
            extra = ("--upgrade",) if upgrade else ()
            target = ("--python-version", python, "--output-file", str(ROOT / "requirements" / name))
            run_uv(uv, "pip", "compile", *FLAGS, *NO_ADDRESSES, *extra, *target, *sources)
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("--upgrade" in sys.argv[1:]))
