"""How long a plan takes once the header is read: the first one for a model, with nothing remembered from another.

    .venv/bin/python benchmarks/plan_time.py [OUTPUT]

Over every header of ``tests/architectures``, each in a state without remembered graphs: ``assess.plan`` with its longest
context that fits, on a named machine. Writes ``benchmarks/plan_time.md``.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.architectures.everything import PUBLIC, shape_of

from ultralab.assess.places import place
from ultralab.assess.plan import plan
from ultralab.assess.types import Question
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT
from ultralab.planner.compute import forget
from ultralab.planner.types import Demand

LIMIT = 10.0
ROUNDS = 5
HEAD = """# How long a plan takes after the header is read

Milliseconds for `assess.plan` at a context of 32,768 on `m3-ultra-256`, with its search for the longest context that fits:
the first plan of each model, nothing remembered (`planner.compute.forget`). Of {rounds} such rounds the median and the worst;
processor time beside the clock, as other programs were running. {models} models; {system}, {cores} cores.

Command: `.venv/bin/python benchmarks/plan_time.py`. Limit: {limit:.0f} ms. Median of all models {median:.2f} ms, worst of all
medians {worst:.2f} ms, worst single round {single:.2f} ms ({single_processor:.2f} ms of processor time).

| model | median, ms | worst round, ms | worst round, processor ms |
|---|---|---|---|
"""


def main(output: Path) -> None:
    """Time every model and write the table."""
    rows = []
    here = place("m3-ultra-256")
    with tempfile.TemporaryDirectory() as folder:
        for known in PUBLIC:
            shape = shape_of(known, Path(folder))
            path = Path(folder) / "header.gguf"
            header = replace(FORMAT.read_header(replace(from_path(path), headers_only=True)), shape=shape)
            clock, processor = [], []
            for _round in range(ROUNDS):
                forget()
                before = time.perf_counter(), time.process_time()
                plan(known.name, header, Question(Demand(32768)), here, None)
                clock.append((time.perf_counter() - before[0]) * 1000)
                processor.append((time.process_time() - before[1]) * 1000)
            rows.append((statistics.median(clock), max(clock), max(processor), known.name))
    head = HEAD.format(
        rounds=ROUNDS, models=len(rows), system=f"{platform.system()} {platform.machine()}", cores=os.cpu_count(),
        limit=LIMIT, median=statistics.median(row[0] for row in rows), worst=max(row[0] for row in rows),
        single=max(row[1] for row in rows), single_processor=max(row[2] for row in rows),
    )  # fmt: skip
    table = (
        f"| {name} | {median:.2f} | {worst:.2f} | {used:.2f} |\n"
        for median, worst, used, name in sorted(rows, reverse=True)
    )
    output.write_text(head + "".join(table), encoding="utf-8")
    slow = [row for row in rows if row[0] > LIMIT]
    print(f"{len(rows)} models, worst median {max(row[0] for row in rows):.2f} ms; over the limit: {len(slow)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".md"))
