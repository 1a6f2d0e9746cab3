"""How well the planner predicts public decode and prefill speeds of models that its fit has not seen.

    .venv/bin/python benchmarks/plan_speed.py            # print the errors and write benchmarks/plan_speed.md
    .venv/bin/python benchmarks/plan_speed.py --defaults # and the constants of ultralab.planner.speed.defaults

Each model of ``ultralab.assess.measurements`` is left out in turn; next to it stands what 0.55 of the bandwidth, divided
by the weights that a token reads, would say.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from ultralab.assess.measurements import Measurement, measurements
from ultralab.planner.hardware import Sample
from ultralab.planner.speed.calibration import Calibration, DecodeRates, PrefillRates
from ultralab.planner.speed.public import fit_public, left_out_decode, left_out_prefill

REFERENCE = "M3 Ultra"
RULE = 0.55
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
    """The page."""
    decoded, prefilled = left_out_decode(samples), left_out_prefill(samples)
    excluded = [row for row in rows if row.excluded]
    here = sum(row.sample.hardware.chip == REFERENCE for row in excluded)
    lines = [
        "# Predicted speed against public measurements",
        "",
        "Made by `benchmarks/plan_speed.py` from `src/ultralab/assess/measurements`, where each figure has its source.",
        "A prediction uses a fit without any measurement of the same model (of its family of chips: one die or two).",
        f"The rule beside it: {RULE} of the nominal bandwidth, divided by the weights that a token reads.",
        "Nothing here was measured by this project.",
        "",
        "| what | chips | points | models | median error | 80th percentile | worst | median error of the rule |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for chips, chosen in ((REFERENCE, [pair for pair in decoded if _here(pair)]), ("all", decoded)):
        rule = [_error(sample.decode_tok_s, _rule(sample)) for sample, _ in chosen]
        errors = [_error(sample.decode_tok_s, predicted) for sample, predicted in chosen]
        lines.append(_summary("decode", chips, chosen, errors, f"{statistics.median(rule):.1%}"))
    for chips, chosen in ((REFERENCE, [pair for pair in prefilled if _here(pair)]), ("all", prefilled)):
        errors = [_error(sample.prefill_tok_s, predicted) for sample, predicted in chosen]
        lines.append(_summary("prefill", chips, chosen, errors, ""))
    lines += [
        "",
        f"{len(excluded)} rows of the file are not used ({here} of them on the {REFERENCE}), for the reasons below.",
        "",
        f"## Decode on the {REFERENCE}",
        "",
        *_table(
            [(sample, sample.decode_tok_s, predicted) for sample, predicted in decoded if _here((sample, 0))], True
        ),
        "",
        f"## Prefill on the {REFERENCE}",
        "",
        *_table([(s, s.prefill_tok_s, predicted) for s, predicted in prefilled if _here((s, 0))], False),
        "",
        "## Decode on other chips",
        "",
        *_table([(s, s.decode_tok_s, predicted) for s, predicted in decoded if not _here((s, 0))], True),
        "",
        "## Not used",
        "",
        "| engine | chip | model | tok/s | why | source |",
        "|---|---|---|---|---|---|",
        *(_excluded(row) for row in excluded),
        "",
    ]
    return "\n".join(lines)


def _here(pair: tuple[Sample, float]) -> bool:
    return pair[0].hardware.chip == REFERENCE


def _rule(sample: Sample) -> float:
    return RULE * sample.hardware.bandwidth / sample.work.weight_bytes


def _error(measured: float, predicted: float) -> float:
    return abs(predicted / measured - 1)


def _summary(what: str, chips: str, chosen: Sequence[tuple[Sample, float]], errors: list[float], rule: str) -> str:
    models = len({sample.model for sample, _ in chosen})
    middle, worst = statistics.median(errors), max(errors)
    most = sorted(errors)[int(0.8 * len(errors))]
    return f"| {what} | {chips} | {len(errors)} | {models} | {middle:.1%} | {most:.1%} | {worst:.1%} | {rule} |"


def _table(rows: Iterable[tuple[Sample, float, float]], rule: bool) -> list[str]:
    head = "| engine | chip | model | quantization | tokens | measured tok/s | predicted | error |"
    lines = [head + (" rule |" if rule else "") + " source |", "|---" * (10 if rule else 9) + "|"]
    for sample, measured, predicted in sorted(
        rows, key=lambda row: (row[0].engine, row[0].model, row[0].prompt_tokens)
    ):
        chip = f"{sample.hardware.chip}, {sample.hardware.gpu_cores} cores"
        cells = [sample.engine, chip, sample.model, sample.work.quantization, f"{sample.prompt_tokens}"]
        cells += [f"{measured:g}", f"{predicted:.4g}", f"{predicted / measured - 1:+.0%}"]
        cells += [f"{_rule(sample) / measured - 1:+.0%}"] if rule else []
        lines.append("| " + " | ".join([*cells, sample.source]) + " |")
    return lines


def _excluded(row: Measurement) -> str:
    sample = row.sample
    speed = sample.decode_tok_s or sample.prefill_tok_s
    cells = [sample.engine, sample.hardware.chip, sample.model, f"{speed:g}", row.excluded, sample.source]
    return "| " + " | ".join(cells) + " |"


def defaults(found: Calibration) -> str:
    """The source of ``ultralab.planner.speed.defaults``."""
    decode = [_entry(key, "DecodeRates", rates) for key, rates in found.decode.items()]
    prefill = [_entry(key, "PrefillRates", rates) for key, rates in found.prefill.items()]
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
            *decode,
            "    },",
            "    prefill={",
            *prefill,
            "    },",
            ")",
            "",
        ]
    )


def _entry(key: tuple[str, object], name: str, rates: DecodeRates | PrefillRates) -> str:
    first, second = key
    values = [f"            {field.name}={getattr(rates, field.name):.4g}," for field in fields(rates)]
    quoted = f'"{second}"' if isinstance(second, str) else repr(second)
    return "\n".join([f'        ("{first}", {quoted}): {name}(', *values, "        ),"])


if __name__ == "__main__":
    main("--defaults" in sys.argv[1:])
