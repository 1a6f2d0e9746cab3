"""The planner's memory against llama.cpp's own answer, over architectures, contexts and types of the KV cache.

    .venv/bin/python benchmarks/plan_memory.py [OUTPUT]

Headers are made from public configurations (``tests/architectures``); llama.cpp is asked through its fit report, CPU
backend. Writes the table (``benchmarks/plan_memory.md``) and prints the median and the worst error of the total.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.architectures.everything import PUBLIC
from tests.architectures.table import Point, compared, demands, types_of

HEAD = """# Planned memory against llama.cpp's own answer

Every number is MiB, ours / llama.cpp's. Weights and KV cache are cut off to whole MiB, as llama.cpp prints them; the
compute buffer is for a micro-batch of 512 with as many rows of logits, flash attention on, CPU backend. Headers are made
from public configurations by `tests/architectures`; no weight exists.

Command: `.venv/bin/python benchmarks/plan_memory.py`. llama.cpp of xllamacpp {version}.

{count} points, {models} models, {architectures} architectures. Weights and KV cache exact on {exact} points. Total: median
error {median:.4%}, worst {worst:.3%}.

| model | context | KV | weights | KV cache | compute | error of the total |
|---|---|---|---|---|---|---|
"""


def main(output: Path) -> None:
    """Ask about every model and write the table."""
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        for known in PUBLIC:
            contexts = (512, 4096, 32768, int(str(known.keys.get("context_length", 4096))))
            points += compared(known, demands(contexts, types_of(known)), Path(folder))
    errors = [point.error for point in points]
    head = HEAD.format(
        version=points[0].version,
        count=len(points),
        models=len(PUBLIC),
        architectures=len({known.architecture for known in PUBLIC}),
        exact=sum(point.exact for point in points),
        median=statistics.median(errors),
        worst=max(errors),
    )
    output.write_text(head + "".join(map(_row, points)), encoding="utf-8")
    print(f"{len(points)} points: median {statistics.median(errors):.4%}, worst {max(errors):.3%}, {points[0].version}")


def _row(point: Point) -> str:
    weights, kv_cache, compute = point.ours
    cells = (
        point.model,
        str(point.demand.context),
        point.demand.key_type,
        f"{weights} / {point.weights}",
        f"{kv_cache} / {point.kv_cache}",
        f"{compute:.2f} / {point.compute:.2f}",
        f"{point.error:.3%}",
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".md"))
