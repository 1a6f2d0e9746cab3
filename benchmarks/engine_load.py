"""Load time through the seam against the bare library's own load, interleaved.

    .venv/bin/python benchmarks/engine_load.py MODEL.gguf [MLX_FOLDER] [--pairs 10]

Through the seam: from ``engines.host.loaded`` to a model that answers (reservation, guard, child, client). Bare: from the
start of a process to ``xllamacpp.Server`` listening with the same options, or to ``mlx_lm.load`` done. Both read a file
that is in the system's cache. Exits 1 where the median of the pairs' ratios is above 1.1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from engine_bare import interleaved, interval, machine, mlx_load_process, request_for, xllamacpp_process
from engine_overhead import models

from ultralab.engines import engine
from ultralab.engines.host import loaded
from ultralab.memory import open_ledger

LIMIT: Final = 1.1
BARE: Final = {"llamacpp": xllamacpp_process, "mlx": mlx_load_process}


def measure(name: str, model: Path, pairs: int, folder: Path) -> list[tuple[float, float]]:
    """Seconds of each pair: through the seam, and bare."""
    request = request_for(name, model, threads=1)
    ledger = open_ledger(folder, 10**15)

    def ours(_number: int) -> float:
        begun = time.perf_counter()
        with loaded(engine(name), request, ledger=ledger, log=folder / f"{name}.log"):
            return time.perf_counter() - begun

    def theirs(_number: int) -> float:
        begun = time.perf_counter()
        with BARE[name](model, 1):
            return time.perf_counter() - begun

    interleaved(1, ours, theirs)  # the file is in the system's cache, the byte code is written
    return interleaved(pairs, ours, theirs)


def main() -> int:
    """Measure and print a row for each engine; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf", type=Path)
    parser.add_argument("mlx", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=["llamacpp", "mlx"])
    arguments = parser.parse_args()
    highest = 0.0
    print("| date | machine | engine | model | pairs | seam | bare | ratio (95 % interval) |")
    print("|---|---|---|---|---|---|---|---|")
    with models(arguments) as chosen, tempfile.TemporaryDirectory() as folder:
        for name, model in chosen.items():
            pairs = measure(name, model, arguments.pairs, Path(folder))
            middle, low, high = interval([ours / theirs for ours, theirs in pairs])
            highest = max(highest, middle)
            ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
            row = f"{machine()} | {name} | {model.stem} | {len(pairs)} | {ours:.2f} s | {theirs:.2f} s"
            print(f"| {row} | {middle:.3f} ({low:.3f} to {high:.3f}) |", flush=True)
    return 0 if highest <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
