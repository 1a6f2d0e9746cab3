"""Measures the jobs' promises: submit to start, listing 10,000 queued jobs, what an idle daemon costs.

    .venv/bin/python benchmarks/jobs.py [--idle SECONDS]

The idle daemon is watched for 30 s, or as long as --idle says (120 gives a steadier figure). Makes a lab and a machine
state in a temporary folder, with a real daemon. Prints a Markdown table; exits with 1 if a limit is broken.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from ultralab.app import Lab, open_lab
from ultralab.app import jobs as verbs
from ultralab.jobs.store.queue import open_queue
from ultralab.jobs.store.queue import submit as enqueue
from ultralab.jobs.types import JobSpec

ULTRALAB = Path(sys.executable).with_name("ultralab")
STARTS = 40
LISTED = 10_000
IDLE_SECONDS = 30
LIMITS = {"start_ms": 80.0, "list_s": 0.3, "json_s": 0.3, "idle_percent": 0.1}


def main() -> int:
    """Measure everything; the exit status."""
    parser = argparse.ArgumentParser(description="Measure the jobs' promises.")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, metavar="SECONDS")
    idle_seconds: float = parser.parse_args().idle
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ULTRALAB_STATE"] = str(Path(folder) / "machine")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
        home = Path(folder) / "lab"
        subprocess.run([ULTRALAB, "init", home, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        lab = open_lab(home)
        server = subprocess.Popen([ULTRALAB, "serve", "--home", home], stdout=subprocess.DEVNULL)
        try:
            while not verbs.daemon_runs(lab):
                time.sleep(0.05)
            start = [_start_milliseconds(lab, Path(folder)) for _ in range(STARTS)]
            idle = _idle_percent(psutil.Process(server.pid), idle_seconds)
        finally:
            server.terminate()
            server.wait(20)
        _fill(home)
        _seconds("jobs", "list", "--all", "--home", home)  # bytecode and pages of the disk
        text = [_seconds("jobs", "list", "--all", "--home", home) for _ in range(9)]
        data = [_seconds("jobs", "list", "--all", "--json", "--home", home) for _ in range(9)]
    return _report(start, text, data, idle, idle_seconds)


def _start_milliseconds(lab: Lab, folder: Path) -> float:
    """From the moment before the row is written to the moment in which the command's first instruction runs."""
    stamp = folder / "stamp"
    stamp.unlink(missing_ok=True)
    spec = JobSpec(argv=("/bin/sh", "-c", f"date +%s%N > {stamp}.part; mv {stamp}.part {stamp}"), cwd="/", name="stamp")
    before = time.time_ns()
    verbs.submit(lab, spec)
    while not stamp.exists():
        time.sleep(0.005)
    time.sleep(0.3)  # the next one meets a daemon at rest
    return (int(stamp.read_text()) - before) / 1e6


def _idle_percent(process: psutil.Process, seconds: float) -> float:
    time.sleep(3)
    before = _processor_seconds(process)
    time.sleep(seconds)
    return 100 * (_processor_seconds(process) - before) / seconds


def _processor_seconds(process: psutil.Process) -> float:
    """To the nanosecond where the kernel tells (Linux, ``/proc/PID/schedstat``); else to a hundredth of a second."""
    precise = Path(f"/proc/{process.pid}/schedstat")
    if precise.exists():
        return int(precise.read_text().split()[0]) / 1e9
    times = process.cpu_times()
    return times.user + times.system


def _fill(home: Path) -> None:
    queue = open_queue(verbs.jobs_folder(home))
    for number in range(LISTED):
        spec = JobSpec(argv=("/bin/true", str(number)), cwd="/", name=f"job-{number}", not_before=time.time() + 86_400)
        enqueue(queue, spec, {}, time.time())
    queue.database.close()


def _seconds(*arguments: str | Path) -> float:
    begun = time.perf_counter()
    done = subprocess.run([ULTRALAB, *arguments], check=True, stdout=subprocess.PIPE)
    took = time.perf_counter() - begun
    assert done.stdout.count(b"job-") >= LISTED
    return took


def _report(start: list[float], text: list[float], data: list[float], idle: float, idle_seconds: float) -> int:
    found = {
        "start_ms": statistics.median(start),
        "list_s": statistics.median(text),
        "json_s": statistics.median(data),
        "idle_percent": idle,
    }
    rows = (
        (
            "submit to start, daemon running (ms)",
            "start_ms",
            f"{min(start):.1f} to {max(start):.1f}, {len(start)} jobs",
        ),
        (f"`jobs list --all`, {LISTED} queued (s)", "list_s", f"{min(text):.3f} to {max(text):.3f}"),
        (f"`jobs list --all --json`, {LISTED} queued (s)", "json_s", f"{min(data):.3f} to {max(data):.3f}"),
        (f"idle daemon over {idle_seconds:g} s (% of a core)", "idle_percent", ""),
    )
    print("| what | median | limit | range |\n|---|---|---|---|")
    for title, key, extent in rows:
        print(f"| {title} | {found[key]:.3g} | {LIMITS[key]:g} | {extent} |")
    return int(any(found[key] > limit for key, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
