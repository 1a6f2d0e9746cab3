"""Start-up: ``ultralab --help`` against importing click alone, through the project's own interpreter.

Ten interleaved runs after a warm-up; the ratio of the medians must not pass 1.5. Prints the figures and a row
for ``benchmarks/README.md``; exits 1 above the limit. Run it by ``make bench``.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

BIN: Final = Path(__file__).resolve().parents[1] / ".venv" / "bin"
HELP: Final = (str(BIN / "ultralab"), "--help")
CLICK: Final = (str(BIN / "python"), "-c", "import click")
RUNS: Final = 10
LIMIT: Final = 1.5


def seconds(command: tuple[str, ...]) -> float:
    """Wall-clock seconds of one run. Raises CalledProcessError where the command fails."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(runs: int) -> tuple[list[float], list[float]]:
    """Seconds of each run of both commands, one after the other so that both meet the same disturbances."""
    seconds(HELP)
    seconds(CLICK)
    pairs = [(seconds(HELP), seconds(CLICK)) for _run in range(runs)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def spread(values: list[float]) -> str:
    """``123 ms (118 to 140)``: median, least and most."""
    return f"{statistics.median(values) * 1000:.0f} ms ({min(values) * 1000:.0f} to {max(values) * 1000:.0f})"


def machine() -> str:
    """What it ran on: system, architecture, processors, Python."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def main() -> int:
    """Measure and print; the exit status."""
    ours, base = measure(RUNS)
    ratio = statistics.median(ours) / statistics.median(base)
    print(f"ultralab --help           {spread(ours)}")
    print(f'python -c "import click"  {spread(base)}')
    print(f"ratio of the medians      {ratio:.2f} (limit {LIMIT})")
    today = dt.datetime.now(tz=dt.UTC).date()
    print(f"\n| {today} | {machine()} | {spread(ours)} | {spread(base)} | {ratio:.2f} |")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
