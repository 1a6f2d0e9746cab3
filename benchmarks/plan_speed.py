"""How well the planner predicts public decode and prefill speeds of models that its fit has not seen.

    .venv/bin/python benchmarks/plan_speed.py            # print the errors and write benchmarks/plan_speed.md
    .venv/bin/python benchmarks/plan_speed.py --defaults # and the constants of ultralab.planner.speed.defaults

Each model of ``ultralab.assess.measurements`` is left out in turn; next to it stands what 0.55 of the bandwidth, divided
by the weights that a token reads, would say.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from ultralab.assess.measurements import Measurement, measurements
from ultralab.planner.hardware import Sample
from ultralab.planner.speed import decode, prefill
from ultralab.planner.speed.calibration import Calibration, DecodeRates, PrefillRates
from ultralab.planner.speed.public import fit_public, left_out_decode, left_out_prefill
from ultralab.planner.types import Prediction

REFERENCE = "M3 Ultra"
RULE = 0.55
WELL_KNOWN = {
    ("deepseek-r1", 20.21), ("llama-3.1-70b", 14.08), ("llama-3.1-405b", 1.96), ("qwen3.5-27b", 19.8),
    ("llama-2-7b", 92.14), ("minimax-m2", 12.12), ("minimax-m2", 5.95),
    ("deepseek-r1", 168.9), ("deepseek-r1", 159.64), ("llama-3.1-70b", 170), ("llama-3.1-70b", 74),
}  # fmt: skip
_TERMS = (
    "What was tried and did not help models that were left out: a time for multiplying in decode (it helps one die, hurts",
    "two), slower reading of very large models (it explains Llama 3.1 405B and GLM-5.2 and spoils DeepSeek-R1). So 405B",
    "stays 30 % off, and models above 128 GB have a band as wide as that (`LARGE` in `planner/speed/calibration.py`).",
)
Row = tuple[Sample, float, float]
"""A sample, the speed that was measured, the speed that a fit without its model predicts."""
HERE = Path(__file__).parent
DEFAULTS = HERE.parent / "src/ultralab/planner/speed/defaults.py"


def main(write_defaults: bool) -> None:
    """Print, and write the tables."""
    rows = measurements()
    samples = [row.sample for row in rows if not row.excluded]
    if write_defaults:
        DEFAULTS.write_text(defaults(fit_public(samples)), encoding="utf-8")
    text = report(rows, samples)
    (HERE / "plan_speed.md").write_text(text, encoding="utf-8")
    print(text.split("\n## ")[0])


def report(rows: Sequence[Measurement], samples: Sequence[Sample]) -> str:
    """The page: a summary, the best known points, every point of the reference machine, what is not used."""
    decoded, prefilled = left_out_decode(samples), left_out_prefill(samples)
    excluded = [row for row in rows if row.excluded]
    here = sum(row.sample.hardware.chip == REFERENCE for row in excluded)
    reading = [(sample, sample.prefill_tok_s, predicted) for sample, predicted in prefilled]
    writing = [(sample, sample.decode_tok_s, predicted) for sample, predicted in decoded]
    lines = [
        "# Predicted speed against public measurements",
        "",
        "Made by `benchmarks/plan_speed.py` from `src/ultralab/assess/measurements`, where each figure has its source.",
        "A prediction uses a fit without any measurement of the same model (of its family of chips: one die or two).",
        f"The rule beside it: {RULE} of the nominal bandwidth, divided by the weights that a token reads.",
        '"In the band": how many points lie in the band that a plan gives, laid around the prediction of the fit that had',
        "not seen their model; a band promises 80 %. Nothing here was measured by this project.",
        "",
        "| what | chips | points | models | median error | 80th percentile | worst | in the band | median error of the rule |",
        "|---|---|---|---|---|---|---|---|---|",
        _summary("decode", REFERENCE, [row for row in writing if _here(row)]),
        _summary("decode", "all", writing),
        _summary("prefill", REFERENCE, [row for row in reading if _here(row)]),
        _summary("prefill", "all", reading),
        "",
        *_TERMS,
        "",
        "## Well-known points",
        "",
        "`shipped` is what a plan says, whose constants come from all measurements.",
        "",
        "| what | engine | model | quantization | tokens | measured tok/s | left out | error | shipped | error |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_known("decode", row) for row in writing if _well_known(row)),
        *(_known("prefill", row) for row in reading if _well_known(row)),
        "",
        "## By chip, decode",
        "",
        "| engine | chip | points | models | median error | worst |",
        "|---|---|---|---|---|---|",
        *_by_chip(writing),
        "",
        f"## Decode on the {REFERENCE}",
        "",
        *_table([row for row in writing if _here(row)], rule=True),
        "",
        f"## Prefill on the {REFERENCE}",
        "",
        *_table([row for row in reading if _here(row)], rule=False),
        "",
        "## Not used",
        "",
        f"{len(excluded)} rows of the file, {here} of them on the {REFERENCE}.",
        "",
        "| engine | chip | model | tok/s | why |",
        "|---|---|---|---|---|",
        *(_excluded(row) for row in excluded),
        "",
    ]
    return "\n".join(lines)


def _here(row: Row) -> bool:
    return row[0].hardware.chip == REFERENCE


def _well_known(row: Row) -> bool:
    return (row[0].model, row[1]) in WELL_KNOWN


def _rule(sample: Sample) -> float:
    return RULE * sample.hardware.bandwidth / sample.work.weight_bytes


def _error(measured: float, predicted: float) -> float:
    return abs(predicted / measured - 1)


def _shipped(sample: Sample) -> Prediction:
    if sample.decode_tok_s:
        return decode(sample.work, sample.hardware, sample.engine).prediction
    return prefill(sample.work, sample.prompt_tokens, sample.hardware, sample.engine).prediction


def _held(row: Row) -> bool:
    sample, measured, predicted = row
    band = _shipped(sample)
    return band.low / band.value * predicted <= measured <= band.high / band.value * predicted


def _summary(what: str, chips: str, rows: Sequence[Row]) -> str:
    errors = sorted(_error(measured, predicted) for _, measured, predicted in rows)
    models = len({sample.model for sample, _, _ in rows})
    middle, most, worst = statistics.median(errors), errors[int(0.8 * len(errors))], errors[-1]
    held = sum(_held(row) for row in rows) / len(rows)
    rule = [_error(measured, _rule(sample)) for sample, measured, _ in rows] if what == "decode" else []
    cells = [what, chips, f"{len(errors)}", f"{models}", f"{middle:.1%}", f"{most:.1%}", f"{worst:.1%}", f"{held:.0%}"]
    return "| " + " | ".join([*cells, f"{statistics.median(rule):.1%}" if rule else ""]) + " |"


def _known(what: str, row: Row) -> str:
    sample, measured, predicted = row
    shipped = _shipped(sample).value
    cells = [what, sample.engine, sample.model, sample.work.quantization, f"{sample.prompt_tokens}", f"{measured:g}"]
    cells += [
        f"{predicted:.3g}",
        f"{predicted / measured - 1:+.0%}",
        f"{shipped:.3g}",
        f"{shipped / measured - 1:+.0%}",
    ]
    return "| " + " | ".join(cells) + " |"


def _by_chip(rows: Sequence[Row]) -> Iterator[str]:
    for engine, chip in sorted({(sample.engine, sample.hardware.chip) for sample, _, _ in rows}):
        own = [row for row in rows if (row[0].engine, row[0].hardware.chip) == (engine, chip)]
        errors = [_error(measured, predicted) for _, measured, predicted in own]
        models = len({sample.model for sample, _, _ in own})
        worst = max(errors)
        yield f"| {engine} | {chip} | {len(own)} | {models} | {statistics.median(errors):.1%} | {worst:.1%} |"


def _table(rows: Sequence[Row], *, rule: bool) -> list[str]:
    head = "| engine | cores | model | quantization | tokens | measured tok/s | predicted | error |"
    lines = [head + (" rule |" if rule else ""), "|---" * (9 if rule else 8) + "|"]
    for sample, measured, predicted in sorted(
        rows, key=lambda row: (row[0].engine, row[0].model, row[0].prompt_tokens)
    ):
        cells = [sample.engine, f"{sample.hardware.gpu_cores}", sample.model, sample.work.quantization]
        cells += [f"{sample.prompt_tokens}", f"{measured:g}", f"{predicted:.4g}", f"{predicted / measured - 1:+.0%}"]
        cells += [f"{_rule(sample) / measured - 1:+.0%}"] if rule else []
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _excluded(row: Measurement) -> str:
    sample = row.sample
    speed = sample.decode_tok_s or sample.prefill_tok_s
    cells = [sample.engine, sample.hardware.chip, sample.model, f"{speed:g}", row.excluded]
    return "| " + " | ".join(cells) + " |"


def defaults(found: Calibration) -> str:
    """The source of ``ultralab.planner.speed.defaults``."""
    writing = [_entry(key, "DecodeRates", rates) for key, rates in found.decode.items()]
    reading = [_entry(key, "PrefillRates", rates) for key, rates in found.prefill.items()]
    return "\n".join(
        [
            '"""What public measurements say, as constants, so that a prediction reads no file.',
            "",
            "Made by ``benchmarks/plan_speed.py --defaults`` from ``ultralab/assess/measurements``; a test compares them with a",
            "new fit. Shares, seconds per layer and spreads: see :mod:`ultralab.planner.speed.calibration`.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Final",
            "",
            "from ultralab.planner.speed.calibration import Calibration, DecodeRates, PrefillRates",
            "",
            "PUBLIC: Final = Calibration(",
            "    decode={",
            *writing,
            "    },",
            "    prefill={",
            *reading,
            "    },",
            ")",
            "",
        ]
    )


def _entry(key: tuple[str, object], name: str, rates: DecodeRates | PrefillRates) -> str:
    first, second = key
    values = [f"            {field.name}={_number(getattr(rates, field.name))}," for field in fields(rates)]
    quoted = f'"{second}"' if isinstance(second, str) else repr(second)
    return "\n".join([f'        ("{first}", {quoted}): {name}(', *values, "        ),"])


def _number(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, int) or value else "0.0"


if __name__ == "__main__":
    main("--defaults" in sys.argv[1:])
